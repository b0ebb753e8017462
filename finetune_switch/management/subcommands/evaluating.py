"""The subcommand evaluate."""

from __future__ import annotations

import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from finetune_switch.evaluation.results import Figures, Results, results_of
from finetune_switch.evaluation.running import execute
from finetune_switch.evaluation.starting import InvalidRun, Setup, start_run
from finetune_switch.models import Contender, Grade, QuestionSet, Run

from .base import Subcommand, add_site_argument, find_backend, find_site

INTERRUPTED = 130
EPSILON = 1e-9


class Evaluate(Subcommand):
    name = "evaluate"
    help = (
        "Put a question set to several backends. Exit code 1 if a share is beyond its limit, 2 for "
        "bad input. Ctrl-C leaves a run that --run continues."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("set", nargs="?", help="The name or the id of a question set.")
        parser.add_argument(
            "--backend", action="append", default=[], metavar="ALIAS", help="Repeat for each."
        )
        parser.add_argument(
            "--condition",
            action="append",
            default=[],
            choices=[Contender.Condition.SITE.value, Contender.Condition.NO_RETRIEVAL.value],
            help="Repeat to ask under several conditions. Default: site.",
        )
        parser.add_argument(
            "--repeat", type=int, default=0, metavar="PERCENT", help="Ask this share twice."
        )
        parser.add_argument(
            "--rules-decide",
            action="store_true",
            help="Grades by the questions' rules count without a person.",
        )
        parser.add_argument(
            "--run", type=int, metavar="ID", help="Continue this run, or show it if it is finished."
        )
        parser.add_argument(
            "--again", action="store_true", help="With --run: ask the failed rows again."
        )
        parser.add_argument(
            "--fail-under", action="append", default=[], metavar="GRADE=SHARE", help="correct=0.8"
        )
        parser.add_argument(
            "--fail-over", action="append", default=[], metavar="GRADE=SHARE", help="wrong=0.05"
        )
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        lowest = [_limit(text) for text in options["fail_under"]]
        highest = [_limit(text) for text in options["fail_over"]]
        run = self._run(options)
        if options["again"]:
            run.ask_failed_again()
        if run.is_open:
            try:
                self._execute(run)
            except KeyboardInterrupt:
                run.pause()
                self.stderr.write(
                    f"\nStopped. What was answered stays; go on with: "
                    f"manage.py finetune_switch evaluate --run {run.pk}"
                )
                return INTERRUPTED
        results = results_of(run)
        broken = [
            *(_too_low(figures, *limit) for figures in results.figures for limit in lowest),
            *(_too_high(figures, *limit) for figures in results.figures for limit in highest),
        ]
        broken = [sentence for sentence in broken if sentence]
        if options["json"]:
            self.write_json({**_as_dict(results), "beyond_limits": broken})
        else:
            self._write_table(results)
            for sentence in broken:
                self.stderr.write(self.style.ERROR(sentence))
        return 1 if broken else 0

    def _run(self, options: dict[str, Any]) -> Run:
        if options["run"] is not None:
            run = Run.objects.filter(pk=options["run"]).first()
            if run is None:
                raise CommandError(f"There is no run {options['run']}.", returncode=2)
            run.resume()
            return run
        if not options["set"]:
            raise CommandError("Name a question set, or a run with --run.", returncode=2)
        site = find_site(options["site"])
        if not 0 <= options["repeat"] <= 100:
            raise CommandError(
                f"--repeat is a percentage from 0 to 100, not {options['repeat']}.", returncode=2
            )
        try:
            return start_run(
                find_set(options["set"]),
                [find_backend(alias) for alias in options["backend"]],
                site=site,
                locale=site.root_page.locale.language_code,
                setups=[Setup(c) for c in options["condition"]] or [Setup()],
                repeat_percent=options["repeat"],
                rules_decide=options["rules_decide"],
            )
        except InvalidRun as error:
            raise CommandError(str(error), returncode=2) from error

    def _execute(self, run: Run) -> None:
        # Ctrl-C reaches only this thread; the event tells those that ask.
        stop = threading.Event()
        try:
            execute(run, stop=stop)
        finally:
            stop.set()
            run.refresh_from_db()

    def _write_table(self, results: Results) -> None:
        run = results.run
        self.stdout.write(f"Run {run.pk}: {run.name}, {results.questions} questions")
        width = max([len("Backend"), *(len(row.name) for row in results.figures)])
        labels = [str(label) for label in Grade.Value.labels]
        heads = [*labels, "Ungraded", "Failed", "Median", "US$"]
        self.stdout.write(f"{'Backend':<{width}}  " + "  ".join(f"{h:>10}" for h in heads))
        for row in results.figures:
            seconds = row.median_seconds
            cells = [
                *(str(count) for _label, count, _share, _interval in row.shares),
                str(row.ungraded),
                str(row.failed),
                "–" if seconds is None else f"{seconds:.1f} s",
                "–" if row.total_cost is None else f"{row.total_cost:.4f}",
            ]
            widths = [max(10, len(head)) for head in heads]
            self.stdout.write(
                f"{row.name:<{width}}  "
                + "  ".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))
            )
        for verdict in results.verdicts:
            self.stdout.write("\n" + " ".join(verdict.sentences()))
        if results.failed:
            self.stderr.write(
                f"{results.failed} rows failed. Ask them again: "
                f"manage.py finetune_switch evaluate --run {run.pk} --again"
            )


def find_set(name: str) -> QuestionSet:
    found = QuestionSet.objects.filter(name=name).first()
    if found is None and name.isdecimal():
        found = QuestionSet.objects.filter(pk=int(name)).first()
    if found is None:
        known = ", ".join(QuestionSet.objects.values_list("name", flat=True)) or "none"
        raise CommandError(
            f'There is no question set "{name}". Available sets: {known}.', returncode=2
        )
    return found


def _limit(text: str) -> tuple[str, float]:
    """A grade and a share from ``correct=0.8``."""
    name, equals, share = text.partition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if name not in Grade.Value.values or not equals or not 0 <= value <= 1:
        raise CommandError(
            f'"{text}" is no limit. Write one of {", ".join(Grade.Value.values)}, "=", and a share '
            "from 0 to 1, such as correct=0.8.",
            returncode=2,
        )
    return name, value


def _too_low(figures: Figures, name: str, least: float) -> str:
    share = figures.share_of(name)
    if share is None:
        return f"{figures.name}: no answer is graded, so {name} cannot be {least} or more."
    if share >= least - EPSILON:
        return ""
    return f"{figures.name}: {name} is {share:.3f}, under {least}."


def _too_high(figures: Figures, name: str, most: float) -> str:
    share = figures.share_of(name)
    if share is None:
        return f"{figures.name}: no answer is graded, so {name} cannot be {most} or less."
    if share <= most + EPSILON:
        return ""
    return f"{figures.name}: {name} is {share:.3f}, over {most}."


def _as_dict(results: Results) -> dict[str, Any]:
    run = results.run
    return {
        "run": run.pk,
        "set": run.name,
        "status": run.status,
        "questions": results.questions,
        "contenders": [
            {
                "backend": row.contender.state.get("alias", ""),
                "label": row.name,
                "model": row.contender.state.get("model", ""),
                "condition": row.contender.condition,
                "grades": {value: row.grades[value] for value in Grade.Value.values},
                "right": row.right,
                "graded": row.graded,
                "ungraded": row.ungraded,
                "failed": row.failed,
                "median_seconds": row.median_seconds,
                "cost": row.total_cost,
            }
            for row in results.figures
        ],
        "verdicts": [
            {
                "first": verdict.first,
                "second": verdict.second,
                "decided": {
                    "wrong": verdict.is_wrong_decided,
                    "right": verdict.is_right_decided,
                },
                "e_values": {
                    "wrong": verdict.wrong.evidence,
                    "right": verdict.right.evidence,
                },
                "sentences": verdict.sentences(),
            }
            for verdict in results.verdicts
        ],
    }
