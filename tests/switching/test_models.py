"""“Show models”: what a connection's server has, asked from the form."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import date

import pytest
from aiohttp import web

from demo_site.standin import StandIn
from demo_site.standin.behaviours import HTML_PAGE
from finetune_switch.backends.servers import _as_date
from tests.pages import address


def show(admin, connection):
    response = admin.client.get(address("backends:models"), {"connection": connection})
    return response.status_code, json.loads(response.content)


@pytest.fixture
def page_server():
    """A web server that is no model server; ``seconds`` is how long it thinks."""
    seconds = {"": 0.0}

    async def answer(request):
        await asyncio.sleep(seconds[""])
        return web.Response(text=HTML_PAGE, content_type="text/html")

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}", seconds
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_openai_with_the_day_on_which_a_model_ends(site, admin, standin):
    status, data = show(admin, "openai")
    assert status == 200
    notes = {model["name"]: model["note"] for model in data["models"]}
    assert notes["standin-hosted"] == ""
    end = standin.find("standin-hosted-old").shutdown_date
    assert notes["standin-hosted-old"] == f"shuts down on {end}"


def test_ollama(site, admin):
    names = [model["name"] for model in show(admin, "ollama")[1]["models"]]
    assert "standin-finetuned:latest" in names
    assert names == sorted(names)
    # It embeds, and cannot answer.
    assert "standin-embed:latest" not in names


def test_no_connection_chosen(site, admin):
    assert show(admin, "") == (400, {"message": "Choose a connection first."})
    assert show(admin, "elsewhere") == (400, {"message": "Choose a connection first."})


def test_server_refused(site, admin, connections):
    connections["ollama"]["API_BASE"] = "http://127.0.0.1:9"
    assert show(admin, "ollama") == (
        502,
        {
            "message": "The model server does not take connections. "
            "Is it running, and does API_BASE name the right address and port?"
        },
    )


def test_wrong_key(site, admin, connections):
    connections["openai"]["API_KEY"] = "wrong-key"
    status, data = show(admin, "openai")
    assert status == 502
    assert data["message"].startswith("The model server did not accept our key. Renew API_KEY")
    assert "wrong-key" not in data["message"]


@pytest.mark.parametrize("alias", ["ollama", "openai"])
def test_a_page_in_place_of_models(site, admin, connections, page_server, alias):
    connections[alias]["API_BASE"] = page_server[0]
    status, data = show(admin, alias)
    assert status == 502
    what = "than an Ollama" if alias == "ollama" else "than a model server"
    assert what in data["message"]
    assert "API_BASE" in data["message"]
    assert "Welcome to the proxy" not in data["message"]


@pytest.mark.parametrize("body", ["[]", '{"models": 3}', '{"models": ["a"]}', "null"])
def test_json_that_is_no_list_of_models(site, admin, connections, monkeypatch, body):
    with _saying(body) as server:
        connections["ollama"]["API_BASE"] = server
        status, data = show(admin, "ollama")
    assert (status, "than an Ollama" in data["message"]) == (502, True)


def test_a_model_without_a_name_is_left_out(site, admin, connections):
    with _saying('{"models": [{"name": null}]}') as server:
        connections["ollama"]["API_BASE"] = server
        assert show(admin, "ollama") == (200, {"models": []})


def test_a_server_that_is_slower_than_a_person_waits(site, admin, connections, page_server):
    address, seconds = page_server
    seconds[""] = 20
    connections["ollama"]["API_BASE"] = address
    started = time.monotonic()
    status, data = show(admin, "ollama")
    assert 2.9 < time.monotonic() - started < 10
    assert status == 502
    assert data["message"].startswith("The model server did not answer in time. It was given 3 s")


def test_a_server_that_trickles_does_not_hold_the_form_for_ever(site, admin, connections):
    """A byte now and then keeps a socket's own timeout from ever striking."""
    with _trickling() as server:
        connections["ollama"]["API_BASE"] = server
        started = time.monotonic()
        status, _data = show(admin, "ollama")
        # All of it takes half a minute.
        assert time.monotonic() - started < 10
    assert status == 502


def test_an_address_that_is_none(site, admin, connections):
    connections["ollama"]["API_BASE"] = "ftp://models.example.org"
    status, data = show(admin, "ollama")
    assert status == 502
    assert "not a web address" in data["message"]
    assert 'connection "ollama"' in data["message"]
    assert "models.example.org" not in data["message"]


def test_an_address_file_that_cannot_be_read(site, admin, connections, tmp_path):
    connections["ollama"]["API_BASE"] = (tmp_path / "gone").read_text
    status, data = show(admin, "ollama")
    assert status == 502
    assert data["message"].startswith("The address of the model server could not be read.")
    assert str(tmp_path) not in data["message"]


@pytest.mark.parametrize(
    ("value", "day"),
    [
        (1_800_000_000, "2027-01-15"),
        (1_800_000_000_000, "2027-01-15"),
        ("2027-01-15T08:00:00Z", "2027-01-15"),
        (10**30, None),
        (float("inf"), None),
        (float("nan"), None),
        (-1, None),
        (True, None),
        ("soon", None),
    ],
)
def test_a_day_however_it_is_given(value, day):
    assert _as_date(value) == (day and date.fromisoformat(day))


def test_an_openai_without_ollamas_paths(site, admin, connections):
    with StandIn("openai") as server:
        connections["ollama"]["API_BASE"] = server.url
        status, data = show(admin, "ollama")
    assert status == 502
    assert "than an Ollama" in data["message"]


class _saying:
    """A server that says one thing to everything, with the right headers."""

    def __init__(self, body: str, *, pause: float = 0.0) -> None:
        self.body, self.pause = body.encode(), pause

    def __enter__(self) -> str:
        import socket

        self.listener = socket.create_server(("127.0.0.1", 0))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        try:
            connection, _peer = self.listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n" % len(self.body)
            )
            try:
                for start in range(0, len(self.body), 1 if self.pause else len(self.body)):
                    end = start + (1 if self.pause else len(self.body))
                    connection.sendall(self.body[start:end])
                    if self.over.wait(self.pause):
                        return
            except OSError:
                return

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self.listener.close()
        self.thread.join(5)


def _trickling() -> _saying:
    return _saying('{"models": []}' + " " * 100, pause=0.3)
