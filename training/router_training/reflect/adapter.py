"""Between GEPA and the graph: a candidate's texts become a graph, its runs become scores and feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gepa.core.adapter import EvaluationBatch, ProposalFn

from router_training.reflect.feedback import concerns, record_of
from router_training.reflect.texts import Build, within_bounds
from router_training.reflect.trial import Judge, Task, Trial, put


class RouterAdapter:
    """What GEPA calls an adapter. It counts what its runs cost."""

    propose_new_texts: ProposalFn | None = None
    """GEPA asks its own model, with its own way of proposing."""

    def __init__(self, build: Build, judge: Judge) -> None:
        self._build, self._judge = build, judge
        self.usd = 0.0
        self.runs = 0

    def evaluate(
        self, batch: list[Task], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Trial, str]:
        """Put the questions to the graph of these texts."""
        trials = self.put(batch, candidate)
        return EvaluationBatch(
            outputs=[one.run.answer if one.run else "" for one in trials],
            scores=[one.score for one in trials],
            trajectories=trials if capture_traces else None,
        )

    def put(self, tasks: Sequence[Task], texts: Mapping[str, str]) -> list[Trial]:
        """The runs of these texts."""
        trials = put(self._build({name: within_bounds(text) for name, text in texts.items()}), tasks, self._judge)
        self.usd += sum(one.run.usd for one in trials if one.run)
        self.runs += len(trials)
        return trials

    def make_reflective_dataset(
        self,
        candidate: dict[str, str],
        eval_batch: EvaluationBatch[Trial, str],
        components_to_update: list[str],
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """For each component, the runs that say something of it; all of them where none does."""
        trials = eval_batch.trajectories or []
        return {
            name: [record_of(one, name) for one in trials if concerns(one, name)]
            or [record_of(one, name) for one in trials]
            for name in components_to_update
        }
