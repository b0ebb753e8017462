"""The switch: one choice for each site, changed by its own verbs, and followed at once."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from wagtail.models import ModelLogEntry, Page, Site

from finetune_switch.exceptions import SwitchConflict
from finetune_switch.models import ChatBackend, Exchange, Outcome, Switch
from tests.helpers import make_backend, make_passages

pytestmark = pytest.mark.django_db


@pytest.fixture
def switch(site, connections):
    return Switch.objects.create(site=site)


@pytest.fixture
def user(db):
    return User.objects.create_user("ada", first_name="Ada")


@pytest.fixture
def other_site(site):
    page = Page.get_first_root_node().add_child(instance=Page(title="Other", slug="other"))
    return Site.objects.create(hostname="other.example", root_page=page)


def stored(site):
    return Switch.objects.get(site=site)


class TestActivate:
    def test_keeps_what_was_before_by_whom_and_since_when(self, switch, user):
        first, second = make_backend(), make_backend("ollama")
        switch.activate(first, expected=None, user=user)
        previous = switch.activate(second, expected=first.pk, user=user)
        row = stored(switch.site)
        assert previous == row.previous == first
        assert (row.active, row.switched_by) == (second, user)
        assert row.switched_at is not None

    def test_the_first_one_before_any_was_extractive(self, switch):
        switch.activate(make_backend(), expected=None)
        assert stored(switch.site).previous.kind == ChatBackend.Kind.EXTRACTIVE

    def test_the_extractive_one_where_it_answered_already(self, switch):
        extractive = ChatBackend.objects.get(kind=ChatBackend.Kind.EXTRACTIVE)
        Switch.objects.update(active=None, previous=None)
        switch.activate(extractive, expected=None)
        assert (switch.active, switch.previous) == (extractive, None)

    def test_back_and_forth(self, switch, user):
        first, second = make_backend(), make_backend()
        switch.activate(first, expected=None)
        switch.activate(second, expected=first.pk)
        switch.back(expected=second.pk, user=user)
        assert (stored(switch.site).active, stored(switch.site).previous) == (first, second)
        switch.back(expected=first.pk)
        assert (stored(switch.site).active, stored(switch.site).previous) == (second, first)

    def test_there_may_be_nothing_to_go_back_to(self, switch):
        with pytest.raises(ValidationError, match="no backend to switch back to"):
            switch.back(expected=None)

    def test_one_site_is_not_another(self, switch, other_site):
        switch.activate(make_backend(), expected=None)
        assert Switch.for_question(other_site).backend.kind == ChatBackend.Kind.EXTRACTIVE

    def test_what_is_active_already(self, switch):
        backend = make_backend()
        switch.activate(backend, expected=None)
        with pytest.raises(ValidationError, match="is active already"):
            switch.activate(backend, expected=backend.pk)


class TestConflict:
    def test_a_page_that_is_out_of_date(self, switch, user):
        mine, theirs = make_backend(), make_backend(label="Their choice")
        opened_before = stored(switch.site)
        switch.activate(theirs, expected=None, user=user)
        with pytest.raises(SwitchConflict) as caught:
            opened_before.activate(mine, expected=None)
        assert "ada" in str(caught.value)
        assert "“Their choice”" in str(caught.value)
        assert stored(switch.site).active == theirs
        assert ModelLogEntry.objects.filter(action="finetune_switch.switch").count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_once_exactly_one_wins(self, switch):
        backends = [make_backend() for _ in range(2)]
        for _ in range(5):
            expected = stored(switch.site).active_id
            target = [b for b in backends if b.pk != expected]
            gate, outcomes = threading.Barrier(2), []

            def turn(backend, gate=gate, outcomes=outcomes, expected=expected):
                row = stored(switch.site)
                gate.wait()
                try:
                    row.activate(backend, expected=expected)
                    outcomes.append("won")
                except SwitchConflict:
                    outcomes.append("lost")
                finally:
                    connection.close()

            rivals = (target * 2)[:2]
            threads = [threading.Thread(target=turn, args=(backend,)) for backend in rivals]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(outcomes) == ["lost", "won"]
            assert stored(switch.site).active in rivals
        assert ModelLogEntry.objects.filter(action="finetune_switch.switch").count() == 5


class TestSaving:
    def test_a_settings_form_opened_before_a_switch_does_not_switch_back(self, switch):
        opened_before = stored(switch.site)
        backend = make_backend()
        switch.activate(backend, expected=None)
        opened_before.passages = 9
        opened_before.save()
        row = stored(switch.site)
        assert (row.active, row.passages) == (backend, 9)
        assert row.switched_at is not None

    def test_setting_the_field_does_not_switch(self, switch):
        switch.active = make_backend()
        switch.save()
        assert stored(switch.site).active is None


class TestAuditLog:
    def test_says_old_and_new(self, switch, user):
        old, new = make_backend(label="Old one"), make_backend("ollama", label="New one")
        switch.activate(old, expected=None)
        switch.activate(new, expected=old.pk, user=user)
        entry = ModelLogEntry.objects.filter(action="finetune_switch.switch").latest("timestamp")
        assert entry.user == user
        assert entry.data["backend"]["old"]["label"] == "Old one"
        assert entry.data["backend"]["new"] == {
            "alias": new.alias, "label": "New one", "model": "test-model",
        }  # fmt: skip
        assert entry.object_id == str(switch.pk)

    def test_reads_as_a_sentence(self, switch):
        switch.activate(make_backend(label="New one"), expected=None)
        entry = ModelLogEntry.objects.get(action="finetune_switch.switch")
        assert "New one" in entry.message


class TestWhatIsGone:
    def test_cannot_be_activated(self, switch, connections):
        backend = make_backend("ollama")
        del connections["ollama"]
        with pytest.raises(ValidationError, match="no longer declare"):
            switch.activate(backend, expected=None)
        assert stored(switch.site).active is None

    def test_nor_can_an_alias_that_has_left(self, switch):
        row = ChatBackend.objects.create(
            kind=ChatBackend.Kind.ADAPTER, alias="left", label="Left", connection="left"
        )
        with pytest.raises(ValidationError, match="“Left” is gone"):
            switch.activate(row, expected=None)

    @pytest.mark.parametrize("kind", ["connection", "adapter"])
    def test_a_question_then_fails_with_a_sentence(self, switch, connections, standin, ask, kind):
        backend = make_backend("ollama", kind=kind)
        Switch.objects.update(active=backend)
        del connections["ollama"]
        asked = ask(passages=make_passages())
        assert asked.failure.code == "misconfigured"
        assert asked.failure.message.endswith(".")
        assert asked.text == ""
        assert standin.requests == []
        assert (asked.exchange.outcome, asked.exchange.backend) == (Outcome.FAILED, backend)

    def test_it_answers_again_when_it_is_back(self, switch, connections, ask):
        Switch.objects.update(active=make_backend("ollama"))
        declared = connections.pop("ollama")
        assert ask(passages=make_passages()).failure
        connections["ollama"] = declared
        assert ask(passages=make_passages()).done


class TestForQuestion:
    def test_is_one_query_and_writes_nothing(self, switch, django_assert_num_queries):
        backend = make_backend()
        backend.system_prompt = "Another wording."
        backend.save()
        switch.activate(backend, expected=None)
        with django_assert_num_queries(1) as queries:
            row = Switch.for_question(switch.site)
            assert row.backend.snapshot()["prompt_version"] == 2
            assert row.backend.deadlines.total == 20
        assert queries[0]["sql"].startswith("SELECT")

    def test_no_row_yet_is_the_extractive_backend_and_stays_no_row(
        self, site, django_assert_num_queries
    ):
        with django_assert_num_queries(1):
            assert Switch.for_question(site).backend.kind == ChatBackend.Kind.EXTRACTIVE
        assert Switch.for_question(None).backend.kind == ChatBackend.Kind.EXTRACTIVE
        assert not Switch.objects.exists()

    def test_the_very_next_question_follows(self, switch, standin, ask):
        for connection_name, path in (("openai", "/v1/chat/completions"), ("ollama", "/api/chat")):
            standin.clear()
            switch.activate(make_backend(connection_name), expected=switch.active_id)
            assert ask(passages=make_passages()).exchange.backend == switch.active
            assert [request.path for request in standin.requests] == [path]


class TestNothingFoundText:
    SWITCH = Switch(nothing_found={"en-gb": "Sorry.", "de": "Leider nicht."})

    @pytest.mark.parametrize(
        ("locale", "text"),
        [("en-gb", "Sorry."), ("de", "Leider nicht."), ("de-at", "Leider nicht.")],
    )
    def test_in_the_language_of_the_question(self, locale, text):
        assert self.SWITCH.nothing_found_text(locale) == text

    def test_ours_where_the_team_wrote_none(self):
        assert Switch().nothing_found_text("en") == "I don't know."
        assert self.SWITCH.nothing_found_text("fr") not in ("", "Sorry.", "Leider nicht.")


class TestDeleting:
    def test_a_backend_in_use_says_where(self, switch):
        from django.db.models import ProtectedError

        backend = make_backend()
        switch.activate(backend, expected=None)
        (sentence,) = backend.usage()
        assert "Harbour" in sentence
        with pytest.raises(ProtectedError):
            backend.delete()

    def test_a_previous_one_and_its_exchanges_stay_readable(self, switch, ask):
        backend = make_backend(label="Once")
        exchange = ask(passages=make_passages(), backend=backend).exchange
        backend.delete()
        exchange = Exchange.objects.get(pk=exchange.pk)
        assert (exchange.backend, exchange.backend_state["label"]) == (None, "Once")
