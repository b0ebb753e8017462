"""``manage.py finetune_switch``: what a person reads, what a script reads, and the exit code."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from wagtail.models import Locale, ModelLogEntry, Page, Site

from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch import adapters
from finetune_switch.answers import opening
from finetune_switch.management.subcommands import check_and_ask as subcommand
from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    Exchange,
    Feedback,
    Grade,
    Origin,
    PreparedAnswer,
    Question,
    Switch,
)
from tests.helpers import make_backend, make_passages, manage
from tests.roles import make_user
from tests.visitor_helpers import make_exchange

pytestmark = pytest.mark.django_db

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender."
QUESTION = "Who lit the lighthouse lamp first?"


class Broken:
    """A package whose only index cannot be searched."""

    alias = label = "broken"

    def indexes(self):
        return [self]

    def search(self, question, *, limit):
        raise RuntimeError("no such table")


@pytest.fixture
def hosted(site, connections):
    return make_backend("openai", alias="hosted", label="Hosted model")


@pytest.fixture
def tuned(site, connections):
    return make_backend("ollama", alias="fine-tune", label="Our fine-tune")


class TestStatus:
    def test_before_anybody_chose(self, site, connections):
        ran = manage("status")
        assert ran.code == 0
        assert "Sentences from the pages (no model) (extractive)" in ran.out
        assert manage("status", "--json").json["active"] == "extractive"
        assert not Switch.objects.exists()

    def test_after(self, hosted, tuned):
        manage("use", "hosted")
        manage("use", "fine-tune")
        ran = manage("status")
        for line in ("Our fine-tune (fine-tune)", "test-model", "a test of Ollama", "(hosted)"):
            assert line in ran.out
        status = manage("status", "--json").json
        assert (status["active"], status["previous"]) == ("fine-tune", "hosted")
        assert (status["model"], status["site"]) == ("test-model", "localhost:80")
        assert (status["data_destination"], status["problem"]) == ("a test of Ollama", None)

    def test_without_time_zones(self, hosted, settings):
        settings.USE_TZ = False
        manage("use", "hosted")
        assert f"{datetime.now():%Y-%m-%d}" in manage("status").out

    def test_one_that_could_not_answer(self, tuned, connections):
        manage("use", "fine-tune")
        del connections["ollama"]
        ran = manage("status")
        assert (ran.code, "is gone" in ran.err) == (1, True)
        ran = manage("status", "--json")
        assert (ran.code, "is gone" in ran.json["problem"]) == (1, True)


class TestList:
    def test_for_a_person(self, hosted, tuned):
        manage("use", "hosted")
        lines = manage("list").out.splitlines()
        assert any(line.startswith("* hosted") and "Hosted model" in line for line in lines)
        assert any(line.startswith("  fine-tune") for line in lines)
        assert any(line.startswith("  extractive") for line in lines)

    def test_for_a_script(self, hosted, tuned, connections):
        manage("use", "hosted")
        del connections["ollama"]
        rows = {row["alias"]: row for row in manage("list", "--json").json}
        assert set(rows) >= {"hosted", "fine-tune", "extractive"}
        assert {"alias", "label", "model", "active"} <= set(rows["hosted"])
        assert [alias for alias, row in rows.items() if row["active"]] == ["hosted"]
        assert (rows["hosted"]["available"], rows["fine-tune"]["available"]) == (True, False)
        assert "gone" in manage("list").out

    def test_gives_what_the_settings_declare_their_rows(self, site, connections):
        ChatBackend.objects.all().delete()
        assert [row["alias"] for row in manage("list", "--json").json] == ["extractive"]


class TestUseAndBack:
    def test_there_and_back(self, hosted, tuned):
        ran = manage("use", "hosted")
        assert (ran.code, ran.out) == (0, "“Hosted model” answers on Harbour [default] now.\n")
        assert manage("use", "fine-tune", "--json").json == {
            "site": "localhost:80", "active": "fine-tune", "previous": "hosted",
        }  # fmt: skip
        ran = manage("back")
        assert (ran.code, "“Hosted model” answers" in ran.out) == (0, True)
        assert manage("back", "--json").json["active"] == "fine-tune"
        assert ModelLogEntry.objects.filter(action="finetune_switch.switch").count() == 4

    def test_the_extractive_one_at_the_very_first(self, site, connections):
        assert manage("use", "extractive", "--json").json == {
            "site": "localhost:80", "active": "extractive", "previous": None,
        }  # fmt: skip
        assert "no backend to switch back to" in manage("back").err

    def test_twice_is_once(self, hosted):
        manage("use", "hosted")
        ran = manage("use", "hosted")
        assert (ran.code, "is active already" in ran.out) == (0, True)
        assert ModelLogEntry.objects.filter(action="finetune_switch.switch").count() == 1

    def test_what_there_is_not(self, hosted):
        ran = manage("use", "nonsense")
        assert ran.code == 2
        assert '"nonsense"' in ran.err
        assert "hosted" in ran.err

    def test_what_is_gone(self, tuned, connections):
        del connections["ollama"]
        ran = manage("use", "fine-tune")
        assert (ran.code, "is gone" in ran.err) == (1, True)
        assert manage("status", "--json").json["active"] == "extractive"

    def test_nothing_to_go_back_to(self, site, connections):
        ran = manage("back")
        assert (ran.code, "no backend to switch back to" in ran.err) == (1, True)

    def test_of_another_site(self, site, hosted):
        page = Page.get_first_root_node().add_child(instance=Page(title="Other", slug="other"))
        Site.objects.create(hostname="other.example", port=8080, root_page=page)
        manage("use", "hosted", "--site", "other.example:8080")
        assert manage("status", "--json", "--site", "other.example").json["active"] == "hosted"
        assert manage("status", "--json").json["active"] == "extractive"
        for name in ("nowhere.example", "other.example:1", "other.example:x"):
            ran = manage("status", "--site", name)
            assert (ran.code, "other.example:8080" in ran.err) == (2, True)

    def test_without_any_site(self, site):
        Site.objects.all().delete()
        assert manage("status").code == 2


class TestCheck:
    @pytest.mark.parametrize("row", ["hosted", "tuned"])
    def test_passes(self, request, row):
        backend = request.getfixturevalue(row)
        ran = manage("check", backend.alias)
        assert (ran.code, "✗" in ran.out) == (0, False)
        assert f"It said: “{TEST_ANSWER}”" in ran.out
        report = manage("check", backend.alias, "--json").json
        assert (report["backend"], report["passed"]) == (backend.alias, True)
        assert {"name", "title", "passed", "seconds", "message", "remedy"} <= set(
            report["steps"][0]
        )
        backend.refresh_from_db()
        assert backend.check_passed

    def test_fails_and_says_what_to_do(self, tuned, connections, unused_tcp_port):
        connections["ollama"]["API_BASE"] = f"http://127.0.0.1:{unused_tcp_port}"
        ran = manage("check", "fine-tune")
        assert ran.code == 1
        assert "✗" in ran.out
        assert "does not take connections" in ran.out
        assert "Is it running" in ran.out
        ran = manage("check", "fine-tune", "--json")
        assert (ran.code, ran.json["passed"], ran.json["steps"][-1]["code"]) == (
            1,
            False,
            "refused",
        )
        tuned.refresh_from_db()
        assert tuned.check_passed is False

    def test_the_active_one_unless_named(self, hosted):
        assert manage("check", "--json").json["backend"] == "extractive"
        manage("use", "hosted")
        assert manage("check", "--json").json["backend"] == "hosted"

    def test_what_there_is_not(self, site):
        assert manage("check", "nonsense").code == 2


class TestAsk:
    @pytest.fixture(autouse=True)
    def lamp(self, make_page, reindex):
        make_page("Lamp", LAMP)
        reindex()

    def test_streams_the_answer_with_its_sources(self, tuned):
        manage("use", "fine-tune")
        ran = manage("ask", QUESTION)
        assert ran.code == 0
        assert ran.out.startswith(f"{TEST_ANSWER}\n")
        assert "*[1] Lamp  /lamp/  0." in ran.out
        assert "Our fine-tune · your question goes to a test of Ollama" in ran.err
        assert Exchange.objects.get().origin == Origin.SHELL

    def test_for_a_script(self, hosted):
        answered = manage("ask", QUESTION, "--backend", "hosted", "--json").json
        assert {
            name: answered[name] for name in ("backend", "answer", "outcome", "question", "error")
        } == {
            "backend": "hosted", "answer": TEST_ANSWER, "outcome": "complete",
            "question": QUESTION, "error": None,
        }  # fmt: skip
        (source,) = answered["sources"]
        assert (source["title"], source["url"], source["cited"]) == ("Lamp", "/lamp/", True)
        assert answered["exchange"] == str(Exchange.objects.get().pk)
        assert answered["prompt_tokens"] > 0
        assert answered["left_out"] == 0

    def test_what_did_not_fit_is_counted(self, hosted, monkeypatch):
        found = make_passages(LAMP, f"{LAMP} " * 400)
        monkeypatch.setattr(opening, "retrieve_for", lambda *args, **options: found)
        answered = manage("ask", QUESTION, "--backend", "hosted", "--json").json
        assert (len(answered["sources"]), answered["left_out"]) == (1, 1)
        ran = manage("ask", QUESTION, "--backend", "hosted")
        assert "did not fit the context window: 1\n" in ran.out

    def test_several_over_the_same_passages(self, hosted, tuned):
        both = ("--backend", "hosted", "--backend", "fine-tune")
        answers = manage("ask", QUESTION, *both, "--json").json
        assert [a["backend"] for a in answers] == ["hosted", "fine-tune"]
        assert answers[0]["sources"] == answers[1]["sources"] != []
        ran = manage("ask", QUESTION, *both)
        *_answers, header, first, second = ran.out.splitlines()
        assert header.split() == ["Backend", "Outcome", "First", "Total", "In", "Out", "US$"]
        assert first.startswith("Hosted model")
        assert second.startswith("Our fine-tune")
        assert "complete" in second
        assert ran.out.count(TEST_ANSWER) == 2

    @pytest.mark.parametrize("several", [False, True])
    def test_the_import_of_litellm_is_none_of_the_seconds_of_the_first(
        self, hosted, tuned, monkeypatch, standin, several
    ):
        asked = []
        monkeypatch.setattr(
            subcommand, "import_litellm", lambda: asked.append(len(standin.requests))
        )
        backends = ["--backend", "hosted", *(["--backend", "fine-tune"] if several else [])]
        assert manage("ask", QUESTION, *backends, "--json").code == 0
        assert asked == ([0] if several else [])
        assert len(standin.requests) == 1 + several

    def test_one_of_several_that_fails_empties_only_itself(self, hosted, site):
        make_backend("ollama", "fault-cut", alias="cut")
        ran = manage("ask", QUESTION, "--backend", "cut", "--backend", "hosted")
        assert ran.code == 1
        assert "The harbour opens\n" in ran.out
        assert TEST_ANSWER in ran.out
        assert "connection to the model was lost" in ran.err
        assert "failed" in ran.out.splitlines()[-2]

    @pytest.mark.parametrize("several", [False, True])
    def test_a_search_that_fails_is_no_bad_input(self, hosted, tuned, monkeypatch, several):
        monkeypatch.setattr(adapters, "_index_sources", [])
        adapters.register_indexes(Broken())
        backends = ["--backend", "hosted", *(["--backend", "fine-tune"] if several else [])]
        ran = manage("ask", QUESTION, *backends)
        assert ran.code == 1
        assert "could not be searched" in ran.err

    def test_without_retrieval(self, tuned, standin):
        ask = ("ask", QUESTION, "--no-retrieval", "--backend", "fine-tune", "--json")
        assert manage(*ask).json["sources"] == []
        assert standin.requests[0].json["messages"][-1]["content"] == QUESTION

    def test_a_failure(self, site, connections):
        make_backend("ollama", "fault-unauthorized", alias="locked")
        ran = manage("ask", QUESTION, "--backend", "locked")
        assert (ran.code, "did not accept our key" in ran.err) == (1, True)
        assert "API_KEY" in ran.err
        ran = manage("ask", QUESTION, "--backend", "locked", "--json")
        assert (ran.code, ran.json["outcome"], ran.json["answer"]) == (1, "failed", "")
        assert ran.json["error"]["code"] == "unauthorized"

    def test_bad_input(self, tuned):
        assert manage("ask", " ").code == 2
        assert "Write a question" in manage("ask", "").err
        assert manage("ask", QUESTION, "--backend", "nonsense").code == 2

    def test_the_extractive_one_by_default(self, site):
        answered = manage("ask", QUESTION, "--json").json
        assert (answered["backend"], answered["answer"]) == ("extractive", f"{LAMP} [1]")


class TestInit:
    def test_nothing_is_missing(self, site):
        ran = manage("init")
        assert (ran.code, ran.out.splitlines()[0]) == (0, "The settings are complete.")
        assert "embedded in this process by use-multilingual-v3" in ran.out
        assert manage("init", "--json").json == []

    def test_what_is_missing(self, site, settings):
        settings.FINETUNE_SWITCH = {}
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "finetune" not in name]
        settings.WAGTAIL_VECTOR_INDEX = {**settings.WAGTAIL_VECTOR_INDEX, "CHAT_BACKENDS": {}}
        ran = manage("init")
        assert ran.code == 1
        for line in (
            '"finetune_switch.middleware.CurrentSiteMiddleware"',
            'env.str("OPENAI_API_KEY", default="")',
            'env.str("OLLAMA_API_BASE"',
            '"CLASS": "finetune_switch.vector_index.SwitchedChatBackend"',
        ):
            assert line in ran.out
        ran = manage("init", "--json")
        assert ran.code == 1
        assert all(set(entry) == {"where", "lines"} for entry in ran.json)
        assert len(ran.json) == 3

    def test_what_the_checks_say(self, site, settings, monkeypatch):
        """It agrees with ``check`` and ``doctor``."""
        lacking = [("main", ['"timeout": 20', '"transaction_mode": "IMMEDIATE"'])]
        for module in ("checks", "management.subcommands.installing"):
            name = f"finetune_switch.{module}.missing_sqlite_options"
            monkeypatch.setattr(name, lambda: iter(lacking))
        ran = manage("init")
        assert ran.code == 1
        assert "tests/settings.py" in ran.out
        assert '# settings: DATABASES["main"]["OPTIONS"]\n"timeout": 20,\n' in ran.out
        assert manage("doctor", "--offline").out.count("timeout") == 1

    def test_a_warning_without_lines(self, site, settings):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "RETENTION": 3}
        ran = manage("init")
        assert ran.code == 1
        assert "RETENTION_DAYS" in ran.out
        assert "The settings are complete." not in ran.out

    def test_the_lines_are_python_that_works(self, site, settings):
        import environ

        settings.FINETUNE_SWITCH = {}
        (entry,) = manage("init", "--json").json
        written = {"env": environ.Env()}
        exec(entry["lines"], written)
        settings.FINETUNE_SWITCH = written["FINETUNE_SWITCH"]
        assert manage("init").code == 0


class TestPurge:
    @pytest.fixture(autouse=True)
    def old(self, site, connections):
        opened = timezone.now() - timedelta(days=31)
        for origin in (Origin.SITE, Origin.COMPARE):
            Exchange.objects.create(
                origin=origin, question="Old", opened_at=opened, deadline_at=opened
            )

    def test_a_dry_run_only_counts(self):
        ran = manage("purge", "--dry-run")
        assert ran.out == "1 exchanges older than 30 days would be deleted.\n"
        assert Exchange.objects.count() == 2

    def test_for_a_script(self):
        ran = manage("purge", "--dry-run", "--json")
        assert ran.json == {"days": 30, "expired": 1, "deleted": 0}
        assert manage("purge", "--json").json == {"days": 30, "expired": 1, "deleted": 1}
        assert Exchange.objects.get().origin == Origin.COMPARE

    def test_another_number_of_days(self):
        manage("purge", "--days", "60")
        assert Exchange.objects.count() == 2
        assert manage("purge", "--days", "-1").code == 2

    def test_for_ever(self, settings):
        settings.FINETUNE_SWITCH["RETENTION_DAYS"] = None
        ran = manage("purge")
        assert (ran.code, "never deleted" in ran.out) == (0, True)
        ran = manage("purge", "--json")
        assert ran.json == {"days": None, "expired": 0, "deleted": 0}
        assert Exchange.objects.count() == 2

    def kept(self):
        """The questions of visitors that are left after a purge, which counts what it deletes."""
        before = Exchange.objects.count()
        foretold = manage("purge", "--dry-run", "--json").json["expired"]
        ran = manage("purge", "--json").json
        assert ran["deleted"] == ran["expired"] == foretold == before - Exchange.objects.count()
        return list(Exchange.objects.of_visitors().values_list("question", flat=True))

    @pytest.mark.parametrize(
        "said",
        [
            {"value": Grade.Value.WRONG},
            {"correction": "At ten."},
            {"tone": Grade.Tone.NO},
            {"note": "Ask the harbour master."},
        ],
        ids=lambda said: next(iter(said)),
    )
    def test_what_was_judged_stays(self, site, said):
        judged = make_exchange("Judged?", site, days_ago=31)
        grade = Grade.record(judged, judge=make_user("comparer"), was_blind=False, **said)
        assert self.kept() == ["Judged?"]
        assert Grade.objects.get() == grade

    def test_what_its_judge_took_back_goes(self, site):
        judged = make_exchange("Judged?", site, days_ago=31)
        judge = make_user("comparer")
        Grade.record(judged, judge=judge, was_blind=False, value=Grade.Value.WRONG)
        Grade.undo(judged, judge=judge)
        assert self.kept() == []

    def test_a_judged_answer_keeps_the_conversation_that_says_who_may_read_it(self, site):
        talk = {"conversation": uuid.uuid4(), "days_ago": 31}
        make_exchange("When?", site, **talk)
        judged = make_exchange("And on Sundays?", site, **talk)
        make_exchange("Another visitor?", site, conversation=uuid.uuid4(), days_ago=31)
        Grade.record(judged, judge=make_user("comparer"), was_blind=False, correction="At ten.")
        assert set(self.kept()) == {"When?", "And on Sundays?"}

    def test_a_column_of_a_comparison_stays(self, site):
        saved = Question.objects.create(text="In a column?")
        comparison = Comparison.objects.create(question=saved.text, saved_question=saved)
        asked = make_exchange(saved.text, site, days_ago=31)
        Column.objects.create(comparison=comparison, position=0, exchange=asked)
        assert self.kept() == ["In a column?"]
        assert Comparison.objects.get().saved_question == saved

    def test_what_was_made_of_a_question_stays_and_the_thumb_goes_with_it(self, site):
        asked = make_exchange("When?", site, days_ago=31, thumb=False, comment="Too long.")
        Question.objects.create(text=asked.question)
        PreparedAnswer.objects.create(
            examples="When?", answer="At nine.", locale=Locale.get_default(), made_from=asked
        )
        assert self.kept() == []
        assert not Feedback.objects.exists()
        assert PreparedAnswer.objects.get().made_from is None
        assert Question.objects.get().text == "When?"
