"""What keeps a reward from being gamed: pay only for success, and for shares instead of counts."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.evaluation.gold import Gold
from router_graph.trajectories.records import RunRecord
from router_training.errors import ConfigError
from router_training.rewards.facts import taken, texts_of


def preferred_share(run: RunRecord, preferred: Mapping[str, float], gold: Gold) -> float:
    """How far the sources that served are the ones that the user prefers, from 0 to 1.

    `preferred` weighs options (`kb:NAME`, `llm:NAME`) from 0 to 1. Of the different sources that brought a needed
    document, or a text in which a right answer stands, the mean weight: asking one of them again, in vain, or for
    something else changes nothing. 0 where none did.
    """
    served = {
        came["served"] or route.target
        for step in run.steps
        for route, came in taken(step.step)
        if came["status"] == "ok" and (gold.met(came["hits"]) or gold.stands_in(texts_of(came)))
    }
    return sum(preferred.get(key, 0.0) for key in served) / len(served) if served else 0.0


def check_preferred(preferred: Mapping[str, float]) -> None:
    """Raises `ConfigError` for a weight that is not from 0 to 1."""
    for key, weight in preferred.items():
        if not 0 <= weight <= 1:
            raise ConfigError(f"How far {key} is preferred is a number from 0 to 1, and not {weight!r}.")


def gated(outcome: float, *, cheapness: float, alpha: float, share: float = 0.0, beta: float = 0.0) -> float:
    """outcome · ((1 − alpha − beta) + alpha · cheapness + beta · share).

    Thrift and preference are paid in proportion to the outcome: a run that fails cheaply gets nothing for it. For an
    outcome of 0 or 1 and no preference it is Router-R1's (1 − alpha) · outcome + alpha · cheapness, gated.
    """
    return outcome * ((1.0 - alpha - beta) + alpha * cheapness + beta * share)
