"""Ask as any code does that uses wagtail-vector-index. Then index a page, and ask about it: by the
package's own query, and by ours. Prints JSON.

With an alias as its argument it switches to that backend first.
"""

import json
import os
import sys
from io import StringIO

import django

QUESTION = "When does the harbour open?"
OPENING = "The harbour opens at nine on every day but Christmas."

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    django.setup()
    from articles.models import ArticlePage
    from django.core.management import call_command
    from wagtail.models import Site
    from wagtail_vector_index.ai import get_chat_backend

    from finetune_switch.answers import answer

    for alias in sys.argv[1:]:
        call_command("finetune_switch", "use", alias, stdout=StringIO())
    messages = [{"role": "user", "content": QUESTION}]
    chat = get_chat_backend("default").chat(messages=messages)
    home = Site.objects.get(is_default_site=True).root_page
    home.add_child(instance=ArticlePage(title="Opening times", body=f"<p>{OPENING}</p>"))
    call_command("update_vector_indexes", interactive=False, stdout=StringIO())
    theirs, ours = ArticlePage.vector_index.query(QUESTION), answer(QUESTION)
    said = {
        "chat": chat.choices[0],
        "query": [theirs.response, [source.title for source in theirs.sources]],
        "answer": [ours.text, [passage.source.title for passage in ours.passages]],
    }
    json.dump(said, sys.stdout)
