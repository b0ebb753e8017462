"""Index three kinds of page that the plugin has never seen, and ask about each; prints JSON."""

import json
import os
import sys
from io import StringIO

import django

QUESTIONS = (
    "When does the harbour open?",
    "Where do seals rest at low water?",
    "What is the telephone number of the harbour master?",
)

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    django.setup()
    from almanac.models import KeeperPage, ProsePage, TidePage
    from django.core.management import call_command
    from wagtail.models import Site

    from finetune_switch.answers import answer

    home = Site.objects.get(is_default_site=True).root_page
    opening = "<p>The harbour opens at nine on every day but Christmas.</p>"
    home.add_child(instance=ProsePage(title="Opening times", body=opening))
    tide = {"place": "Seal Rock", "remark": "At low water seals rest on the rock."}
    home.add_child(instance=TidePage(title="Tides", body=[("tide", tide)]))
    keeper = home.add_child(
        instance=KeeperPage(title="Ada Pender", office="Harbour master", telephone="01632 960123")
    )

    def command(*arguments: str) -> dict:
        said = StringIO()
        call_command("finetune_switch", *arguments, "--json", stdout=said)
        return json.loads(said.getvalue())

    def first_sources() -> list[str]:
        answers = [answer(question) for question in QUESTIONS]
        assert all(given.text for given in answers)
        return [next((p.source.title for p in given.passages), "") for given in answers]

    built = command("index")
    said = {"built": built, "sources": first_sources(), "answer": answer(QUESTIONS[0]).text}
    keeper.unpublish()
    said["unpublished"] = first_sources()
    # Without a worker a change is only marked.
    said["changed"] = command("index", "--changed")
    json.dump(said, sys.stdout)
