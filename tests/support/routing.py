"""For tests of the graph: knowledge bases in memory, and policies that follow a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from router_graph.actions import Action, Answer
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.view import View

Say = Callable[[View], Action | Sequence[Action]]


class Shelf:
    """A knowledge base that returns its first k documents, whatever is asked; slow or failing where a test wants it."""

    def __init__(
        self,
        name: str,
        texts: Sequence[str] = ("one", "two", "three"),
        *,
        description: str = "",
        slow_s: float = 0.0,
        error: Exception | None = None,
        links: dict[str, list[str]] | None = None,
    ) -> None:
        self.name = name
        self.description = description or f"What {name} holds."
        self.asked: list[str] = []
        self._texts, self._slow_s, self._error, self._links = texts, slow_s, error, links

    async def asearch(self, query: str, k: int, *, within: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The first k of its texts."""
        self.asked.append(query)
        await asyncio.sleep(self._slow_s)
        if self._error is not None:
            raise self._error
        metadata = {} if self._links is None else {"links": self._links}
        hits = [
            {"doc_id": f"{n}", "title": f"{self.name} {n}", "text": text, "score": 1 / (n + 1), "metadata": metadata}
            for n, text in enumerate(self._texts)
        ]
        return [hit for hit in hits if within is None or hit["doc_id"] in within][:k]


class Script(ChoicePolicy):
    """Says what the script says at each step, the last of it again and again; answers when it must."""

    def __init__(self, *says: Say | Action | Sequence[Action], name: str = "script", version: str = "1") -> None:
        self.name, self.version = name, version
        self._says = says

    def choose(self, view: View) -> Choice:
        """The next of the script."""
        if view.must_answer:
            return Choice(f"It is due: {view.must_answer}.", (Answer("What there is."),))
        say = self._says[min(len(view.steps), len(self._says) - 1)]
        actions = say(view) if callable(say) else say
        return Choice("As written.", tuple(actions) if isinstance(actions, Sequence) else (actions,))


def statuses(result: dict[str, Any]) -> list[list[str]]:
    """What came of the routes of each step."""
    return [
        [one["status"] for _, one in sorted(step["observations"].items(), key=lambda item: int(item[0]))]
        for step in result["steps"]
    ]
