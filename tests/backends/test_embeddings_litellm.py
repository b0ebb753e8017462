"""Vectors from OpenAI's and Ollama's models, over a socket, and what can go wrong with them."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from django.utils import translation

from demo_site.standin.embeddings import embed as standin_vector
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings import litellm as remote
from finetune_switch.exceptions import BackendError, EmbeddingError
from finetune_switch.models import EmbeddingSpace
from tests.conftest import API_KEY
from tests.embedding_helpers import TEXTS, chooser, embed_async, embed_sync

PATHS = {"openai": "/v1/embeddings", "ollama": "/api/embed"}


@pytest.fixture(params=[embed_sync, embed_async], ids=["sync", "async"])
def embed(request):
    """An embedder's vectors, by ``embed()`` and by ``aembed()``."""
    return request.param


@pytest.fixture
def choose(settings, connections):
    return chooser(settings)


@pytest.fixture(params=["openai", "ollama"])
def provider(request, connections):
    return request.param


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(remote, "_shortened", set())


def failure(embed, embedder, texts=TEXTS):
    with pytest.raises(EmbeddingError) as caught:
        embed(embedder, texts)
    return caught.value


def asked(standin):
    return [request for request in standin.requests if request.method == "POST"]


def hurry(connections, **deadlines):
    for declared in connections.values():
        declared["DEADLINES"] = deadlines


class TestLiteLLM:
    def test_vectors(self, embed, provider, choose, standin):
        embedder = choose(provider)
        assert embedder.dimensions is None
        vectors = embed(embedder, TEXTS)
        assert vectors.shape == (3, 256)
        assert vectors.dtype == np.float32
        assert np.allclose(vectors, [standin_vector(text) for text in TEXTS], atol=1e-6)
        assert embedder.dimensions == 256
        (request,) = standin.requests
        assert request.path == PATHS[provider]
        assert request.json == {"model": "standin-embed", "input": TEXTS}

    def test_batches(self, embed, provider, choose, standin):
        vectors = embed(choose(provider, BATCH_SIZE=2), TEXTS)
        assert [request.json["input"] for request in asked(standin)] == [TEXTS[:2], TEXTS[2:]]
        assert np.allclose(vectors, [standin_vector(text) for text in TEXTS], atol=1e-6)

    def test_a_request_stays_below_what_a_provider_takes(self, choose):
        assert choose("openai", BATCH_SIZE=500, MAX_TOKENS=8_000).batch_size == 31
        assert choose("openai", BATCH_SIZE=500, MAX_TOKENS=9_999_999).batch_size == 1

    def test_no_texts_ask_nobody(self, embed, provider, choose, standin):
        assert embed(choose(provider), []).shape == (0, 0)
        assert standin.requests == []

    def test_a_blank_text_asks_nobody(self, embed, provider, choose, standin):
        assert failure(embed, choose(provider), ["boats", " "]).code == "empty_text"
        assert standin.requests == []

    def test_parameters(self, embed, choose, standin):
        embed(choose("openai", PARAMETERS={"user": "site", "encoding_format": "float"}), TEXTS)
        embed(choose("ollama", PARAMETERS={"keep_alive": "30m", "num_ctx": 512}), TEXTS)
        hosted, own = (request.json for request in asked(standin))
        assert (hosted["user"], hosted["encoding_format"]) == ("site", "float")
        assert (own["keep_alive"], own["options"]) == ("30m", {"num_ctx": 512})

    def test_parameters_take_no_place_of_ours(self, embed, choose, standin):
        embed(choose("openai", PARAMETERS={"api_key": "sk-other", "model": "openai/other"}), TEXTS)
        (request,) = asked(standin)
        assert request.model == "standin-embed"
        assert request.headers["authorization"] == f"Bearer {API_KEY}"

    def test_any_other_provider(self, embed, choose, connections, standin):
        connections["openai"]["PROVIDER"] = "mistral"
        assert embed(choose("openai"), TEXTS).shape == (3, 256)
        (request,) = asked(standin)
        assert request.headers["authorization"] == f"Bearer {API_KEY}"

    def test_counts_tokens(self, choose):
        assert 5 <= choose("openai").count_tokens(TEXTS[0]) <= 8

    def test_litellm_comes_with_the_first_text(self):
        code = (
            "import sys, django; django.setup();"
            "from finetune_switch import conf; from finetune_switch.connections import Connection;"
            "from finetune_switch.backends.embeddings import litellm;"
            "connection = Connection('a', 'openai', '', '', conf.Deadlines());"
            "litellm.LiteLLMEmbedder(connection, 'm');"
            "assert 'litellm' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=180)

    def test_order_is_by_index(self, connections):
        config = SimpleNamespace(connection=None, alias="embeddings")
        data = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}]
        assert remote._rows(SimpleNamespace(data=data), config) == [[1, 0], [0, 1]]


class TestKeyAndAddress:
    def test_of_the_connection(self, embed, choose, standin, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-environment-0123456789")
        embed(choose("openai"), TEXTS)
        (request,) = asked(standin)
        assert request.headers["authorization"] == f"Bearer {API_KEY}"

    def test_the_environments_stays_at_home(self, embed, choose, connections, standin, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-environment-0123456789")
        monkeypatch.setenv("OLLAMA_API_KEY", "sk-environment-0123456789")
        del connections["openai"]["API_KEY"]
        embed(choose("openai"), TEXTS)
        embed(choose("ollama"), TEXTS)
        assert len(asked(standin)) == 2
        assert "sk-environment" not in str([request.headers for request in asked(standin)])

    def test_a_key_reaches_ollamas_proxy(self, embed, choose, connections, standin):
        connections["ollama"]["API_KEY"] = "sk-proxy-0123456789"
        embed(choose("ollama"), TEXTS)
        (request,) = asked(standin)
        assert request.path == "/v1/embeddings"
        assert request.headers["authorization"] == "Bearer sk-proxy-0123456789"

    def test_an_address_that_changes(self, embed, choose, connections, standin):
        addresses = ["http://127.0.0.1:9", standin.url]
        connections["ollama"]["API_BASE"] = lambda: addresses.pop()
        embedder = choose("ollama")
        assert embed(embedder, TEXTS).shape == (3, 256)
        assert failure(embed, embedder).code == "refused"

    def test_an_address_that_cannot_be_read(self, embed, choose, connections):
        connections["ollama"]["API_BASE"] = Path("/nowhere/at/all").read_text
        error = failure(embed, choose("ollama"))
        assert error.code == "misconfigured"
        assert '"ollama"' in error.remedy

    def test_ollamas_cloud_is_not_asked(self, embed, choose, standin):
        assert failure(embed, choose("ollama", "embed:cloud")).code == "cloud_model"
        assert standin.requests == []


class TestDimensions:
    def test_are_asked_for(self, embed, provider, choose, standin):
        embedder = choose(provider, DIMENSIONS=64)
        assert embedder.dimensions == 64
        assert embed(embedder, TEXTS).shape == (3, 64)
        assert asked(standin)[0].json["dimensions"] == 64

    def test_of_an_index_are_expected_and_not_asked_for(self, embed, provider, choose, standin):
        choose(provider)
        embedder = get_embedder(EmbeddingSpace(
            connection=provider, model_name="standin-embed", dimensions=256
        ))  # fmt: skip
        assert embedder.dimensions == 256
        assert embed(embedder, TEXTS).shape == (3, 256)
        assert "dimensions" not in asked(standin)[0].json

    def test_of_an_index_that_was_shortened(self, embed, provider, choose, standin):
        """The settings have moved on; its questions have to stay what they were."""
        choose(provider, "another-model")
        space = EmbeddingSpace(connection=provider, model_name="standin-embed", dimensions=64)
        assert embed(get_embedder(space), TEXTS).shape == (3, 64)
        assert embed(get_embedder(space), TEXTS).shape == (3, 64)
        assert [request.json.get("dimensions") for request in asked(standin)] == [None, 64, 64]

    def test_as_the_settings_have_them_are_asked_for_at_once(self, embed, choose, standin):
        choose("openai", DIMENSIONS=64)
        space = EmbeddingSpace(connection="openai", model_name="standin-embed", dimensions=64)
        assert embed(get_embedder(space), TEXTS).shape == (3, 64)
        assert [request.json["dimensions"] for request in asked(standin)] == [64]

    def test_of_another_model_under_that_name(self, embed, provider, choose):
        choose(provider)
        space = EmbeddingSpace(connection=provider, model_name="standin-embed", dimensions=300)
        error = failure(embed, get_embedder(space))
        assert error.code == "wrong_dimensions"
        assert "256 numbers instead of 300" in str(error)
        assert "DIMENSIONS" in error.remedy


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "code", "named"),
        [
            ("nan-vectors", "not_finite", "text 3 of 3 holds “NaN”"),
            ("infinite-vectors", "not_finite", "“Infinity”"),
            ("zero-vectors", "zero_vector", "text 3 of 3"),
            ("null-vectors", "not_vectors", "other than vectors"),
            ("half-batch", "half_batch", "1 vectors for 3 texts"),
            ("wrong-dimensions", "wrong_dimensions", "255 numbers instead of 256"),
            ("uneven-vectors", "wrong_dimensions", "255 numbers instead of 256"),
            ("unauthorized", "unauthorized", "did not accept our key"),
            ("forbidden", "forbidden", "refuses to answer"),
            ("notfound", "model_not_found", "no model of this name"),
            ("context-overflow", "context_overflow", "too long for this model"),
            ("html", "not_a_model_server", "other than a model server"),
            ("empty-body", "not_a_model_server", "other than a model server"),
            ("bad-json", "not_a_model_server", "other than a model server"),
        ],
    )
    def test_is_named_and_not_tried_again(
        self, embed, provider, choose, standin, fault, code, named
    ):
        choose(provider, f"fault-{fault}")
        embedder = get_embedder(EmbeddingSpace(
            connection=provider, model_name=f"fault-{fault}", dimensions=256
        ))  # fmt: skip
        error = failure(embed, embedder)
        assert error.code == code
        assert isinstance(error, BackendError)
        assert str(error).startswith("Embeddings: ")
        assert named in str(error)
        assert error.remedy
        assert len(asked(standin)) == 1

    @pytest.mark.parametrize("fault", ["ratelimit", "load-failure", "busy"])
    def test_passes_with_another_try(self, embed, provider, choose, standin, fault):
        assert embed(choose(provider, f"fault-{fault}-once"), TEXTS).shape == (3, 256)
        first, second = asked(standin)
        assert first.json == second.json
        if fault == "ratelimit":
            assert second.time - first.time >= 1

    @pytest.mark.parametrize(
        ("fault", "code"), [("load-failure", "load_failed"), ("cut", "cut"), ("disconnect", "cut")]
    )
    def test_stays_after_three_tries(self, embed, provider, choose, standin, fault, code):
        assert failure(embed, choose(provider, f"fault-{fault}")).code == code
        assert len(asked(standin)) == 3

    def test_is_said_where_time_is_up_before_the_next_try(
        self, embed, provider, choose, connections, standin
    ):
        hurry(connections, FIRST_TOKEN=5, TOTAL=0.9)
        start = time.monotonic()
        assert failure(embed, choose(provider, "fault-ratelimit")).code == "rate_limited"
        assert time.monotonic() - start < 0.9
        assert len(asked(standin)) == 1

    def test_a_batch_that_fails_after_one_that_did_not(self, embed, provider, choose, standin):
        standin.add_model("second", fault="busy", once=True)
        assert embed(choose(provider, "second", BATCH_SIZE=1), TEXTS).shape == (3, 256)
        assert len(asked(standin)) == 4

    def test_server_that_is_down(self, embed, provider, choose, connections):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            connections[provider]["API_BASE"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
            error = failure(embed, choose(provider))
        assert error.code == "refused"
        assert "does not take connections" in str(error)

    @pytest.mark.parametrize(("texts", "seconds"), [(TEXTS[:1], "0.3"), (TEXTS, "0.6")])
    def test_server_that_is_slow(self, embed, provider, choose, connections, texts, seconds):
        """A question is waited for as long as for a first token, a batch as for an answer."""
        hurry(connections, FIRST_TOKEN=0.3, TOTAL=0.6)
        embedder = choose(provider, "fault-slow-first-token")
        start = time.monotonic()
        error = failure(embed, embedder, texts)
        assert time.monotonic() - start < float(seconds) + 0.5
        assert error.code == "timeout"
        assert f"within {seconds} seconds" in str(error)
        assert f'"{provider}"' in error.remedy

    @pytest.mark.parametrize(
        "body",
        [b"{}", b"[]", b'"x"', b'{"error": "x"}', b'{"data": null, "embeddings": null}',
         b'{"data": [{}], "embeddings": [{}]}', b'{"data": [], "embeddings": []}'],
    )  # fmt: skip
    def test_json_that_is_no_answer(self, embed, provider, choose, connections, body, httpd):
        connections[provider]["API_BASE"] = httpd(body)
        error = failure(embed, choose(provider))
        assert error.code in ("not_a_model_server", "half_batch", "failed")
        assert str(error).startswith("Embeddings: ")


@pytest.fixture
def httpd():
    """A server that answers every request with the same JSON."""
    servers = []

    def start(body):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class TestNothingLeaks:
    @pytest.mark.parametrize("fault", ["unauthorized", "leaky-error", "ratelimit", "html"])
    def test_no_key_and_no_words_of_the_vendor(
        self, embed, provider, choose, connections, caplog, capfd, fault
    ):
        connections[provider]["API_KEY"] = API_KEY
        hurry(connections, FIRST_TOKEN=5, TOTAL=0.9)
        with caplog.at_level(logging.DEBUG, logger="finetune_switch"):
            error = failure(embed, choose(provider, f"fault-{fault}"))
        said = f"{error} {error!r} {error.remedy}"
        ours = [record for record in caplog.records if record.name.startswith("finetune_switch")]
        logged = " ".join(record.getMessage() for record in ours)
        printed = "".join(capfd.readouterr())
        for secret in (API_KEY, "sk-leaked-secret-123"):
            assert secret not in said + logged + printed
        assert "Traceback" not in said
        assert logged

    def test_a_wrong_key_is_not_repeated(self, embed, choose, connections):
        connections["openai"]["API_KEY"] = "wrong-key"
        error = failure(embed, choose("openai"))
        assert error.code == "unauthorized"
        assert "wrong-key" not in f"{error} {error.remedy}"


def test_messages_are_translated_when_they_are_read(choose, embed, connections):
    error = failure(embed, choose("openai", "fault-unauthorized"))
    with translation.override("de"):
        german = str(error)
    assert json.dumps(str(error)) != json.dumps(german)
