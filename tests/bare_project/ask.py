"""Ask over two given passages, with and without an event loop; prints JSON.

With an alias as its argument it switches to that backend first.
"""

import asyncio
import json
import os
import sys
from io import StringIO

import django

QUESTION = "When does the harbour open?"
TEXTS = ("The harbour opens at nine on every day but Christmas.", "The café sells kipper soup.")

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    django.setup()
    from django.core.management import call_command

    from finetune_switch.answers import aanswer, answer
    from finetune_switch.models import Exchange
    from finetune_switch.passages import Passage, Source

    for alias in sys.argv[1:]:
        call_command("finetune_switch", "use", alias, stdout=StringIO())
    passages = [
        Passage(number, text, 1 - number / 10, Source(f"Page {number}", "/", "", str(number)))
        for number, text in enumerate(TEXTS, 1)
    ]

    async def ask() -> str:
        return await aanswer(QUESTION, passages=passages).text()

    said = {
        "sync": answer(QUESTION, passages=passages).text,
        "async": asyncio.run(ask()),
    }
    recorded = Exchange.objects.order_by("-opened_at").values_list(
        "answer", "outcome", "passages__0__text"
    )
    json.dump({**said, "recorded": list(recorded[:2])}, sys.stdout)
