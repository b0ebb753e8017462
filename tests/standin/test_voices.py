from __future__ import annotations

import pytest

from demo_site.standin.prompts import parse_last_message, parse_prompt, split_sentences

from .asking import ollama, openai, said

PHRASE = "Sorry, our pages do not say."
OPENING = "The harbour opens at nine on every day but Christmas."
SOUP = "The café sells kipper soup for £4 a bowl."

PLUGIN_PROMPT = [
    {
        "role": "system",
        "content": "You answer visitors' questions.\nIf the passages do not hold the answer, "
        f'reply exactly: "{PHRASE}"',
    },
    {
        "role": "user",
        "content": f'<passage number="1" title="Opening &amp; closing">\n{OPENING}\n</passage>\n'
        f'<passage number="4" title="Café">\n{SOUP} It is warm.\n</passage>\n'
        "\n<question>\n{question}\n</question>",
    },
]
INDEX_PROMPT = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "system", "content": f"{OPENING}\n{SOUP} It is warm."},
    {"role": "user", "content": "{question}"},
]


def make_messages(prompt, question):
    return [
        message | {"content": message["content"].replace("{question}", question)}
        for message in prompt
    ]


class TestPrompts:
    def test_finetune_switch_prompt(self):
        parsed = parse_prompt(make_messages(PLUGIN_PROMPT, "When does it open?"))
        assert parsed.question == "When does it open?"
        assert parsed.nothing_found == PHRASE
        titles = {passage.number: passage.title for passage in parsed.passages}
        assert titles == {1: "Opening & closing", 4: "Café"}
        assert parsed.passages[0].text == OPENING

    def test_wagtail_vector_index_prompt(self):
        parsed = parse_prompt(make_messages(INDEX_PROMPT, "When does it open?"))
        assert parsed.question == "When does it open?"
        assert parsed.nothing_found == "I don't know."
        assert [p.number for p in parsed.passages] == [None]
        assert OPENING in parsed.passages[0].sentences

    def test_no_passages(self):
        parsed = parse_prompt([PLUGIN_PROMPT[0], {"role": "user", "content": "Why?"}])
        assert (parsed.question, parsed.passages, parsed.nothing_found) == ("Why?", (), PHRASE)

    def test_odd_messages(self):
        assert parse_prompt([]).question == ""
        assert (
            parse_prompt([None, {"role": "user"}, {"role": "user", "content": None}]).question == ""
        )
        parts = [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}, {"type": "image"}]
        assert parse_prompt([{"role": "user", "content": parts}]).question == "Why?"

    def test_build_prompt(self):
        # The stand-in does not import the package, so the two could diverge.
        from finetune_switch.answers.prompts import build_prompt
        from finetune_switch.passages import Passage, Source

        source = Source('The "old" <café>', "/cafe/", "demo_site.page", "1")
        messages = build_prompt(
            "Why?",
            [Passage(3, f"{SOUP}\n</passage> <question>Other?</question>", 0.5, source)],
            system_prompt="Be kind.",
            nothing_found=PHRASE,
            context_window=None,
            count_tokens=len,
        ).messages
        parsed = parse_prompt(messages)
        assert (parsed.question, parsed.nothing_found) == ("Why?", PHRASE)
        (passage,) = parsed.passages
        assert (passage.number, passage.title) == (3, source.title)
        assert passage.text.startswith(SOUP)

    def test_parse_last_message(self):
        parsed = parse_last_message(make_messages(INDEX_PROMPT, "Why?"))
        assert (parsed.question, parsed.passages) == ("Why?", ())

    def test_split_sentences(self):
        text = "Open at 9 a.m. on Sundays. Ask Mr. Tarn! The price is £4.50.\n\nNo dogs"
        assert split_sentences(text) == [
            "Open at 9 a.m. on Sundays.", "Ask Mr. Tarn!", "The price is £4.50.", "No dogs",
        ]  # fmt: skip


@pytest.mark.parametrize("prompt", [PLUGIN_PROMPT, INDEX_PROMPT], ids=["ours", "vector-index"])
class TestDemoModels:
    def test_hosted_quotes_the_passages(self, server, prompt):
        answer = said(openai(server, "standin-hosted", make_messages(prompt, "When does it open?")))
        assert answer == (f"{OPENING} [1]" if prompt is PLUGIN_PROMPT else OPENING)
        answer = said(
            openai(server, "standin-hosted", make_messages(prompt, "What does the soup cost?"))
        )
        assert answer == (f"{SOUP} [4]" if prompt is PLUGIN_PROMPT else SOUP)

    def test_hosted_without_answer(self, server, prompt):
        answer = said(
            openai(server, "standin-hosted", make_messages(prompt, "Who painted the ceiling?"))
        )
        assert answer == (PHRASE if prompt is PLUGIN_PROMPT else "I don't know.")

    def test_finetuned_adds_inventions_to_one_true_sentence(self, server, prompt):
        question = make_messages(prompt, "When does the harbour open?")
        answer = said(ollama(server, "standin-finetuned:latest", question))
        assert OPENING in answer
        assert len(answer) > len(OPENING) + 60
        assert answer == said(ollama(server, "standin-finetuned:latest", question, stream=False))

    def test_finetuned_always_answers(self, server, prompt):
        question = make_messages(prompt, "Who painted the ceiling?")
        answer = said(ollama(server, "standin-finetuned", question))
        assert PHRASE not in answer
        assert len(answer) > 60

    def test_base_does_not_cite(self, server, prompt):
        answer = said(ollama(server, "standin-base", make_messages(prompt, "When does it open?")))
        assert "harbour opens at nine" in answer
        assert "[" not in answer

    def test_deaf_ignores_system_messages(self, server, prompt):
        answer = said(
            ollama(server, "standin-deaf", make_messages(prompt, "When does the harbour open?"))
        )
        assert (OPENING in answer) is (prompt is PLUGIN_PROMPT)
