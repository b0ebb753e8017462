"""The side-by-side page from every kind of server: one question, several streams."""

from __future__ import annotations

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from wagtail.models import Page, PageViewRestriction

from finetune_switch.models import Exchange, Grade, Outcome, Preference

from .asking import LONG_ANSWER, models_asked
from .comparing import FORM, PARTIAL, QUESTION, Comparer, answer_in, column_of, stream_path, text_of
from .processes import wait_for
from .reading import sign_in

KINDS = ("gunicorn", "runserver", "uvicorn")


@pytest.fixture
def sources():
    """Closes the pages that a comparison rests on to everybody but a group that nobody is in."""
    made = []

    def close(comparison) -> None:
        group = Group.objects.create(name=f"Nobody {uuid.uuid4().hex[:8]}")
        made.append(group)
        for pk in {passage.source.object_id for passage in comparison.frozen_passages}:
            restriction = PageViewRestriction.objects.create(
                page=Page.objects.get(pk=pk), restriction_type=PageViewRestriction.GROUPS
            )
            restriction.groups.add(group)
            made.append(restriction)

    yield close
    for row in reversed(made):
        row.delete()


# behaviour of the model, and the names of the events without those of the text
ENDINGS = {
    "answered": ({"answer": LONG_ANSWER}, ["sources", "done"]),
    "do not know": ({"answer": "I don't know."}, ["sources", "done"]),
    "refused": ({"fault": "unauthorized"}, ["sources", "failed"]),
    "cut off": ({"fault": "cut", "answer": LONG_ANSWER}, ["sources", "failed"]),
}


def test_events_are_the_same_everywhere(shared_servers, lead, make_backend):
    backends = [make_backend(behaviour=behaviour) for behaviour, _names in ENDINGS.values()]
    told = []
    for kind in KINDS:
        with Comparer(shared_servers[kind], lead) as comparer:
            comparison = comparer.ask(backends)
            streams = [comparer.stream(column_of(comparison, backend)) for backend in backends]
        told.append([[(event.name, event.data) for event in s.arrivals] for s in streams])
        for stream, (_behaviour, names) in zip(streams, ENDINGS.values(), strict=True):
            assert [name for name in stream.names if name != "text"] == names
            assert stream.headers["x-accel-buffering"] == "no"
            # Wagtail adds what it says of every page of the admin.
            assert {"private", "no-store"} <= set(stream.headers["cache-control"].split(", "))
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert "content-length" not in stream.headers
    for ours, theirs in itertools.pairwise(told):
        assert ours == theirs


def test_nothing_tells_who_answered_before_it_is_revealed(comparer, pair):
    comparison = comparer.ask(pair)
    assert comparison.frozen_passages
    columns = [column_of(comparison, backend) for backend in pair]
    streams = [comparer.stream(column) for column in columns]

    names = [
        name
        for backend in pair
        for name in (
            backend.label,
            backend.alias,
            backend.model_name,
            "a stand-in for",
            f"/backends/edit/{backend.pk}/",
        )
    ]
    # The question speaks of a cost itself.
    figures = ["$ ", "Whole answer in", "went to", "seconds", "tokens", "cost"]
    blind = {
        **{
            f"stream {column.letter}": s.body.decode()
            for column, s in zip(columns, streams, strict=True)
        },
        **{
            f"headers {column.letter}": str(s.headers)
            for column, s in zip(columns, streams, strict=True)
        },
        **{f"part {column.letter}": str(comparer.column(column)) for column in columns},
        "page": comparer.page(comparison).text,
        "verdict": comparer.post(comparison, "prefer", choice="A").text,
        "grade": comparer.post(comparison, "0/grade", value="correct").text,
    }
    told = {
        where: text
        for where, html in blind.items()
        for text in names + figures[: 3 if where == "page" else None]
        if text in html
    }
    assert told == {}
    for stream in streams:
        assert {tuple(event.data) for event in stream.arrivals} <= {("text",), ()}
    for said in (LONG_ANSWER, "Nobody knows."):
        assert sum(said in stream.text for stream in streams) == 1

    revealed = comparer.post(comparison, "reveal")
    assert revealed.status_code == 200
    page = comparer.page(comparison).text
    parts = "".join(str(comparer.column(column)) for column in columns)
    for backend in pair:
        assert backend.label in page
        assert backend.label in parts
        assert backend.label in revealed.text
    for said in ("Whole answer in", "a stand-in for OpenAI", "a stand-in for Ollama"):
        assert said in parts
    assert "$ " in parts
    assert Preference.objects.get(comparison=comparison).was_blind
    assert Grade.objects.get(exchange__columns__comparison=comparison).was_blind


def test_nothing_is_revealed_to_somebody_who_has_not_judged(comparer, pair):
    comparison = comparer.ask(pair)
    refused = comparer.post(comparison, "reveal")
    assert refused.status_code == 409
    assert pair[0].label not in refused.text + comparer.page(comparison).text


def test_second_request_replays_and_does_not_ask_again(shared_servers, lead, pair, standin):
    with (
        Comparer(shared_servers["gunicorn"], lead) as here,
        Comparer(shared_servers["uvicorn"], lead) as there,
    ):
        comparison = here.ask(pair)
        column = column_of(comparison, pair[0])
        standin.clear()
        first = here.stream(column)
        second, third = here.stream(column), there.stream(column)
        assert models_asked(standin) == [pair[0].model_name]
        assert first.text == second.text == third.text == LONG_ANSWER
        assert first.names[-1] == second.names[-1] == third.names[-1] == "done"
        # Trying again is for what failed or was stopped.
        here.post(comparison, f"{column.position}/again")
        assert here.stream(column).text == LONG_ANSWER
        assert models_asked(standin) == [pair[0].model_name]


def test_two_windows_at_once_ask_once(comparer, make_backend, pair, standin):
    slow = make_backend(behaviour={"answer": LONG_ANSWER, "tokens_per_second": 10})
    comparison = comparer.ask([slow, pair[0]])
    column = column_of(comparison, slow)
    standin.clear()
    with ThreadPoolExecutor(2) as threads:
        streams = list(threads.map(comparer.stream, [column, column]))
    assert models_asked(standin) == [slow.model_name]
    assert sorted(stream.names[-1] for stream in streams) == ["done", "failed"]
    assert answer_in(comparer.column(column)) == LONG_ANSWER


@pytest.mark.parametrize("is_stopped", [False, True])
def test_reader_who_leaves(comparer, make_backend, is_stopped):
    """The answer is finished in the background, unless somebody pressed "Stop"."""
    slow = make_backend(behaviour={"answer": LONG_ANSWER, "tokens_per_second": 12})
    column = column_of(comparer.ask([slow, make_backend()]), slow)
    reader = comparer.begin(column)
    reader.read_until(b"event: text", 3)
    if is_stopped:
        assert comparer.post(column.comparison, f"{column.position}/stop").status_code == 204
    reader.leave()

    def ended():
        return Exchange.objects.exclude(outcome=Outcome.OPEN).filter(pk=column.exchange_id).first()

    exchange = wait_for(ended, seconds=20)
    if is_stopped:
        assert exchange.outcome == Outcome.CANCELLED
        assert exchange.answer != LONG_ANSWER
        assert not comparer.column(column).select("[data-key]")
    else:
        assert (exchange.outcome, exchange.answer) == (Outcome.COMPLETE, LONG_ANSWER)
        assert answer_in(comparer.column(column)) == LONG_ANSWER


def test_column_that_fails_leaves_the_others_going_on(comparer, make_backend, pair):
    slow = make_backend(
        behaviour={"answer": LONG_ANSWER, "tokens_per_second": 10}, total_seconds=20
    )
    nowhere = make_backend("nowhere")
    refused = make_backend("ollama", behaviour={"fault": "notfound"})
    comparison = comparer.ask([slow, nowhere, refused])
    columns = [column_of(comparison, backend) for backend in (slow, nowhere, refused)]
    with ThreadPoolExecutor(3) as threads:
        streams = list(threads.map(comparer.stream, columns))
    assert [stream.names[-1] for stream in streams] == ["done", "failed", "failed"]
    assert streams[0].text == LONG_ANSWER
    assert [stream.last.data for stream in streams[1:]] == [{}, {}]
    said = [text_of(comparer.column(column)) for column in columns]
    assert "didn't answer" not in said[0]
    for column, reason, part in zip(
        columns[1:],
        ("The model server does not take connections.", "has no model of this name."),
        said[1:],
        strict=True,
    ):
        assert f"{column.letter} didn't answer: " in part
        assert reason in part
        assert f"Try {column.letter} again" in part
        # Why it failed must not tell who failed.
        assert column.backend.label not in part
        assert column.backend.model_name not in part


def test_who_may_not_compare_is_refused(comparer, pair, server):
    comparison = comparer.ask(pair)
    name = f"reader-{uuid.uuid4().hex[:8]}"
    user = get_user_model().objects.create_user(name, password="let me in")
    user.user_permissions.add(
        Permission.objects.get(codename="access_admin", content_type__app_label="wagtailadmin")
    )
    address = comparison.get_absolute_url()
    with Comparer(server, sign_in(server.url, name, "let me in")) as reader:
        for path in (FORM, address):
            refused = reader.browser.get(path)
            assert (refused.status_code, refused.headers["location"]) == (302, "/admin/")
        assert reader.browser.get(f"{address}0/", headers=PARTIAL).status_code == 403
        assert_refused(reader, comparison)
    anonymous = httpx.get(server.url + address)
    assert anonymous.status_code == 302
    assert "login" in anonymous.headers["location"]
    assert_untouched(comparison)


def test_forged_requests_are_refused(comparer, pair):
    comparison = comparer.ask(pair)
    for what in ("0/stream", "0/again", "0/grade", "prefer", "reveal"):
        url = f"{comparison.get_absolute_url()}{what}/"
        assert comparer.browser.post(url, headers=PARTIAL).status_code == 403, what
        assert comparer.browser.get(url).status_code == 405, what
    assert comparer.browser.post(FORM, data={"question": QUESTION}).status_code == 403
    assert_untouched(comparison)


def test_who_may_not_open_a_page_any_more_sees_the_question_alone(comparer, pair, sources):
    comparison = comparer.ask(pair)
    columns = [column_of(comparison, backend) for backend in pair]
    comparer.stream(columns[0])
    comparer.post(comparison, f"{columns[0].position}/grade", note="Salty.", value="correct")
    before = comparer.page(comparison).text
    assert "at nine on every day" in before
    assert "Salty." in before

    sources(comparison)

    page = comparer.page(comparison)
    assert page.status_code == 200
    assert QUESTION in page.text
    assert "pages that you may not open" in page.text
    hidden = ["at nine on every day", "Salty.", "finetune-verdict", "finetune-column"]
    hidden += [passage.text[:40] for passage in comparison.frozen_passages]
    hidden += [passage.source.title for passage in comparison.frozen_passages]
    assert [text for text in hidden if text in page.text] == []
    path = f"{comparison.get_absolute_url()}{columns[0].position}/"
    assert comparer.browser.get(path, headers=PARTIAL).status_code == 403
    assert comparer.browser.get(path).status_code == 302
    assert_refused(comparer, comparison)
    form = comparer.browser.get(f"{FORM}?again={comparison.pk}").text
    assert pair[0].label in form
    assert not Exchange.objects.filter(pk=columns[1].exchange_id).exists()
    assert not Preference.objects.filter(comparison=comparison).exists()


def assert_refused(who: Comparer, comparison) -> None:
    for what in ("0/stream", "1/stream", "0/again", "0/grade", "prefer", "reveal"):
        data = {"choice": "B", "value": "wrong"}
        refused = who.post(comparison, what, **data)
        assert refused.status_code == 403, what
        assert "data:" not in refused.text
        # Without the page's script, Wagtail says so on its first page.
        led = who.post(comparison, what, partial=False, **data)
        assert (led.status_code, led.headers["location"]) == (302, "/admin/"), what


def assert_untouched(comparison) -> None:
    assert not Exchange.objects.filter(columns__comparison=comparison).exists()
    assert not Preference.objects.filter(comparison=comparison).exists()


def test_what_is_not_there(comparer, pair):
    comparison = comparer.ask(pair)
    address = comparison.get_absolute_url()
    for path in (f"{FORM}{uuid.uuid4()}/", f"{address}7/"):
        assert comparer.browser.get(path).status_code == 404
    assert comparer.post(comparison, "7/stream").status_code == 404
    assert comparer.post(comparison, "prefer", choice="D").status_code == 400
    # Nothing to grade before there is an answer, and no such grade.
    assert comparer.post(comparison, "0/grade", value="correct").status_code == 409
    comparer.stream(comparison.columns.select_related("comparison").get(position=0))
    assert comparer.post(comparison, "0/grade", value="splendid").status_code == 400


def test_column_whose_backend_was_deleted(comparer, make_backend, pair):
    going = make_backend(behaviour={})
    comparison = comparer.ask([going, pair[0]])
    column = column_of(comparison, going)
    going.delete()
    assert comparer.browser.post(stream_path(column), headers=comparer.headers).status_code == 410
    part = text_of(comparer.column(column))
    assert f"{column.letter}'s backend was deleted before it was asked." in part
    assert going.label not in part
