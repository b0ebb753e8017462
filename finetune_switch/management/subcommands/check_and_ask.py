"""The subcommands check and ask."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import get_language

from finetune_switch.access import Asker
from finetune_switch.answers import Answer, answer
from finetune_switch.answers.events import SourcesEvent, TextEvent
from finetune_switch.backends.calls import import_litellm
from finetune_switch.backends.preflight import check_backend
from finetune_switch.exceptions import BackendError, InvalidQuestion
from finetune_switch.models import ChatBackend, Origin, Switch
from finetune_switch.passages import Passage
from finetune_switch.search import retrieve_for

from .base import Subcommand, add_site_argument, find_backend, find_site


class Check(Subcommand):
    name = "check"
    help = "Check that a backend answers (by default the active one). Exit code 1 if a step fails."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("alias", nargs="?")
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        if options["alias"]:
            backend = find_backend(options["alias"])
        else:
            backend = Switch.for_question(find_site(options["site"])).backend
        steps = []
        for step in check_backend(backend):
            steps.append(step)
            if options["json"]:
                continue
            mark = self.style.SUCCESS("✓") if step.passed else self.style.ERROR("✗")
            self.stdout.write(f"{mark} {step.title:<22} {step.seconds:6.2f} s  {step.message}")
            if step.remedy:
                self.stdout.write(f"  {step.remedy}")
        passed = all(step.passed for step in steps)
        if options["json"]:
            self.write_json(
                {
                    "backend": backend.alias,
                    "passed": passed,
                    "steps": [asdict(step) for step in steps],
                }
            )
        return 0 if passed else 1


class Ask(Subcommand):
    name = "ask"
    help = "Ask a question. Exit code 1 if a backend fails."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("question")
        parser.add_argument(
            "--backend",
            action="append",
            default=[],
            metavar="ALIAS",
            help="Ask this backend. Repeat the option to ask several over the same passages.",
        )
        parser.add_argument("--no-retrieval", action="store_true", help="Ask without passages.")
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        site = find_site(options["site"])
        switch = Switch.for_question(site)
        backends = [find_backend(alias) for alias in options["backend"]] or [switch.backend]
        common: dict[str, Any] = {
            "site": site,
            "origin": Origin.SHELL,
            "retrieval": not options["no_retrieval"],
        }
        try:
            if len(backends) > 1 and common["retrieval"]:
                common["passages"] = _retrieve_once(options["question"], switch)
            answers = [
                (backend, answer(options["question"], backend=backend, **common))
                for backend in backends
            ]
        except InvalidQuestion as error:
            raise CommandError(str(error), returncode=2) from error
        except BackendError as error:
            # The search is shared by several backends. For one, the error is in its answer.
            raise CommandError(str(error), returncode=1) from error
        if len(backends) > 1 and any(row.kind == row.Kind.CONNECTION for row in backends):
            # Otherwise the time of the first answer would include the import.
            import_litellm()
        for backend, pending in answers:
            if options["json"]:
                list(pending)
            else:
                self._stream(backend, pending, alone=len(answers) == 1)
        if options["json"]:
            results = [_as_dict(backend, pending) for backend, pending in answers]
            self.write_json(results if len(options["backend"]) > 1 else results[0])
        elif len(answers) > 1:
            self._write_table(answers)
        return 1 if any(pending.failure for _backend, pending in answers) else 0

    def _stream(self, backend: ChatBackend, pending: Answer, *, alone: bool) -> None:
        if not alone:
            self.stdout.write(self.style.MIGRATE_HEADING(f"\n{backend}"))
        for event in pending:
            if isinstance(event, SourcesEvent):
                who = f"{event.label} · " if alone else ""
                self.stderr.write(f"{who}your question goes to {event.data_destination}")
            elif isinstance(event, TextEvent):
                if event.replaces:
                    self.stdout.write("\n---")
                self.stdout.write(event.text, ending="")
                self.stdout.flush()
        self.stdout.write("")
        if failure := pending.failure:
            self.stderr.write(self.style.ERROR(failure.message))
            if failure.remedy:
                self.stderr.write(failure.remedy)
        cited = pending.done.citations if pending.done else []
        for passage in pending.passages:
            mark = "*" if passage.number in cited else " "
            source = passage.source
            self.stdout.write(
                f"{mark}[{passage.number}] {source.title}  {source.url}  {passage.score:.2f}"
            )
        if pending.left_out:
            self.stdout.write(f"Passages that did not fit the context window: {pending.left_out}")

    def _write_table(self, answers: list[tuple[ChatBackend, Answer]]) -> None:
        width = max(len(str(backend)) for backend, _answer in answers)
        self.stdout.write(
            f"\n{'Backend':<{width}}  {'Outcome':<10} {'First':>8} {'Total':>8} "
            f"{'In':>6} {'Out':>6} {'US$':>10}"
        )
        for backend, pending in answers:
            done = pending.done
            outcome = done.outcome if done else "failed"
            self.stdout.write(
                f"{backend!s:<{width}}  {outcome:<10} "
                f"{_seconds(done.first_token_seconds if done else None):>8} "
                f"{_seconds(done.duration_seconds if done else None):>8} "
                f"{_number(done.prompt_tokens if done else None):>6} "
                f"{_number(done.completion_tokens if done else None):>6} "
                f"{_cost(done.cost if done else None):>10}"
            )


def _retrieve_once(question: str, switch: Switch) -> list[Passage]:
    return retrieve_for(switch, question, asker=Asker.anonymous(), locale=get_language())


def _as_dict(backend: ChatBackend, pending: Answer) -> dict[str, Any]:
    done, failure = pending.done, pending.failure
    return {
        "backend": backend.alias,
        "model": backend.model_name,
        "question": pending.question.question,
        "answer": pending.text_so_far,
        "outcome": done.outcome if done else "failed",
        "error": {"code": failure.code, "message": failure.message} if failure else None,
        "sources": [
            {
                "number": passage.number,
                "title": passage.source.title,
                "url": passage.source.url,
                "score": passage.score,
                "text": passage.text,
                "cited": bool(done and passage.number in done.citations),
            }
            for passage in pending.passages
        ],
        "left_out": pending.left_out,
        "exchange": str(pending.exchange_id),
        "first_token_seconds": done.first_token_seconds if done else None,
        "duration_seconds": done.duration_seconds if done else None,
        "prompt_tokens": done.prompt_tokens if done else None,
        "completion_tokens": done.completion_tokens if done else None,
        "cost": done.cost if done else None,
    }


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def _cost(value: float | None) -> str:
    return "–" if value is None else f"{value:.6f}"
