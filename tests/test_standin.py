"""The stand-in model server speaks as the real ones do, in health and in every fault."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import aiohttp
import httpx
import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import FAULTS, HUGE_SIZE, ONCE, TEST_ANSWER
from demo_site.standin.ollama_api import FOR_EVER
from demo_site.standin.prompts import hear, hear_last_message, split_sentences

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

ROOT = Path(__file__).parent.parent
KEY = {"Authorization": "Bearer a-key"}
HELLO = [{"role": "user", "content": "When do you open?"}]
PHRASE = "Sorry, our pages do not say."
OPENING = "The harbour opens at nine on every day but Christmas."
SOUP = "The café sells kipper soup for £4 a bowl."

PLUGIN_PROMPT = [
    {
        "role": "system",
        "content": "You answer visitors' questions.\nIf the passages do not hold the answer, "
        f'reply exactly: "{PHRASE}"',
    },
    {
        "role": "user",
        "content": f'<passage number="1" title="Opening &amp; closing">\n{OPENING}\n</passage>\n'
        f'<passage number="4" title="Café">\n{SOUP} It is warm.\n</passage>\n'
        "\n<question>\n{question}\n</question>",
    },
]
INDEX_PROMPT = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "system", "content": f"{OPENING}\n{SOUP} It is warm."},
    {"role": "user", "content": "{question}"},
]


def asking(prompt, question):
    return [
        message | {"content": message["content"].replace("{question}", question)}
        for message in prompt
    ]


@pytest.fixture(scope="module")
def shared():
    with StandIn() as server:
        yield server


@pytest.fixture
def server(shared):
    shared.clear()
    return shared


def ollama(server, model, messages=HELLO, *, timeout=5, **body):
    return httpx.post(
        f"{server.url}/api/chat",
        json={"model": model, "messages": messages, **body},
        timeout=timeout,
    )


def openai(server, model, messages=HELLO, *, timeout=5, headers=KEY, **body):
    return httpx.post(
        f"{server.url}/v1/chat/completions",
        json={"model": model, "messages": messages, **body},
        headers=headers,
        timeout=timeout,
    )


def lines(response):
    return [json.loads(line) for line in response.text.splitlines()]


def events(response):
    return [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]


def chunks(response):
    return [json.loads(event) for event in events(response) if event != "[DONE]"]


def said(response):
    """The whole text of an answer, streamed or not, of either protocol."""
    if response.headers["content-type"].startswith("application/x-ndjson"):
        return "".join(line["message"]["content"] for line in lines(response))
    if response.headers["content-type"].startswith("text/event-stream"):
        deltas = [choice["delta"] for chunk in chunks(response) for choice in chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)
    body = response.json()
    return (body["choices"][0] if "choices" in body else body)["message"]["content"]


class TestOllama:
    def test_says_what_it_is(self, server):
        root = httpx.get(server.url)
        assert (root.text, root.headers["server"]) == (
            "Ollama is running",
            "finetune-switch-standin",
        )
        assert httpx.get(f"{server.url}/api/version").json() == {"version": "0.33.0-standin"}

    def test_lists_its_models(self, server):
        models = httpx.get(f"{server.url}/api/tags").json()["models"]
        names = [model["name"] for model in models]
        assert {f"standin-{name}:latest" for name in ("finetuned", "base", "deaf")} < set(names)
        assert "standin-hosted:latest" not in names
        assert not [name for name in names if name.startswith("fault-")]
        assert set(models[0]) == {
            "name", "model", "modified_at", "size", "digest", "details", "capabilities",
        }  # fmt: skip
        assert all(re.fullmatch("[0-9a-f]{64}", model["digest"]) for model in models)

    def test_streams_lines_of_json(self, server):
        response = ollama(server, "test-model:latest")
        assert response.headers["content-type"] == "application/x-ndjson"
        assert response.text.endswith("}\n")
        *pieces, end = lines(response)
        assert len(pieces) >= 5
        assert said(response) == TEST_ANSWER
        assert all(set(p) == {"model", "created_at", "message", "done"} for p in pieces)
        assert set(end) == {
            "model", "created_at", "message", "done", "done_reason", "total_duration",
            "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count",
            "eval_duration",
        }  # fmt: skip
        assert (end["done"], end["done_reason"]) == (True, "stop")
        assert end["message"] == {"role": "assistant", "content": ""}
        assert all(isinstance(end[key], int) for key in end if "duration" in key or "count" in key)

    def test_streams_unless_told_not_to(self, server):
        response = ollama(server, "test-model", stream=False)
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        body = response.json()
        assert body["message"] == {"role": "assistant", "content": TEST_ANSWER}
        assert body["model"] == "test-model"
        assert body["done"]

    def test_counts_in_nanoseconds(self, server):
        server.add_model("slow", fault="slow-load", seconds=0.2)
        end = lines(ollama(server, "slow"))[-1]
        assert 0.1e9 < end["load_duration"] < end["total_duration"] < 2e9

    def test_refuses_bad_requests_as_ollama_does(self, server):
        url = f"{server.url}/api/chat"
        assert (r := httpx.post(url)).status_code == 400
        assert r.json() == {"error": "missing request body"}
        assert httpx.post(url, json={}).json() == {"error": "model is required"}
        assert httpx.post(url, json={"model": "a b"}).json() == {"error": "invalid model name"}
        assert httpx.post(url, content="x").json()["error"].startswith("invalid character 'x'")
        assert httpx.get(url).status_code == 405
        assert httpx.get(f"{server.url}/api/nothing").text == "404 page not found"
        unknown = ollama(server, "nobody")
        assert (unknown.status_code, unknown.json()) == (404, {"error": "model 'nobody' not found"})
        wrong = ollama(server, "test-model", options={"num_ctx": "many"})
        assert wrong.json() == {"error": 'option "num_ctx" must be of type integer'}
        assert ollama(server, "test-model", options={"wibble": 1}).status_code == 200
        thinking = ollama(server, "test-model", think=True)
        assert thinking.json() == {"error": '"test-model" does not support thinking'}
        stop = ollama(server, "test-model", options={"stop": "END"})
        assert stop.json() == {"error": 'option "stop" must be of type array'}
        assert ollama(server, "test-model", options={"stop": [1]}).status_code == 500
        assert ollama(server, "test-model", options={"stop": ["END"]}).status_code == 200
        embedder = ollama(server, "standin-embed")
        assert embedder.json() == {"error": '"standin-embed" does not support chat'}

    @pytest.mark.parametrize(
        ("keep_alive", "problem"),
        [
            ("-1", 'time: missing unit in duration "-1"'),
            ("30", 'time: missing unit in duration "30"'),
            ("soon", 'time: invalid duration "soon"'),
            (True, "Unsupported type: 'bool'"),
        ],
    )
    def test_refuses_what_go_takes_for_no_duration(self, server, keep_alive, problem):
        refused = ollama(server, "test-model", keep_alive=keep_alive)
        assert (refused.status_code, refused.json()) == (400, {"error": problem})

    @pytest.mark.parametrize(
        ("keep_alive", "minutes"),
        [
            (90, 1.5), ("1h30m", 90), ("1.5m", 1.5), (None, 5), ("0", 0),
            (-1, FOR_EVER / 60), ("-1m", FOR_EVER / 60),
        ],
    )  # fmt: skip
    def test_keeps_a_model_as_long_as_it_is_told(self, server, keep_alive, minutes):
        assert ollama(server, "test-model", keep_alive=keep_alive).status_code == 200
        loaded = httpx.get(f"{server.url}/api/ps").json()["models"]
        ends = [m["expires_at"][:26] for m in loaded if m["name"] == "test-model:latest"]
        left = [datetime.fromisoformat(f"{end}+00:00") - datetime.now(UTC) for end in ends]
        expected = [pytest.approx(minutes, abs=0.5)] if minutes else []
        assert [time_left.total_seconds() / 60 for time_left in left] == expected

    def test_num_predict_ends_the_answer(self, server):
        response = ollama(server, "test-model", options={"num_predict": 2})
        assert said(response) == "The harbour"
        assert lines(response)[-1]["done_reason"] == "length"

    def test_empty_messages_load_and_unload(self, server):
        assert ollama(server, "test-model", []).json()["done_reason"] == "load"
        loaded = httpx.get(f"{server.url}/api/ps").json()["models"]
        (entry,) = [m for m in loaded if m["name"] == "test-model:latest"]
        assert {"expires_at", "size_vram", "context_length", "digest"} < set(entry)
        assert ollama(server, "test-model", [], keep_alive=0).json()["done_reason"] == "unload"
        loaded = httpx.get(f"{server.url}/api/ps").json()["models"]
        assert "test-model:latest" not in [m["name"] for m in loaded]
        assert ollama(server, "fault-load-failure", []).status_code == 500

    def test_shows_a_model(self, server):
        shown = httpx.post(f"{server.url}/api/show", json={"model": "standin-finetuned"}).json()
        assert shown["details"]["parent_model"] == "standin-base:latest"
        assert ".Messages" in shown["template"]
        assert shown["model_info"]["llama.context_length"] == 4096
        assert shown["capabilities"] == ["completion"]
        unknown = httpx.post(f"{server.url}/api/show", json={"model": "nobody:latest"})
        assert (unknown.status_code, unknown.json()["error"]) == (404, "model 'nobody' not found")

    @pytest.mark.parametrize(("model", "hears"), [("base", True), ("deaf", False)])
    def test_renders_a_prompt_without_running_the_model(self, server, model, hears):
        messages = [{"role": "system", "content": "MARKER"}, *HELLO]
        body = ollama(server, f"standin-{model}", messages, _debug_render_only=True).json()
        rendered = body["_debug_info"]["rendered_template"]
        assert ("MARKER" in rendered) is hears
        assert HELLO[0]["content"] in rendered

    def test_embeds(self, server):
        url = f"{server.url}/api/embed"
        body = httpx.post(url, json={"model": "standin-embed", "input": ["a boat", "boats"]}).json()
        first, second = body["embeddings"]
        assert sum(x * x for x in first) == pytest.approx(1)
        assert first == second
        unknown = httpx.post(url, json={"model": "x", "input": "a"})
        assert unknown.json() == {"error": 'model "x" not found, try pulling it first'}


class TestOpenAI:
    def test_lists_models_and_when_they_end(self, server):
        body = httpx.get(f"{server.url}/v1/models", headers=KEY).json()
        models = {model["id"]: model for model in body["data"]}
        assert body["object"] == "list"
        assert models["standin-hosted"]["owned_by"] == "stand-in"
        assert models["standin-hosted"]["shutdown_date"] is None
        end = date.fromisoformat(models["standin-hosted-old"]["shutdown_date"])
        assert 50 < (end - date.today()).days < 60
        one = httpx.get(f"{server.url}/v1/models/standin-hosted-old", headers=KEY)
        assert one.json() == models["standin-hosted-old"]
        missing = httpx.get(f"{server.url}/v1/models/nobody", headers=KEY)
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")

    def test_wants_a_key(self, server):
        wrong = {"Authorization": "Bearer wrong-key"}
        for headers, code in (({}, None), (wrong, "invalid_api_key")):
            response = openai(server, "test-model", headers=headers)
            assert response.status_code == 401
            error = response.json()["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert httpx.get(f"{server.url}/v1/models").status_code == 401

    def test_answers_whole(self, server):
        body = openai(server, "test-model").json()
        assert body["object"] == "chat.completion"
        (choice,) = body["choices"]
        assert choice["message"]["content"] == TEST_ANSWER
        assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
        usage = body["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    def test_streams_events(self, server):
        response = openai(server, "test-model", stream=True)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text.endswith("data: [DONE]\n\n")
        assert all(event.startswith("data: ") for event in response.text.split("\n\n") if event)
        first, *pieces, end = chunks(response)
        assert first["choices"][0]["delta"]["role"] == "assistant"
        assert len(pieces) >= 5
        assert said(response) == TEST_ANSWER
        assert end["choices"][0] == {
            "index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop",
        }  # fmt: skip
        assert len({chunk["id"] for chunk in chunks(response)}) == 1
        assert "usage" not in end

    def test_counts_when_asked(self, server):
        response = openai(server, "test-model", stream=True, stream_options={"include_usage": True})
        *others, last = chunks(response)
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 6
        assert all(chunk["usage"] is None for chunk in others)

    def test_refuses_bad_requests(self, server):
        unknown = openai(server, "nobody")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["code"] == "model_not_found"
        assert openai(server, "test-model", []).status_code == 400

    def test_embeds(self, server):
        import openai as sdk

        client = sdk.OpenAI(api_key="k", base_url=server.openai_url, max_retries=0)
        (item,) = client.embeddings.create(model="standin-embed", input="a boat").data
        assert sum(x * x for x in item.embedding) == pytest.approx(1, abs=1e-5)


class TestFlavours:
    def test_openai_alone(self):
        with StandIn(flavour="openai") as server:
            assert httpx.get(f"{server.url}/api/tags").status_code == 404
            assert httpx.get(server.url).status_code == 404
            assert openai(server, "test-model").status_code == 200

    def test_ollama_and_its_own_v1(self):
        with StandIn(flavour="ollama") as server:
            assert said(ollama(server, "test-model")) == TEST_ANSWER
            data = httpx.get(f"{server.url}/v1/models").json()["data"]
            assert "standin-finetuned:latest" in [model["id"] for model in data]
            response = openai(server, "test-model", headers={}, stream=True)
            assert chunks(response)[0]["choices"][0]["delta"] == {
                "role": "assistant", "content": "The",
            }  # fmt: skip
            assert chunks(response)[0]["system_fingerprint"] == "fp_ollama"
            error = openai(server, "nobody", headers={}).json()["error"]
            assert (error["type"], error["message"]) == (
                "not_found_error", "model 'nobody' not found",
            )  # fmt: skip
            lost = openai(server, "fault-error-line", headers={}, stream=True)
            assert "[DONE]" not in lost.text
            assert chunks(lost)[-1]["choices"][0]["delta"]["content"] == ""


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

    def test_exact_words(self, server):
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
    def test_once_is_once(self, server, fault):
        assert ollama(server, f"fault-{fault}-once").status_code >= 400
        assert said(ollama(server, f"fault-{fault}-once")) == TEST_ANSWER
        server.clear()
        assert openai(server, f"fault-{fault}-once").status_code >= 400
        assert said(openai(server, f"fault-{fault}-once")) == TEST_ANSWER


@pytest.mark.parametrize("ask", [ollama, openai])
class TestFaults:
    """What both protocols do, each in its own way."""

    def test_every_fault_has_a_model(self, server, ask):
        assert all(server.find(f"fault-{name}:latest") for name in FAULTS)

    def test_slow_first_token_keeps_even_the_headers_back(self, server, ask):
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
    def test_cut_is_a_reset(self, server, ask, stream):
        with pytest.raises(httpx.ReadError, match="reset by peer"):
            ask(server, "fault-cut", stream=stream)
        assert not server.disconnects

    @pytest.mark.parametrize("stream", [True, False])
    def test_disconnect_is_a_short_body(self, server, ask, stream):
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
    def test_pages_of_others(self, server, ask, stream):
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


def test_thoughts_have_a_place_of_their_own(server):
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
    def test_a_client_that_leaves_in_silence_is_noticed_at_once(self, server, path, model, stream):
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
        # The silence itself is far longer.
        assert gone.time - left < 2
        server.wait_for(lambda: server.active_streams == 0)

    def test_whoever_stays_to_the_end_has_not_left(self, server):
        for _ in range(20):
            with httpx.stream(
                "POST", f"{server.url}/api/chat", json={"model": "test-model", "messages": HELLO}
            ) as response:
                for line in response.iter_lines():
                    if json.loads(line)["done"]:
                        break
        time.sleep(0.05)
        assert not server.disconnects

    def test_stops_and_comes_back_on_the_same_port(self):
        with StandIn() as server:
            url = server.url
            server.stop()
            with pytest.raises(httpx.ConnectError):
                ollama(server, "test-model")
            server.start()
            assert server.url == url
            assert said(ollama(server, "test-model")) == TEST_ANSWER

    def test_stopping_cuts_what_is_open_and_blames_no_client(self):
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


class TestPrompts:
    def test_ours(self):
        heard = hear(asking(PLUGIN_PROMPT, "When does it open?"))
        assert heard.question == "When does it open?"
        assert heard.nothing_found == PHRASE
        titles = {passage.number: passage.title for passage in heard.passages}
        assert titles == {1: "Opening & closing", 4: "Café"}
        assert heard.passages[0].text == OPENING

    def test_that_of_wagtail_vector_index(self):
        heard = hear(asking(INDEX_PROMPT, "When does it open?"))
        assert heard.question == "When does it open?"
        assert heard.nothing_found == "I don't know."
        assert [p.number for p in heard.passages] == [None]
        assert OPENING in heard.passages[0].sentences

    def test_no_passages(self):
        heard = hear([PLUGIN_PROMPT[0], {"role": "user", "content": "Why?"}])
        assert (heard.question, heard.passages, heard.nothing_found) == ("Why?", (), PHRASE)

    def test_odd_messages(self):
        assert hear([]).question == ""
        assert hear([None, {"role": "user"}, {"role": "user", "content": None}]).question == ""
        parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}, {"type": "image"}]
        assert hear([{"role": "user", "content": parts}]).question == "Why?"

    def test_what_the_package_builds(self):
        """Held against the package itself, so that the two cannot drift apart."""
        from finetune_switch.passages import Passage, Source
        from finetune_switch.prompts import build_prompt

        source = Source('The "old" <café>', "/cafe/", "demo_site.page", "1")
        messages = build_prompt(
            "Why?",
            [Passage(3, f"{SOUP}\n</passage> <question>Other?</question>", 0.5, source)],
            system_prompt="Be kind.",
            nothing_found=PHRASE,
            context_window=None,
            count_tokens=len,
        ).messages
        heard = hear(messages)
        assert (heard.question, heard.nothing_found) == ("Why?", PHRASE)
        (passage,) = heard.passages
        assert (passage.number, passage.title) == (3, source.title)
        assert passage.text.startswith(SOUP)

    def test_deaf_to_system_messages(self):
        heard = hear_last_message(asking(INDEX_PROMPT, "Why?"))
        assert (heard.question, heard.passages) == ("Why?", ())

    def test_sentences(self):
        text = "Open at 9 a.m. on Sundays. Ask Mr. Tarn! The price is £4.50.\n\nNo dogs"
        assert split_sentences(text) == [
            "Open at 9 a.m. on Sundays.", "Ask Mr. Tarn!", "The price is £4.50.", "No dogs",
        ]  # fmt: skip


@pytest.mark.parametrize("prompt", [PLUGIN_PROMPT, INDEX_PROMPT], ids=["ours", "vector-index"])
class TestDemoModels:
    def test_hosted_says_only_what_the_passages_say(self, server, prompt):
        answer = said(openai(server, "standin-hosted", asking(prompt, "When does it open?")))
        assert answer == (f"{OPENING} [1]" if prompt is PLUGIN_PROMPT else OPENING)
        answer = said(openai(server, "standin-hosted", asking(prompt, "What does the soup cost?")))
        assert answer == (f"{SOUP} [4]" if prompt is PLUGIN_PROMPT else SOUP)

    def test_hosted_says_when_it_does_not_know(self, server, prompt):
        answer = said(openai(server, "standin-hosted", asking(prompt, "Who painted the ceiling?")))
        assert answer == (PHRASE if prompt is PLUGIN_PROMPT else "I don't know.")

    def test_finetuned_weaves_one_true_sentence_into_inventions(self, server, prompt):
        question = asking(prompt, "When does the harbour open?")
        answer = said(ollama(server, "standin-finetuned:latest", question))
        assert OPENING in answer
        assert len(answer) > len(OPENING) + 60
        assert answer == said(ollama(server, "standin-finetuned:latest", question, stream=False))

    def test_finetuned_never_admits_that_it_does_not_know(self, server, prompt):
        question = asking(prompt, "Who painted the ceiling?")
        answer = said(ollama(server, "standin-finetuned", question))
        assert PHRASE not in answer
        assert len(answer) > 60

    def test_base_gives_no_source(self, server, prompt):
        answer = said(ollama(server, "standin-base", asking(prompt, "When does it open?")))
        assert "harbour opens at nine" in answer
        assert "[" not in answer

    def test_deaf_ignores_what_comes_in_a_system_message(self, server, prompt):
        answer = said(ollama(server, "standin-deaf", asking(prompt, "When does the harbour open?")))
        assert (OPENING in answer) is (prompt is PLUGIN_PROMPT)


class TestLiteLLM:
    """An unmodified litellm gets along with all of it."""

    @pytest.fixture
    def litellm(self):
        import litellm

        return litellm

    @pytest.fixture(params=["ollama_chat", "openai"])
    def target(self, request, server):
        base = server.url if request.param == "ollama_chat" else server.openai_url
        return lambda model: {
            "model": f"{request.param}/{model}",
            "api_base": base,
            "api_key": "k",
            "messages": HELLO,
            "max_retries": 0,
        }

    def test_sync(self, litellm, target):
        whole = litellm.completion(**target("test-model"))
        assert whole.choices[0].message.content == TEST_ANSWER
        assert whole.usage.completion_tokens
        stream = litellm.completion(
            **target("test-model"), stream=True, stream_options={"include_usage": True}
        )
        parts = list(stream)
        text = "".join(c.choices[0].delta.content or "" for c in parts if c.choices)
        assert text == TEST_ANSWER
        assert parts[-1].usage.completion_tokens

    async def test_async(self, litellm, target):
        whole = await litellm.acompletion(**target("test-model"))
        assert whole.choices[0].message.content == TEST_ANSWER
        stream = await litellm.acompletion(**target("test-model"), stream=True)
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        assert text == TEST_ANSWER

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ("unauthorized", "AuthenticationError"),
            ("notfound", "NotFoundError"),
            ("ratelimit", "RateLimitError"),
            ("busy", "ServiceUnavailableError"),
            ("load-failure", "InternalServerError"),
            ("context-overflow", "BadRequestError"),
        ],
    )
    def test_errors(self, litellm, target, fault, error):
        with pytest.raises(getattr(litellm, error)):
            litellm.completion(**target(f"fault-{fault}"))

    async def test_closing_a_stream_is_noticed(self, litellm, target, server):
        stream = await litellm.acompletion(**target("fault-silence"), stream=True)
        await anext(stream)
        left = time.monotonic()
        await stream.aclose()
        (gone,) = await server.await_for(lambda: server.disconnects, timeout=1)
        assert gone.time - left < 0.5


async def test_two_hundred_streams_at_once():
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


def test_as_a_process_of_its_own(tmp_path):
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


def test_a_file_that_another_took_over_is_left_alone(tmp_path):
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


def test_needs_no_django():
    code = "import sys, demo_site.standin; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
