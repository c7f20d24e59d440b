"""What is asked in the world, what is right, and who knows it."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["search", "sum", "say"]

SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "atlas": ("moons", "rivers", "peaks"),
    "prices": ("price", "fee", "rent"),
    "people": ("birth", "job", "home"),
}
"""What each knowledge base knows, of everybody and everything."""
FIRST = tuple("zorn vela quill brax dune ember fjord gale haze iris jade kelp".split())
LAST = tuple("lumen mire nova opal pyre reef sable thorn umber wisp yarrow zephyr".split())
NAMES = tuple(f"{first} {last}" for first in FIRST for last in LAST)
"""Of two words, so that a name can be new and its words known: a model of whole words can say no word that it never
saw."""
NUMBERS = tuple("zero one two three four five six seven eight nine".split())
"""What there is to know: the answers of all questions but some of those that are said."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

    id: str
    text: str
    kind: Kind
    kb: str
    """Which knowledge base has it; empty where none does."""
    answer: str
    documents: tuple[str, ...]
    """As `kb:doc_id`."""

    @property
    def metadata(self) -> dict[str, object]:
        """As a recorder and a reward take it."""
        return {"question_id": self.id, "gold": [self.answer], "gold_documents": list(self.documents)}


def all_questions(subjects: Mapping[str, Sequence[str]] = SUBJECTS) -> list[Question]:
    """Every question that there is: of each subject and name, each sum up to nine, and each word to say."""
    found = [
        Question(_id(subject, name), f"{subject} of {name}", "search", kb, value_of(subject, name), (f"{kb}:{n}",))
        for kb, known in subjects.items()
        for n, (subject, name) in enumerate((subject, name) for subject in known for name in NAMES)
    ]
    found += [
        Question(f"sum-{a}-{b}", f"sum of {NUMBERS[a]} and {NUMBERS[b]}", "sum", "", NUMBERS[a + b], ())
        for a in range(10)
        for b in range(10 - a)
    ]
    return [*found, *(Question(_id("say", word), f"say {word}", "say", "", word, ()) for word in (*NAMES, *NUMBERS))]


class Sides(NamedTuple):
    """Questions that share no name and no sum."""

    learn: list[Question]
    tune: list[Question]
    """To choose settings by."""
    test: list[Question]
    """To report by; not looked at before."""


def split(questions: Sequence[Question]) -> Sides:
    """Half of them to learn from, a quarter to choose settings by, and a quarter to report by.

    A question's side depends on its name alone, or on its sum, or on the word that is to be said; so a name of one side
    is new on the others, and so is all that is known of it.
    """
    sides = Sides([], [], [])
    for one in questions:
        what = one.text if one.kind == "sum" else one.text.split(maxsplit=1)[1].removeprefix("of ")
        drawn = int.from_bytes(hashlib.sha256(what.encode()).digest()[:4]) / 2**32
        sides[0 if drawn < 0.5 else 1 if drawn < 0.75 else 2].append(one)
    return sides


def balanced(questions: Sequence[Question], count: int, *, seed: int) -> list[Question]:
    """So many of them, in turn of each knowledge base, of the sums (twice: they are asked at many prices) and of the
    words to say; a question may recur once all others of its sort were drawn."""
    dice = random.Random(seed)
    sorts: dict[str, list[Question]] = {}
    for one in questions:
        sorts.setdefault(one.kb or one.kind, []).append(one)
    drawn = {sort: itertools.cycle(dice.sample(known, len(known))) for sort, known in sorted(sorts.items())}
    turns = itertools.cycle([*drawn.values(), *([drawn["sum"]] if "sum" in drawn else [])])
    return [next(next(turns)) for _ in range(count)]


def value_of(subject: str, name: str) -> str:
    """What is true of a subject and a name."""
    return random.Random(f"{subject} of {name}").choice(NUMBERS)


def _id(*words: str) -> str:
    return "-".join(" ".join(words).split())
