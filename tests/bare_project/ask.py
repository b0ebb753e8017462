"""Ask a question over two given passages, with and without an event loop; prints JSON."""

import asyncio
import json
import os
import sys

import django

QUESTION = "When does the harbour open?"
TEXTS = ("The harbour opens at nine on every day but Christmas.", "The café sells kipper soup.")

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    django.setup()
    from finetune_switch.answering import aanswer, answer
    from finetune_switch.models import Exchange
    from finetune_switch.passages import Passage, Source

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
    recorded = list(
        Exchange.objects.order_by("-opened_at").values_list(
            "answer", "outcome", "passages__0__text"
        )[:2]
    )
    json.dump({**said, "recorded": recorded}, sys.stdout)
