"""Hostile pages and questions: the prompt, the stream and the search page, with a model that obeys.

What comes of them in a browser is in tests/e2e/test_hostile.py.
"""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup
from django.test import Client

from finetune_switch.passages import Source
from tests import hostile

CASES = hostile.read_cases()
# What the page of results is made of; all else would be somebody else's.
ELEMENTS = [
    "section",
    "h2",
    "h3",
    "p",
    "a",
    "ol",
    "ul",
    "li",
    "br",
    "mark",
    "nav",
    "span",
    "form",
    "label",
    "input",
    "button",
]
ATTRIBUTES = [
    "class",
    "href",
    "title",
    "id",
    "value",
    "start",
    "rel",
    "aria-labelledby",
    "aria-label",
]


def test_there_are_enough():
    assert len(CASES) >= 40
    assert len({case.tries for case in CASES}) == len({case.word for case in CASES}) == len(CASES)


@pytest.mark.django_db(transaction=True)
def test_nothing_comes_of_any(site, connections, standin, make_page):
    obedient = hostile.prepare(site, standin, make_page)
    client, faults = Client(), {}
    for case in CASES:
        obedient.case = case
        found = [
            *_faults_of_stream(client, case),
            *hostile.faults_of_prompt(obedient.messages, case),
            *_faults_of_search_page(client, case),
        ]
        if found:
            faults[case.tries] = found
    assert faults == {}


def _faults_of_stream(client, case):
    data = {"q": case.asks, "locale": case.locale}
    response = client.post("/answers/ask/", data, headers={"sec-fetch-site": "same-origin"})
    body = b"".join(response.streaming_content)
    events = hostile.read_stream(body)
    names = [name for name, _data in events]
    if names[0] != "sources" or names[-1] != "done" or set(names[1:-1]) - {"text"}:
        yield f"the events are {names}"
    if body.count(b"\n\n") != len(events) + body.count(b": \n\n"):
        yield "an event holds an empty line"
    for passage in events[0][1]["passages"]:
        if not re.fullmatch(r"/(?:[a-z]+/)?(#\S*)?", passage["source"]["url"]):
            yield f"a source is {passage['source']['url']!r}"
    text = "".join(data["text"] for name, data in events if name == "text")
    yield from hostile.faults_of_text(text, case)


def _faults_of_search_page(client, case):
    response = client.get("/answers/search/", {"q": case.asks})
    page = BeautifulSoup(response.content, "html.parser")
    urls = {"/", *(f"/{each.word}/" for each in CASES)}
    for part in page.select(".finetune-answer, .finetune-results, .finetune-form"):
        for element in part.find_all(True):
            if element.name not in ELEMENTS:
                yield f"the search page has <{element.name}>"
            if part["class"] != ["finetune-form"] and set(element.attrs) - set(ATTRIBUTES):
                yield f"the search page has {element.attrs}"
            if "href" in element.attrs and element["href"].partition("#")[0] not in urls:
                yield f"the search page leads to {element['href']!r}"
    yield from hostile.faults_of_text(page.select_one(".finetune-answer > p").get_text(), case)


@pytest.mark.parametrize(
    ("url", "is_kept"),
    [
        ("/visit/", True),
        ("/visit/?a=b#c", True),
        ("https://harbour.example/visit/", True),
        ("http://localhost:8000/", True),
        ("", True),
        ("javascript:alert(1)", False),
        (" JaVaScRiPt:alert(1)", False),
        ("java\tscript:alert(1)", False),
        ("data:text/html,x", False),
        ("vbscript:x", False),
        ("https://harbour.example@evil.example/", False),
        ("/\\evil.example", False),
        ("///evil.example", False),
        ("http://[", False),
        ("\x08javascript:alert(1)", False),
    ],
)
def test_a_source_leads_to_the_web_or_nowhere(url, is_kept):
    """A site's own ``get_absolute_url()`` may give anything."""
    assert Source("Page", url, "pages.page", "1").url == (url if is_kept else "")
