"""An answer that somebody corrects through one process is given by every other one at once."""

from __future__ import annotations

import httpx
import pytest
from bs4 import BeautifulSoup

from finetune_switch.models import Exchange, PreparedAnswer

from .asking import LONG_ANSWER
from .reading import READ_SECONDS, read_events, sign_in

QUESTION = "Does the museum lend umbrellas to visitors?"
LIKE_IT = "Does the museum lend visitors umbrellas?"
ADD = "/admin/finetune/prepared/new/"
CORRECTED = "Yes, the desk lends them for nothing."


@pytest.fixture
def asked_of(standin):
    """Asks a server as its widget does; the text, and the models that were asked for it."""

    def ask(server, question):
        standin.clear()
        data = {"q": question, "locale": "en-gb"}
        headers = {"Sec-Fetch-Site": "same-origin"}
        url = f"{server.url}/answers/ask/"
        with httpx.stream(
            "POST", url, data=data, headers=headers, timeout=READ_SECONDS
        ) as response:
            text = read_events(response, 0).text
        return text, [request.model for request in standin.requests if request.method == "POST"]

    return ask


def save_through(server, exchange):
    """What a lead does who corrects this answer, without the browser's window."""
    cookies = sign_in(server.url, "lead", "demo")
    with httpx.Client(base_url=server.url, cookies=dict(cookies), timeout=READ_SECONDS) as browser:
        form = BeautifulSoup(
            browser.get(ADD, params={"exchange": str(exchange.pk)}).text, "html.parser"
        ).select_one("form#w-editor-form")
        values = {
            field["name"]: field.get("value", "")
            for field in form.select("input[name]:not([type=radio])")
        }
        values |= {area["name"]: area.get_text().strip() for area in form.select("textarea")}
        values |= {
            field["name"]: field.select_one("option[selected]")["value"]
            for field in form.select("select")
        }
        assert values["examples"] == exchange.question
        values |= {"kind": "correction", "answer": CORRECTED, "page_id": "", "is_on": "on"}
        assert browser.post(form["action"], data=values).status_code == 302


def test_a_correction_saved_through_one_server_is_given_by_the_other(
    wsgi, asgi, make_backend, asked_of
):
    backend = make_backend("openai", behaviour={"answer": LONG_ANSWER})
    httpx.post(f"{wsgi.url}/test/switch/", json={"backend": backend.alias})
    try:
        assert asked_of(asgi, LIKE_IT)[1] == asked_of(wsgi, LIKE_IT)[1] == [backend.model_name]
        asked_of(wsgi, QUESTION)
        save_through(wsgi, Exchange.objects.filter(question=QUESTION).latest("opened_at"))

        for server in (asgi, wsgi):
            assert asked_of(server, LIKE_IT) == (CORRECTED, [])

        PreparedAnswer.objects.filter(answer=CORRECTED).update(answer="No.")
        assert asked_of(asgi, LIKE_IT) == ("No.", [])
    finally:
        PreparedAnswer.objects.filter(examples=QUESTION).delete()
