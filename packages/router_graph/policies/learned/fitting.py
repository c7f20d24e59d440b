"""From a log to a policy without weights; refused, with counts, where the log says too little."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from router_graph.errors import SettingsError
from router_graph.evaluation.questions import fingerprint as fingerprint_of
from router_graph.evaluation.questions import mark_of
from router_graph.policies.gate import Gate
from router_graph.policies.learned.decided import (
    Decided,
    Rewards,
    decided,
    fingerprint,
)
from router_graph.policies.learned.gating import fitted_thresholds, gated
from router_graph.policies.learned.handbook import Book, Handbook
from router_graph.policies.learned.kinds import Kinds
from router_graph.policies.learned.knn import NEIGHBOURS, Knn, Memory
from router_graph.trajectories.records import RunRecord

AT_LEAST = 5
"""Logged choices of an option below which nothing is learned of it."""


def fit_handbook(
    runs: Iterable[RunRecord],
    rewards: Rewards,
    *,
    at_least: int = AT_LEAST,
    kinds: int = 16,
    usd_weight: float = 0.0,
    draws: bool = False,
) -> Handbook:
    """A handbook of these runs, with at most so many kinds of questions besides "other".

    Raises `SettingsError` for too few choices, naming each option's count.
    """
    choices, learned = _supported(runs, rewards, at_least)
    found = Kinds.found(choices, most=kinds)
    return Handbook(Book.written(found, choices, learned), usd_weight=usd_weight, draws=draws)


def fit_knn(
    runs: Iterable[RunRecord],
    rewards: Rewards,
    *,
    at_least: int = AT_LEAST,
    neighbours: int = NEIGHBOURS,
    usd_weight: float = 0.0,
    draws: bool = False,
) -> Knn:
    """A kNN over the questions of these runs. Raises `SettingsError` for too few choices."""
    if neighbours < 1:
        raise SettingsError(f"neighbours is {neighbours}; it is 1 or more.")
    choices, learned = _supported(runs, rewards, at_least)
    return Knn(Memory.of(choices, neighbours=neighbours, learned=learned), usd_weight=usd_weight, draws=draws)


def fit_gate(
    runs: Iterable[RunRecord], rewards: Rewards, *, at_least: int = AT_LEAST, usd_weight: float = 0.0
) -> tuple[Gate, dict[str, Any]]:
    """A gate whose thresholds are fitted on what came of answering, and of going on, after the first search; and what
    it was learned from.

    Raises `SettingsError` for too few of the one or the other, and where the log does not say how likely each was.
    """
    known = list(runs)
    after = gated(known, rewards, usd_weight=usd_weight)
    counts = {"answer": sum(one.answered for one in after), "go on": sum(not one.answered for one in after)}
    thin = [f"{way} {count}" for way, count in counts.items() if count < at_least]
    if thin:
        raise SettingsError(
            f"A gate needs at least {at_least} runs that answered after their first search of one knowledge base, and "
            f"{at_least} that went on, where either was possible with a logged probability; this log has too few: "
            f"{', '.join(thin)}. Record runs of a policy that draws, such as a handbook with draws."
        )
    thresholds, value = fitted_thresholds(after)
    questions = [one.question for one in after]
    learned = {
        "runs": len({one.run_id for one in after}),
        "answered": counts["answer"],
        "went_on": counts["go on"],
        "data": hashlib.sha256(repr(sorted(map(repr, after))).encode()).hexdigest()[:16],
        "questions": fingerprint_of(questions),
        "marks": sorted(set(map(mark_of, questions))),
        "value": round(value, 6),
    }
    return Gate(thresholds), learned


def support(choices: Iterable[Decided]) -> dict[str, int]:
    """How often each option was chosen."""
    return dict(sorted(Counter(one.key for one in choices).items()))


def _supported(runs: Iterable[RunRecord], rewards: Rewards, at_least: int) -> tuple[list[Decided], Mapping[str, Any]]:
    """The choices of the options that were chosen often enough, and what is said of them in the file."""
    skipped: Counter[str] = Counter()
    choices = decided(runs, rewards, skipped=skipped)
    counts = support(choices)
    enough = {key for key, count in counts.items() if count >= at_least}
    if len(enough - {"answer"}) < 2:
        told = ", ".join(f"{key} {count}" for key, count in counts.items()) or "none"
        why = "; ".join(f"{count} steps {reason}" for reason, count in skipped.items())
        raise SettingsError(
            f"There is too little to learn from: at least 2 routes must have been chosen {at_least} times each, one at "
            f"a time, and there is: {told}{f' ({why} do not count)' if why else ''}. Record with explore=0.3."
        )
    kept = [one for one in choices if one.key in enough]
    questions = {one.question for one in kept}
    return kept, {
        "runs": len({one.run_id for one in kept}),
        "questions_seen": len(questions),
        "choices": support(kept),
        "left_out": {key: count for key, count in counts.items() if key not in enough},
        "data": fingerprint(kept),
        "questions": fingerprint_of(questions),
        "marks": sorted(map(mark_of, questions)),
    }
