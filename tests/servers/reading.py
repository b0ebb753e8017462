"""Readers of event streams: one that listens to the end, and one that leaves."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from .processes import TLS

READ_SECONDS = 30


@dataclass
class Arrival:
    """An event and when it came, in seconds since the question was sent."""

    name: str
    data: dict[str, Any]
    at: float


@dataclass
class Stream:
    """A stream that was read to its end."""

    headers: httpx.Headers
    arrivals: list[Arrival] = field(default_factory=list)
    comments: int = 0
    body: bytes = field(default=b"", repr=False)

    @property
    def names(self) -> list[str]:
        return [arrival.name for arrival in self.arrivals]

    @property
    def text(self) -> str:
        return "".join(a.data["text"] for a in self.arrivals if a.name == "text")

    @property
    def last(self) -> Arrival:
        return self.arrivals[-1]


def read_stream(url: str, asked: Mapping[str, Any], *, path: str = "/test/stream/") -> Stream:
    """Ask, and read every event as it comes."""
    started = time.monotonic()
    with httpx.stream("POST", url + path, json=asked, timeout=READ_SECONDS, verify=TLS) as response:
        return read_events(response, started)


def read_events(response: httpx.Response, started: float) -> Stream:
    """Every event of a response as it comes."""
    if not response.is_success:
        response.read()
        raise AssertionError(f"{response.status_code}: {response.text[:500]}")
    stream, buffered = Stream(response.headers), b""
    for chunk in response.iter_raw():
        stream.body += chunk
        *blocks, buffered = (buffered + chunk).split(b"\n\n")
        for block in blocks:
            if block.startswith(b":"):
                stream.comments += 1
            else:
                stream.arrivals.append(_arrival(block, time.monotonic() - started))
    assert not buffered, f"the stream ends in the middle of an event: {buffered!r}"
    return stream


def _arrival(block: bytes, at: float) -> Arrival:
    name, data = block.decode().split("\n")
    return Arrival(name.removeprefix("event: "), json.loads(data.removeprefix("data: ")), at)


def request_bytes(
    asked: Mapping[str, Any],
    cookies: Mapping[str, str] | None = None,
    *,
    path: str = "/test/stream/",
    headers: Mapping[str, str] | None = None,
    last: bool = False,
    form: bool = False,
) -> bytes:
    """The question as one HTTP request; ``last`` has the server hang up after it."""
    body = (urlencode(asked) if form else json.dumps(asked)).encode()
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    cookie = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"{more}Cookie: {cookie}\r\nConnection: {'close' if last else 'keep-alive'}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def sign_in(url: str, username: str, password: str) -> dict[str, str]:
    """The cookies that Wagtail's own log-in page gives."""
    with httpx.Client(base_url=url, headers={"Referer": url}, timeout=READ_SECONDS) as browser:
        browser.get("/admin/login/")
        form = {
            "username": username,
            "password": password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        entered = browser.post("/admin/login/", data=form)
        assert entered.status_code == 302, f"{username} could not sign in: {entered.status_code}"
        return dict(browser.cookies)


def visitor(port: int, question: str) -> LeavingReader:
    """Somebody who asks in the widget."""
    headers = {"Origin": "http://localhost"}
    return LeavingReader(port, {"q": question}, path="/answers/ask/", headers=headers, form=True)


class LeavingReader:
    """A browser tab that is closed: a plain socket, without a client that would read ahead."""

    def __init__(
        self,
        port: int,
        asked: Mapping[str, Any],
        cookies: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=READ_SECONDS)
        self._socket.sendall(request_bytes(asked, cookies, **more))
        self.received = b""

    def read_until(self, mark: bytes, times: int = 1) -> None:
        """Read until ``mark`` has come so often."""
        while self.received.count(mark) < times:
            chunk = self._socket.recv(65536)
            assert chunk, f"the server hung up: {self.received!r}"
            self.received += chunk

    def leave(self) -> float:
        """Close the connection as a browser does, with all read; when, on the monotonic clock."""
        self._socket.close()
        return time.monotonic()
