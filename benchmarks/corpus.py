"""Any number of short texts as a site might have them, and questions about them.

No two are the same, each is always the same, and they read as English: what embeddings and
rankings make of random letters or numbers says nothing about either.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np


def _listed(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(",")]


THINGS = _listed(
    """
    allotment, archive, bakery, bandstand, beehive, bicycle shed, boathouse, bookshop, bowling
    green, bridge, bus shelter, butterfly house, canal lock, chapel, choir, cinema, clock tower,
    community garden, cricket pavilion, crossing, dance school, dovecote, duck pond, ferry, fire
    station, fish market, footpath, fountain, gallery, greenhouse, harbour wall, hospital, ice rink,
    library, lighthouse, market hall, mill, museum, nature reserve, nursery, observatory, orchard,
    playground, post office, pottery, quarry, railway station, recycling centre, running club,
    school, skate park, swimming pool, tea room, tennis court, theatre, tram line, village hall,
    viaduct, water tower, wildlife hospital, windmill, workshop
    """
)
PLACES = _listed(
    """
    Ashford, Bank Street, Barley Hill, Beacon Point, Birch Lane, Brackenfield, Castle Rise, Church
    End, Clover Row, Cold Harbour, Copper Quay, Crow Wood, Dale Side, East Moor, Elm Square, Ferry
    Road, Fox Hollow, Gallows Green, Garth Fell, Glass Street, Heron Marsh, High Weald, Holly Bank,
    Ironbridge Way, Kiln Yard, Lark Meadow, Lime Avenue, Long Reach, Maple Court, Mill Race, North
    Pier, Oak Common, Old Town, Otter Brook, Park Crescent, Pebble Cove, Priory Lane, Quarry Bottom,
    Raven Crag, River Terrace, Rook Farm, Saddle Hill, Salt Wharf, Sandy Lane, South Gate, Spring
    Vale, Station Parade, Stone Cross, Thorn Hill, Tower Street, Upper Green, Wharf Road, Willow
    Island, Windy Ridge, Wool Market, Yew Tree Close
    """
)
PEOPLE = _listed(
    """
    apprentices, beekeepers, carers, cyclists, dog walkers, first aiders, gardeners, grandparents,
    historians, knitters, night nurses, painters, parents, photographers, pupils, ramblers, retired
    engineers, scouts, singers, students, swimmers, trustees, visitors, volunteers
    """
)
DEEDS = _listed(
    """
    cleared the ditch, counted the swifts, cut the hedge, dug a new well, fed the ducks, hung the
    lanterns, laid the floor again, mapped the drains, mended the roof, opened the cellar, painted
    the doors, planted forty oaks, raised the money, read out the old letters, rebuilt the wall,
    replaced the boiler, rewired the lights, scrubbed the steps, stitched the curtains, swept the
    chimney, taught the beginners, tuned the piano, turned the compost, wrote the guide
    """
)
NEEDS = _listed(
    """
    a covered stand for bicycles, a hearing loop, a lift, a new pump, a ramp at the side door, a
    second toilet, better lighting, dry storage, fresh gravel, more seats, quieter hours, room for
    prams, shade in summer, signs in braille, thicker glass, warmer changing rooms
    """
)
DAYS = _listed(
    """
    Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday
    """
)
MONTHS = _listed(
    """
    January, February, March, April, May, June, July, August, September, October, November, December
    """
)

TITLES = (
    "The {thing} at {place}",
    "{place}: what happens to the {thing}",
    "How {people} saved the {thing} of {place}",
    "A year at the {place} {thing}",
    "Visiting the {thing} in {place}",
)
SENTENCES = (
    "The {thing} at {place} opens at {hour}am from {day} to {day2}, and closes for {month}.",
    "In {month} {year}, {number} {people} {deed} while the rest of {place} looked on.",
    "A ticket for the {thing} costs £{price}, and children under {age} pay nothing.",
    "What the {thing} wants most is {need}, which would cost about £{sum}.",
    "The {people} meet every {day} at {hour}, beside the {other}, whatever the weather.",
    "It was built in {old} for the {people} of {place2}, who had to walk to {place} before.",
    "Nobody knows why the {other} was moved, but a letter of {old} blames the {people}.",
    "Dogs are welcome in the {other} and not in the {thing}, because of the floor.",
    "The council of {place} promised {need} by {month}, and gave £{sum} towards it.",
    "From the station at {place2} it is {number} minutes on foot, past the {other}.",
    "To book the {thing}, ring the {people} before {day}, and say how many you are.",
    "Last {month} they {deed}, and this year they hope for {need}.",
)
QUESTIONS = (
    "When does the {thing} at {place} open on a {day}?",
    "What does a ticket for the {thing} in {place} cost?",
    "Who saved the {thing} of {place}?",
    "Does the {thing} at {place} have {need}?",
    "How do I get to the {thing} from {place2}?",
    "Can we bring a dog to the {thing}?",
    "When did the {people} of {place} build the {thing}?",
)


# Articles whose words WordVectors knows.
SAMPLE = 500
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Article:
    title: str
    text: str

    @property
    def embedded_text(self) -> str:
        return f"{self.title}\n{self.text}"


def article(number: int) -> Article:
    """The article of that number."""
    random = Random(number)
    words = _words(random)
    title = random.choice(TITLES).format(**words)
    sentences = random.sample(SENTENCES, 6)
    return Article(title, " ".join(sentence.format(**words) for sentence in sentences))


def questions(count: int) -> list[str]:
    """Questions about what articles are about, no two of them by plan alike."""
    found = []
    for number in range(count):
        random = Random(f"question {number}")
        found.append(random.choice(QUESTIONS).format(**_words(random)))
    return found


class WordVectors:
    """Vectors of articles, made of the model's vectors of their words.

    A sentence model takes half an hour for 100,000 articles; this takes a minute. A vector is the
    mean of the centred vectors of the words, weighted by tf-idf. Its similarities to questions are
    spread like those of the model's own vectors.
    """

    def __init__(self, embed: Callable[[Sequence[str]], Any]) -> None:
        texts = [set(_split(article(number).embedded_text)) for number in range(SAMPLE)]
        counts = Counter(word for words in texts for word in words)
        words = sorted(counts)
        vectors = embed(words)
        rarity = np.array([math.log(SAMPLE / counts[word]) for word in words], np.float32)
        self._numbers = {word: number for number, word in enumerate(words)}
        self._vectors = (vectors - vectors.mean(axis=0)) * rarity[:, None]

    def __call__(self, texts: Sequence[str]) -> Any:
        """Float32 of shape ``(len(texts), dimensions)``, each row of length 1."""
        counts = np.zeros((len(texts), len(self._numbers)), np.float32)
        for row, text in enumerate(texts):
            for word in _split(text):
                if word in self._numbers:
                    counts[row, self._numbers[word]] += 1
        vectors = counts @ self._vectors
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _split(text: str) -> Iterable[str]:
    return WORD.findall(text.lower())


def _words(random: Random) -> dict[str, str]:
    thing, other = random.sample(THINGS, 2)
    place, place2 = random.sample(PLACES, 2)
    day, day2 = random.sample(DAYS, 2)
    return {
        "thing": thing,
        "other": other,
        "place": place,
        "place2": place2,
        "people": random.choice(PEOPLE),
        "deed": random.choice(DEEDS),
        "need": random.choice(NEEDS),
        "day": day,
        "day2": day2,
        "month": random.choice(MONTHS),
        "hour": str(random.randint(7, 11)),
        "year": str(random.randint(1990, 2026)),
        "old": str(random.randint(1700, 1950)),
        "number": str(random.randint(3, 60)),
        "price": f"{random.randint(2, 18)}.50",
        "age": str(random.randint(3, 16)),
        "sum": f"{random.randint(2, 90)},000",
    }
