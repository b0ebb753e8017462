"""Somebody who compares: their browser on a server, without its window."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from bs4 import BeautifulSoup, Tag

from finetune_switch.models import ChatBackend, Column, Comparison

from .processes import Server
from .reading import READ_SECONDS, LeavingReader, Stream, read_events

QUESTION = "What does a family ticket cost?"
FORM = "/admin/finetune/compare/"
PARTIAL = {"X-Requested-With": "XMLHttpRequest"}


class Comparer:
    """Asks, streams and judges with the cookies of somebody who is signed in."""

    def __init__(self, server: Server, cookies: Mapping[str, str]) -> None:
        self.server = server
        # Each server is a site of its own to a browser, all of them on one session.
        self.browser = httpx.Client(
            base_url=server.url, cookies=dict(cookies), timeout=READ_SECONDS, trust_env=False
        )
        self.cookies = dict(cookies)

    def __enter__(self) -> Comparer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.browser.close()

    def page(self, comparison: Comparison) -> httpx.Response:
        return self.browser.get(comparison.get_absolute_url())

    def ask(
        self, backends: Sequence[ChatBackend], *, question: str = QUESTION, **more: Any
    ) -> Comparison:
        """Fill the form in as it comes, and send it; the comparison that it leads to."""
        form = BeautifulSoup(self.browser.get(FORM).text, "html.parser").select_one("form")
        assert form is not None
        values = {
            "csrfmiddlewaretoken": str(_tag(form, "[name=csrfmiddlewaretoken]")["value"]),
            "question": question,
            "backends": [str(backend.pk) for backend in backends],
            "is_blind": "on",
            "retrieval": "on",
            **more,
        }
        asked = self.browser.post(FORM, data={k: v for k, v in values.items() if v is not None})
        assert asked.status_code == 302, BeautifulSoup(asked.text, "html.parser").select(
            "main .help-block, main .error-message"
        )
        return Comparison.objects.get(pk=asked.headers["location"].rstrip("/").rpartition("/")[2])

    @property
    def headers(self) -> dict[str, str]:
        return {**PARTIAL, "X-CSRFToken": self.cookies["csrftoken"]}

    def post(
        self, comparison: Comparison, what: str, *, partial: bool = True, **data: Any
    ) -> httpx.Response:
        headers = self.headers if partial else {"X-CSRFToken": self.cookies["csrftoken"]}
        return self.browser.post(
            f"{comparison.get_absolute_url()}{what}/", data=data, headers=headers
        )

    def stream(self, column: Column) -> Stream:
        """A column's answer, every event as it comes."""
        started = time.monotonic()
        path = stream_path(column)
        with self.browser.stream("POST", path, headers=self.headers) as response:
            return read_events(response, started)

    def begin(self, column: Column) -> LeavingReader:
        """A reader of a column who may leave before its end."""
        path = stream_path(column)
        return LeavingReader(self.server.port, {}, self.cookies, path=path, headers=self.headers)

    def column(self, column: Column) -> Tag:
        """The part of the page that shows a column as it is now."""
        path = f"{column.comparison.get_absolute_url()}{column.position}/"
        shown = self.browser.get(path, headers=PARTIAL)
        assert shown.status_code == 200, shown.text[:500]
        return BeautifulSoup(shown.text, "html.parser")


def stream_path(column: Column) -> str:
    return f"{column.comparison.get_absolute_url()}{column.position}/stream/"


def column_of(comparison: Comparison, backend: ChatBackend) -> Column:
    """The column that a backend got: blind ones are shuffled."""
    return comparison.columns.select_related("comparison").get(backend=backend)


def answer_in(part: Tag) -> str:
    return _tag(part, ".finetune-answer").get_text()


def text_of(part: Tag) -> str:
    return " ".join(part.get_text(" ").split())


def _tag(parent: Tag, selector: str) -> Tag:
    found = parent.select_one(selector)
    assert found is not None, f"no {selector} in {parent}"
    return found
