"""One pass of a reward over a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from router_graph.evaluation.gold import Gold
from router_graph.trajectories.reader import Source, read_runs
from router_graph.trajectories.records import RunRecord
from router_training.errors import DataError
from router_training.rewards.gold import Questions
from router_training.rewards.reward import WHOLE_RUN, Needs, Reward

_MISSING: Mapping[Needs, str] = {
    "answers": "right answer (metadata['gold'])",
    "documents": "needed document (metadata['gold_documents'])",
}
_MEND: Mapping[Needs, str] = {
    "answers": "record it with the run, or give a file of questions that has it (--questions).",
    "documents": (
        "record it with the run or give a file of questions that has it (--questions), where an empty list says that "
        "none is needed; or set weights.documents=0 and weights.stop=0, to score without."
    ),
}


@dataclass(frozen=True, slots=True)
class RewardRecord:
    """What a step, or a whole run, was worth, by one version of a reward."""

    run_id: str
    number: int
    """Of the step, from 1; 0 for the whole run."""
    total: float
    parts: Mapping[str, float]
    version: str


@dataclass(frozen=True, slots=True)
class Log:
    """A recorded log that can be read again and again, a run at a time: what `score` reads twice."""

    source: Source

    def __iter__(self) -> Iterator[RunRecord]:
        return read_runs(self.source)


def score(
    runs: Iterable[RunRecord],
    reward: Reward,
    questions: Questions | None = None,
    *,
    skipped: Counter[str] | None = None,
) -> Iterator[RewardRecord]:
    """The scores of the runs that ended, in the log's order.

    `runs` (a list, or a `Log`) is read twice, and kept in memory where it can be read but once: what is missing is
    said before anything is computed. `skipped` counts the runs that have no score, by their status, "foreign" for
    those of graphs that are not ours, "unknown" for those of which nobody knows what is right, as where a person
    asked. Raises `DataError` where that is all of them, or where it is known of a run in part only, and the reward asks
    for the rest, with how many and the first; and where a run comes twice.
    """
    if iter(runs) is runs:
        runs = list(runs)
    questions = questions or Questions()
    judged = (run for run in runs if _unfit(run, questions, reward.needs) is None)
    if check_gold(judged, questions, reward.needs) == 0:
        check_gold((run for run in runs if _unfit(run, questions, frozenset()) is None), questions, reward.needs)
        raise DataError("There is no run to score: none has ended, or the log is empty.")
    return _scores(runs, reward, questions, Counter() if skipped is None else skipped)


def _scores(
    runs: Iterable[RunRecord], reward: Reward, questions: Questions, skipped: Counter[str]
) -> Iterator[RewardRecord]:
    version = reward.version
    for run in runs:
        if (reason := _unfit(run, questions, reward.needs)) is not None:
            skipped[reason] += 1
            continue
        for one in reward.score(run, questions.of(run)):
            yield RewardRecord(run.run_id, one.number, one.total, one.parts, version)


def _unfit(run: RunRecord, questions: Questions, needs: frozenset[Needs]) -> str | None:
    if not run.is_ours:
        return "foreign"
    if run.status != "ended":
        return run.status
    return "unknown" if needs and questions.of(run) == Gold() else None


def check_gold(runs: Iterable[RunRecord], questions: Questions, needs: frozenset[Needs]) -> int:
    """How many runs there are. Raises `DataError` where some lack what a reward needs, with how many and the first, and
    where a run comes twice."""
    judged, missing, first = set[str](), Counter[Needs](), dict[Needs, RunRecord]()
    for run in runs:
        if run.run_id in judged:
            raise DataError(f"The run {run.run_id!r} comes twice; give each log once.")
        judged.add(run.run_id)
        gold = questions.of(run)
        for need in sorted(needs):
            if not _has(gold, need):
                missing[need] += 1
                first.setdefault(need, run)
    for need, count in missing.items():
        run = first[need]
        raise DataError(
            f"{count} of {len(judged)} runs have no {_MISSING[need]}, the first is {run.run_id!r} with the question "
            f"{run.question_id[:80]!r}; {_MEND[need]}"
        )
    return len(judged)


def by_place(scores: Iterable[RewardRecord]) -> dict[tuple[str, int], RewardRecord]:
    """The scores by run and number. Steps have one version of a reward, and runs have one.

    Raises `DataError` where a place has two scores, or scores of two versions stand beside each other.
    """
    known: dict[tuple[str, int], RewardRecord] = {}
    versions: dict[bool, str] = {}
    for one in scores:
        if (before := known.get((one.run_id, one.number))) is not None:
            place = f"step {one.number} of run {one.run_id!r}" if one.number else f"run {one.run_id!r}"
            raise DataError(
                f"There are two scores of {place}, by {before.version} and {one.version}; give those of one reward for "
                "steps, and of one for runs."
            )
        of_run = one.number == WHOLE_RUN
        if versions.setdefault(of_run, one.version) != one.version:
            raise DataError(
                f"The scores of {'runs' if of_run else 'steps'} are by {versions[of_run]} and by {one.version}, which "
                "cannot be compared; score the whole log by one."
            )
        known[one.run_id, one.number] = one
    return known


def lacks(gold: Gold, needs: frozenset[Needs]) -> str | None:
    """What a reward needs and the gold does not have, in words."""
    return next((_MISSING[need] for need in sorted(needs) if not _has(gold, need)), None)


def _has(gold: Gold, need: Needs) -> bool:
    return bool(gold.answers) if need == "answers" else gold.documents is not None
