from __future__ import annotations

import json
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from wagtail.models import Site

from finetune_switch.models import ChatBackend, Switch


class Subcommand(ABC):
    """Base class. ``handle`` returns the exit code: 0 success, 1 failure, 2 bad input."""

    name: str
    help: str

    def __init__(self, command: BaseCommand) -> None:
        self.command = command
        self.stdout = command.stdout
        self.stderr = command.stderr
        self.style = command.style

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print JSON instead of text.")

    @abstractmethod
    def handle(self, options: dict[str, Any]) -> int: ...

    def write_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def add_site_argument(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--site", help="Host name (or host:port) of a Wagtail site. Default: the default site."
    )


def find_site(name: str | None) -> Site:
    if name is None:
        site = Site.objects.filter(is_default_site=True).first() or Site.objects.first()
        if site is None:
            raise CommandError("There is no Wagtail site. Create one in the admin.", returncode=2)
        return site
    host, _, port = name.partition(":")
    sites = Site.objects.filter(hostname=host)
    if port:
        sites = sites.filter(port=port) if port.isdigit() else sites.none()
    if (site := sites.first()) is None:
        known = ", ".join(f"{site.hostname}:{site.port}" for site in Site.objects.all())
        raise CommandError(f'There is no site "{name}". Available sites: {known}.', returncode=2)
    return site


def find_backend(alias: str) -> ChatBackend:
    backend = ChatBackend.objects.filter(alias=alias).first()
    if backend is None:
        known = ", ".join(ChatBackend.objects.values_list("alias", flat=True))
        raise CommandError(
            f'There is no backend "{alias}". Available backends: {known}.', returncode=2
        )
    return backend


def stored_switch(site: Site) -> Switch:
    """The site's switch, created if it does not exist."""
    switch, _created = Switch.objects.select_related("active", "previous").get_or_create(site=site)
    return switch
