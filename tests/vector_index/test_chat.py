from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.translation import override
from wagtail.models import Page, Site
from wagtail_vector_index.ai import get_chat_backend
from wagtail_vector_index.ai_utils.backends.echo import EchoChatBackend
from wagtail_vector_index.storage.base import VectorIndex
from wagtail_vector_index.storage.models import PageEmbeddableFieldsVectorIndexMixin
from wagtail_vector_index.storage.numpy.provider import NumpyIndexMixin

from demo_site.models import ArticlePage
from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch import adapters
from finetune_switch.adapters import Scope
from finetune_switch.backends.registration import synchronise_backends
from finetune_switch.exceptions import BackendError, InvalidQuestion
from finetune_switch.middleware import CurrentSiteMiddleware
from finetune_switch.models import ChatBackend, Exchange, Origin, Outcome, Switch
from finetune_switch.vector_index.indexes import QuestionVectors, RegisteredIndex
from tests.helpers import make_backend, run

pytestmark = pytest.mark.django_db

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "When do you open?"},
]
ECHO = {
    "CLASS": "wagtail_vector_index.ai_utils.backends.echo.EchoChatBackend",
    "CONFIG": {"MODEL_ID": "echo-1", "TOKEN_LIMIT": 2000},
}


@pytest.fixture
def switch(site, connections):
    switch = Switch.objects.create(site=site)
    switch.activate(make_backend("ollama"), expected=None)
    return switch


@pytest.fixture
def declare(settings):
    """Adds aliases to ``WAGTAIL_VECTOR_INDEX["CHAT_BACKENDS"]``."""

    def add(**aliases):
        declared = settings.WAGTAIL_VECTOR_INDEX
        backends = {"default": declared["CHAT_BACKENDS"]["default"], **aliases}
        settings.WAGTAIL_VECTOR_INDEX = {**declared, "CHAT_BACKENDS": backends}

    return add


def use(model, connection="ollama", **values):
    backend = make_backend(connection, model, **values)
    Switch.objects.update(active=backend)
    return backend


class Calls:
    """The four ways to call a chat backend."""

    @staticmethod
    def chat(messages, **kwargs):
        return get_chat_backend("default").chat(messages=messages, **kwargs).choices[0]

    @staticmethod
    def stream(messages, **kwargs):
        parts = get_chat_backend("default").chat(messages=messages, stream=True, **kwargs)
        return "".join(part["content"] for part in parts)

    @staticmethod
    def achat(messages, **kwargs):
        return run(get_chat_backend("default").achat(messages=messages, **kwargs)).choices[0]

    @staticmethod
    def astream(messages, **kwargs):
        async def read():
            backend = get_chat_backend("default")
            parts = await backend.achat(messages=messages, stream=True, **kwargs)
            return "".join([part["content"] async for part in parts])

        return run(read())


@pytest.fixture(params=["chat", "stream", "achat", "astream"])
def chat(request):
    return getattr(Calls, request.param)


class TestCalls:
    def test_follows_the_switch(self, switch, standin, chat):
        paths = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}
        for connection, path in paths.items():
            standin.clear()
            backend = use("test-model", connection)
            assert chat(MESSAGES) == TEST_ANSWER
            (request,) = standin.requests
            assert request.path == path
            assert [m["content"] for m in request.json["messages"]] == [
                m["content"] for m in MESSAGES
            ]
            assert Exchange.objects.latest("opened_at").backend == backend

    def test_records_an_exchange(self, switch, chat):
        chat(MESSAGES)
        exchange = Exchange.objects.get()
        assert (exchange.question, exchange.passages) == ("When do you open?", [])
        assert (exchange.origin, exchange.site) == (Origin.SITE, switch.site)
        assert exchange.outcome == Outcome.COMPLETE

    def test_error_message_is_safe(self, switch, chat):
        use("fault-leaky-error", first_token_seconds=3)
        with pytest.raises(BackendError, match="could not run the model"):
            chat(MESSAGES)
        assert Exchange.objects.get().outcome == Outcome.FAILED

    def test_rejects_parameters(self, switch, standin, chat):
        with pytest.raises(TypeError, match="temperature, max_tokens"):
            chat(MESSAGES, temperature=0, max_tokens=9)
        assert standin.requests == []

    def test_needs_a_question(self, switch, chat):
        with pytest.raises(InvalidQuestion):
            chat(MESSAGES[:1])


class TestStreams:
    def test_text_before_a_failure_is_streamed(self, switch):
        use("fault-cut")
        parts = get_chat_backend("default").chat(messages=MESSAGES, stream=True)
        parts_before_failure = [next(parts), next(parts), next(parts)]
        with pytest.raises(BackendError):
            next(parts)
        assert {part["index"] for part in parts_before_failure} == {0}
        assert (
            "".join(part["content"] for part in parts_before_failure).strip() == "The harbour opens"
        )

    def test_close_stops_the_model(self, switch, standin):
        use("fault-silence")
        parts = get_chat_backend("default").chat(messages=MESSAGES, stream=True)
        assert next(parts)["content"] == "The"
        parts.close()
        standin.wait_for(lambda: standin.disconnects, timeout=1)
        assert Exchange.objects.get().outcome == Outcome.CANCELLED

    def test_aclose_stops_the_model(self, switch, standin):
        use("fault-silence")

        async def leave():
            parts = await get_chat_backend("default").achat(messages=MESSAGES, stream=True)
            assert (await anext(parts))["content"] == "The"
            await parts.aclose()

        run(leave())
        standin.wait_for(lambda: standin.disconnects, timeout=1)
        assert Exchange.objects.get().outcome == Outcome.CANCELLED


class TestNumbersInBrackets:
    def test_are_not_citations_of_a_foreign_prompt(self, switch, standin, chat):
        standin.add_model("emergency", answer=lambda messages: "Dial [112], then press [3].")
        use("emergency")
        assert chat(MESSAGES) == "Dial [112], then press [3]."
        assert Exchange.objects.get().answer == "Dial [112], then press [3]."


class TestQuery:
    def test_index_query_follows_the_switch(self, switch, make_page, standin):
        make_page("Lamp", "The lighthouse lamp was first lit in 1871 by Ada Pender.")
        ArticlePage.vector_index.rebuild_index()
        response = ArticlePage.vector_index.query("Who lit the lamp?")
        assert response.response == TEST_ANSWER
        assert [page.title for page in response.sources] == ["Lamp"]
        assert "Ada Pender" in standin.requests[0].json["messages"][-1]["content"]
        assert Exchange.objects.get().question == "Who lit the lamp?"

    def test_without_model_quotes_the_pages(self, site, make_page):
        make_page("Lamp", "The lighthouse lamp was first lit in 1871 by Ada Pender.")
        ArticlePage.vector_index.rebuild_index()
        response = ArticlePage.vector_index.query("Who lit the lighthouse lamp first?")
        assert response.response == "The lighthouse lamp was first lit in 1871 by Ada Pender. [1]"


class TestDeclared:
    def row(self):
        return ChatBackend.objects.get(kind=ChatBackend.Kind.ADAPTER)

    def test_alias_gets_a_row_but_not_the_switch(self, site, declare):
        declare(before=ECHO)
        assert [row.alias for row in synchronise_backends()] == ["before"]
        row = self.row()
        assert (row.connection, row.model_name, row.context_window) == ("before", "echo-1", 2000)
        assert row.is_read_only
        assert synchronise_backends() == []

    def test_row_follows_the_settings(self, site, declare):
        declare(before=ECHO)
        synchronise_backends()
        declare(before={**ECHO, "CONFIG": {"MODEL_ID": "echo-2", "TOKEN_LIMIT": 3000}})
        synchronise_backends()
        assert (self.row().model_name, self.row().context_window) == ("echo-2", 3000)

    def test_alias_in_use_by_a_backend(self, site, declare):
        make_backend(alias="before")
        declare(before=ECHO)
        synchronise_backends()
        assert self.row().alias == "before-2"

    def test_concurrent_synchronisation(self, site, declare, monkeypatch):
        declare(before=ECHO, after=ECHO)
        make_backend(alias="after")
        declared, concurrent = adapters.declared_backends, []

        def synchronise_first():
            # The existing rows have been read at this point.
            if not concurrent:
                concurrent.append(True)
                concurrent.extend(synchronise_backends())
            return declared()

        monkeypatch.setattr(adapters, "declared_backends", synchronise_first)
        assert synchronise_backends() == []
        assert [row.alias for row in concurrent[1:]] == ["before", "after-2"]
        assert ChatBackend.objects.filter(kind=ChatBackend.Kind.ADAPTER).count() == 2

    def test_stored_name_is_not_translated(self, site, declare):
        declare(before=ECHO)
        synchronise_backends()
        with override("de"):
            synchronise_backends()
            assert str(self.row()) == "before (aus den Einstellungen)"
        assert self.row().label == "before"

    def test_alias_equal_to_a_connection(self, site, declare, connections):
        connections["openai"]["DEADLINES"] = {"TOTAL": 3}
        declare(openai=ECHO)
        synchronise_backends()
        assert self.row().connection == "openai"
        assert self.row().deadlines.total == 20
        assert self.row().provider == ""

    def test_unexpected_exception(self, switch, declare, ask):
        declare(broken={**ECHO, "CLASS": f"{__name__}.BrokenChatBackend"})
        synchronise_backends()
        switch.activate(self.row(), expected=switch.active_id)
        failure = ask("Hello?", retrieval=False).failure
        assert failure.code == "failed"
        assert "connection" not in failure.message + failure.remedy
        assert "“broken”" in failure.remedy

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_new_threads_after_fork(self, switch, declare):
        # The parent's threads do not exist in the child, which would wait for them.
        code = (
            "import django, os, signal; django.setup()\n"
            "from finetune_switch.vector_index import declared\n"
            "declared._threads.submit(int).result()\n"
            "if not (child := os.fork()):\n"
            "    signal.alarm(5)\n"
            "    declared._threads.submit(int).result()\n"
            "    os._exit(0)\n"
            "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
        )
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "demo_site.settings"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == "0"

    def test_answers_in_one_piece(self, switch, declare, ask):
        declare(before=ECHO)
        synchronise_backends()
        switch.activate(self.row(), expected=switch.active_id)
        asked = ask("Hello?", retrieval=False)
        assert asked.text.startswith("This is an echo backend:")
        assert asked.text.endswith("Hello?")
        assert asked.exchange.outcome == Outcome.COMPLETE
        assert Calls.chat(MESSAGES).endswith("When do you open?")

    def test_removed_alias_is_shown_as_gone(self, switch, declare, ask):
        declare(before=ECHO)
        synchronise_backends()
        switch.activate(self.row(), expected=switch.active_id)
        assert self.row().unavailable_reason == ""
        declare()
        assert synchronise_backends() == []
        assert "is gone" in self.row().unavailable_reason
        asked = ask("Hello?", retrieval=False)
        assert (asked.failure.code, asked.text) == ("misconfigured", "")
        declare(before=ECHO)
        assert ask("Hello?", retrieval=False).done


class BrokenChatBackend(EchoChatBackend):
    def chat(self, **kwargs):
        raise ValueError("no JSON at all")


class TestIndexes:
    """An index contains only the objects of its querysets, although all share one table."""

    @pytest.fixture
    def index(self, make_page):
        make_page("Lamp", "The lighthouse lamp was first lit in 1871 by Ada Pender.")
        make_page("Soup", "The lighthouse café serves kipper soup from noon until three.")
        make_page("Boat", "The lighthouse boat is called the Kittiwake, and was built in 1868.")

        class Index(PageEmbeddableFieldsVectorIndexMixin, NumpyIndexMixin, VectorIndex):
            querysets = [ArticlePage.objects.all()]

        Index().rebuild_index()

        def search(*querysets):
            Index.querysets = querysets
            found = RegisteredIndex("some", Index(), QuestionVectors())
            hits = found.search("What of the lighthouse?", limit=10, scope=Scope(), threshold=0)
            return {ArticlePage.objects.get(pk=hit.object_id).title for hit in hits}

        return search

    def test_unfiltered(self, index):
        assert index(ArticlePage.objects.all()) == {"Lamp", "Soup", "Boat"}
        assert index(ArticlePage.objects) == {"Lamp", "Soup", "Boat"}

    def test_filtered(self, index):
        pages = ArticlePage.objects
        assert index(pages.filter(title="Lamp")) == {"Lamp"}
        assert index(pages.filter(title="Lamp"), pages.filter(title="Boat")) == {"Lamp", "Boat"}
        assert index(pages.exclude(title="Soup").order_by("title")[:1]) == {"Boat"}
        assert index(pages.order_by("title")[1:]) == {"Lamp", "Soup"}
        assert index(pages.filter(title="None")) == set()
        assert index(pages.none()) == set()

    def test_filtered_and_unfiltered(self, index):
        both = ArticlePage.objects.filter(title="Lamp"), ArticlePage.objects.all()
        assert index(*both) == index(*reversed(both)) == {"Lamp", "Soup", "Boat"}


class TestSites:
    @pytest.fixture
    def other(self, site):
        page = Page.get_first_root_node().add_child(instance=Page(title="Other", slug="other"))
        return Site.objects.create(hostname="other.example", root_page=page)

    def ask_on(self, host):
        def view(request):
            return HttpResponse(Calls.chat(MESSAGES))

        request = RequestFactory().get("/", headers={"host": host})
        return CurrentSiteMiddleware(view)(request).content.decode()

    async def aask_on(self, host):
        async def view(request):
            reply = await get_chat_backend("default").achat(messages=MESSAGES)
            return HttpResponse(reply.choices[0])

        response = await CurrentSiteMiddleware(view)(
            RequestFactory().get("/", headers={"host": host})
        )
        return response.content.decode()

    def test_site_of_the_request(self, switch, other, standin, settings):
        settings.ALLOWED_HOSTS = ["*"]
        standin.add_model("elsewhere", answer="From the other site.")
        Switch.objects.create(site=other).activate(
            make_backend("openai", "elsewhere"), expected=None
        )
        ours, theirs = TEST_ANSWER, "From the other site."
        assert self.ask_on("localhost") == ours
        assert self.ask_on("other.example") == theirs
        assert run(self.aask_on("other.example")) == theirs
        assert run(self.aask_on("localhost")) == ours
        assert Calls.chat(MESSAGES) == ours  # no request: the default site
        hosts = Exchange.objects.order_by("opened_at").values_list("site__hostname", flat=True)
        assert list(hosts) == [
            "localhost", "other.example", "other.example", "localhost", "localhost",
        ]  # fmt: skip
