from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from wagtail_vector_index.ai import get_embedding_backend

from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.vector_index import embeddings
from finetune_switch.vector_index.embeddings import EmbeddedEmbeddingBackend, SiteEmbeddingBackend
from tests.embedding_helpers import TEXTS, chooser
from tests.helpers import run

BACKENDS = [SiteEmbeddingBackend, EmbeddedEmbeddingBackend]


@pytest.fixture
def backend(settings):
    """Declares an embedding backend in the settings and returns it."""

    def declare(kind=SiteEmbeddingBackend, **config):
        declaration = {
            "CLASS": f"{kind.__module__}.{kind.__name__}",
            "CONFIG": {"MODEL_ID": "site", **config},
        }
        declared = settings.WAGTAIL_VECTOR_INDEX
        settings.WAGTAIL_VECTOR_INDEX = {**declared, "EMBEDDING_BACKENDS": {"x": declaration}}
        return get_embedding_backend("x")

    return declare


@pytest.fixture
def choose(settings, connections, monkeypatch):
    monkeypatch.setattr(embeddings, "_dimensions", {})
    return chooser(settings)


@pytest.fixture(params=["embed", "aembed"])
def embed(request):
    """Returns a list of vectors, sync or async."""

    def ask(backend, texts, **kwargs):
        found = getattr(backend, request.param)(texts, **kwargs)
        return list(run(found) if request.param == "aembed" else found)

    return ask


def similarity(one, other):
    return sum(x * y for x, y in zip(one, other, strict=True))


class TestEmbedded:
    @pytest.mark.parametrize("kind", BACKENDS)
    def test_similar_texts_have_similar_vectors(self, backend, embed, kind):
        boat, vessel, soup = embed(backend(kind), ["a small boat", "a little vessel", "soup"])
        assert len(boat) == 512
        assert all(isinstance(number, float) for number in boat)
        assert similarity(boat, boat) == pytest.approx(1, abs=1e-4)
        assert similarity(boat, vessel) > similarity(boat, soup)

    @pytest.mark.parametrize("kind", BACKENDS)
    def test_no_texts(self, backend, embed, kind):
        assert embed(backend(kind), []) == []

    @pytest.mark.parametrize("kind", BACKENDS)
    def test_accepts_any_iterable(self, backend, embed, kind):
        assert embed(backend(kind), (text for text in TEXTS)) == embed(backend(kind), TEXTS)

    @pytest.mark.parametrize("kind", BACKENDS)
    def test_token_limit_and_dimensions(self, backend, kind):
        made = backend(kind)
        assert (made.config.token_limit, made.embedding_output_dimensions) == (2048, 512)

    def test_demo_site_uses_the_sites_embeddings(self):
        assert isinstance(get_embedding_backend("default"), SiteEmbeddingBackend)


@pytest.mark.parametrize("provider", ["openai", "ollama"])
class TestConfigured:
    def test_uses_the_configured_model(self, backend, embed, choose, standin, provider):
        choose(provider)
        standin.clear()
        vectors = embed(backend(), TEXTS)
        assert vectors == get_embedder().embed(TEXTS).tolist()
        asked = [request for request in standin.requests if request.method == "POST"]
        assert {request.model for request in asked} == {"standin-embed"}

    def test_in_batches(self, backend, embed, choose, standin, provider):
        choose(provider, BATCH_SIZE=2)
        assert len(embed(backend(), TEXTS)) == 3
        asked = [request for request in standin.requests if request.method == "POST"]
        assert [len(request.json["input"]) for request in asked] == [2, 1]

    def test_changed_settings_apply_immediately(self, backend, embed, choose, settings, provider):
        made = backend()
        choose(provider)
        hosted = embed(made, ["a boat"])
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {"EMBEDDINGS": "english"}}
        assert embed(made, ["a boat"]) != hosted

    def test_dimensions_are_requested_once(self, backend, choose, standin, provider):
        choose(provider)
        made = backend()
        assert [request for request in standin.requests if request.method == "POST"] == []
        expected = len(get_embedder().embed(["x"])[0])
        standin.clear()
        assert made.embedding_output_dimensions == expected
        assert made.embedding_output_dimensions == expected
        assert backend().config.embedding_output_dimensions == expected
        assert len([r for r in standin.requests if r.method == "POST"]) == 1

    def test_token_limit(self, backend, choose, provider):
        choose(provider, MAX_TOKENS=300)
        assert backend().config.token_limit == 300
        assert backend(TOKEN_LIMIT=200).config.token_limit == 200
        assert backend(TOKEN_LIMIT=8000).config.token_limit == 300
        with pytest.raises(ImproperlyConfigured):
            backend(TOKEN_LIMIT="many")


class TestFaults:
    def test_unreachable_service(self, backend, embed, choose, connections):
        connections["openai"]["API_BASE"] = "http://127.0.0.1:9/v1"
        choose("openai")
        with pytest.raises(EmbeddingError):
            embed(backend(), TEXTS)

    def test_missing_connection(self, backend, choose):
        with pytest.raises(EmbeddingError, match="not configured"):
            choose("gone")
        with pytest.raises(EmbeddingError, match="not configured"):
            backend()

    def test_rejects_parameters(self, backend, embed):
        with pytest.raises(TypeError, match="dimensions"):
            embed(backend(), TEXTS, dimensions=64)
