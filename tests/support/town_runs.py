"""Towns that three knowledge bases know different things of, one nothing that is true, and logged runs there."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from router_graph import RouteToKB, create_router
from router_graph.evaluation.metrics import contains
from router_graph.policies.closing import close
from router_graph.policies.policy import Choice, ChoicePolicy, Policy
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord
from router_graph.view import View
from support.routed_runs import Library

_TOWNS = "Arlo Brint Corvel Dunmere Elsby Farrow Gillen Harth Istra Jorvik Kelso Lunden Marl Norvay Ostra Pell".split()
_NAMES = "Ann Bea Cleo Dora Eve Flo Gwen Hana Ines Jill Kaya Lena Mona Nora Olga Pia".split()


@dataclass(frozen=True)
class Asked:
    """A question of a town."""

    text: str
    kb: str
    """Which knowledge base knows."""
    answer: str


def questions() -> list[Asked]:
    """Two kinds of questions, of each town."""
    found = []
    for n, town in enumerate(_TOWNS):
        found.append(Asked(f"Who is the mayor of {town}?", "people", f"{_NAMES[n]} Smith"))
        found.append(Asked(f"In what year was the bridge of {town} built?", "history", str(1800 + 7 * n)))
    return found


def towns(**usd: float) -> list[Library]:
    """`people` knows mayors, `history` years, and `rumours` both, wrong. Their descriptions tell nothing."""
    mayors, years, rumours = {}, {}, {}
    for n, town in enumerate(_TOWNS):
        mayors[f"m{n}"] = f"{_NAMES[n]} Smith is the mayor of {town}."
        years[f"y{n}"] = f"The bridge of {town} was built in {1800 + 7 * n}."
        rumours[f"r{n}"] = f"Some Body is the mayor of {town}."
        rumours[f"s{n}"] = f"The bridge of {town} was built in 1066."
    bases = [Library("rumours", rumours), Library("people", mayors), Library("history", years)]
    for base in bases:
        base.description, base.cost_usd = "Facts of towns.", usd.get(base.name, 0.0)
    return bases


class AnyOption(ChoicePolicy):
    """Draws from all legal options alike, but asks nobody twice; the probabilities are logged."""

    name = "any"

    def choose(self, view: View) -> Choice:
        """One of them."""
        asked = {route.target for _, route, _ in view.routes()}
        keys = [one["key"] for one in view.legal if one["key"] not in asked]
        drawn = random.Random(repr((view.seed, view.question, len(view.steps)))).choice(keys)
        told = {one["key"]: (one["key"] in keys) / len(keys) for one in view.legal}
        if drawn == "answer":
            return Choice("", close(view).actions, told, told[drawn])
        return Choice("", (RouteToKB(drawn.partition(":")[2], view.question),), told, told[drawn])


def record(policy: Policy, asked: Sequence[Asked], *, seeds: Iterable[int] = (0,), **usd: float) -> list[RunRecord]:
    """Each question, once for each seed, through a real graph and a real log."""
    graph = create_router(towns(**usd), policy=policy)
    with tempfile.TemporaryDirectory() as folder:
        with Recorder(Path(folder), sync="never", strict=True) as recorder:
            for one in asked:
                for seed in seeds:
                    about = {"question_id": one.text, "gold": [one.answer]}
                    config = {"callbacks": [recorder], "metadata": about}
                    graph.invoke({"question": one.text}, config=config, context={"seed": seed, "max_steps": 3, "k": 1})
        return list(read_runs(folder))


def rewards(runs: Iterable[RunRecord]) -> dict[tuple[str, int], float]:
    """Whether the run was right in the end."""
    return {(run.run_id, 0): float(contains(run.answer, run.metadata["gold"])) for run in runs}


def accuracy(policy: Policy, asked: Sequence[Asked]) -> float:
    """The share of questions that it answers right."""
    return sum(rewards(record(policy, asked)).values()) / len(asked)
