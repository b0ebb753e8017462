from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime

import httpx
import pytest

from demo_site.standin import StandIn
from demo_site.standin.behaviours import TEST_ANSWER
from demo_site.standin.ollama_api import FOREVER_SECONDS

from .asking import HELLO, KEY, chunks, lines, ollama, openai, said


class TestOllama:
    def test_identifies_itself(self, server):
        root = httpx.get(server.url)
        assert (root.text, root.headers["server"]) == (
            "Ollama is running",
            "finetune-switch-standin",
        )
        assert httpx.get(f"{server.url}/api/version").json() == {"version": "0.33.0-standin"}

    def test_tags(self, server):
        models = httpx.get(f"{server.url}/api/tags").json()["models"]
        names = [model["name"] for model in models]
        assert {f"standin-{name}:latest" for name in ("finetuned", "base", "deaf")} < set(names)
        assert "standin-hosted:latest" not in names
        assert not [name for name in names if name.startswith("fault-")]
        assert set(models[0]) == {
            "name", "model", "modified_at", "size", "digest", "details", "capabilities",
        }  # fmt: skip
        assert all(re.fullmatch("[0-9a-f]{64}", model["digest"]) for model in models)

    def test_stream(self, server):
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

    def test_stream_is_the_default(self, server):
        response = ollama(server, "test-model", stream=False)
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        body = response.json()
        assert body["message"] == {"role": "assistant", "content": TEST_ANSWER}
        assert body["model"] == "test-model"
        assert body["done"]

    def test_durations_and_counts(self, server):
        server.add_model("slow", fault="slow-load", seconds=0.2)
        end = lines(ollama(server, "slow"))[-1]
        assert 0.1e9 < end["load_duration"] < end["total_duration"] < 2e9

    def test_bad_requests(self, server):
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
    def test_invalid_keep_alive(self, server, keep_alive, problem):
        refused = ollama(server, "test-model", keep_alive=keep_alive)
        assert (refused.status_code, refused.json()) == (400, {"error": problem})

    @pytest.mark.parametrize(
        ("keep_alive", "minutes"),
        [
            (90, 1.5), ("1h30m", 90), ("1.5m", 1.5), (None, 5), ("0", 0),
            (-1, FOREVER_SECONDS / 60), ("-1m", FOREVER_SECONDS / 60),
        ],
    )  # fmt: skip
    def test_keep_alive(self, server, keep_alive, minutes):
        assert ollama(server, "test-model", keep_alive=keep_alive).status_code == 200
        loaded = httpx.get(f"{server.url}/api/ps").json()["models"]
        ends = [m["expires_at"][:26] for m in loaded if m["name"] == "test-model:latest"]
        left = [datetime.fromisoformat(f"{end}+00:00") - datetime.now(UTC) for end in ends]
        expected = [pytest.approx(minutes, abs=0.5)] if minutes else []
        assert [time_left.total_seconds() / 60 for time_left in left] == expected

    def test_num_predict(self, server):
        response = ollama(server, "test-model", options={"num_predict": 2})
        assert said(response) == "The harbour"
        assert lines(response)[-1]["done_reason"] == "length"

    def test_load_and_unload(self, server):
        assert ollama(server, "test-model", []).json()["done_reason"] == "load"
        loaded = httpx.get(f"{server.url}/api/ps").json()["models"]
        (entry,) = [m for m in loaded if m["name"] == "test-model:latest"]
        assert {"expires_at", "size_vram", "context_length", "digest"} < set(entry)
        assert ollama(server, "test-model", [], keep_alive=0).json()["done_reason"] == "unload"
        loaded = httpx.get(f"{server.url}/api/ps").json()["models"]
        assert "test-model:latest" not in [m["name"] for m in loaded]
        assert ollama(server, "fault-load-failure", []).status_code == 500

    def test_show(self, server):
        shown = httpx.post(f"{server.url}/api/show", json={"model": "standin-finetuned"}).json()
        assert shown["details"]["parent_model"] == "standin-base:latest"
        assert ".Messages" in shown["template"]
        assert shown["model_info"]["llama.context_length"] == 4096
        assert shown["capabilities"] == ["completion"]
        unknown = httpx.post(f"{server.url}/api/show", json={"model": "nobody:latest"})
        assert (unknown.status_code, unknown.json()["error"]) == (404, "model 'nobody' not found")

    @pytest.mark.parametrize(("model", "includes_system"), [("base", True), ("deaf", False)])
    def test_render_only(self, server, model, includes_system):
        messages = [{"role": "system", "content": "MARKER"}, *HELLO]
        body = ollama(server, f"standin-{model}", messages, _debug_render_only=True).json()
        rendered = body["_debug_info"]["rendered_template"]
        assert ("MARKER" in rendered) is includes_system
        assert HELLO[0]["content"] in rendered

    def test_embeddings(self, server):
        url = f"{server.url}/api/embed"
        body = httpx.post(url, json={"model": "standin-embed", "input": ["a boat", "boats"]}).json()
        first, second = body["embeddings"]
        assert sum(x * x for x in first) == pytest.approx(1)
        assert first == second
        unknown = httpx.post(url, json={"model": "x", "input": "a"})
        assert unknown.json() == {"error": 'model "x" not found, try pulling it first'}


class TestOpenAI:
    def test_models_and_shutdown_dates(self, server):
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

    def test_api_key(self, server):
        wrong = {"Authorization": "Bearer wrong-key"}
        for headers, code in (({}, None), (wrong, "invalid_api_key")):
            response = openai(server, "test-model", headers=headers)
            assert response.status_code == 401
            error = response.json()["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert httpx.get(f"{server.url}/v1/models").status_code == 401

    def test_without_stream(self, server):
        body = openai(server, "test-model").json()
        assert body["object"] == "chat.completion"
        (choice,) = body["choices"]
        assert choice["message"]["content"] == TEST_ANSWER
        assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
        usage = body["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    def test_stream_events(self, server):
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

    def test_usage(self, server):
        response = openai(server, "test-model", stream=True, stream_options={"include_usage": True})
        *others, last = chunks(response)
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 6
        assert all(chunk["usage"] is None for chunk in others)

    def test_bad_requests(self, server):
        unknown = openai(server, "nobody")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["code"] == "model_not_found"
        assert openai(server, "test-model", []).status_code == 400

    def test_embeddings(self, server):
        import openai as sdk

        client = sdk.OpenAI(api_key="k", base_url=server.openai_url, max_retries=0)
        (item,) = client.embeddings.create(model="standin-embed", input="a boat").data
        assert sum(x * x for x in item.embedding) == pytest.approx(1, abs=1e-5)


class TestFlavours:
    def test_openai_only(self):
        with StandIn(flavour="openai") as server:
            assert httpx.get(f"{server.url}/api/tags").status_code == 404
            assert httpx.get(server.url).status_code == 404
            assert openai(server, "test-model").status_code == 200

    def test_ollama_with_v1(self):
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


class TestLiteLLM:
    """The stand-in works with an unmodified litellm."""

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

    async def test_closed_stream_is_recorded(self, litellm, target, server):
        stream = await litellm.acompletion(**target("fault-silence"), stream=True)
        await anext(stream)
        left = time.monotonic()
        await stream.aclose()
        (gone,) = await server.await_for(lambda: server.disconnects, timeout=1)
        assert gone.time - left < 0.5
