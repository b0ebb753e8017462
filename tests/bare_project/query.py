"""Ask as any code does that uses wagtail-vector-index; prints the answer.

With an alias as its argument it switches to that backend first.
"""

import os
import sys
from io import StringIO

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    django.setup()
    from django.core.management import call_command
    from wagtail_vector_index.ai import get_chat_backend

    for alias in sys.argv[1:]:
        call_command("finetune_switch", "use", alias, stdout=StringIO())
    messages = [{"role": "user", "content": "When does the harbour open?"}]
    print(get_chat_backend("default").chat(messages=messages).choices[0])
