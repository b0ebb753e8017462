"""Load the pages, index them as the README says, and answer questions; prints JSON.

Each line of standard input is a question. Each reply is a list: the text, whether it is an answer,
the titles of the pages that were found, and seconds.
"""

import json
import os
import sys
import time
import tomllib
from io import StringIO
from pathlib import Path

import django

PAGES = Path(__file__).parent / "pages.toml"


def load() -> None:
    from chocolate import models
    from wagtail.models import Page, Site

    content = tomllib.loads(PAGES.read_text(encoding="utf-8"))
    Page.objects.filter(depth=2).delete()
    root = Page.objects.get(depth=1)
    home = root.add_child(instance=models.TextPage(**content["home"]))
    Site.objects.update_or_create(
        is_default_site=True, defaults={"hostname": "localhost", "root_page": home}
    )
    for fields in content["pages"]:
        page_type = getattr(models, fields.pop("type"))
        hours = fields.pop("hours", ())
        if origin := fields.get("origin"):
            fields["origin"], _created = models.Origin.objects.get_or_create(name=origin)
        for name in ("ingredients", "steps"):
            if name in fields:
                fields[name] = _blocks(name, fields[name])
        if isinstance(fields.get("body"), list):
            fields["body"] = [(kind, _value(kind, value)) for kind, value in fields["body"]]
        page = page_type(**fields)
        for day, *times in hours:
            opens, closes = times or (None, None)
            page.hours.add(
                models.OpeningHours(day=day, opens=opens, closes=closes, closed=not times)
            )
        home.add_child(instance=page)


def _blocks(name: str, values: list[str]) -> list[tuple[str, object]]:
    return [("step", value) for value in values] if name == "steps" else [(name, values)]


def _value(kind: str, value: object) -> object:
    if kind == "table":
        return {"data": value, "first_row_is_table_header": True, "first_col_is_header": False}
    return value


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "foreign.settings")
    django.setup()
    from django.core.management import call_command

    from finetune_switch.answers import answer

    load()
    call_command("finetune_switch", "index", stdout=StringIO())
    replies = []
    for question in sys.stdin.read().splitlines():
        began = time.perf_counter()
        given = answer(question)
        text = given.text
        seconds = time.perf_counter() - began
        sources = [passage.source.title for passage in given.passages]
        replies.append([text, given.done.outcome == "complete", sources, seconds])
    json.dump(replies, sys.stdout)
