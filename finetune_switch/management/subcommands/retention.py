"""The subcommand purge."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from finetune_switch import conf
from finetune_switch.models import Exchange

from .base import Subcommand


class Purge(Subcommand):
    name = "purge"
    help = "Delete visitors' exchanges that are older than RETENTION_DAYS. Run it once a day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--days", type=int, help="Use this number of days instead of RETENTION_DAYS."
        )
        parser.add_argument("--dry-run", action="store_true", help="Only count the exchanges.")

    def handle(self, options: dict[str, Any]) -> int:
        days = conf.retention_days() if options["days"] is None else options["days"]
        if days is None:
            if options["json"]:
                self.write_json({"days": None, "expired": 0, "deleted": 0})
            else:
                self.stdout.write("RETENTION_DAYS is None: visitors' exchanges are never deleted.")
            return 0
        if days < 0:
            raise CommandError(f"--days must be 0 or more, not {days}.", returncode=2)
        expired = Exchange.objects.expired(days)
        if options["dry_run"]:
            count, verb = expired.count(), "would be deleted"
        else:
            _total, by_model = expired.delete()
            count, verb = by_model.get(Exchange._meta.label, 0), "were deleted"
        if options["json"]:
            deleted = 0 if options["dry_run"] else count
            self.write_json({"days": days, "expired": count, "deleted": deleted})
        else:
            self.stdout.write(f"{count} exchanges older than {days} days {verb}.")
        return 0
