"""The states that a policy is sampled in while it learns: those of the log, and those recorded anew on the way.

Each set of them is a page, which holds from an update on. Which state a row stands for follows from its number and the
pages alone, so that a run that goes on from a checkpoint reads what it would have read.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from router_graph.trajectories.columns import run_of, run_row, step_of, step_row
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.shards import as_json
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.trainers.online_states import State, states_of

_PAGE = "states-{}.jsonl"


@dataclass(frozen=True, slots=True)
class Rounds:
    """When replies are sampled: once a round, which may be trained on for several updates, or be a part of one."""

    groups: int
    """States of a round, on all processes together."""
    per_round: int
    """Batches that are trained on before replies are sampled anew: TRL's steps_per_generation x num_iterations."""
    per_update: int
    """Batches of an update: gradient_accumulation_steps."""

    @classmethod
    def of(cls, args: Any) -> Rounds:
        """From TRL's GRPOConfig."""
        groups = int(args.generation_batch_size) // int(args.num_generations)
        return cls(groups, int(args.steps_per_generation) * int(args.num_iterations), args.gradient_accumulation_steps)

    def update_of(self, slot: int) -> int:
        """The update, from 0, in which a row is sampled."""
        return slot // self.groups * self.per_round // self.per_update

    @property
    def apart(self) -> int:
        """Every so many updates a round begins together with an update."""
        return self.per_round // math.gcd(self.per_round, self.per_update)

    def states(self, updates: int) -> int:
        """In how many states something is sampled in so many updates."""
        return self.groups * math.ceil(updates * self.per_update / self.per_round)


@dataclass(frozen=True, slots=True)
class _Page:
    first_update: int
    first_slot: int
    states: list[State]
    name: int
    """Of its first state."""


class Pages:
    """Rows, and the states that they stand for. On several processes all have the same."""

    def __init__(self, rendering: Rendering, rounds: Rounds, left: Left, *, most_tokens: int | None, seed: int) -> None:
        self._rendering, self._rounds, self._left = rendering, rounds, left
        self._most_tokens, self._seed = most_tokens, seed
        self._pages: list[_Page] = []
        self._named: list[State] = []

    def add(self, runs: Iterable[RunRecord], *, after: int = 0) -> None:
        """The states of these runs, in place of those before, once so many updates are made.

        They hold from the update after the next: the next one's rows are read already. Raises `DataError` where no
        state has a choice.
        """
        first = after + 1 if after else 0
        slot = first * self._rounds.per_update // self._rounds.per_round * self._rounds.groups
        while self._rounds.update_of(slot) < first:
            slot += self._rounds.groups
        states = states_of(runs, self._rendering, most_tokens=self._most_tokens, left=self._left)
        self._pages.append(_Page(first, slot, states, len(self._named)))
        self._named += states

    def dataset(self, updates: int) -> Any:
        """Rows of a training run, in the order in which they are read."""
        from datasets import Dataset

        slots = self._rounds.states(updates) + self._rounds.groups  # transformers reads ahead
        return Dataset.from_dict({"slot": list(range(slots))}).with_transform(self._read)

    def held(self, runs: Iterable[RunRecord], most: int) -> Any:
        """Rows of up to `most` states of other runs, drawn at random, to see what the policy earns there."""
        from datasets import Dataset

        states = states_of(runs, self._rendering, most_tokens=self._most_tokens)
        drawn = random.Random(self._seed).sample(states, min(most, len(states)))
        names = list(range(len(self._named), len(self._named) + len(drawn)))
        self._named += drawn
        return Dataset.from_dict({"prompt": [one.messages for one in drawn], "state": names})

    @property
    def states(self) -> list[State]:
        """Those to sample in from the last page on."""
        return self._pages[-1].states

    def state(self, name: int) -> State:
        """The state of a row."""
        return self._named[name]

    def fingerprint(self) -> str:
        """Names the states of the log."""
        each = sorted(f"{one.run.question_id}/{one.messages}" for one in self._pages[0].states)
        return hashlib.sha256("\n".join(each).encode()).hexdigest()[:16]

    def _read(self, batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        names = [self._name(slot) for slot in batch["slot"]]
        return {"prompt": [self._named[name].messages for name in names], "state": names}

    def _name(self, slot: int) -> int:
        """Each state of a page once, in an order that is drawn, and again in another."""
        number, page = next((n, one) for n, one in reversed(list(enumerate(self._pages))) if one.first_slot <= slot)
        count = len(page.states)
        time, place = divmod(slot - page.first_slot, count)
        return page.name + _shuffled(count, f"{self._seed}/{number}/{time}")[place]


@lru_cache(maxsize=8)
def _shuffled(count: int, seed: str) -> list[int]:
    return random.Random(seed).sample(range(count), count)


def keep(folder: Path, update: int, runs: Iterable[RunRecord]) -> None:
    """Keep what was recorded after so many updates, in an order that does not depend on who was done first."""
    rows = [
        as_json({"run": run_row(run), "steps": [step_row(run, one) for one in run.steps]}) for run in _in_order(runs)
    ]
    path = folder / _PAGE.format(update)
    partly = path.with_suffix(".part")
    partly.write_bytes(b"".join(row + b"\n" for row in rows))
    partly.replace(path)


def kept(folder: Path, update: int) -> Iterator[RunRecord]:
    """What was recorded after so many updates."""
    with (folder / _PAGE.format(update)).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield run_of(row["run"], tuple(map(step_of, row["steps"])))


def kept_until(folder: Path, update: int) -> list[int]:
    """After which updates, up to this one, something was recorded."""
    found = (int(one.stem.rpartition("-")[2]) for one in folder.glob(_PAGE.format("*")))
    return sorted(one for one in found if one <= update)


def _in_order(runs: Iterable[RunRecord]) -> list[RunRecord]:
    return sorted(runs, key=lambda run: (run.question_id, [one.step.get("reply") or "" for one in run.steps]))
