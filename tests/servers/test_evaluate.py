"""A run whose process is killed or stopped with Ctrl-C goes on where it was."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_switch.models import Exchange, Outcome, Question, QuestionSet, Run, RunItem
from tests.evaluation_helpers import make_set
from tests.servers import processes

pytestmark = pytest.mark.thorough

SET = "Four questions"
ARGUMENTS = ("finetune_switch", "evaluate")
ASKED = (SET, "--backend", "fine-tune", "--backend", "base")


@pytest.fixture(autouse=True)
def runs(site_database):
    made = make_set("Are dogs free?", "Is there a lift?", "What is a coble?", "When?", name=SET)
    yield
    Question.objects.filter(sets=made).delete()
    QuestionSet.objects.filter(pk=made.pk).delete()
    exchanges = list(RunItem.objects.exclude(exchange=None).values_list("exchange_id", flat=True))
    Run.objects.all().delete()
    Exchange.objects.filter(pk__in=exchanges).delete()


def done():
    return set(RunItem.objects.filter(status="done").values_list("exchange_id", flat=True))


def is_being_asked():
    claimed = RunItem.objects.filter(status="claimed").values("exchange_id")
    return Exchange.objects.filter(pk__in=claimed, outcome=Outcome.OPEN).exists()


def start_and_wait(environment):
    process = processes.start_command(environment, *ARGUMENTS, *ASKED)
    try:
        processes.wait_for(lambda: len(done()) >= 2, seconds=60)
        processes.wait_for(is_being_asked, seconds=20)
    except BaseException:
        process.kill()
        raise
    return process


def test_kill_9(environment):
    process = start_and_wait(environment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = Run.objects.get()
    assert run.status == Run.Status.RUNNING
    answered = done()
    claimed = RunItem.objects.get(status="claimed")
    lost = claimed.exchange_id
    assert claimed.leased_until > timezone.now(), "nobody else may ask it yet"

    # Its lease has run out.
    RunItem.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    processes.manage(environment, *ARGUMENTS, "--run", str(run.pk))

    run.refresh_from_db()
    assert run.status == Run.Status.FINISHED
    assert run.items.filter(status="done").count() == 8
    assert answered < done(), "what was answered was not asked again"
    assert lost not in done()
    assert Exchange.objects.get(pk=lost).outcome == Outcome.INTERRUPTED
    # One for each row, and the one that was lost.
    assert Exchange.objects.filter(origin="evaluation").count() == 9


def test_ctrl_c(environment):
    process = start_and_wait(environment)
    process.send_signal(signal.SIGINT)
    _out, told = process.communicate(timeout=30)
    run = Run.objects.get()
    assert process.returncode == 130
    assert f"manage.py finetune_switch evaluate --run {run.pk}" in told
    assert "Traceback" not in told
    assert run.status == Run.Status.PAUSED
    assert not RunItem.objects.filter(status="claimed").exists()
    assert RunItem.objects.filter(status="waiting").exists()
