"""What people said of steps, as samples to learn from: what they called good counts 1, what they called bad -1.

Where somebody wrote a better action, it is a sample of its own in the same state and counts 1, and what was done counts
-1. So a label is a pair to prefer by (dpo), a good or bad reply (kto), and what is imitated or not (rft).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from router_graph.actions import action_as_dict, action_from_dict
from router_graph.nodes.refusing import not_taken
from router_graph.trajectories.labels import Label
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_training.credit.advantages import Convention, group_relative, spread
from router_training.credit.groups import group_ids
from router_training.data.rendering import Rendering
from router_training.data.samples import Left, Sample, samples
from router_training.trainers.rows import Judged

GOOD, BAD = 1.0, -1.0

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a log, by step."""

    of: Mapping[Place, Sequence[Label]]

    @classmethod
    def read(cls, labels: Iterable[Label]) -> Labels:
        """Of each step all that people say now."""
        of: defaultdict[Place, list[Label]] = defaultdict(list)
        for one in labels:
            of[one["run"], one["step"]].append(one)
        return cls(dict(of))

    def counts(self, runs: Iterable[RunRecord]) -> dict[str, int]:
        """How many of each verdict these runs have."""
        places = ((run.run_id, step.number) for run in runs for step in run.steps)
        return dict(Counter(one["verdict"] for place in places for one in self.of.get(place, ())))

    def judged(
        self,
        runs: Iterable[RunRecord],
        rendering: Rendering,
        *,
        group: Callable[[RunRecord, int], Hashable],
        convention: Convention,
        most_tokens: int | None,
        only_done: bool,
        left: Left,
    ) -> list[Judged]:
        """The labelled steps, and with them the better actions, unless the method takes `only_done`.

        What cannot be used is counted in `left`: steps that people judge differently, better actions that are not legal
        or as long as what is left out, and what `samples` leaves out. An advantage is over the labels of its state.
        """
        known = {run.run_id: run for run in runs}
        worth = {place: one for run in known.values() for place, one in self._worth(run, left)}
        states = {(run, number): group(known[run], number) for run, number in worth}
        done = samples(known.values(), rendering, most_tokens=most_tokens, left=left, among=worth)
        found = [Judged(one, worth[one.run_id, one.number], states[one.run_id, one.number]) for one in done]
        for run, number in worth:
            for better in self._better(known[run], number, rendering, left):
                if only_done:
                    left.counts["that nobody sampled: better actions"] += 1
                elif most_tokens is not None and len(better.prompt_ids) + len(better.completion_ids) > most_tokens:
                    left.counts[f"longer than {most_tokens:,} tokens"] += 1
                else:
                    found.append(Judged(better, GOOD, states[run, number]))
        if not found:
            return []
        rewards, groups = [one.reward for one in found], group_ids(one.state for one in found)
        advantages, kept = group_relative(rewards, groups, convention), spread(rewards, groups)
        return [
            replace(one, advantage=float(advantage), differs=bool(differs))
            for one, advantage, differs in zip(found, advantages, kept.mask, strict=True)
        ]

    def _worth(self, run: RunRecord, left: Left) -> Iterator[tuple[Place, float]]:
        """What each labelled step of the run was worth, where people agree."""
        for step in run.steps:
            said = {GOOD if one["verdict"] == "good" else BAD for one in self.of.get((run.run_id, step.number), ())}
            if len(said) > 1:
                left.counts["that people judge differently"] += 1
            elif said:
                yield (run.run_id, step.number), said.pop()

    def _better(self, run: RunRecord, number: int, rendering: Rendering, left: Left) -> Iterator[Sample]:
        """The better actions that were written at a step, each once."""
        view, written = view_at(run, number), []
        for one in self.of[run.run_id, number]:
            if one["better"] is None or one["better"] in written:
                continue
            written.append(one["better"])
            try:
                action = action_from_dict(one["better"])
                legal = action_as_dict(action)["kind"] in ("kb", "llm", "answer") and not not_taken(view, [action])
            except (KeyError, TypeError, AttributeError):
                legal = False
            if not legal:
                left.counts["better actions that are not legal"] += 1
                continue
            prompt, reply = rendering.prompt(view), rendering.reply("", action, view)
            yield Sample(run.run_id, number, run.question_id, action.target, prompt, reply, None)
