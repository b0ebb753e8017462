"""Texts into vectors: what every embedder keeps to, the embedded one, and which one is asked."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from finetune_switch import conf
from finetune_switch.backends.embeddings import embedded, get_embedder, same_space
from finetune_switch.backends.embeddings.base import check_vectors, clean_texts
from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models import EmbeddingSpace
from tests.embedding_helpers import TEXTS, chooser, embed_async, embed_sync


@pytest.fixture(params=[embed_sync, embed_async], ids=["sync", "async"])
def embed(request):
    """An embedder's vectors, by ``embed()`` and by ``aembed()``."""
    return request.param


@pytest.fixture
def choose(settings, connections):
    return chooser(settings)


class TestCheckVectors:
    def test_normalises(self):
        vectors = check_vectors([[3, 4], [0, -2]], 2, 2)
        assert vectors.dtype == np.float32
        assert vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, -1]]

    def test_size_is_learnt_where_it_is_not_known(self):
        assert check_vectors([[1.0, 2.0, 2.0]], 1, None).shape == (1, 3)

    def test_nothing(self):
        assert check_vectors([], 0, 7).shape == (0, 7)
        assert check_vectors([], 0, None).shape == (0, 0)

    @pytest.mark.parametrize(
        ("raw", "code", "named"),
        [
            ([[1.0, 0.0]], "half_batch", "1 vectors for 2 texts"),
            ([], "half_batch", "0 vectors for 2 texts"),
            ([[1.0, 0.0, 0.0]] * 2, "wrong_dimensions", "3 numbers instead of 2"),
            ([[1.0, 0.0], [1.0]], "wrong_dimensions", "1 numbers instead of 2"),
            ([[1.0, 0.0], [float("nan"), 1.0]], "not_finite", "text 2 of 2 holds “NaN”"),
            ([[1.0, float("inf")], [1.0, 1.0]], "not_finite", "text 1 of 2 holds “Infinity”"),
            ([[1.0, 1e39], [1.0, 1.0]], "not_finite", "Infinity"),
            ([[1.0, None], [1.0, 1.0]], "not_finite", "NaN"),
            ([[1.0, 1.0], [0.0, 0.0]], "zero_vector", "text 2 of 2"),
            ([None, None], "not_vectors", "something other than vectors"),
            ([[], []], "wrong_dimensions", "0 numbers instead of 2"),
            ([["a", "b"], ["c", "d"]], "not_vectors", "other than numbers"),
        ],
    )
    def test_what_cannot_be_searched_with_is_named(self, raw, code, named):
        with pytest.raises(EmbeddingError) as caught:
            check_vectors(raw, 2, 2)
        assert caught.value.code == code
        assert named in str(caught.value)
        assert caught.value.remedy

    def test_what_comes_out_is_no_view_of_what_went_in(self):
        raw = np.array([[3.0, 4.0]], dtype=np.float32)
        check_vectors(raw, 1, 2)
        assert raw.tolist() == [[3.0, 4.0]]


class TestTexts:
    @pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0"])
    def test_a_blank_one_is_refused(self, text):
        with pytest.raises(EmbeddingError, match="text 2 of 2 is empty") as caught:
            clean_texts(["boats", text])
        assert caught.value.code == "empty_text"

    def test_half_a_surrogate_pair_is_no_text(self):
        assert clean_texts(["boat \ud83d", "🚢"]) == ["boat ?", "🚢"]

    @pytest.mark.parametrize(
        "text", ["🚢", "متى يفتح الميناء؟", "boats\x00", "\u200b", "x" * 20_000]
    )
    def test_odd_ones_have_vectors(self, embed, text):
        vectors = embed(EmbeddedEmbedder(), [text, "\ud800 half"])
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


class TestEmbedded:
    def test_is_the_default(self, settings, connections):
        embedder = get_embedder()
        assert (embedder.connection, embedder.model_name) == ("", "wordllama-256")
        assert (embedder.dimensions, embedder.max_tokens) == (256, 512)

    def test_unit_vectors(self, embed):
        vectors = embed(EmbeddedEmbedder(), TEXTS)
        assert vectors.shape == (3, 256)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

    def test_as_the_package_itself_has_them(self):
        from tokenizers import Tokenizer
        from wordllama.inference import WordLlamaInference

        tokenizer, weights = embedded._model()
        # A copy: it would pad with ours.
        model = WordLlamaInference(weights, Tokenizer.from_str(tokenizer.to_str()))
        assert np.allclose(
            EmbeddedEmbedder().embed(TEXTS), model.embed(TEXTS, norm=True), atol=1e-6
        )

    def test_one_by_one_and_in_a_batch_alike(self):
        embedder = EmbeddedEmbedder()
        together = embedder.embed([*TEXTS, "much longer " * 200])
        for text, vector in zip(TEXTS, together, strict=False):
            assert np.allclose(embedder.embed([text])[0], vector, atol=1e-6)

    def test_what_is_alike_lies_near(self):
        question, near, far = EmbeddedEmbedder().embed(["When does the harbour open?", *TEXTS[:2]])
        assert question @ near > question @ far

    def test_no_texts(self, embed):
        assert embed(EmbeddedEmbedder(), []).shape == (0, 256)

    def test_counts_tokens(self):
        count = EmbeddedEmbedder().count_tokens
        assert count("") == 0
        assert 4 <= count(TEXTS[0]) <= 10
        assert count("a half \ud83d") > 0

    def test_a_question_costs_little_beside_the_model(self):
        embedder, question = EmbeddedEmbedder(), TEXTS[:1]
        tokenizer, weights = embedded._model()

        def model():
            weights[tokenizer.encode(question[0], add_special_tokens=False).ids].sum(axis=0)

        def median(function):
            times = []
            for _ in range(200):
                start = time.perf_counter()
                function()
                times.append(time.perf_counter() - start)
            return sorted(times)[100]

        assert median(lambda: embedder.embed(question)) - median(model) < 0.000_1

    def test_leaves_the_root_logger_alone(self):
        code = (
            "import logging, django; django.setup();"
            "root = logging.getLogger(); before = root.level, root.handlers[:];"
            "from finetune_switch.backends.embeddings import embedded; embedded._model();"
            "assert (root.level, root.handlers) == before, root.handlers"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=180)

    def test_after_a_fork(self):
        code = (
            "import os, django; django.setup();"
            "from finetune_switch.backends.embeddings import embedded;"
            "embedded._lock.acquire();"
            "child = os.fork();"
            "shape = embedded.EmbeddedEmbedder().embed(['boats']).shape if not child else None;"
            "os._exit(shape != (1, 256)) if not child else None;"
            "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


class TestSpaces:
    def test_of_the_embedded_model(self, settings, connections, choose):
        """It keeps answering after another model was chosen, until the new index is there."""
        space = EmbeddingSpace(connection="", model_name="wordllama-256", dimensions=256)
        assert same_space(get_embedder(), space)
        chosen = choose("openai")
        assert not same_space(chosen, space)
        assert same_space(get_embedder(space), space)

    def test_of_an_embedded_model_that_is_gone(self, connections):
        space = EmbeddingSpace(connection="", model_name="wordllama-64", dimensions=64)
        with pytest.raises(EmbeddingError, match="is gone") as caught:
            get_embedder(space)
        assert "wordllama-64" in caught.value.remedy

    def test_of_a_connection(self, choose):
        chosen = choose("openai", BATCH_SIZE=7, MAX_TOKENS=900, PARAMETERS={"user": "site"})
        space = EmbeddingSpace(connection="openai", model_name="standin-embed", dimensions=256)
        assert same_space(chosen, space)
        embedder = get_embedder(space)
        assert same_space(embedder, space)
        assert (embedder.batch_size, embedder.max_tokens) == (7, 900)

    @pytest.mark.parametrize(
        "other",
        [{"connection": "ollama"}, {"model_name": "another"}, {"dimensions": 64}],
    )
    def test_that_differ(self, choose, other):
        values = {"connection": "openai", "model_name": "standin-embed", "dimensions": 256}
        assert not same_space(
            choose("openai", DIMENSIONS=256), EmbeddingSpace(**{**values, **other})
        )

    def test_whose_connection_has_left_the_settings(self, connections):
        space = EmbeddingSpace(connection="former", model_name="standin-embed", dimensions=256)
        with pytest.raises(EmbeddingError, match="is not configured") as caught:
            get_embedder(space)
        assert caught.value.code == "misconfigured"
        assert '["CONNECTIONS"]["former"]' in caught.value.remedy

    def test_a_choice_without_its_connection(self, choose):
        with pytest.raises(EmbeddingError, match="is not configured"):
            choose("nowhere")


class TestSettings:
    def test_without_any(self, settings):
        settings.FINETUNE_SWITCH = {}
        assert conf.embedding_settings() is None
        assert conf.index_store() is None
        assert (
            conf.indexed_model_labels()
            == conf.excluded_page_types()
            == conf.excluded_fields()
            == []
        )
        assert conf.block_anchor() == ""

    def test_as_they_are_declared(self, settings):
        settings.FINETUNE_SWITCH = {
            "INDEX": {
                "EMBEDDINGS": {"CONNECTION": "openai", "MODEL_NAME": "m", "DIMENSIONS": 64},
                "STORE": "pgvector",
                "MODELS": ("events.Event",),
                "EXCLUDE_PAGE_TYPES": ["home.HomePage"],
                "EXCLUDE_FIELDS": ["body"],
                "BLOCK_ANCHOR": "block-{id}",
            }
        }
        assert conf.embedding_settings() == conf.EmbeddingSettings("openai", "m", 64, 64, 512, {})
        assert conf.index_store() == "pgvector"
        assert conf.indexed_model_labels() == ["events.Event"]
        assert conf.excluded_page_types() == ["home.HomePage"]
        assert conf.excluded_fields() == ["body"]
        assert conf.block_anchor() == "block-{id}"
