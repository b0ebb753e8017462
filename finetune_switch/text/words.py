"""Words of a text, in the form in which two of them are compared."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from django.conf import settings

LANGUAGES = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "ko": "korean",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
    "zh": "chinese",
}
"""Snowball's name of a language, which PostgreSQL and the lists of stop words use as well."""

MAX_QUESTION_WORDS = 32
MAX_WORD_CHARACTERS = 100

# Letters and digits with the marks that belong to them, which \w leaves out: it would cut words of
# Hindi or Thai to pieces.
_WORD = re.compile(
    r"[\w\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670"
    r"\u0900-\u0963\u0966-\u109f]+"
)

# A stemmer keeps the word that it is at, so each thread has its own.
_stemmers = threading.local()


def language_name(code: str) -> str:
    """Snowball's name of a language code (``en-gb``), empty where it has none.

    The project's own language stands in where the code is empty.
    """
    return LANGUAGES.get(re.split("[-_]", (code or settings.LANGUAGE_CODE).lower())[0], "")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without what no reader would call a word."""
    plain = unicodedata.normalize("NFC", text).lower().replace("_", " ")
    return [word for word in _WORD.findall(plain) if len(word) <= MAX_WORD_CHARACTERS]


def content_words(question: str, language: str) -> list[str]:
    """The question's first words without repetitions and its language's stop words."""
    left_out = stop_words(language)
    return list(dict.fromkeys(word for word in words(question) if word not in left_out))[
        :MAX_QUESTION_WORDS
    ]


def content_runs(question: str, language: str) -> list[str]:
    """The same, as the question has them: ``9.30`` stays what it is, for a parser of its own."""
    left_out = stop_words(language)
    found: dict[str, None] = {}
    for run in question.replace("\0", " ").split():
        if any(word not in left_out for word in words(run)) and len(run) <= MAX_WORD_CHARACTERS:
            found[run] = None
        if len(found) == MAX_QUESTION_WORDS:
            break
    return list(found)


@cache
def stop_words(language: str) -> frozenset[str]:
    """Words that say nothing about what is asked. Those of Snowball, as PostgreSQL has them."""
    from bm25s import stopwords

    name = "STOPWORDS_EN_PLUS" if language == "english" else f"STOPWORDS_{language.upper()}"
    # A list may have "don't", which is "don" and "t" here.
    return frozenset(word for entry in getattr(stopwords, name, ()) for word in words(entry))


def stems(found: Iterable[str], language: str) -> Iterator[str]:
    """Each word without its endings, so that "openings" finds "opening"."""
    return (_stem(language, word) for word in found)


def share(asked: Iterable[str], text: str, language: str) -> float:
    """How much of these words a text has, from 0 to 1, whatever their endings."""
    wanted = set(stems(asked, language))
    return len(wanted.intersection(stems(words(text), language))) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=100_000)
def _stem(language: str, word: str) -> str:
    held: dict[str, Any] = _stemmers.__dict__
    if language not in held:
        held[language] = _make_stemmer(language)
    stemmer = held[language]
    return word if stemmer is None else stemmer.stemWord(word)


def _make_stemmer(language: str) -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer(language) if language in snowballstemmer.algorithms() else None
