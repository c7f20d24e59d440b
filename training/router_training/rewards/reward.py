"""A reward: facts of a run and the right answers in, numbers with their parts out."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from router_graph.evaluation.gold import Gold
from router_graph.trajectories.records import RunRecord

Needs = Literal["answers", "documents"]
WHOLE_RUN = 0
"""The number of a score that is for the run, and not for one of its steps."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a step, or a run, was worth."""

    number: int
    """Of the step, from 1; `WHOLE_RUN` for the run."""
    total: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """What it is made of, before weights. A part that does not apply is not there."""


class Reward(ABC):
    """Pure where it does not say otherwise: the same run gives the same score."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, object]:
        """All that a score depends on besides the run and its gold, as JSON values."""

    @property
    def needs(self) -> frozenset[Needs]:
        """What a run's gold must have."""
        return frozenset({"answers"})

    @property
    def version(self) -> str:
        """The name, with a digest of the parameters: scores of one version can be compared."""
        return f"{self.name}-{digest(self.parameters)}"

    @abstractmethod
    def score(self, run: RunRecord, gold: Gold) -> Iterator[Score]:
        """The scores of a run that has ended."""


class RunReward(Reward):
    """One score for the whole run."""

    @abstractmethod
    def of_run(self, run: RunRecord, gold: Gold) -> Score:
        """The run's score."""

    def score(self, run: RunRecord, gold: Gold) -> Iterator[Score]:
        """The run's score."""
        yield self.of_run(run, gold)


class StepReward(Reward):
    """A score for each step, from what came before it and of it, and from nothing that came later."""

    @abstractmethod
    def of_step(self, run: RunRecord, number: int, gold: Gold) -> Score | None:
        """The score of the run's step of this number (from 1); None where it cannot be judged.

        Raises `KeyError` where the run has no such step.
        """

    def score(self, run: RunRecord, gold: Gold) -> Iterator[Score]:
        """The scores of the steps whose routes have all come back."""
        for step in run.steps:
            if step.is_whole and (score := self.of_step(run, step.number, gold)) is not None:
                yield score


def digest(parameters: Mapping[str, object]) -> str:
    """12 hex digits of a SHA-256: the same for the same values, whatever their order."""
    written = json.dumps(parameters, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(written.encode()).hexdigest()[:12]
