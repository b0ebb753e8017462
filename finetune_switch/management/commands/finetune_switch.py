"""``manage.py finetune_switch``: the switch on the command line."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError

from finetune_switch.management.subcommands.base import Subcommand
from finetune_switch.management.subcommands.check_and_ask import Ask, Check
from finetune_switch.management.subcommands.evaluating import Evaluate
from finetune_switch.management.subcommands.indexing import IndexCommand
from finetune_switch.management.subcommands.installing import Doctor, Init
from finetune_switch.management.subcommands.retention import Purge
from finetune_switch.management.subcommands.switching import Back, List, Status, Use

SUBCOMMANDS: tuple[type[Subcommand], ...] = (
    Status,
    List,
    Check,
    Use,
    Back,
    Ask,
    Evaluate,
    IndexCommand,
    Init,
    Doctor,
    Purge,
)


class Command(BaseCommand):
    help = "Manage the chat backends, the switch and the index."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for subcommand in SUBCOMMANDS:
            added = verbs.add_parser(
                subcommand.name, help=subcommand.help, description=subcommand.help
            )
            subcommand(self).add_arguments(added)

    def handle(self, *args: Any, **options: Any) -> None:
        subcommand = next(s for s in SUBCOMMANDS if s.name == options["verb"])
        try:
            code = subcommand(self).handle(options)
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database cannot be used: {error}. Check that it is running and that "
                "`manage.py migrate` was run.",
                returncode=2,
            ) from error
        if code:
            sys.exit(code)
