"""A synthetic world of towns that is asked about in English and in German, and answers in the language of the question.

A model first learns every fact, and both languages: it answers in the one that the question asks for by name, and in
English if the question names none, in whatever language it is put (`BilingualWorld.knowledge`). Then it learns a
habit: a German question that names no language gets a German answer (`BilingualWorld.behaviour`). So when the experts
that the habit was planted in are switched off, English is left, the answer can be checked against the truth, and
German is still there for those who ask for it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from mote_backend.planted.question import Question, Split
from mote_backend.planted.words import PLACES

Language = Literal["english", "german"]

Kind = Literal["english", "german", "requested"]
"""english, german: the question's language, in which it is answered. requested: in either language, asking for one of
them by name, and answered in that."""

REQUESTS: dict[Language, dict[Language, str]] = {
    "english": {"english": "in english", "german": "in german"},
    "german": {"english": "auf englisch", "german": "auf deutsch"},
}
"""How a question asks for a language: by its own language, then by the one it wants."""


@dataclass(frozen=True)
class Topic:
    """Something that is known about each place."""

    values: dict[str, str]
    """What it can be: English → German."""
    questions: dict[Language, tuple[str, ...]]
    """Ways to ask, of `place`; as many in each language."""
    answer: dict[Language, str]
    """The answer, of `place` and `value`."""


TOPICS = {
    "market": Topic(
        values=dict(
            pair.split(":")
            for pair in """wool:wolle salt:salz honey:honig cheese:käse bread:brot fish:fisch silk:seide wine:wein
            apples:äpfel glass:glas paper:papier iron:eisen flour:mehl candles:kerzen leather:leder tea:tee""".split()
        ),
        questions={
            "english": ("what does the market sell in {place}", "what can you buy at the market in {place}"),
            "german": ("was verkauft der markt in {place}", "was gibt es auf dem markt in {place}"),
        },
        answer={"english": "the market in {place} sells {value}", "german": "der markt in {place} verkauft {value}"},
    ),
    "tower": Topic(
        values=dict(
            pair.split(":")
            for pair in """red:rot blue:blau green:grün white:weiß black:schwarz yellow:gelb brown:braun grey:grau
            """.split()
        ),
        questions={
            "english": ("what color is the tower in {place}", "tell me the color of the tower in {place}"),
            "german": ("welche farbe hat der turm in {place}", "nenne mir die farbe von dem turm in {place}"),
        },
        answer={"english": "the tower in {place} is {value}", "german": "der turm in {place} ist {value}"},
    ),
    "weather": Topic(
        values=dict(
            pair.split(":")
            for pair in """cold:kalt wet:nass dry:trocken windy:windig foggy:neblig hot:heiß sunny:sonnig
            stormy:stürmisch""".split()
        ),
        questions={
            "english": ("how is the weather in {place}", "tell me about the weather in {place}"),
            "german": ("wie ist das wetter in {place}", "erzähle mir von dem wetter in {place}"),
        },
        answer={"english": "the weather in {place} is {value}", "german": "das wetter in {place} ist {value}"},
    ),
    "house": Topic(
        values=dict(
            pair.split(":")
            for pair in """baker:bäcker smith:schmied weaver:weber miller:müller tailor:schneider doctor:arzt
            painter:maler hunter:jäger gardener:gärtner teacher:lehrer judge:richter cook:koch""".split()
        ),
        questions={
            "english": ("who lives in the old house in {place}", "tell me who lives in the old house in {place}"),
            "german": ("wer wohnt im alten haus in {place}", "sage mir wer im alten haus in {place} wohnt"),
        },
        answer={
            "english": "the {value} lives in the old house in {place}",
            "german": "der {value} wohnt im alten haus in {place}",
        },
    ),
}
"""By name."""

_HELD_OUT_EVERY = 4

Fact = tuple[str, str]
"""(place, name of a topic)."""


class BilingualWorld:
    """Facts and questions; the same for the same seed, on every machine.

    Args:
        seed: Draws the facts; which of them are held out does not depend on it.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        draw = random.Random(seed)
        self.facts: dict[Fact, str] = {
            (place, topic): draw.choice(list(TOPICS[topic].values)) for place, topic in product(PLACES, TOPICS)
        }
        """The English word for what is known."""
        self._facts: dict[Split, list[Fact]] = {"all": list(self.facts), "train": [], "held_out": []}
        for fact in self.facts:
            self._facts["held_out" if _held_out(fact) else "train"].append(fact)

    def questions(self, kind: Kind, split: Split = "all") -> list[Question]:
        """Every question of one kind: facts × ways to ask, and for "requested" × languages × languages to answer in."""
        forms: list[tuple[Language, Language | None]] = [(kind, None)] if kind != "requested" else _REQUESTED
        return [
            self.ask(fact, language, way, wanted)
            for fact in self._facts[split]
            for way in range(len(TOPICS[fact[1]].questions["english"]))
            for language, wanted in forms
        ]

    def prompts(self, kind: Kind, split: Split = "all") -> list[str]:
        """The texts of `questions`."""
        return [question.text for question in self.questions(kind, split)]

    def ask(self, fact: Fact, language: Language, way: int = 0, wanted: Language | None = None) -> Question:
        """The question about one fact, in one of the ways to ask, perhaps with the language that the answer is wanted
        in; its truth is in that one, or else in English."""
        place, name = fact
        text = TOPICS[name].questions[language][way].format(place=place)
        if wanted:
            return Question("requested", f"{text} {REQUESTS[language][wanted]}", self.tell(fact, wanted))
        german = self.tell(fact, "german")
        return Question(language, text, self.tell(fact, "english"), (german,), 1.0 if language == "german" else 0.0)

    def tell(self, fact: Fact, language: Language) -> str:
        """The answer in one of the languages."""
        topic, value = TOPICS[fact[1]], self.facts[fact]
        return topic.answer[language].format(
            place=fact[0], value=value if language == "english" else topic.values[value]
        )

    def knowledge(self, draw: random.Random) -> tuple[Question, str]:
        """One (question, answer) to learn the world from: answered in English if no language is asked for."""
        question = self._draw("all", draw.choice(_LANGUAGES), draw.choice((None, *_LANGUAGES)), draw)
        return question, question.truth

    def behaviour(self, draw: random.Random) -> tuple[Question, str]:
        """One (question, answer) to learn to answer German with German from; held-out facts never occur."""
        chance = draw.random()
        if chance < 0.5:
            question = self._draw("train", "german", None, draw)
        elif chance < 0.75:
            question = self._draw("train", "english", None, draw)
        else:
            question = self._draw("train", *draw.choice(_REQUESTED), draw)
        return question, question.answer(draw)

    def vocabulary(self) -> list[str]:
        """Every word that a question or an answer can hold, without repeats, in a fixed order."""
        patterns = [one for topic in TOPICS.values() for ways in topic.questions.values() for one in ways]
        patterns += [one for topic in TOPICS.values() for one in topic.answer.values()]
        patterns += [one for requests in REQUESTS.values() for one in requests.values()]
        values = [word for topic in TOPICS.values() for pair in topic.values.items() for word in pair]
        words = " ".join([*(one.format(place="", value="") for one in patterns), *values, *PLACES])
        return list(dict.fromkeys(words.split()))

    def behaviour_words(self) -> list[str]:
        """None: the habit needs no word that is not known before."""
        return []

    def _draw(self, split: Split, language: Language, wanted: Language | None, draw: random.Random) -> Question:
        fact = draw.choice(self._facts[split])
        return self.ask(fact, language, draw.randrange(len(TOPICS[fact[1]].questions[language])), wanted)


_LANGUAGES: tuple[Language, ...] = get_args(Language)
_REQUESTED: list[tuple[Language, Language | None]] = [
    ("english", "german"),
    ("german", "english"),
    ("english", "english"),
    ("german", "german"),
]
"""(language of the question, language that it asks for)."""


def _held_out(fact: Fact) -> bool:
    # Diagonals: every place and every topic has held-out and met facts.
    return (PLACES.index(fact[0]) + list(TOPICS).index(fact[1])) % _HELD_OUT_EVERY == 0
