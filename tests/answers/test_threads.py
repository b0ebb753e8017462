"""Answers do not close their caller's database connection; streams release it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import RequestFactory

from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch.answers import answer, stream_answer
from finetune_switch.models import ChatBackend
from tests.conversation_helpers import FOLLOW_UP, TURNS
from tests.helpers import QUESTION, make_backend, make_passages

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="connections to SQLite are never given back"
    ),
]


@pytest.fixture
def options(site, connections):
    return {"backend": make_backend("ollama"), "passages": make_passages()}


def select(sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


class TestAnswer:
    """The caller's database session survives every event of an answer."""

    def test_server_side_cursor_of_a_loop(self, options):
        for _number in range(5):
            make_backend("ollama")
        rows = ChatBackend.objects.order_by("pk").iterator(chunk_size=1)
        answers = [answer(QUESTION, **options).text for _row in rows]
        assert answers == [TEST_ANSWER] * ChatBackend.objects.count()

    def test_advisory_lock(self, options):
        held = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        select("SELECT pg_advisory_lock(42)")
        try:
            for _event in answer(QUESTION, **options):
                assert select(held) == [(1,)]
            assert select(held) == [(1,)]
        finally:
            select("SELECT pg_advisory_unlock_all()")

    def test_temporary_table(self, options):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE kept AS SELECT 7 AS number")
        assert answer(QUESTION, **options).text == TEST_ANSWER
        assert select("SELECT number FROM kept") == [(7,)]
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE kept")

    def test_listen(self, options):
        with connection.cursor() as cursor:
            cursor.execute("LISTEN harbour")
        assert answer(QUESTION, **options).text == TEST_ANSWER
        assert select("SELECT pg_listening_channels()") == [("harbour",)]
        with connection.cursor() as cursor:
            cursor.execute("UNLISTEN harbour")

    def test_follow_up_that_is_searched_for_again(self, site, connections):
        select("SELECT set_config('application_name', 'kept', false)")
        _ = answer(FOLLOW_UP, turns=TURNS, backend=make_backend("ollama")).text
        assert select("SHOW application_name") == [("kept",)]

    def test_answer_that_fails(self, options):
        select("SELECT set_config('application_name', 'kept', false)")
        options["backend"] = make_backend("ollama", "fault-unauthorized")
        assert list(answer(QUESTION, **options))[-1].name == "failed"
        assert select("SHOW application_name") == [("kept",)]


class TestStream:
    """Under WSGI a stream holds no connection while its model is waited for."""

    def test_answer(self, options):
        response = stream_answer(RequestFactory().post("/"), QUESTION, **options)
        is_open = connections_held(response, b"event: sources", b"event: text")
        assert len(is_open) > 3
        assert not any(is_open)

    def test_follow_up_that_a_model_rewrites(self, site, connections):
        backend = make_backend("openai", "fault-rewrite-hangs", first_token_seconds=2)
        response = stream_answer(
            RequestFactory().post("/"), FOLLOW_UP, turns=TURNS, backend=backend
        )
        is_open = connections_held(response, b"event: sources", b": ")
        assert len(is_open) > 3
        assert not any(is_open[1:])


def connections_held(response, *beginnings):
    """Whether this thread's connection was open at each piece of the stream that begins so."""
    held = []
    for piece in response.streaming_content:
        if piece.startswith(beginnings):
            held.append(connection.connection is not None)
    response.close()
    return held
