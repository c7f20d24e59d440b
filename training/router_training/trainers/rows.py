"""Samples with what they were worth, and what each method takes of them."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from typing_extensions import TypedDict

from router_graph.trajectories.records import RunRecord
from router_training.credit.advantages import TRL, Convention
from router_training.credit.assign import By, credit
from router_training.credit.groups import by_state
from router_training.data.samples import Left, Sample
from router_training.errors import DataError
from router_training.rewards.scoring import RewardRecord
from router_training.trainers.config import Awr, OfflineGrpo, Rft

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample, and what it was worth."""

    sample: Sample
    reward: float
    state: Hashable
    """Samples of one state are alternatives to each other."""
    advantage: float = 0.0
    """Over what it was compared with."""
    differs: bool = True
    """Whether what it was compared with had another reward; else it teaches nothing by comparison."""


class Row(TypedDict):
    """What a trainer reads. Columns are of these names."""

    input_ids: list[int]
    """Prompt and reply."""
    loss_mask: list[int]
    """1 for each token that is trained; as long as `input_ids`."""
    logprobs: list[float]
    """Of the trained tokens, in order, under the policy that logged them; empty where they are not known."""
    weight: float
    """Of the sample; for `offline-grpo` its advantage."""


def judge(
    samples: Iterable[Sample],
    runs: Iterable[RunRecord],
    scores: Iterable[RewardRecord],
    *,
    by: By = "step",
    group: Callable[[RunRecord, int], Hashable] = by_state,
    convention: Convention = TRL,
    weight: float = 1.0,
    parts: Mapping[str, float] | None = None,
    left: Left | None = None,
) -> list[Judged]:
    """Join samples with their scores and advantages, as `router_training.credit.assign.credit` gives them.

    `group` names what a step is compared with. Samples that nothing was said of are counted in `left`. Raises
    `DataError` where there are samples, and none was scored, or the scores are of two versions.
    """
    left, found, known = left or Left(), list(samples), {run.run_id: run for run in runs}
    states = {(one.run_id, one.number): group(known[one.run_id], one.number) for one in found}
    told = list(scores)
    if not found:
        return []
    if not any((one.run_id, one.number) in states or (one.run_id in known and not one.number) for one in told):
        left.counts["without a score"] += len(found)
        raise DataError(f"No sample has a score ({left} left out); score the same log that the samples come from.")
    given = credit(
        known.values(),
        told,
        by,
        steps_by=lambda run, number: states[run.run_id, number],
        convention=convention,
        weight=weight,
        parts=parts,
        among=states,
        must_differ=False,
    )
    place = {one: n for n, one in enumerate(given.steps)}
    judged = []
    for sample in found:
        key = sample.run_id, sample.number
        if (n := place.get(key)) is None:
            left.counts["without a score"] += 1
            continue
        facts = float(given.worth[n]), states[key], float(given.advantages[n]), bool(given.mask[n])
        judged.append(Judged(sample, *facts))
    return judged


def rows(judged: Sequence[Judged], objective: Rft | Awr | OfflineGrpo, left: Left | None = None) -> list[Row]:
    """What the method trains on. What it leaves out is counted in `left`. Raises `DataError` where nothing is left."""
    if not judged:
        raise DataError("There is no sample to train on; record runs whose policy decides one step at a time.")
    left = left or Left()
    match objective:
        case Rft():
            good = [(one, 1.0) for one in _good(judged, objective, left)]
        case Awr():
            cap = objective.cap
            good = [
                (one, cap if one.advantage / objective.tau > math.log(cap) else math.exp(one.advantage / objective.tau))
                for one in _spread(judged, left)
            ]
        case OfflineGrpo():
            good = [(one, one.advantage) for one in _spread(judged, left)]
            if bare := sum(one.sample.logprobs is None for one, _ in good):
                raise DataError(
                    f"{bare:,} of {len(good):,} samples have no recorded log-probs, which offline-grpo needs; record "
                    "with a local policy (`local:FOLDER`), or train with rft or awr."
                )
    return [row(one.sample, weight) for one, weight in good]


def check_labels(judged: Sequence[Judged], above: float) -> list[Judged]:
    """Those that have a reward, for a method that tells good ones, of more than `above`, from bad ones.

    Raises `DataError` where all are good, or all bad.
    """
    told = [one for one in judged if one.reward == one.reward]
    good = sum(one.reward > above for one in told)
    if not 0 < good < len(told):
        raise DataError(
            f"{'All' if good else 'None'} of {len(told):,} samples have a reward of more than {above:g}; KTO needs "
            "good and bad ones: set objective.above between them."
        )
    return told


def row(sample: Sample, weight: float = 1.0) -> Row:
    """One sample as a trainer reads it: every token of the reply is trained, none of the prompt."""
    prompt, reply = sample.prompt_ids, sample.completion_ids
    if not prompt or not reply:
        raise DataError(
            f"Step {sample.number} of run {sample.run_id!r} has an empty {'reply' if prompt else 'prompt'}; leave it "
            "out."
        )
    if sample.logprobs is not None and len(sample.logprobs) != len(reply):
        raise DataError(
            f"Step {sample.number} of run {sample.run_id!r} has {len(sample.logprobs)} log-probs for {len(reply)} "
            "tokens; record it anew, or leave it out."
        )
    mask = [0] * len(prompt) + [1] * len(reply)
    return Row(input_ids=[*prompt, *reply], loss_mask=mask, logprobs=list(sample.logprobs or ()), weight=weight)


def attempted(make: Callable[[], Sequence[T]]) -> Sequence[T]:
    """What held-out samples give to evaluate on: nothing, where they would give nothing to train on."""
    try:
        return make()
    except DataError:
        return []


def dataset(made: Sequence[Row]) -> Any:
    """The rows as a `datasets.Dataset`, in memory, to the bit."""
    from datasets import Dataset, Features, List, Value

    features = {
        "input_ids": List(Value("int32")),
        "loss_mask": List(Value("int8")),
        "logprobs": List(Value("float64")),
        "weight": Value("float64"),
        "row": Value("int64"),
    }
    columns: Mapping[str, list[Any]] = {
        name: [one[name] for one in made]  # type: ignore[literal-required]
        for name in Row.__annotations__
    }
    return Dataset.from_dict({**columns, "row": list(range(len(made)))}, features=Features(features))


def fingerprint(judged: Iterable[Judged]) -> str:
    """Names the data: 16 hex digits of the tokens, rewards and states, in any order."""
    each = sorted(
        hashlib.sha256(
            repr((one.sample.prompt_ids, one.sample.completion_ids, one.sample.logprobs, one.reward)).encode()
        ).digest()
        for one in judged
    )
    return hashlib.sha256(b"".join(each)).hexdigest()[:16]


def _good(judged: Sequence[Judged], objective: Rft, left: Left) -> list[Judged]:
    bars = _bars(judged, objective.best_of_state)
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    good: list[Judged] = []
    for one in judged:
        key = tuple(one.sample.prompt_ids), tuple(one.sample.completion_ids)
        if not one.reward > objective.above:
            left.counts[f"with a reward of {objective.above:g} or less"] += 1
        elif one.reward < bars[one.state]:
            left.counts["not among the best of their state"] += 1
        elif objective.dedupe and key in seen:
            left.counts["said before"] += 1
        else:
            seen.add(key)
            good.append(one)
    if not good:
        best = max((one.reward for one in judged if not math.isnan(one.reward)), default=math.nan)
        raise DataError(
            f"None of {len(judged):,} samples has a reward of more than {objective.above:g} (the best has {best:g}); "
            "lower `above`, or record runs that go better."
        )
    return good


def _bars(judged: Sequence[Judged], best: int | None) -> dict[Hashable, float]:
    """The least reward of a state's best."""
    of_state: defaultdict[Hashable, list[float]] = defaultdict(list)
    for one in judged:
        of_state[one.state].append(one.reward)
    if best is None:
        return dict.fromkeys(of_state, -math.inf)
    return {state: sorted(rewards, reverse=True)[:best][-1] for state, rewards in of_state.items()}


def _spread(judged: Sequence[Judged], left: Left) -> list[Judged]:
    kept = [one for one in judged if one.differs]
    if not kept:
        raise DataError(
            f"No state has two different rewards, so that nothing can be learned from {len(judged):,} samples by "
            "comparison; record the same questions several times, or group the steps otherwise (credit.group, "
            "credit.by)."
        )
    if dropped := len(judged) - len(kept):
        left.counts["from states where nothing else was tried, or nothing did better"] += dropped
    return kept
