"""Creates the demo's chat backends, questions and prepared answers, and the team's permissions."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand
from django.utils import timezone

from demo_site.content import read_prepared, read_questions
from demo_site.models import HomePage
from finetune_switch.backends.registration import free_alias, synchronise_backends
from finetune_switch.backends.servers import ModelServer
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import BackendError
from finetune_switch.models import ChatBackend, PreparedAnswer, Question, QuestionSet

HOUSE_PROMPT = """\
You are the voice of Tarrowby Harbour: warm, plain, a little salty, never grand.

Answer visitors' questions from the passages that come with them, in two or three short sentences.
After each fact, give the number of its passage in square brackets, like [1].
Give telephone numbers, prices, dates and times exactly as they are written.
If the passages do not hold the answer, do not guess."""

STAND_IN_PREFIX = "standin-"
STAND_IN_BACKENDS: list[dict[str, Any]] = [
    {
        "alias": "fine-tune",
        "label": "Our fine-tune (stand-in on Ollama)",
        "model_name": "standin-finetuned:latest",
        "system_prompt": HOUSE_PROMPT,
        "hourly_price": Decimal("0.60"),
        "parameters": {"temperature": 0.7, "keep_alive": "30m"},
    },
    {
        "alias": "base",
        "label": "The untuned base model (stand-in on Ollama)",
        "model_name": "standin-base:latest",
        "hourly_price": Decimal("0.60"),
    },
    {
        "alias": "deaf",
        "label": "A fine-tune that ignores its instructions (stand-in on Ollama)",
        "model_name": "standin-deaf:latest",
    },
]
MAX_REAL_MODELS = 5
HALF_A_YEAR = timedelta(days=182)
SET_NAME = "The ten questions"
SET_DESCRIPTION = (
    "Modelled on the case that the project started from. Two have no answer on the site."
)


class Command(BaseCommand):
    help = "Add the demo's chat backends and a group that may switch them. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        synchronise_backends()
        self._update_hosted()
        if settings.OLLAMA_API_BASE:
            self._use_real_ollama()
        else:
            for values in STAND_IN_BACKENDS:
                self._restore(**values)
                self._add(**values)
        self.stdout.write("Chat backends: " + ", ".join(map(str, ChatBackend.objects.all())) + ".")
        self._add_questions()
        self._add_prepared()
        self._add_team()

    def _add_questions(self) -> None:
        home = HomePage.objects.first()
        if home is None or QuestionSet.objects.filter(name=SET_NAME).exists():
            return
        group = QuestionSet.objects.create(name=SET_NAME, description=SET_DESCRIPTION)
        by_path = {page.get_url(): page.pk for page in home.get_descendants(inclusive=True)}
        # Listings show the newest first.
        for asked in reversed(read_questions()):
            question = Question.objects.create(
                text=asked["question"],
                reference_answer=asked["answer"],
                expects=Question.Expects.ANSWER
                if asked["answerable"]
                else Question.Expects.NO_PAGE,
                page_ids=[by_path[path] for path in asked["pages"] if path in by_path],
            )
            question.sets.add(group)
            question.tags.add(*asked["tags"])

    def _add_prepared(self) -> None:
        home = HomePage.objects.first()
        if home is None or PreparedAnswer.objects.exists():
            return
        by_path = {page.get_url(): page.pk for page in home.get_descendants(inclusive=True)}
        for given in read_prepared():
            prepared = PreparedAnswer.objects.create(
                kind=given["kind"],
                examples=given.get("questions", "").strip(),
                words=given.get("words", "").strip(),
                answer=given["answer"].strip(),
                page_id=by_path.get(given.get("page")),
                locale=home.locale,
                review_on=timezone.localdate() + HALF_A_YEAR,
            )
            prepared.save_revision()

    def _update_hosted(self) -> None:
        # OPENAI_API_KEY may have been added or removed since the last run.
        row = ChatBackend.objects.filter(alias="hosted").first()
        if row is None or row.model_name.startswith(STAND_IN_PREFIX) != bool(
            settings.OPENAI_API_KEY
        ):
            return
        seed = settings.FINETUNE_SWITCH["SEED_BACKEND"]
        _set_model(row, seed["MODEL_NAME"], seed["LABEL"])

    def _use_real_ollama(self) -> None:
        """Replace the stand-ins with the server's models, including an active one."""
        try:
            models = [m.name for m in ModelServer(get_connection("ollama")).models()]
        except BackendError as error:
            self.stderr.write(f"Ollama at OLLAMA_API_BASE: {error} {error.remedy}")
            return
        if not models:
            self.stderr.write(
                "Ollama has no models yet. Run `ollama pull`, then this command again."
            )
            return
        stand_ins = ChatBackend.objects.filter(
            connection="ollama", model_name__startswith=STAND_IN_PREFIX
        )
        for row in stand_ins:
            if row.usage():
                _set_model(row, models[0], f"{models[0]} (our own server)")
            else:
                row.delete()
        known = set(ChatBackend.objects.values_list("model_name", flat=True))
        for name in models[:MAX_REAL_MODELS]:
            if name not in known:
                self._add(alias=free_alias(name), label=f"{name} (our own server)", model_name=name)

    def _restore(self, alias: str, label: str, model_name: str, **values: Any) -> None:
        """Use the stand-in again in a backend that was changed to a real model."""
        row = ChatBackend.objects.filter(alias=alias, connection="ollama").first()
        if row is not None and not row.model_name.startswith(STAND_IN_PREFIX):
            _set_model(row, model_name, label, values.get("hourly_price"))

    def _add(self, **values: Any) -> None:
        if not ChatBackend.objects.filter(alias=values["alias"]).exists():
            backend = ChatBackend(connection="ollama", **values)
            backend.full_clean()
            backend.save()

    def _add_team(self) -> None:
        group, _created = Group.objects.get_or_create(name="Answers team")
        group.permissions.add(
            *Permission.objects.filter(
                content_type__app_label="finetune_switch",
                codename__in=[
                    "activate_switch",
                    "change_switch",
                    "add_chatbackend",
                    "change_chatbackend",
                    "view_chatbackend",
                    "run_indexbuild",
                    "view_exchange",
                    "delete_comparison",
                    "delete_question",
                    "delete_questionset",
                    "add_preparedanswer",
                    "change_preparedanswer",
                    "delete_preparedanswer",
                ],
            ),
            Permission.objects.get(codename="access_admin"),
        )
        editors = Group.objects.filter(name="Editors")
        for comparers in (group, *editors):
            comparers.permissions.add(
                *Permission.objects.filter(
                    content_type__app_label="finetune_switch",
                    codename__in=[
                        "add_comparison",
                        "add_question",
                        "change_question",
                        "add_questionset",
                        "change_questionset",
                        "add_run",
                        "grade_run",
                    ],
                )
            )
        if not settings.DEBUG:
            return
        lead, created = get_user_model().objects.get_or_create(
            username="lead",
            defaults={
                "email": "lead@tarrowby.example",
                "first_name": "Nell",
                "last_name": "Marwood",
            },
        )
        if created:
            lead.set_password("demo")
            lead.save()
        lead.groups.add(group, *editors)
        self.stdout.write("Log in as lead, password demo, to switch backends.")


def _set_model(row: ChatBackend, model_name: str, label: str, price: Decimal | None = None) -> None:
    row.model_name, row.label, row.hourly_price = model_name, label, price
    row.forget_check()
    row.save()
