"""Nothing goes out but the question, and only to the configured server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from finetune_switch.backends import calls
from finetune_switch.backends.base import BackendConfig, Text
from finetune_switch.backends.litellm import LiteLLMChatBackend
from finetune_switch.backends.servers import ModelServer
from finetune_switch.conf import Deadlines
from finetune_switch.exceptions import BackendError
from tests.helpers import run, server_connection

MESSAGES = [{"role": "user", "content": "When does the harbour open?"}]
# Names for which litellm fetches a tokenizer.
NAMES = ["test-model", "my-llama-3-harbour", "llama-2:latest", "replicate-of-harbour", "command-r",
         "claude-2"]  # fmt: skip


@pytest.fixture
def redirecting():
    """A server that sends every question to another one, which counts what arrives."""
    arrived = []

    class Target(BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.append(self.rfile.read(int(self.headers.get("content-length", 0))))
            self.send_error(418)

        do_GET = do_POST
        log_message = lambda self, *args: None  # noqa: E731

    class Source(Target):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(int(self.path.strip("/").split("/")[0]))
            address = f"http://user:secret@localhost:{target.server_port}/private?key=secret"
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

    target = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    source = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    for server in (target, source):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{source.server_port}", arrived, target.server_port
    for server in (target, source):
        server.shutdown()


async def _collect(backend):
    return [chunk async for chunk in backend.astream(MESSAGES)]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("alias", ["openai", "ollama"])
def test_no_redirect_is_followed(redirecting, standin, alias, status):
    base, arrived, port = redirecting
    connection = replace(server_connection(alias, standin), api_base=f"{base}/{status}")
    backend = LiteLLMChatBackend(BackendConfig(alias, alias, "m", connection))
    for ask in (
        lambda: run(_collect(backend)),
        lambda: list(backend.stream(MESSAGES)),
        lambda: backend.complete(MESSAGES),
        lambda: ModelServer(connection).models(),
    ):
        with pytest.raises(BackendError) as caught:
            ask()
        assert caught.value.code == "redirected", caught.value
        assert f"http://localhost:{port}" in caught.value.remedy
        assert "secret" not in caught.value.remedy
    assert arrived == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alias", ["openai", "ollama"])
def test_litellm_asks_nobody_else(standin, alias, name, monkeypatch):
    connection = server_connection(alias, standin)
    backend = LiteLLMChatBackend(BackendConfig(alias, alias, "test-model", connection))
    run(_collect(backend))
    elsewhere = []
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def guarded_resolve(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1"):
            elsewhere.append(host)
            raise socket.gaierror("guarded")
        return resolve(host, *args, **kwargs)

    def guarded_connect(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            elsewhere.append(address)
            raise ConnectionRefusedError("guarded")
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(standin, "find", lambda _name, find=standin.find: find("test-model"))
    backend = LiteLLMChatBackend(BackendConfig(alias, alias, name, connection))
    if alias == "ollama" and "replicate" in name:
        # litellm would send it to the company of that name.
        for ask in (lambda: run(_collect(backend)), lambda: backend.complete(MESSAGES)):
            with pytest.raises(BackendError) as caught:
                ask()
            assert caught.value.code == "name_leads_elsewhere"
    else:
        assert any(isinstance(chunk, Text) for chunk in run(_collect(backend)))
        assert backend.complete(MESSAGES).text
    calls.import_litellm().token_counter(model=name, text="harbour")
    assert elsewhere == []


def test_the_import_is_within_the_deadline(standin, monkeypatch):
    async def slow():
        await asyncio.sleep(5)

    monkeypatch.setattr("finetune_switch.backends.litellm.aimport_litellm", slow)
    connection = replace(server_connection("openai", standin), deadlines=Deadlines(0.2, 0.2, 0.3))
    config = BackendConfig("o", "o", "test-model", connection, deadlines=connection.deadlines)
    started = time.monotonic()
    for ask in (lambda b: run(_collect(b)), lambda b: b.complete(MESSAGES)):
        with pytest.raises(BackendError) as caught:
            ask(LiteLLMChatBackend(config))
        assert caught.value.code == "first_token_timeout"
    assert time.monotonic() - started < 2


def test_tokens_are_counted_before_the_import(standin, monkeypatch):
    backend = LiteLLMChatBackend(
        BackendConfig("o", "o", "test-model", server_connection("openai", standin))
    )
    text = "The harbour opens at nine on every day but Christmas. " * 20
    exact = backend.count_tokens(text)
    monkeypatch.setattr("finetune_switch.backends.litellm.imported_litellm", lambda: None)
    assert exact <= backend.count_tokens(text) <= 2 * exact
    assert backend.count_tokens("a half \ud83d") > 0


def test_starting_imports_no_litellm():
    code = "import django; django.setup(); import sys; sys.exit('litellm' in sys.modules)"
    environment = {**__import__("os").environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )
