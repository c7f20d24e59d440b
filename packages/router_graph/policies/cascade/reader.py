"""Replies of models → the short answer that is most likely right, and how likely it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router_graph.policies.cascade.candidates import candidates, heard
from router_graph.policies.cascade.features import Features, features


@dataclass(frozen=True, slots=True)
class Read:
    """What was read out of replies."""

    answer: str = ""
    """Empty where no reply holds a candidate."""
    confidence: float = 0.0
    """The probability that it is right, from 0 to 1, as fitted."""
    backers: int = 0
    """How many of the replies contain it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A logistic regression over the features of each candidate, the same for all models and numbers of replies."""

    weights: Mapping[str, float]
    """By the name of the feature; one that is not named counts nothing."""

    def score(self, told: Features) -> float:
        """The probability that a candidate with these features is right."""
        z = sum(self.weights.get(name, 0.0) * value for name, value in told.items())
        return 1 / (1 + math.exp(-z)) if z > -700 else 0.0

    def read(self, question: str, replies: Sequence[str]) -> Read:
        """The best candidate of the replies; of equals the one that stands first."""
        said = [heard(question, one) for one in replies]
        scores = {key: self.score(told) for key, told in features(question, said).items()}
        if not scores:
            return Read()
        best = max(scores, key=scores.__getitem__)
        backers = sum(f" {best} " in one.whole for one in said)
        return Read(candidates(said)[best], scores[best], backers)
