"""Looks up the logged questions that are most like the one that is asked, and what each option was worth for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router_graph.policies.learned.competence import ByCompetence, Estimate
from router_graph.policies.learned.decided import Decided, Stage, State
from router_graph.policies.learned.features import likeness, rarities, vector

NEIGHBOURS = 8
"""Logged choices of an option that are looked at."""
PRIOR = 1.0
"""How many choices of full likeness what an option did for all questions counts for."""
Row = tuple[str, Stage, str, str, float]
"""Question, stage, source, option, quality."""
_Seen = tuple[Mapping[str, float], str, float]
"""The question's vector, source, quality."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The logged choices, and how rare their questions' words are."""

    rows: tuple[Row, ...]
    neighbours: int = NEIGHBOURS
    learned: Mapping[str, Any] = field(default_factory=dict)
    """Fingerprints and counts of what it was learned from."""

    @classmethod
    def of(
        cls, choices: Iterable[Decided], *, neighbours: int = NEIGHBOURS, learned: Mapping[str, Any] | None = None
    ) -> Memory:
        """The memory of these choices."""
        rows = sorted((one.question, *one.state, one.key, one.quality) for one in choices)
        return cls(tuple(rows), neighbours, learned or {})


class Knn(ByCompetence):
    """The quality of an option is the mean over the logged questions most like this one on which it was chosen in the
    same state, weighted by how like they are (the cosine of TF-IDF vectors), and drawn towards its mean over all.

    A Beta distribution stands for it, whose counts are these weights.
    """

    def __init__(self, memory: Memory, *, usd_weight: float = 0.0, draws: bool = False) -> None:
        super().__init__("knn", str(memory.learned.get("data", "")), usd_weight=usd_weight, draws=draws)
        self.memory = memory
        questions = sorted({question for question, *_ in memory.rows})
        self._rarity = rarities(questions)
        vectors = {one: vector(one, self._rarity) for one in questions}
        self._rows: dict[tuple[Stage, str], list[_Seen]] = {}
        for question, stage, source, key, quality in memory.rows:
            self._rows.setdefault((stage, key), []).append((vectors[question], source, quality))

    @property
    def options(self) -> Iterable[str]:
        """The options that were chosen in the log."""
        return dict.fromkeys(key for _, key in self._rows)

    def estimates(self, question: str, state: State, keys: Sequence[str]) -> Mapping[str, Estimate]:
        """Of each option."""
        seen = vector(question, self._rarity)
        return {key: self._estimate(seen, state.source, self._rows.get((state.stage, key), [])) for key in keys}

    def _estimate(self, seen: Mapping[str, float], source: str, rows: Sequence[_Seen]) -> Estimate:
        same = [(likeness(seen, one), quality) for one, from_, quality in rows if from_ == source]
        usual = 0.5
        for group in ([one[2] for one in rows], [one[1] for one in same]):
            usual = (PRIOR * usual + sum(group)) / (PRIOR + len(group))
        near = sorted(same, reverse=True)[: self.memory.neighbours]
        good = sum(like * quality for like, quality in near)
        bad = sum(like * (1 - quality) for like, quality in near)
        return Estimate(PRIOR * usual + good, PRIOR * (1 - usual) + bad, seen=len(rows))
