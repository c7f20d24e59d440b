"""How right the answers of runs are, from 0 to 1: what policies without weights learn from."""

from __future__ import annotations

from collections.abc import Iterable

from router_graph.evaluation.answers import bare
from router_graph.trajectories.records import RunRecord
from router_training.errors import DataError
from router_training.rewards.gold import Questions
from router_training.rewards.reward import WHOLE_RUN
from router_training.rewards.router_r1 import Metric, check_metric, outcome


def qualities(
    runs: Iterable[RunRecord], questions: Questions | None = None, metric: Metric = "f1"
) -> dict[tuple[str, int], float]:
    """By run and 0, for the whole run; of the runs that ended and whose right answer is known. Raises `DataError` where
    there is none.
    """
    check_metric(metric)
    questions, found, missing = questions or Questions(), dict[tuple[str, int], float](), list[RunRecord]()
    for run in runs:
        if not run.is_ours or run.status != "ended":
            continue
        gold = questions.of(run)
        if not gold.answers:
            missing.append(run)
            continue
        found[run.run_id, WHOLE_RUN] = outcome(bare(run.answer, run.citations), gold, metric)
    if missing and not found:
        raise DataError(
            f"{len(missing):,} of {len(missing):,} runs have no right answer (metadata['gold']), the "
            f"first is {missing[0].run_id!r} with the question {missing[0].question_id[:80]!r}; record it with the "
            "run, or give a file of questions that has it (--questions)."
        )
    if not found:
        raise DataError("No run has ended, so that there is no answer to judge.")
    return found
