from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import httpx
import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import TEST_ANSWER

from .asking import HELLO, ollama, said

ROOT = Path(__file__).parent.parent.parent


class TestRecord:
    def test_requests(self, server):
        ollama(server, "test-model")
        (request,) = server.requests
        assert (request.method, request.path, request.model) == ("POST", "/api/chat", "test-model")
        assert request.json["messages"] == HELLO
        assert request.headers["content-type"] == "application/json"
        assert abs(request.time - time.monotonic()) < 2

    @pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
    @pytest.mark.parametrize("model", ["fault-silence", "fault-slow-first-token", "fault-stall"])
    @pytest.mark.parametrize("stream", [True, False])
    def test_disconnect_is_noticed_during_silence(self, server, path, model, stream):
        body = json.dumps({"model": model, "messages": HELLO, "stream": stream}).encode()
        with socket.create_connection((server.host, server.port)) as client:
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            server.wait_for(lambda: server.active_streams == 1)
            time.sleep(0.05)
        left = time.monotonic()
        (gone,) = server.wait_for(lambda: server.disconnects, timeout=5)
        assert (gone.path, gone.model) == (path, model)
        # The silence itself lasts much longer.
        assert gone.time - left < 2
        server.wait_for(lambda: server.active_streams == 0)

    def test_no_disconnect_after_a_complete_answer(self, server):
        for _ in range(20):
            with httpx.stream(
                "POST", f"{server.url}/api/chat", json={"model": "test-model", "messages": HELLO}
            ) as response:
                for line in response.iter_lines():
                    if json.loads(line)["done"]:
                        break
        time.sleep(0.05)
        assert not server.disconnects

    def test_restart_keeps_the_port(self):
        with StandIn() as server:
            url = server.url
            server.stop()
            with pytest.raises(httpx.ConnectError):
                ollama(server, "test-model")
            server.start()
            assert server.url == url
            assert said(ollama(server, "test-model")) == TEST_ANSWER

    def test_stop_closes_streams_without_recording_disconnects(self):
        with StandIn() as server:
            with httpx.stream(
                "POST", f"{server.url}/api/chat", json={"model": "fault-silence", "messages": HELLO}
            ) as response:
                server.stop()
                with pytest.raises(httpx.TransportError):
                    response.read()
            assert not server.disconnects

    def test_add_model(self, server):
        server.add_model("poet", answer=lambda messages: f"O {messages[-1]['content']}")
        assert said(ollama(server, "poet:latest")) == "O When do you open?"
        assert "poet:latest" in httpx.get(f"{server.url}/api/tags").text
        server.remove_model("poet")
        assert ollama(server, "poet").status_code == 404
        with pytest.raises(ValueError, match="no such fault"):
            server.add_model("x", fault="wibble")

    def test_pace(self, server):
        server.add_model("paced", tokens_per_second=50, first_token_seconds=0.1, listed=False)
        started = time.monotonic()
        ollama(server, "paced")
        assert 0.2 <= time.monotonic() - started < 1


async def test_200_concurrent_streams():
    async def ask(session, url):
        body = {"model": "test-model", "messages": HELLO}
        async with session.post(url, json=body) as response:
            return [json.loads(line)["done"] async for line in response.content]

    with StandIn(tokens_per_second=10) as server:
        url = f"{server.url}/api/chat"
        started = time.monotonic()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            ends = await asyncio.gather(*(ask(session, url) for _ in range(200)))
        assert time.monotonic() - started < 4
        assert all(end == [False] * 6 + [True] for end in ends)
        assert (len(server.requests), server.disconnects, server.active_streams) == (200, [], 0)


def test_separate_process(tmp_path):
    port_file = tmp_path / "var" / "standin.json"
    command = [sys.executable, "-m", "demo_site.standin", "--port", "0", "--port-file", port_file]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert "http://127.0.0.1:" in process.stdout.readline()
        written = json.loads(port_file.read_text())
        assert written["pid"] == process.pid
        tags = httpx.get(f"{written['url']}/api/tags").text
        assert "standin-finetuned:latest" in tags
        assert "test-model" not in tags
    finally:
        process.terminate()
        process.wait(5)
        process.stdout.close()
    assert process.returncode == 0
    assert not port_file.exists()


def test_port_file_of_another_process_is_kept(tmp_path):
    port_file = tmp_path / "standin.json"
    command = [sys.executable, "-m", "demo_site.standin", "--port-file", port_file]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline()
        port_file.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid()}))
    finally:
        process.terminate()
        process.wait(5)
        process.stdout.close()
    assert port_file.exists()


def test_does_not_import_django():
    code = "import sys, demo_site.standin; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
