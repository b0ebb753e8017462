"""The subcommands status, list, use and back."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from finetune_switch.backends.registration import synchronise_backends
from finetune_switch.exceptions import SwitchConflict
from finetune_switch.models import ChatBackend, Switch

from .base import Subcommand, add_site_argument, find_backend, find_site, stored_switch


class Status(Subcommand):
    name = "status"
    help = "Show the active backend of a site. Exit code 1 if it cannot answer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        site = find_site(options["site"])
        switch = Switch.for_question(site)
        backend = switch.backend
        problem = backend.unavailable_reason
        if options["json"]:
            self.write_json(
                {
                    "site": f"{site.hostname}:{site.port}",
                    "active": backend.alias,
                    "label": str(backend),
                    "model": backend.model_name,
                    "previous": switch.previous.alias if switch.previous else None,
                    "since": switch.switched_at.isoformat() if switch.switched_at else None,
                    "by": str(switch.switched_by) if switch.switched_by else None,
                    "data_destination": backend.data_destination,
                    "problem": problem or None,
                }
            )
            return 1 if problem else 0
        self.stdout.write(f"Site       {site}")
        self.stdout.write(f"Answers    {self.style.SUCCESS(str(backend))} ({backend.alias})")
        if backend.model_name:
            self.stdout.write(f"Model      {backend.model_name}")
        self.stdout.write(f"Data goes  to {backend.data_destination}")
        if switch.switched_at:
            who = f", by {switch.switched_by}" if switch.switched_by else ""
            since = switch.switched_at
            if timezone.is_aware(since):
                since = timezone.localtime(since)
            self.stdout.write(f"Since      {since:%Y-%m-%d %H:%M}{who}")
        if switch.previous:
            self.stdout.write(f"Before     {switch.previous} ({switch.previous.alias})")
        if problem:
            self.stderr.write(self.style.ERROR(problem))
        return 1 if problem else 0


class List(Subcommand):
    name = "list"
    help = "List the backends, after creating missing rows for the aliases in the settings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        synchronise_backends()
        active = Switch.for_question(find_site(options["site"])).backend
        rows = list(ChatBackend.objects.all())
        if options["json"]:
            self.write_json([self._as_dict(row, active) for row in rows])
            return 0
        width = max((len(row.alias) for row in rows), default=0)
        for row in rows:
            mark = "*" if row.alias == active.alias else " "
            gone = self.style.ERROR("  gone") if row.unavailable_reason else ""
            model = f"  {row.model_name}" if row.model_name else ""
            self.stdout.write(f"{mark} {row.alias:<{width}}  {row}{model}{gone}")
        return 0

    def _as_dict(self, row: ChatBackend, active: ChatBackend) -> dict[str, Any]:
        return {
            "alias": row.alias,
            "label": str(row),
            "model": row.model_name,
            "active": row.alias == active.alias,
            "kind": row.kind,
            "connection": row.connection,
            "data_destination": row.data_destination,
            "available": not row.unavailable_reason,
            "check_passed": row.check_passed,
            "checked_at": row.checked_at.isoformat() if row.checked_at else None,
            "shutdown_date": row.shutdown_date.isoformat() if row.shutdown_date else None,
        }


class Use(Subcommand):
    name = "use"
    help = "Switch a site to a backend."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("alias")
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        switch = stored_switch(find_site(options["site"]))
        backend = find_backend(options["alias"])
        if switch.active_id == backend.pk:
            return self._report(options, switch, f"“{backend}” is active already.")
        _switch(switch.activate, backend, expected=switch.active_id)
        return self._report(options, switch, f"“{backend}” answers on {switch.site} now.")

    def _report(self, options: dict[str, Any], switch: Switch, sentence: str) -> int:
        if options["json"]:
            self.write_json(_outcome(switch))
        else:
            self.stdout.write(self.style.SUCCESS(sentence))
        return 0


class Back(Subcommand):
    name = "back"
    help = "Switch a site back to its previous backend."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        add_site_argument(parser)

    def handle(self, options: dict[str, Any]) -> int:
        switch = stored_switch(find_site(options["site"]))
        _switch(switch.back, expected=switch.active_id)
        if options["json"]:
            self.write_json(_outcome(switch))
        else:
            self.stdout.write(
                self.style.SUCCESS(f"“{switch.backend}” answers on {switch.site} again.")
            )
        return 0


def _switch(method: Any, *args: Any, **kwargs: Any) -> None:
    try:
        method(*args, **kwargs)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages), returncode=1) from error
    except SwitchConflict as error:
        raise CommandError(str(error), returncode=1) from error


def _outcome(switch: Switch) -> dict[str, Any]:
    return {
        "site": f"{switch.site.hostname}:{switch.site.port}",
        "active": switch.backend.alias,
        "previous": switch.previous.alias if switch.previous else None,
    }
