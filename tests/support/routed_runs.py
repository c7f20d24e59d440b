"""Recorded runs for tests of rewards and credit: real graphs over small libraries, walked by scripts."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from router_graph import Answer, RouteToKB, create_router
from router_graph.actions import Action
from router_graph.policies.policy import Choice, Policy
from router_graph.policies.scripted import Line, Scripted
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import RunRecord

QUESTION = "Who directed the film that Ann Lee wrote?"
GOLD = {"gold": ["Bo Chen"], "gold_documents": ["films:harbour", ["people:bo", "people:chen"]]}
FILMS = {"harbour": "Ann Lee wrote Harbour. It was directed by Bo Chen.", "desert": "Cy Dunn wrote Desert."}
PEOPLE = {"bo": "Bo Chen is a director from Oslo.", "ann": "Ann Lee is a writer.", "cy": "Cy Dunn is a writer."}


class Library:
    """A knowledge base that finds the documents with the most words of the query, and none that have no word of it."""

    def __init__(
        self, name: str, texts: Mapping[str, str], *, cost_usd: float = 0.0, error: Exception | None = None
    ) -> None:
        self.name, self.description, self.modality, self.cost_usd = name, f"All {name}.", "text", cost_usd
        self.asked: list[str] = []
        self._texts, self._error = texts, error

    async def asearch(self, query: str, k: int) -> list[dict[str, Any]]:
        self.asked.append(query)
        if self._error is not None:
            raise self._error
        wanted = set(re.findall(r"\w+", query.lower()))
        fits = {key: len(wanted & set(re.findall(r"\w+", text.lower()))) for key, text in self._texts.items()}
        best = sorted(filter(fits.__getitem__, fits), key=lambda key: -fits[key])[:k]
        return [{"doc_id": key, "title": key, "text": self._texts[key], "score": fits[key]} for key in best]


def libraries(**errors: Exception) -> list[Library]:
    """`films` is dear, `people` is cheap, and `noise` is free."""
    return [
        Library("films", FILMS, cost_usd=0.004, error=errors.get("films")),
        Library("people", PEOPLE, cost_usd=0.001, error=errors.get("people")),
        Library("noise", {"rain": "It rains and rains: who directed it?"}, error=errors.get("noise")),
    ]


def does(*steps: Action | Sequence[Action]) -> list[Choice]:
    """A script of these actions."""
    return [Choice("As written.", (one,) if not isinstance(one, Sequence) else tuple(one)) for one in steps]


FILM, PERSON = RouteToKB("films", "film Ann Lee wrote"), RouteToKB("people", "director Bo Chen")
RIGHT, WRONG = Answer("Bo Chen [films:harbour]"), Answer("Ann Lee")
GOOD = does(FILM, PERSON, RIGHT)
"""Finds both needed documents, and answers right."""


def run_of(
    script: Sequence[Line] | Policy,
    *,
    question: str = QUESTION,
    knowledge: Sequence[Any] | None = None,
    context: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> RunRecord:
    """The record of one run of a real graph."""
    policy = script if isinstance(script, Policy) else Scripted(script)
    graph = create_router(libraries() if knowledge is None else knowledge, policy=policy, **options)
    with tempfile.TemporaryDirectory() as folder:
        with Recorder(Path(folder)) as recorder:
            about = {"question_id": question, **(GOLD if metadata is None else metadata)}
            config: Any = {"callbacks": [recorder], "metadata": about}
            graph.invoke({"question": question}, config=config, context=dict(context or {}))
            assert not recorder.lost
        (run,) = read_runs(folder)
    return run
