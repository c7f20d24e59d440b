"""From a log and its scores to what a method trains on, with a count of all that it leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from router_graph.evaluation.questions import mark_of
from router_graph.policies.local import TRAINED_ON
from router_graph.trajectories.records import RunRecord
from router_training.credit.groups import by_place, by_state
from router_training.data.rendering import Rendering
from router_training.data.samples import Left, check_ratios, check_tokens, samples
from router_training.data.splits import check_apart, split
from router_training.errors import DataError
from router_training.labelled import Labels
from router_training.recipe import OfflineRecipe, Split
from router_training.rewards.scoring import RewardRecord
from router_training.trainers.config import Credit, OfflineGrpo
from router_training.trainers.rows import Judged, attempted, judge

_MOST_SHOWN = 128
"""Held-out runs of which the loss is shown."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a method starts from."""

    judged: list[Judged]
    left: Left
    trained: list[RunRecord]
    """Runs of the questions to train on."""
    held: list[RunRecord]
    """Runs of the questions that are kept back."""
    shown: list[Judged]
    """Some of their decisions, to see the loss on."""
    labels: Labels | None = None
    """What people said of steps, where that counts."""


def prepared(
    runs: Iterable[RunRecord],
    scores: Sequence[RewardRecord] | None,
    rendering: Rendering,
    recipe: OfflineRecipe,
    *,
    tokenizer: str = "",
    weights: str = "",
    retokenize: bool = False,
    labels: Labels | None = None,
) -> Prepared:
    """Split the questions, render each decision to train on, and join it with its score.

    Without `scores` each decision counts 1: all are to be imitated. With `labels`, what people said of a step counts in
    place of its score; without scores, of these steps alone. `tokenizer` and `weights` are the fingerprints of
    those that are used, if they are known. Raises `DataError`, and `TokensError` where the log's tokens are of another
    tokenizer and it is not to be tokenized anew, or the method needs log-probs and those are not of these weights.
    """
    known = [run for run in runs if run.is_ours]
    if not known:
        raise DataError("The log has no run of a routing graph to learn from; record some with --record FOLDER.")
    trained, held = split(known, held_out=recipe.split.held_out, seed=recipe.split.seed)
    check_apart(trained, held)
    if retokenize:
        trained = [_without_tokens(run) for run in trained]
    elif tokenizer:
        for run in trained:
            check_tokens(run, tokenizer)
    left = Left()
    judged = _judged(trained, scores, labels, rendering, recipe, left)
    if not judged:
        raise DataError(f"There is no sample to train on: left out are {left}.")
    if isinstance(recipe.objective, OfflineGrpo):
        check_ratios([one.sample for one in judged], weights)
    is_shown = held and recipe.trl.get("eval_strategy") != "no"
    some = _some_of(held, retokenize=retokenize) if is_shown else []
    shown = attempted(lambda: _judged(some, scores, labels, rendering, recipe, Left())) if some else []
    return Prepared(judged, left, trained, held, list(shown), labels)


def _judged(
    runs: Sequence[RunRecord],
    scores: Sequence[RewardRecord] | None,
    labels: Labels | None,
    rendering: Rendering,
    recipe: OfflineRecipe,
    left: Left,
) -> list[Judged]:
    group, said = group_of(recipe.credit), list[Judged]()
    if labels is not None:
        said = labels.judged(
            runs,
            rendering,
            group=group,
            convention=recipe.credit.convention,
            most_tokens=recipe.data.most_tokens,
            only_done=isinstance(recipe.objective, OfflineGrpo),
            left=left,
        )
        if scores is None:
            return said
    made = samples(
        runs,
        rendering,
        most_tokens=recipe.data.most_tokens,
        left=left,
        without=() if labels is None else labels.of,
    )
    if scores is not None:
        return said + judge(
            made,
            runs,
            scores,
            by=recipe.credit.by,
            group=group,
            convention=recipe.credit.convention,
            weight=recipe.credit.weight,
            parts=recipe.credit.parts,
            left=left,
        )
    by_id = {run.run_id: run for run in runs}
    return [Judged(one, 1.0, group(by_id[one.run_id], one.number)) for one in made]


def _some_of(held: Sequence[RunRecord], *, retokenize: bool) -> list[RunRecord]:
    """Runs of the first questions, by their marks: those of one question together, as they are compared."""
    some = sorted(held, key=question_mark)[:_MOST_SHOWN]
    return [_without_tokens(run) for run in some] if retokenize else some


def group_of(credit: Credit) -> Callable[[RunRecord, int], Hashable]:
    """What names the steps that a step is compared with."""
    match credit.group:
        case "state":
            return partial(by_state, by=credit.same)
        case "place":
            return by_place
        case "question":
            return lambda run, number: run.question_id


def save_trained_on(folder: Path, sides: Split, runs: Iterable[RunRecord], about: dict[str, Any]) -> None:
    """Keep with a policy which questions it has seen, and the reward with its scale of costs."""
    told = {
        "split": sides.model_dump(),
        "scores": about,
        "questions": sorted({question_mark(run) for run in runs}),
    }
    (folder / TRAINED_ON).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def load_trained_on(folder: Path) -> dict[str, Any] | None:
    """What was kept; None where nothing was. Raises `DataError` where it cannot be read."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {"split": dict(told["split"]), "scores": dict(told["scores"]), "questions": set(told["questions"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); train the policy anew.") from None


def unseen(runs: Sequence[RunRecord], seen: set[str]) -> list[RunRecord]:
    """The runs of questions that a policy was not trained on. Raises `DataError` where there is none."""
    fresh = [run for run in runs if question_mark(run) not in seen]
    if not fresh:
        raise DataError(
            f"The policy was trained on the questions of all {len(runs):,} runs; give runs of other questions, or "
            "train with split.held_out above 0."
        )
    check_apart([run for run in runs if question_mark(run) in seen], fresh)
    return fresh


def question_mark(run: RunRecord) -> str:
    """Names the question of a run."""
    return mark_of(run.question)


def _without_tokens(run: RunRecord) -> RunRecord:
    return replace(run, steps=tuple(replace(one, call=None) for one in run.steps))
