"""Helpers that ask the stand-in over each protocol and parse its responses."""

from __future__ import annotations

import json

import httpx

KEY = {"Authorization": "Bearer a-key"}
HELLO = [{"role": "user", "content": "When do you open?"}]


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
    """The text of an answer in either protocol, streamed or not."""
    if response.headers["content-type"].startswith("application/x-ndjson"):
        return "".join(line["message"]["content"] for line in lines(response))
    if response.headers["content-type"].startswith("text/event-stream"):
        deltas = [choice["delta"] for chunk in chunks(response) for choice in chunk["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)
    body = response.json()
    return (body["choices"][0] if "choices" in body else body)["message"]["content"]
