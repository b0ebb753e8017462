"""Words, stop words and stems."""

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from django.conf import settings

# Language codes → names as used by Snowball, PostgreSQL and bm25s.
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

MAX_QUESTION_WORDS = 32
MAX_WORD_CHARACTERS = 100
MAX_TERMS = 64

# Includes combining marks, which \w leaves out. It would split words of Hindi or Thai.
_WORD = re.compile(
    r"[\w\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670"
    r"\u0900-\u0963\u0966-\u109f]+"
)

# Soft hyphens, zero-width spaces and joiners, direction marks.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_ACCENTS = re.compile("[\u0300-\u036f]")
# Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without spaces between words.
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]+"
)

# Stemmers are not thread-safe.
_stemmers = threading.local()


def language_name(code: str) -> str:
    """Snowball's name for a language code such as ``en-gb``; empty if it has no such language.

    An empty code means ``LANGUAGE_CODE``.
    """
    return LANGUAGES.get(re.split("[-_]", (code or settings.LANGUAGE_CODE).lower())[0], "")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without those of over 100 characters.

    Ligatures and characters of full width are replaced, invisible characters left out.
    """
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).lower().replace("_", " ")
    return [word for word in _WORD.findall(plain) if len(word) <= MAX_WORD_CHARACTERS]


def content_words(question: str, language: str) -> list[str]:
    """The first 32 distinct words of a question that are not stop words."""
    ignored = stop_words(language)
    return list(dict.fromkeys(word for word in words(question) if word not in ignored))[
        :MAX_QUESTION_WORDS
    ]


def terms(found: Iterable[str], language: str) -> list[str]:
    """What the full-text ranking compares: stems of these words, without accents.

    Scripts without spaces between words give pairs of characters, as Lucene's CJK analyser does.
    """
    return [term for word in found for term in _terms(language, word)]


def question_terms(question: str, language: str) -> list[str]:
    """The first 64 distinct :func:`terms` of a question's content words."""
    return list(dict.fromkeys(terms(content_words(question, language), language)))[:MAX_TERMS]


@cache
def stop_words(language: str) -> frozenset[str]:
    """Snowball's stop words, which PostgreSQL uses as well."""
    from bm25s import stopwords

    name = "STOPWORDS_EN_PLUS" if language == "english" else f"STOPWORDS_{language.upper()}"
    # words() splits "don't" into "don" and "t".
    return frozenset(word for entry in getattr(stopwords, name, ()) for word in words(entry))


def stems(found: Iterable[str], language: str) -> Iterator[str]:
    return (_stem(language, word) for word in found)


def stem_overlap(asked: Iterable[str], text: str, language: str) -> float:
    """The share of these words that a text contains, from 0 to 1, compared by stem."""
    wanted = set(stems(asked, language))
    return len(wanted.intersection(stems(words(text), language))) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=100_000)
def _terms(language: str, word: str) -> tuple[str, ...]:
    found: list[str] = []
    position = 0
    for run in _WITHOUT_SPACES.finditer(word):
        found += _plain_term(language, word[position : run.start()])
        characters = run[0]
        found += [characters[at : at + 2] for at in range(max(len(characters) - 1, 1))]
        position = run.end()
    found += _plain_term(language, word[position:])
    return tuple(found)


def _plain_term(language: str, word: str) -> list[str]:
    if not word:
        return []
    stem = _stem(language, word)
    return [_ACCENTS.sub("", unicodedata.normalize("NFKD", stem))]


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


def plain(text: str) -> str:
    """The lower-case words of a text, joined by spaces, without accents or punctuation."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return " ".join(words(bare))
