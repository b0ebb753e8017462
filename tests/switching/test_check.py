"""“Check connection”: each way of failing in words of its own, and what can be done about it."""

from __future__ import annotations

import time
from datetime import date
from types import SimpleNamespace

import pytest
from django.utils.formats import date_format
from wagtail.log_actions import registry as log_registry

from demo_site.standin import StandIn
from finetune_switch.backends.preflight import check_backend
from finetune_switch.models import ChatBackend
from tests.pages import address


def steps(page):
    """The steps of a check as they read: title → passed, sentence."""
    return {
        step.h3.find(string=True).strip(): (
            "finetune-step--passed" in step["class"],
            " ".join(p.get_text(" ", strip=True) for p in step.select("p")),
        )
        for step in page.main.select(".finetune-step")
    }


def failure(page):
    """The step at which a check stopped; all before it passed."""
    *passed, (title, (last, sentence)) = steps(page).items()
    assert all(ok for _title, (ok, _sentence) in passed)
    assert not last
    return SimpleNamespace(title=title, sentence=sentence)


def test_before_the_first_check(site, tuned, admin):
    page = admin.get("backends:check", tuned.pk)
    assert "It has not been checked yet." in page.text
    assert "The check sends one short question to a test of Ollama." in page.text
    assert page.buttons == ["Check connection"]


def test_an_ollama_that_answers(site, tuned, admin):
    page = admin.post("backends:check", tuned.pk)

    assert page.message == "“Our fine-tune” answers."
    found = steps(page)
    assert list(found) == [
        "Settings",
        "Reach the server",
        "Find the model",
        "Load the model",
        "Receive instructions",
        "Short answer",
    ]
    assert all(passed for passed, _sentence in found.values())
    assert found["Short answer"][1].startswith("It said: “")
    seconds = [step.h3.small.get_text() for step in page.main.select(".finetune-step")]
    assert all(text.endswith(" s") and float(text[:-2]) >= 0 for text in seconds)
    assert page.buttons[0] == "Check again"
    tuned.refresh_from_db()
    assert tuned.check_passed
    assert tuned.digest


def test_an_openai_that_answers(site, hosted, admin):
    page = admin.post("backends:check", hosted.pk)
    assert list(steps(page)) == ["Settings", "Find the model", "Short answer"]
    assert page.message == "“The hosted model” answers."


def test_a_model_with_an_announced_end(site, hosted, admin, switch, standin):
    end = date.fromisoformat(standin.find("standin-hosted-old").shutdown_date)
    ChatBackend.objects.filter(pk=hosted.pk).update(model_name="standin-hosted-old")
    page = admin.post("backends:check", hosted.pk)
    assert f"which it will shut down on {end}" in steps(page)["Find the model"][1]
    assert date_format(end) in admin.get("backends:index").text
    assert f"Shuts down {date_format(end)}" in admin.get("switch:site", site.pk).text


def test_the_built_in_backend_answers(site, extractive, admin):
    page = admin.post("backends:check", extractive.pk)
    assert all(passed for passed, _sentence in steps(page).values())


@pytest.mark.parametrize("alias", ["openai", "ollama"])
def test_refused(site, admin, connections, hosted, tuned, alias):
    connections[alias]["API_BASE"] = "http://127.0.0.1:9"
    page = admin.post("backends:check", (hosted if alias == "openai" else tuned).pk)
    assert failure(page).sentence == (
        "The model server does not take connections. What to do: Is it running, and does API_BASE "
        "name the right address and port?"
    )


def test_unknown_host(site, admin, connections, tuned):
    connections["ollama"]["API_BASE"] = "http://no-such-host.invalid:11434"
    found = failure(admin.post("backends:check", tuned.pk))
    assert found.title == "Reach the server"
    assert found.sentence.startswith("The model server's name is not known. What to do: Look at")
    assert "no-such-host" not in found.sentence


def test_wrong_key(site, admin, connections, hosted):
    connections["openai"]["API_KEY"] = "wrong-key"
    page = admin.post("backends:check", hosted.pk)
    assert failure(page).sentence == (
        "The model server did not accept our key. What to do: "
        'Renew API_KEY of the connection "openai" in the settings.'
    )
    assert page.message == "The model server did not accept our key."
    assert "wrong-key" not in page.html


@pytest.mark.parametrize("alias", ["openai", "ollama"])
def test_unknown_model(site, admin, hosted, tuned, alias):
    backend = hosted if alias == "openai" else tuned
    ChatBackend.objects.filter(pk=backend.pk).update(model_name="no-such-model")
    found = failure(admin.post("backends:check", backend.pk))
    assert found.title == "Find the model"
    assert "has no model" in found.sentence
    assert "“Show models”" in found.sentence


def test_not_an_ollama_at_all(site, admin, connections, tuned):
    with StandIn("openai") as other:
        connections["ollama"]["API_BASE"] = other.url
        found = failure(admin.post("backends:check", tuned.pk))
    assert found.title == "Reach the server"
    assert "than an Ollama" in found.sentence
    assert 'API_BASE of the connection "ollama" must be the address of an Ollama' in found.sentence


def test_a_load_that_takes_longer_than_the_backend_may(site, admin, tuned, standin):
    standin.add_model("sleeper", fault="slow-load", seconds=3)
    ChatBackend.objects.filter(pk=tuned.pk).update(model_name="sleeper", first_token_seconds=0.5)
    started = time.monotonic()
    found = failure(admin.post("backends:check", tuned.pk))
    assert time.monotonic() - started < 2.5
    assert found.title == "Load the model"
    assert found.sentence.startswith("The model server did not answer in time. What to do: It was")
    assert "0.5 seconds" in found.sentence


def test_a_load_that_is_slow_but_in_time(site, admin, tuned, standin):
    standin.add_model("riser", fault="slow-load", seconds=0.4, once=True)
    ChatBackend.objects.filter(pk=tuned.pk).update(model_name="riser", first_token_seconds=5)
    page = admin.post("backends:check", tuned.pk)
    assert all(passed for passed, _sentence in steps(page).values())


def test_a_model_that_says_nothing(site, admin, hosted, standin):
    standin.add_model("mute", fault="empty-answer")
    ChatBackend.objects.filter(pk=hosted.pk).update(model_name="mute")
    found = failure(admin.post("backends:check", hosted.pk))
    assert (found.title, found.sentence.split(" What")[0]) == (
        "Short answer",
        "The model gave an empty answer.",
    )


def test_a_check_that_passes_after_one_that_failed(site, admin, connections, hosted):
    right = connections["openai"]["API_BASE"]
    connections["openai"]["API_BASE"] = "http://127.0.0.1:9"
    admin.post("backends:check", hosted.pk)
    assert "Failed its check" in _card(admin, site, hosted)
    connections["openai"]["API_BASE"] = right
    admin.post("backends:check", hosted.pk)
    assert "Answered its check" in _card(admin, site, hosted)


def test_another_model_has_not_been_checked(site, admin, hosted):
    admin.post("backends:check", hosted.pk)
    admin.post(
        "backends:edit",
        hosted.pk,
        label="The hosted model",
        alias="hosted",
        connection="openai",
        model_name="standin-hosted",
        system_prompt=hosted.system_prompt,
        context_window="4096",
    )
    hosted.refresh_from_db()
    assert (hosted.check_passed, hosted.check_report) == (None, [])
    assert "Not checked yet" in _card(admin, site, hosted)


@pytest.mark.parametrize(
    "changes",
    [{"model_name": "standin-hosted"}, {"connection": "ollama"}, {"parameters": {"seed": 7}}],
)
def test_a_model_that_became_another_while_it_was_checked(site, hosted, changes):
    steps = check_backend(hosted)
    next(steps)
    ChatBackend.objects.filter(pk=hosted.pk).update(**changes)
    assert all(step.passed for step in steps)
    hosted.refresh_from_db()
    assert (hosted.checked_at, hosted.check_passed, hosted.check_report) == (None, None, [])


def test_another_name_meanwhile_is_the_same_model(site, hosted):
    hosted.parameters = {"temperature": 0.5, "stop": ["a"]}
    hosted.save()
    steps = check_backend(hosted)
    next(steps)
    ChatBackend.objects.filter(pk=hosted.pk).update(label="Renamed")
    assert all(step.passed for step in steps)
    hosted.refresh_from_db()
    assert (hosted.label, hosted.check_passed) == ("Renamed", True)


def _card(admin, site, backend):
    cards = admin.get("switch:site", site.pk).main.select("li.finetune-card")
    return next(card.get_text(" ") for card in cards if str(backend) in card.get_text())


class TestDeaf:
    """A fine-tune whose template has no place for instructions and passages."""

    @pytest.fixture
    def deaf(self, tuned):
        ChatBackend.objects.filter(pk=tuned.pk).update(
            model_name="standin-deaf:latest", context_window=2048
        )
        tuned.refresh_from_db()
        return tuned

    def test_is_told_in_words_that_an_editor_understands(self, site, deaf, admin):
        page = admin.post("backends:check", deaf.pk)
        found = failure(page)
        assert found.title == "Receive instructions"
        assert found.sentence.startswith("The model never sees its instructions or the passages")
        assert page.links("Download the corrected Modelfile") == [
            address("backends:modelfile", deaf.pk)
        ]

    def test_the_modelfile_gives_the_template_a_place_for_them(self, site, deaf, admin):
        response = admin.get("backends:modelfile", deaf.pk).response
        assert response["Content-Type"].startswith("text/plain")
        assert response["Content-Disposition"] == 'attachment; filename="Modelfile"'
        assert response.content.decode() == (
            "FROM standin-deaf:latest\n"
            'TEMPLATE """{{ if .System }}{{ .System }}\n\n{{ end }}### Instruction:\n'
            '{{ .Prompt }}\n\n### Response:\n"""\n'
            "PARAMETER num_ctx 4096\n"
            'PARAMETER stop "<|end|>"\n'
        )

    def test_a_modelfile_that_cannot_be_made_says_why(self, site, deaf, admin, connections):
        connections["ollama"]["API_BASE"] = "http://127.0.0.1:9"
        page = _follow(admin, deaf)
        assert page.message.startswith("The model server does not take connections.")

    def test_no_modelfile_for_a_backend_that_is_no_ollama(
        self, site, hosted, extractive, declared, admin
    ):
        for backend in (hosted, extractive, declared):
            page = _follow(admin, backend)
            assert page.status == 200
            assert page.message.startswith("Only a model on Ollama has a Modelfile.")

    def test_one_that_hears_is_offered_no_modelfile(self, site, hosted, tuned, admin):
        page = admin.post("backends:check", tuned.pk)
        assert page.links("Download the corrected Modelfile") == []


class TestWhereOllamaDoesNotRender:
    """It runs some models with the template in their file, and answers a real question then."""

    @pytest.fixture
    def check(self, site, tuned, admin, standin):
        def check(template, answer="The harbour opens at nine."):
            standin.add_model("native", renders=False, template=template, answer=answer)
            ChatBackend.objects.filter(pk=tuned.pk).update(model_name="native")
            return admin.post("backends:check", tuned.pk)

        return check

    @pytest.mark.parametrize("place", ["{{ .System }}", "{{ range .Messages }}{{ end }}"])
    def test_a_template_with_a_place_for_instructions(self, check, place):
        found = steps(check(f"{place} {{{{ .Prompt }}}}"))
        assert found["Receive instructions"] == (True, "Instructions and passages reach the model.")
        assert found["Short answer"][0]

    def test_a_template_without(self, check):
        page = check("### Instruction:\n{{ .Prompt }}")
        assert failure(page).sentence.startswith("The model never sees its instructions")
        assert page.links("Download the corrected Modelfile")

    def test_no_template_and_it_repeats_what_it_was_told(self, check):
        found = steps(check("", answer=lambda messages: f"It is {_told(messages).upper()}."))
        assert found["Receive instructions"] == (True, "Instructions and passages reach the model.")

    def test_no_template_and_it_cannot(self, check):
        page = check("")
        found = failure(page)
        assert found.title == "Receive instructions"
        assert found.sentence.startswith("The model was told a word in its instructions, and")
        # What its template is like nobody knows, so there is none to correct.
        assert page.links("Download the corrected Modelfile") == []


def _told(messages):
    told = "".join(m["content"] for m in messages if m["role"] == "system")
    return told.removeprefix("The word of the day is ").rstrip(".")


def _follow(admin, backend):
    from tests.pages import Page

    return Page(admin.client.get(address("backends:modelfile", backend.pk), follow=True))


class TestBaseModel:
    """The model that a fine-tune came from is the fair control in a comparison."""

    def test_is_offered_where_the_server_names_it(self, site, tuned, admin):
        page = admin.post("backends:check", tuned.pk)
        assert "It was tuned from “standin-base:latest”" in page.text

        page = admin.post("backends:add_base", tuned.pk)

        base = ChatBackend.objects.get(model_name="standin-base:latest")
        assert str(base) == "standin-base:latest (untuned)"
        entry = log_registry.get_logs_for_instance(base).get()
        assert (entry.action, entry.user) == ("wagtail.create", admin.user)
        assert page.message == f"“{base}” was added. Check now whether it answers."
        assert base.connection == tuned.connection
        assert page.response.redirect_chain[-1][0] == address("backends:check", base.pk)
        assert "It was tuned from" not in admin.get("backends:check", tuned.pk).text

    def test_is_offered_to_those_only_who_may_add(self, site, tuned, log_in, admin):
        admin.post("backends:check", tuned.pk)
        assert "It was tuned from" not in log_in("viewer").get("backends:check", tuned.pk).text

    def test_is_not_offered_where_nobody_knows_it(self, site, hosted, admin):
        assert "It was tuned from" not in admin.post("backends:check", hosted.pk).text
        page = admin.post("backends:add_base", hosted.pk)
        assert page.message == "The server does not say what it was tuned from."

    def test_is_not_added_twice(self, site, tuned, admin):
        admin.post("backends:check", tuned.pk)
        for _time in range(2):
            page = admin.post("backends:add_base", tuned.pk)
        assert page.message == "“standin-base:latest” is a chat backend already."
        assert ChatBackend.objects.filter(model_name="standin-base:latest").count() == 1

    def test_of_a_connection_that_has_left(self, site, tuned, admin, connections):
        admin.post("backends:check", tuned.pk)
        del connections["ollama"]
        page = admin.post("backends:add_base", tuned.pk)
        assert "There is no connection “ollama” in the settings." in page.message
