"""One search first; cheap features of what it found decide whether to stop, to prune or to go on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from router_graph.actions import RouteToKB
from router_graph.evidence.words import words
from router_graph.policies.closing import close
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.verify import share, support, supporting
from router_graph.policies.version import versioned
from router_graph.state import Hit
from router_graph.view import View

Way = Literal["stop", "prune", "go on"]

_ASKS_NUMBER = re.compile(r"\b(when|how (many|much|old|long|far|tall|high|big)|(what|which) (year|date|day))\b", re.I)
_ASKS_NAME = re.compile(r"\b(who|whom|whose|where|which|what)\b", re.I)
_NUMBER = re.compile(r"\d")
_NAME = re.compile(r"\b[A-Z]\w+")


@dataclass(frozen=True, slots=True)
class Features:
    """What the first search tells of itself, without a model."""

    hits: int
    top: float
    """The share of the question's words in the best document."""
    margin: float
    """By how much the best document is ahead of the second."""
    coverage: float
    """The share of the question's words in all documents together."""
    has_kind: bool
    """A number where one is asked for, or a name that is not in the question."""
    words: int
    """The length of the question: long ones tend to need more than one source."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Set by hand; `learned.fit_gate` fits others on a log."""

    top: float = 0.75
    """`Features.top` from which one document is enough."""
    margin: float = 0.0
    """`Features.margin` from which it is."""
    words: int = 25
    """`Features.words` up to which it is."""
    coverage: float = 0.75
    """`Features.coverage` from which the documents together are enough."""


class Gate(ChoicePolicy):
    """Searches the knowledge base whose description fits best, and lets six cheap features of the result decide.

    "stop" answers from the best document, "prune" from those documents alone that support the question, and "go on"
    searches the other knowledge bases, or lets `then` decide from there.

    From RASER (arXiv 2606.02488): one cheap retrieval first, six features of it, a decision among three ways without
    another call of a language model. Ours: which six, the thresholds, which are set by hand where RASER fits its router
    on questions, and what the ways are: RASER escalates to PRUNE and to IRCoT, which retrieve more with the help of a
    language model. So none of its figures is a claim about this policy.
    """

    def __init__(
        self, thresholds: Thresholds | None = None, *, then: ChoicePolicy | None = None, k: int | None = None
    ) -> None:
        self.name = "gate" if then is None else f"gate:{then.name}"
        self.thresholds, self._then, self._k = thresholds or Thresholds(), then, k
        settings = {} if thresholds is None else asdict(thresholds)
        self.version = versioned("1", settings, k, then and f"{then.name} {then.version}")

    def choose(self, view: View) -> Choice:
        """Search once; then as the features say."""
        searches = [(step["number"], action.kb) for step, action in view.actions() if isinstance(action, RouteToKB)]
        searched = [kb for _, kb in searches]
        kbs = [] if view.must_answer else [kb for kb in view.names("kb") if kb not in searched]
        if not searched:
            return self._search(view, [_fitting(view, kbs)]) if kbs else self._leave(view)
        features = features_of(view.question, _first(view).evidence)
        way = self.decide(features)
        if way == "stop":
            best = supporting(view.question, view.evidence, most=1)
            return close(view, hits=best, thought=f"One document covers {features.top:.0%} of the question.")
        if way == "prune":
            kept = supporting(view.question, view.evidence, most=3)
            return close(view, hits=kept, thought=f"The documents cover {features.coverage:.0%} of the question.")
        if self._then is not None:
            return self._then.choose(view)
        if kbs and len({number for number, _ in searches}) == 1:
            return self._search(view, kbs)
        return self._leave(view)

    def decide(self, features: Features) -> Way:
        """What the features of the first search say."""
        at = self.thresholds
        if features.hits == 0 or not features.has_kind:
            return "go on"
        if features.top >= at.top and features.margin >= at.margin and features.words <= at.words:
            return "stop"
        return "prune" if features.coverage >= at.coverage else "go on"

    def _search(self, view: View, kbs: Sequence[str]) -> Choice:
        routes = tuple(RouteToKB(kb, view.question, self._k) for kb in kbs)
        return Choice(f"Searched: {', '.join(kbs)}.", routes)

    def _leave(self, view: View) -> Choice:
        if self._then is not None:
            return self._then.choose(view)
        return close(view, hits=supporting(view.question, view.evidence, most=3))


def features_of(question: str, hits: Sequence[Hit]) -> Features:
    """The features of what one search for the question found."""
    wanted = words(question)
    ranked = sorted((support(wanted, hit) for hit in hits), reverse=True)
    whole = " ".join(f"{hit['title']} {hit['text']}" for hit in hits)
    return Features(
        hits=len(hits),
        top=ranked[0] if ranked else 0.0,
        margin=ranked[0] - ranked[1] if len(ranked) > 1 else ranked[0] if ranked else 0.0,
        coverage=share(wanted, whole),
        has_kind=_has_kind(question, whole),
        words=len(question.split()),
    )


def _has_kind(question: str, text: str) -> bool:
    if _ASKS_NUMBER.search(question):
        return bool(_NUMBER.search(text))
    if _ASKS_NAME.search(question):
        known = set(words(question))
        return any(not known.issuperset(words(name)) for name in _NAME.findall(text))
    return True


def _first(view: View) -> View:
    """The run as it was after its first search."""
    place = next(n for n, step in enumerate(view.steps) if any(one["kind"] == "kb" for one in step.get("actions", ())))
    return replace(view, steps=view.steps[: place + 1])


def _fitting(view: View, kbs: Sequence[str]) -> str:
    """The knowledge base whose name and description have most of the question's words; of equals, the first."""
    wanted = words(view.question)

    def fit(kb: str) -> float:
        option = view.option(f"kb:{kb}")
        return share(wanted, f"{kb} {option['description']}") if option else 0.0

    return max(kbs, key=fit)
