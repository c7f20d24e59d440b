"""What a suite is: questions, a graph to ask them, and the policies to compare."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from router_graph.errors import EvaluationError
from router_graph.evaluation.comparing import Sort
from router_graph.evaluation.outcome import Outcome
from router_graph.evaluation.published import Published
from router_graph.evaluation.questions import Question
from router_graph.resources import Resources

DATA_VARIABLE = "POLYROUTE_DATA"
_BESIDE = Path("../shared/data")

Learner = Callable[[Resources, Path], Mapping[str, str]]
"""Learns policies without weights into a folder, and gives their specs by the names that the table has for them."""
Extra = Callable[[Mapping[str, Sequence[Outcome]]], Mapping[str, tuple[Sort, list[Outcome]]]]
"""Rows that are made of the outcomes of others, as an oracle is."""


@dataclass(frozen=True)
class Suite:
    """What is asked, and of whom. `resources` stay open as long as the suite is used."""

    name: str
    title: str
    questions: Sequence[Question]
    resources: Resources
    policies: tuple[str, ...]
    """What is compared where nobody names another."""
    simple: tuple[str, ...]
    """What everything has to beat at equal cost."""
    headline: str
    """The metric that decides."""
    cost: str | None = None
    """What policies are compared at; None for the first of `scores.COSTS` that anybody pays."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the figures depend on: fingerprints of files, counts."""
    notes: tuple[str, ...] = ()
    """What a reader must know, and what was left out, each in a sentence."""
    learn: Learner | None = None
    extra: Extra | None = None
    published: tuple[Published, ...] = ()


def data_folder(given: Path | None, name: str) -> Path:
    """Where the files of a suite lie: the folder that is named or the one inside it that is called so, else that of
    POLYROUTE_DATA, else `../shared/data`. Raises `EvaluationError`."""
    where = given or Path(os.environ.get(DATA_VARIABLE) or _BESIDE)
    for folder in (where / name, where):
        if folder.is_dir() and any(folder.glob("*.jsonl")):
            return folder
    told = "" if given else f" Give it with --data, or set {DATA_VARIABLE}."
    raise EvaluationError(f"There are no files of {name} in {str(where)!r}.{told}")


def split_file(folder: Path, kind: str, split: str) -> Path:
    """`KIND.SPLIT.jsonl` of a folder. Raises `EvaluationError`, with the splits that there are."""
    path = folder / f"{kind}.{split}.jsonl"
    if not path.is_file():
        there = sorted(one.name.split(".")[1] for one in folder.glob(f"{kind}.*.jsonl"))
        raise EvaluationError(
            f"{folder} has no split {split!r} ({path.name}); there is {', '.join(there) or f'no {kind}.*.jsonl'}."
        )
    return path


def file_mark(*paths: Path) -> str:
    """Names the contents of files: 16 hex digits."""
    mark = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            mark.update(hashlib.file_digest(file, "sha256").digest())
    return mark.hexdigest()[:16]


def resources_mark(resources: Resources) -> str:
    """Names the models with their prices, the knowledge bases with what they hold, and what holds for each turn: 16 hex
    digits."""
    cards = {} if resources.pool is None else resources.pool.cards
    told = [repr(cards[name]) for name in sorted(cards)] + [repr(sorted(resources.defaults.items()))]
    for name, one in sorted(resources.knowledge.items()):
        told.append(repr((name, one.description, one.cost_usd, getattr(one.base, "revision", None))))
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
