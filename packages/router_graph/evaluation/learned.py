"""The handbook and the kNN of a table: learned from runs of other questions, as a user of the same graph would."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from router_graph.context import RouterContext
from router_graph.errors import EvaluationError, RouterError
from router_graph.evaluation.answers import bare
from router_graph.evaluation.metrics import f1
from router_graph.evaluation.questions import FindGold, Question, gold_mark, mark_of, read_questions
from router_graph.resources import Resources

AT_ONCE = 8
LEARNED = "learned"
"""The folder of what was learned, inside that of the results."""
Turns = Sequence[Mapping[str, Any]]
"""The contexts in which each question is asked once."""
EXPLORED: Turns = ({"policy": "heuristic", "explore": 0.5, "seed": 0}, {"policy": "gate", "explore": 0.5, "seed": 1})
MOST = 60
"""Questions that are learned from; "a few dozen" (anchors: SkillOrchestra's handbook)."""


def apart(train: Sequence[Question], asked: Sequence[Question]) -> list[Question]:
    """Those to learn from that are not asked."""
    marks = {mark_of(one.text) for one in asked}
    return [one for one in train if mark_of(one.text) not in marks]


def learner(
    train: Path,
    asked: Sequence[Question],
    *,
    gold: FindGold,
    turns: Callable[[Resources], Turns] = lambda resources: EXPLORED,
    most: int = MOST,
    usd_weight: float = 0.0,
) -> tuple[Callable[[Resources, Path], Mapping[str, str]] | None, list[str]]:
    """What learns from the questions of a file, and what there is to say of it. None where the file is not there."""
    if not train.is_file():
        return None, [f"The handbook and the kNN are left out: there is no {train.name} to learn them from."]
    known = read_questions(train, gold=gold)
    fresh = apart(known, asked)
    notes = []
    if len(fresh) < len(known):
        notes.append(f"{len(known) - len(fresh):,} questions of {train.name} are asked here too, and not learned from.")
    if not fresh:
        return None, [*notes, "The handbook and the kNN are left out: there is nothing else to learn them from."]
    chosen = fresh[:most]

    def learn(resources: Resources, folder: Path) -> Mapping[str, str]:
        return _learned(resources, chosen, turns(resources), folder / LEARNED, usd_weight)

    return learn, notes


def _learned(
    resources: Resources, questions: Sequence[Question], turns: Turns, folder: Path, usd_weight: float
) -> dict[str, str]:
    from router_graph.policies.learned.fitting import fit_handbook, fit_knn
    from router_graph.policies.learned.saved import save
    from router_graph.trajectories.reader import read_runs

    files = {"handbook": folder / "handbook.json", "knn": folder / "knn.json"}
    about, stated = folder / "from.json", {"questions": gold_mark(questions), "turns": list(turns)}
    if not (about.is_file() and json.loads(about.read_text(encoding="utf-8")) == stated):
        folder.mkdir(parents=True, exist_ok=True)
        log = Path(tempfile.mkdtemp(prefix="runs-", dir=folder))  # one that was cut short would count twice
        asyncio.run(_record(resources, questions, turns, log))
        answers = {one.id: one.gold.answers for one in questions}
        runs = [run for run in read_runs(log) if run.question_id in answers]
        quality = {(run.run_id, 0): f1(bare(run.answer), answers[run.question_id]) for run in runs}
        try:
            save(fit_handbook(runs, quality, usd_weight=usd_weight), files["handbook"])
            save(fit_knn(runs, quality, usd_weight=usd_weight), files["knn"])
        except RouterError as error:
            raise EvaluationError(f"The simple policies could not be learned: {error}") from error
        about.write_text(json.dumps(stated) + "\n", encoding="utf-8")
    return {name: f"{name}:{path}" for name, path in files.items()}


async def _record(resources: Resources, questions: Sequence[Question], turns: Turns, log: Path) -> None:
    from router_graph.graph import create_router
    from router_graph.trajectories.recorder import Recorder

    room = asyncio.Semaphore(AT_ONCE)
    graph = create_router(resources)
    with Recorder(log, sync="never") as recorder:

        async def ask(question: Question, turn: Mapping[str, Any]) -> None:
            async with room:
                about: Any = {"callbacks": [recorder], "metadata": {"question_id": question.id}}
                await graph.ainvoke({"question": question.text}, config=about, context=RouterContext(**turn))

        await asyncio.gather(*(ask(one, turn) for one in questions for turn in turns))
