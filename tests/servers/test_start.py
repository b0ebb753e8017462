"""What a server process has to carry before anybody asks it anything."""

from __future__ import annotations

import httpx

from .asking import asked
from .reading import read_stream

PAGES = ("/", "/ask/", "/search/?q=boat", "/admin/login/")


def test_no_server_imports_litellm_before_a_model_is_asked(start_server, make_backend):
    backend = make_backend(behaviour={})
    servers = [start_server(kind, wait=False) for kind in ("gunicorn", "uvicorn")]
    for server in servers:
        server.wait_until_healthy()
        for page in PAGES:
            assert httpx.get(server.url + page, timeout=10).status_code == 200, page
        assert httpx.get(f"{server.url}/admin/", timeout=10).status_code == 302
        # What is refused, and what needs no model, does not ask one.
        assert httpx.post(f"{server.url}/ask/stream/", data={"q": "?"}).status_code == 403
        extractive = read_stream(server.url, asked("extractive"))
        assert "at nine" in extractive.text
        assert server.health()["litellm"] is False

        assert read_stream(server.url, asked(backend)).last.name == "done"

        assert server.health()["litellm"] is True
        server.stop()
