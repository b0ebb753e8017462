"""What the default similarity lets through, and vectors that keep in step with their questions."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from wagtail.models import Locale

from finetune_switch.backends.embeddings.embedded import ENGLISH, MULTILINGUAL, EmbeddedEmbedder
from finetune_switch.models import PreparedAnswer
from finetune_switch.models.prepared import DEFAULT_THRESHOLD
from finetune_switch.prepared.similarity import (
    UNRELATED,
    Row,
    baseline_similarity_of,
    current_model_name,
    is_stale,
    renew_vectors,
    scaled,
    similarity,
)
from finetune_switch.text.decisive import ask_the_same
from tests.embedding_helpers import chooser
from tests.helpers import ask_sync
from tests.index_helpers import build, embedded

pytestmark = pytest.mark.django_db

HERE = Path(__file__).parent
PAIRS = tomllib.loads((HERE / "similarity.toml").read_text())
CONTENT = HERE.parents[1] / "demo_site" / "content"


def let_through(pairs, embed, same_question):
    """Those pairs of which the first question would get the answer to the second."""
    baseline = baseline_similarity_of(embed(UNRELATED))
    found = []
    for pair in pairs:
        first, second = embed(pair)
        similarity = scaled(first @ second, baseline, same_question)
        if similarity >= DEFAULT_THRESHOLD and ask_the_same(*pair, "english"):
            found.append(pair)
    return found


def embed_alike(texts):
    """As models do that put all of a language into a corner of their space."""
    vectors = EmbeddedEmbedder(MULTILINGUAL).embed(texts)
    vectors = np.hstack([vectors, np.full((len(vectors), 1), 2, dtype=np.float32)])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class TestDefault:
    @pytest.mark.parametrize(
        ("embed", "model", "least"),
        [
            (EmbeddedEmbedder(ENGLISH).embed, ENGLISH, 0.24),
            (EmbeddedEmbedder(MULTILINGUAL).embed, MULTILINGUAL, 0.1),
            (embed_alike, MULTILINGUAL, 0.1),
        ],
        ids=["english", "multilingual", "of a corner"],
    )
    def test_no_wrong_answer(self, embed, model, least):
        assert len(PAIRS["same"]) >= 40
        assert len(PAIRS["different"]) >= 80
        same_question = model.thresholds.same_question
        assert let_through(PAIRS["different"], embed, same_question) == []
        found = let_through(PAIRS["same"], embed, same_question)
        assert len(found) >= least * len(PAIRS["same"])

    def test_a_model_to_which_everything_is_alike(self):
        alike = [float(a @ b) for a, b in map(embed_alike, PAIRS["different"])]
        assert sum(cosine >= DEFAULT_THRESHOLD for cosine in alike) > 0.9 * len(alike)
        same = np.ones((3, 4), dtype=np.float32) / 2
        assert baseline_similarity_of(same) < 1

    def test_no_two_of_the_demos_questions_are_taken_for_each_other(self):
        files = ("questions.toml", "retrieval.toml")
        questions = [
            row["question"]
            for name in files
            for row in tomllib.loads((CONTENT / name).read_text())["questions"]
        ]
        assert len(questions) > 80
        vectors = EmbeddedEmbedder(MULTILINGUAL).embed(questions)
        scores = np.triu(vectors @ vectors.T, k=1)
        alike = [(questions[a], questions[b]) for a, b in np.argwhere(scores >= DEFAULT_THRESHOLD)]
        assert alike == []


def similarity_of(question, prepared):
    """The similarity of a question to the saved answer; ``None`` without vectors of this model."""
    values = PreparedAnswer.objects.filter(pk=prepared.pk).values_list(*Row._fields).get()
    row = Row._make(values)
    return similarity(question, [row._replace(vectors=bytes(row.vectors))]).get(prepared.pk)


@pytest.mark.django_db(transaction=True)
class TestVectors:
    @pytest.fixture
    def prepared(self, site):
        return PreparedAnswer.objects.create(
            examples="When do you open?\n\n When  do you close? ",
            answer="At nine.",
            locale=Locale.get_default(),
        )

    def test_they_are_made_when_the_answer_is_saved(self, prepared):
        prepared = PreparedAnswer.objects.get()
        assert prepared.questions == ["When do you open?", "When do you close?"]
        stored = np.frombuffer(bytes(prepared.vectors), "<f4").reshape(2, -1)
        assert np.allclose(
            stored, EmbeddedEmbedder(MULTILINGUAL).embed(prepared.questions), atol=1e-4
        )
        assert similarity_of("When do you close?", prepared) == pytest.approx(1)

        prepared.examples = "Is there a lift?"
        prepared.save()
        prepared = PreparedAnswer.objects.get()
        assert similarity_of("Is there a lift?", prepared) == pytest.approx(1)
        assert similarity_of("When do you close?", prepared) < DEFAULT_THRESHOLD

    def test_of_another_model_they_are_left_alone_until_the_index_is_rebuilt(
        self, prepared, connections, settings, standin
    ):
        build()
        assert not is_stale(prepared, current_model_name())
        chooser(settings)("openai")
        # What the index was made with still answers.
        assert similarity_of("When do you open?", prepared) == pytest.approx(1)

        build()
        prepared = PreparedAnswer.objects.get()
        assert prepared.embedding_model == current_model_name() == "openai: standin-embed (256)"
        assert {"When do you open?", "When do you close?"} <= set(embedded(standin))
        assert similarity_of("When do you open?", prepared) == pytest.approx(1)

    def test_a_model_that_does_not_answer_costs_the_similarity_alone(
        self, prepared, connections, settings, standin
    ):
        chooser(settings)("openai", "absent")
        standin.add_model("absent", listed=False, fault="unauthorized")
        assert similarity_of("When do you open?", prepared) is None
        prepared.examples, prepared.words = "Is there a lift?", "lift"
        prepared.save()
        prepared = PreparedAnswer.objects.get()
        assert (prepared.vectors, prepared.embedding_model) == (None, "")
        assert is_stale(prepared, "anything")
        assert renew_vectors() == 1
        asked = ask_sync("Do you have a lift?", prepared=True)
        assert asked.text == "At nine."

    def test_the_question_is_embedded_once(self, prepared, connections, settings, standin):
        chooser(settings)("openai")
        build()
        standin.clear()
        ask_sync("Where do I park?", prepared=True)
        assert embedded(standin) == ["Where do I park?"]
