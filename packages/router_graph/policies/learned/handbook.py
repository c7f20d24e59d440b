"""A handbook: how well each option did, by kind of question and how far the run was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router_graph.policies.learned.competence import ByCompetence, Estimate
from router_graph.policies.learned.decided import Decided, State
from router_graph.policies.learned.kinds import PRIOR, Kinds


@dataclass(frozen=True, slots=True)
class Competence:
    """How an option did in one kind of state: the sum of its qualities, and of how many choices."""

    good: float = 0.0
    seen: int = 0

    def with_(self, quality: float) -> Competence:
        """One more."""
        return Competence(self.good + quality, self.seen + 1)


Place = tuple[State, str, str]
"""State, kind of question, and option."""


@dataclass(frozen=True, slots=True)
class Book:
    """What a handbook knows."""

    kinds: Kinds
    pages: Mapping[Place, Competence]
    learned: Mapping[str, Any] = field(default_factory=dict)
    """Fingerprints and counts of what it was learned from."""

    @classmethod
    def written(cls, kinds: Kinds, choices: Iterable[Decided], learned: Mapping[str, Any] | None = None) -> Book:
        """The book of these choices, in these kinds."""
        pages: dict[Place, Competence] = {}
        for one in choices:
            place = (one.state, kinds.of(one.question), one.key)
            pages[place] = pages.get(place, Competence()).with_(one.quality)
        return cls(kinds, pages, learned or {})

    def estimate(self, question: str, state: State, key: str) -> Estimate:
        """What an option is worth in a state, as a Beta posterior.

        Its prior is what the option did in that state over all kinds of questions, of which the prior is what it did
        wherever a run was as far, of which it is even.
        """
        kind = self.kinds.of(question)
        same = [(place, one) for place, one in self.pages.items() if place[0].stage == state.stage and place[2] == key]
        near = [(place, one) for place, one in same if place[0] == state]
        usual = 0.5
        for group in (same, near):
            good, seen = sum(one.good for _, one in group), sum(one.seen for _, one in group)
            usual = (PRIOR * usual + good) / (PRIOR + seen)
        here = next((one for place, one in near if place[1] == kind), Competence())
        bad = max(0.0, here.seen - here.good)
        return Estimate(PRIOR * usual + here.good, PRIOR * (1 - usual) + bad, seen=sum(one.seen for _, one in same))


class Handbook(ByCompetence):
    """Competence of each option by kind of question, as Beta posteriors learned from a few dozen runs.

    The idea is SkillOrchestra's (arXiv 2602.19672), which learns it by a language model's judgement of skills. Ours:
    kinds are found by words, options are knowledge bases, models and the answer, and prices are those of the moment.
    """

    def __init__(self, book: Book, *, usd_weight: float = 0.0, draws: bool = False) -> None:
        super().__init__("handbook", str(book.learned.get("data", "")), usd_weight=usd_weight, draws=draws)
        self.book = book

    @property
    def options(self) -> Iterable[str]:
        """The options that it has a page on."""
        return dict.fromkeys(key for _, _, key in self.book.pages)

    def estimates(self, question: str, state: State, keys: Sequence[str]) -> Mapping[str, Estimate]:
        """Of each option."""
        return {key: self.book.estimate(question, state, key) for key in keys}
