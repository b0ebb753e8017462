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
    def test_stores_previous_backend_user_and_time(self, switch, user):
        first, second = make_backend(), make_backend("ollama")
        switch.activate(first, expected=None, user=user)
        previous = switch.activate(second, expected=first.pk, user=user)
        row = stored(switch.site)
        assert previous == row.previous == first
        assert (row.active, row.switched_by) == (second, user)
        assert row.switched_at is not None

    def test_previous_is_extractive_the_first_time(self, switch):
        switch.activate(make_backend(), expected=None)
        assert stored(switch.site).previous.kind == ChatBackend.Kind.EXTRACTIVE

    def test_extractive_explicitly_has_no_previous(self, switch):
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

    def test_back_without_previous(self, switch):
        with pytest.raises(ValidationError, match="no backend to switch back to"):
            switch.back(expected=None)

    def test_sites_are_independent(self, switch, other_site):
        switch.activate(make_backend(), expected=None)
        assert Switch.for_question(other_site).backend.kind == ChatBackend.Kind.EXTRACTIVE

    def test_already_active(self, switch):
        backend = make_backend()
        switch.activate(backend, expected=None)
        with pytest.raises(ValidationError, match="is active already"):
            switch.activate(backend, expected=backend.pk)


class TestConflict:
    def test_outdated_page(self, switch, user):
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
    def test_one_of_two_concurrent_switches_wins(self, switch):
        backends = [make_backend() for _ in range(2)]
        for _ in range(5):
            expected = stored(switch.site).active_id
            target = [b for b in backends if b.pk != expected]
            gate, outcomes = threading.Barrier(2), []

            def activate(backend, gate=gate, outcomes=outcomes, expected=expected):
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
            threads = [threading.Thread(target=activate, args=(backend,)) for backend in rivals]
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
    def test_records_old_and_new(self, switch, user):
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

    def test_message_names_the_backend(self, switch):
        switch.activate(make_backend(label="New one"), expected=None)
        entry = ModelLogEntry.objects.get(action="finetune_switch.switch")
        assert "New one" in entry.message


class TestUndeclared:
    def test_cannot_be_activated(self, switch, connections):
        backend = make_backend("ollama")
        del connections["ollama"]
        with pytest.raises(ValidationError, match="no longer declare"):
            switch.activate(backend, expected=None)
        assert stored(switch.site).active is None

    def test_adapter_alias_cannot_be_activated(self, switch):
        row = ChatBackend.objects.create(
            kind=ChatBackend.Kind.ADAPTER, alias="left", label="Left", connection="left"
        )
        with pytest.raises(ValidationError, match="“Left” is gone"):
            switch.activate(row, expected=None)

    @pytest.mark.parametrize("kind", ["connection", "adapter"])
    def test_questions_fail_with_a_message(self, switch, connections, standin, ask, kind):
        backend = make_backend("ollama", kind=kind)
        Switch.objects.update(active=backend)
        del connections["ollama"]
        asked = ask(passages=make_passages())
        assert asked.failure.code == "misconfigured"
        assert asked.failure.message.endswith(".")
        assert asked.text == ""
        assert standin.requests == []
        assert (asked.exchange.outcome, asked.exchange.backend) == (Outcome.FAILED, backend)

    def test_answers_once_declared_again(self, switch, connections, ask):
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

    def test_site_without_row(self, site, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert Switch.for_question(site).backend.kind == ChatBackend.Kind.EXTRACTIVE
        assert Switch.for_question(None).backend.kind == ChatBackend.Kind.EXTRACTIVE
        assert not Switch.objects.exists()

    def test_next_question_uses_the_new_backend(self, switch, standin, ask):
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

    def test_default_text(self):
        assert Switch().nothing_found_text("en") == "I don't know."
        assert self.SWITCH.nothing_found_text("fr") not in ("", "Sorry.", "Leider nicht.")


class TestDeleting:
    def test_backend_in_use_is_protected(self, switch):
        from django.db.models import ProtectedError

        backend = make_backend()
        switch.activate(backend, expected=None)
        (sentence,) = backend.usage()
        assert "Harbour" in sentence
        with pytest.raises(ProtectedError):
            backend.delete()

    def test_exchanges_survive_their_backend(self, switch, ask):
        backend = make_backend(label="Once")
        exchange = ask(passages=make_passages(), backend=backend).exchange
        backend.delete()
        exchange = Exchange.objects.get(pk=exchange.pk)
        assert (exchange.backend, exchange.backend_state["label"]) == (None, "Once")
