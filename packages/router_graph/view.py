"""What a policy sees at a step. Nothing else reaches it, so that a decision can be replayed from a log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from router_graph.actions import Action, Route, RouteToKB, RouteToLLM, action_from_dict
from router_graph.evidence.links import links_of
from router_graph.state import Hit, Left, Observation, Option, Step, StopReason


@dataclass(frozen=True)
class View:
    """The question, what was done and found so far, what may be done now, and what is left."""

    question: str
    menu: tuple[Option, ...]
    """All options of the turn, `answer` among them."""
    masked: Mapping[str, str] = field(default_factory=dict)
    """Options that are not legal at this step, with the reason."""
    steps: tuple[Step, ...] = ()
    left: Left = field(default_factory=lambda: Left(steps=6, usd=None, tokens=None, seconds=None))
    must_answer: StopReason | None = None
    """Why only an answer is legal now, if so."""
    images: tuple[str, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()
    """(role, text) of the messages before the question."""
    seed: int = 0

    @property
    def legal(self) -> list[Option]:
        """The options that may be chosen, in the order of the menu."""
        return [option for option in self.menu if option["key"] not in self.masked]

    def names(self, kind: str) -> list[str]:
        """The legal names of a kind: "kb" or "llm"."""
        return [o["key"].partition(":")[2] for o in self.legal if o["key"].startswith(f"{kind}:")]

    def option(self, key: str) -> Option | None:
        """The option of this key, legal or not."""
        return next((option for option in self.menu if option["key"] == key), None)

    def routes(self) -> Iterator[tuple[Step, Route, Observation]]:
        """What was asked so far and what came of it, in order."""
        for step in self.steps:
            for position, data in enumerate(step.get("actions", ())):
                action = action_from_dict(data)
                observation = step.get("observations", {}).get(str(position))
                if isinstance(action, RouteToKB | RouteToLLM) and observation is not None:
                    yield step, action, observation

    def actions(self) -> Iterator[tuple[Step, Action]]:
        """Every action so far, in order."""
        for step in self.steps:
            for data in step.get("actions", ()):
                yield step, action_from_dict(data)

    @property
    def evidence(self) -> list[Hit]:
        """The different documents found so far, in the order in which they were found."""
        return found(self.steps)


def found(steps: Iterable[Step]) -> list[Hit]:
    """The different documents that these steps found, in the order in which they were found."""
    hits: dict[tuple[str, str], Hit] = {}
    for step in steps:
        for _, observation in sorted(step.get("observations", {}).items(), key=lambda one: int(one[0])):
            for hit in observation["hits"]:
                hits.setdefault((hit["kb"], hit["doc_id"]), hit)
    return list(hits.values())


def linked_ids(steps: Iterable[Step], name: str) -> list[str] | None:
    """The ids of the documents that the hit `kb:doc_id` links to; None where no such hit was found."""
    for hit in found(steps):
        if f"{hit['kb']}:{hit['doc_id']}" == name:
            return list(dict.fromkeys(doc for docs in links_of(hit).values() for doc in docs))
    return None
