from __future__ import annotations

import json
import time

import httpx
import pytest

from demo_site.standin.behaviours import FAULTS, HUGE_SIZE, ONCE, TEST_ANSWER

from .asking import HELLO, KEY, chunks, lines, ollama, openai, said

REFUSALS = [
    ("unauthorized", 401, 401),
    ("forbidden", 403, 403),
    ("notfound", 404, 404),
    ("ratelimit", 429, 429),
    ("insufficient-quota", 429, 429),
    ("busy", 503, 503),
    ("load-failure", 500, 500),
    ("runner-died", 500, 500),
    ("context-overflow", 400, 400),
    ("leaky-error", 500, 500),
]


class TestRefusals:
    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize(("fault", "by_ollama", "by_openai"), REFUSALS)
    def test_status_and_shape(self, server, fault, by_ollama, by_openai, stream):
        native = ollama(server, f"fault-{fault}:latest", stream=stream)
        hosted = openai(server, f"fault-{fault}", stream=stream)
        assert (native.status_code, hosted.status_code) == (by_ollama, by_openai)
        assert set(hosted.json()["error"]) == {"message", "type", "param", "code"}
        if fault in ("unauthorized", "ratelimit", "forbidden"):
            assert native.headers["content-type"].startswith("text/plain")
        else:
            assert list(native.json()) == ["error"]

    def test_messages(self, server):
        busy = ollama(server, "fault-busy").json()["error"]
        assert busy == "server busy, please try again.  maximum pending requests exceeded"
        failed = ollama(server, "fault-load-failure").json()["error"]
        assert failed.startswith("llama-server process has terminated: ")
        long = ollama(server, "fault-context-overflow").json()["error"]
        assert long.startswith("the prompt is longer than the context length currently available")
        native = json.loads(ollama(server, "fault-context-overflow-native").json()["error"])
        assert native["error"]["type"] == "exceed_context_size_error"
        hosted = openai(server, "fault-context-overflow").json()["error"]
        assert hosted["code"] == "context_length_exceeded"
        assert openai(server, "fault-insufficient-quota").json()["error"]["code"] == (
            "insufficient_quota"
        )
        for response in (ollama(server, "fault-leaky-error"), openai(server, "fault-leaky-error")):
            assert "sk-leaked-secret-123" in response.text
            assert "Traceback" in response.text

    def test_retry_after(self, server):
        for response in (ollama(server, "fault-ratelimit"), openai(server, "fault-ratelimit")):
            assert response.headers["retry-after"] == "1"

    @pytest.mark.parametrize("fault", ONCE)
    def test_once(self, server, fault):
        assert ollama(server, f"fault-{fault}-once").status_code >= 400
        assert said(ollama(server, f"fault-{fault}-once")) == TEST_ANSWER
        server.clear()
        assert openai(server, f"fault-{fault}-once").status_code >= 400
        assert said(openai(server, f"fault-{fault}-once")) == TEST_ANSWER


@pytest.mark.parametrize("ask", [ollama, openai])
class TestFaults:
    """Faults in both protocols."""

    def test_every_fault_has_a_model(self, server, ask):
        assert all(server.find(f"fault-{name}:latest") for name in FAULTS)

    def test_slow_first_token_delays_headers(self, server, ask):
        with pytest.raises(httpx.ReadTimeout):
            ask(server, "fault-slow-first-token", stream=True, timeout=0.2)

    @pytest.mark.parametrize("stream", [True, False])
    def test_slow_load(self, server, ask, stream):
        server.add_model("slow", fault="slow-load", seconds=0.2)
        started = time.monotonic()
        assert said(ask(server, "slow", stream=stream)) == TEST_ANSWER
        assert 0.2 <= time.monotonic() - started < 1

    def test_stall(self, server, ask):
        with pytest.raises(httpx.ReadTimeout):
            ask(server, "fault-stall", stream=True, timeout=0.2)
        server.add_model("stalling", fault="stall", seconds=0.1)
        assert said(ask(server, "stalling", stream=True)) == TEST_ANSWER

    @pytest.mark.parametrize("stream", [True, False])
    def test_cut_resets_the_connection(self, server, ask, stream):
        with pytest.raises(httpx.ReadError, match="reset by peer"):
            ask(server, "fault-cut", stream=stream)
        assert not server.disconnects

    @pytest.mark.parametrize("stream", [True, False])
    def test_disconnect_truncates_the_body(self, server, ask, stream):
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
            ask(server, "fault-disconnect", stream=stream)
        assert not server.disconnects

    def test_error_line(self, server, ask):
        response = ask(server, "fault-error-line", stream=True)
        assert response.status_code == 200
        last = (lines(response) if ask is ollama else chunks(response))[-1]
        assert list(last) == ["error"]
        assert "[DONE]" not in response.text
        assert ask(server, "fault-error-line", stream=False).status_code == 500

    def test_no_end(self, server, ask):
        response = ask(server, "fault-no-end", stream=True)
        assert said(response) == "The harbour opens"
        assert '"done":true' not in response.text
        assert "[DONE]" not in response.text
        assert '"finish_reason":"stop"' not in response.text
        assert said(ask(server, "fault-no-end", stream=False)) == "The harbour opens"

    @pytest.mark.parametrize("stream", [True, False])
    def test_html_and_empty_body(self, server, ask, stream):
        page = ask(server, "fault-html", stream=stream)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html")
        assert "<html>" in page.text
        empty = ask(server, "fault-empty-body", stream=stream)
        assert (empty.status_code, empty.text) == (200, "")

    @pytest.mark.parametrize("stream", [True, False])
    def test_texts(self, server, ask, stream):
        assert said(ask(server, "fault-empty-answer", stream=stream)) == ""
        tagged = said(ask(server, "fault-think-tags", stream=stream))
        assert tagged.startswith("<think>plan")
        assert tagged.endswith(f"the secret plan</think>\n\n{TEST_ANSWER}")
        tagged = said(ask(server, "fault-think-tokens", stream=stream))
        assert tagged.endswith(f"the secret plan</think>\n\n{TEST_ANSWER}")
        unclosed = said(ask(server, "fault-think-unclosed", stream=stream))
        assert "<think>" in unclosed
        assert "</think>" not in unclosed
        assert "javascript:" in said(ask(server, "fault-html-answer", stream=stream))
        assert json.loads(said(ask(server, "fault-echo-prompt", stream=stream))) == HELLO
        assert len(said(ask(server, "fault-huge", stream=stream))) == HUGE_SIZE

    def test_role_only(self, server, ask):
        response = ask(server, "fault-role-only", stream=True)
        assert said(response) == TEST_ANSWER
        if ask is openai:
            assert [chunk for chunk in chunks(response) if not chunk["choices"]]

    def test_length(self, server, ask):
        assert '"length"' in ask(server, "fault-length", stream=True).text

    def test_bad_json(self, server, ask):
        response = ask(server, "fault-bad-json", stream=True)
        with pytest.raises(json.JSONDecodeError):
            said(response)
        with pytest.raises(json.JSONDecodeError):
            ask(server, "fault-bad-json", stream=False).json()

    def test_no_usage(self, server, ask):
        response = ask(
            server, "fault-no-usage", stream=True, stream_options={"include_usage": True}
        )
        assert "_count" not in response.text
        assert '"completion_tokens"' not in response.text

    def test_slow_drip_never_ends(self, server, ask):
        with httpx.stream(
            "POST",
            server.url + ("/api/chat" if ask is ollama else "/v1/chat/completions"),
            json={"model": "fault-slow-drip", "messages": HELLO, "stream": True},
            headers=KEY,
        ) as response:
            pieces = response.iter_raw()
            assert all(next(pieces) for _ in range(3))
            assert server.active_streams == 1
        server.wait_for(lambda: server.disconnects, timeout=1)
        assert server.active_streams == 0


def test_thoughts_are_separate(server):
    native = lines(ollama(server, "fault-thinking"))
    assert "secret plan" in "".join(line["message"].get("thinking", "") for line in native)
    assert said(ollama(server, "fault-thinking")) == TEST_ANSWER
    for stream in (True, False):
        told_not_to = ollama(server, "fault-thinking", think=False, stream=stream)
        assert said(told_not_to) == TEST_ANSWER
        assert "secret plan" not in told_not_to.text
        assert '"thinking":' not in told_not_to.text
    hosted = chunks(openai(server, "fault-thinking", stream=True))
    thoughts = [c["choices"][0]["delta"].get("reasoning_content", "") for c in hosted]
    assert "secret plan" in "".join(thoughts)
    whole = openai(server, "fault-thinking").json()["choices"][0]["message"]
    assert (whole["content"], "secret plan" in whole["reasoning_content"]) == (TEST_ANSWER, True)


def test_content_filter(server):
    streamed = chunks(openai(server, "fault-content-filter", stream=True))
    assert streamed[-1]["choices"][0]["finish_reason"] == "content_filter"
    choice = openai(server, "fault-content-filter").json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "content_filter")
