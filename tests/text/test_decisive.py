"""Words in which similar questions may not differ."""

import pytest

from finetune_switch.text.decisive import ask_the_same, same_words

DIFFERENT = [
    ("english", "Can children under 5 swim?", "Can children under 15 swim?"),
    ("english", "Are you open on Sunday?", "Are you open on Saturday?"),
    ("english", "Are you open in May?", "Are you open in June?"),
    ("english", "Can I swim before the tide?", "Can I swim after the tide?"),
    ("english", "When was the church built?", "Why was the church built?"),
    ("english", "How long is the pier?", "How old is the pier?"),
    ("english", "Is the soup with milk?", "Is the soup without milk?"),
    ("english", "Can I pay cash?", "Can't I pay cash?"),
    ("english", "A refund if I cancel a course?", "A refund if you cancel a course?"),
    ("german", "Ist am Montag offen?", "Ist am Dienstag offen?"),
    ("german", "Gibt es Suppe mit Milch?", "Gibt es Suppe ohne Milch?"),
    ("german", "Wann fährt der Bus?", "Wohin fährt der Bus?"),
    ("french", "Êtes-vous ouverts lundi ?", "Êtes-vous ouverts mardi ?"),
    ("", "Bus 38?", "Bus 83?"),
]
SAME = [
    ("english", "When do you open?", "What time do you open?"),
    ("english", "Is there a lift?", "Do you have a lift?"),
    ("english", "How much is a ticket?", "What does a ticket cost?"),
    ("english", "Can I bring my dog?", "Can we bring our dog?"),
    ("english", "Are you open on Mondays?", "Open on Monday?"),
    ("german", "Was kostet ein Ticket?", "Wie viel kostet ein Ticket?"),
    ("finnish", "Missä on museo?", "Missä museo on?"),
]


@pytest.mark.parametrize(("language", "first", "second"), DIFFERENT)
def test_different(language, first, second):
    assert not ask_the_same(first, second, language)
    assert not ask_the_same(second, first, language)


@pytest.mark.parametrize(("language", "first", "second"), SAME)
def test_same(language, first, second):
    assert ask_the_same(first, second, language)
    assert ask_the_same(second, first, language)


def test_same_words():
    assert same_words("Which berths are free?", "Is a free berth there?", "english")
    assert not same_words("Which berths are free?", "Which boats are free?", "english")
    assert not same_words("What is it?", "Who are you?", "english")
