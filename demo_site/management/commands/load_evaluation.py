"""Puts the ten questions to the stand-in models and grades their answers by the facts in them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from demo_site.content import read_questions
from demo_site.models import HomePage
from finetune_switch.connections import get_connection
from finetune_switch.evaluation.grading import give_grade
from finetune_switch.evaluation.running import execute
from finetune_switch.evaluation.starting import start_run
from finetune_switch.exceptions import BackendError
from finetune_switch.models import ChatBackend, Grade, Outcome, QuestionSet, Run, RunItem

from .load_backends import SET_NAME, STAND_IN_PREFIX

ALIASES = ("hosted", "fine-tune", "base")
TONES = {"hosted": Grade.Tone.NEARLY, "fine-tune": Grade.Tone.YES, "base": Grade.Tone.NO}


class Command(BaseCommand):
    help = "Evaluate the stand-in models with the ten questions, unless there is an evaluation."

    def handle(self, *args: Any, **options: Any) -> None:
        home = HomePage.objects.first()
        questions = QuestionSet.objects.filter(name=SET_NAME).first()
        if home is None or questions is None or Run.objects.exists():
            return
        rows = ChatBackend.objects.filter(alias__in=ALIASES, model_name__startswith=STAND_IN_PREFIX)
        backends = sorted(rows, key=lambda row: ALIASES.index(row.alias))
        if len(backends) < 2 or not all(_is_there(row) for row in backends):
            return
        judge = get_user_model().objects.filter(username__in=["lead", "admin"]).last()
        run = start_run(
            questions,
            backends,
            site=home.get_site(),
            locale=home.locale.language_code,
            user=judge,
            repeat_percent=20,
        )
        execute(run)
        facts = {asked["question"]: asked for asked in read_questions()}
        for item in run.items.filter(status=RunItem.Status.DONE):
            asked = facts[item.question.text]
            tone = TONES[item.contender.state["alias"]]
            give_grade(item, judge, value=grade_by_facts(item.exchange, asked), tone=tone)
        self.stdout.write(f"Evaluated {len(backends)} backends with {len(facts)} questions.")


def _is_there(backend: ChatBackend) -> bool:
    try:
        get_connection(backend.connection).get_api_base()
    except BackendError:
        return False
    return True


def grade_by_facts(exchange: Any, asked: dict[str, Any]) -> str:
    """The grade that a strict reader would give."""
    if exchange.outcome == Outcome.NO_ANSWER:
        return Grade.Value.DONT_KNOW
    if not asked["answerable"]:
        return Grade.Value.WRONG
    answer = exchange.answer.casefold()
    found = [fact for fact in asked["facts"] if fact.casefold() in answer]
    if len(found) == len(asked["facts"]):
        return Grade.Value.CORRECT
    return Grade.Value.PARTLY_CORRECT if found else Grade.Value.WRONG
