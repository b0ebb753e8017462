"""``manage.py finetune_switch``: the switch, from a shell."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from ..subcommands.asking import Ask, Check
from ..subcommands.base import Subcommand
from ..subcommands.installing import Doctor, Init
from ..subcommands.retention import Purge
from ..subcommands.switching import Back, List, Status, Use

SUBCOMMANDS: tuple[type[Subcommand], ...] = (
    Status,
    List,
    Check,
    Use,
    Back,
    Ask,
    Init,
    Doctor,
    Purge,
)


class Command(BaseCommand):
    help = "Show, check and turn the switch that says which model answers on a site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for subcommand in SUBCOMMANDS:
            added = verbs.add_parser(
                subcommand.name, help=subcommand.help, description=subcommand.help
            )
            subcommand(self).add_arguments(added)

    def handle(self, *args: Any, **options: Any) -> None:
        subcommand = next(s for s in SUBCOMMANDS if s.name == options["verb"])
        if code := subcommand(self).handle(options):
            sys.exit(code)
