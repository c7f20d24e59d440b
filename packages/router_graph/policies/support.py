"""Ask several models the same question at once, and answer what most of them say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from router_graph.actions import Answer, RouteToLLM
from router_graph.evaluation.metrics import normalize_answer
from router_graph.evidence.words import words
from router_graph.policies.closing import close
from router_graph.policies.models import ranked
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.replies import asked_models, replies, tagged_answer, untagged
from router_graph.policies.version import versioned
from router_graph.view import View

_SHORT = 8
"""Words of a reply that is an answer as it stands."""
_SPAN = re.compile(
    r"(?:[A-Z][\w'\u2019.-]*|\d[\d,.]*)(?:\s+(?:of\s+|the\s+|de\s+|and\s+)?(?:[A-Z][\w'\u2019.-]*|\d[\d,.]*))*"
)
"""A name or a number."""


class Support(ChoicePolicy):
    """Each reply offers its answer; the one that most replies contain, in words, is given. Of equals, that of the model
    that stands first.

    `models` are asked in this order, or else the `n` best of the `ranking` (see `models.strongest_first`). It costs
    what all of them cost.
    """

    name = "support"

    def __init__(
        self, models: Sequence[str] | None = None, *, n: int = 3, ranking: Sequence[str] | None = None
    ) -> None:
        self.version = versioned("1", models, n if n != 3 else None, ranking)
        self._models, self._ranking = None if models is None else tuple(models), tuple(ranking or ())
        self._n = n if models is None else len(self._models or ())

    def choose(self, view: View) -> Choice:
        """Ask them all at once, then count."""
        said = replies(view)
        if said:
            return self._count(view, said)
        asked = asked_models(view)
        left = [] if view.must_answer else [name for name in self._order(view) if name not in asked][: self._n]
        if not left:
            return close(view)
        return Choice(f"Asked: {', '.join(left)}.", tuple(RouteToLLM(name, view.question) for name in left))

    def _order(self, view: View) -> list[str]:
        if self._models is None:
            return ranked(view, self._ranking)
        legal = view.names("llm")
        return [name for name in self._models if name in legal]

    def _count(self, view: View, said: Mapping[str, str]) -> Choice:
        answer, backers = supported(view.question, list(said.values()))
        if not answer:
            return close(view)
        return Choice(f"{backers} of {len(said)} replies contain this answer.", (Answer(answer),))


def supported(question: str, replies: Sequence[str]) -> tuple[str, int]:
    """The answer that most replies contain, and how many do; ("", 0) where there is none.

    Of equals, that of the earlier reply. An answer is compared as SQuAD does: small letters, no articles, no
    punctuation.
    """
    contents = [f" {normalize_answer(untagged(reply))} " for reply in replies]
    offers = list(_offers(question, replies))
    if not offers:
        return "", 0
    counts = [sum(f" {normalize_answer(one)} " in content for content in contents) for one in offers]
    most = max(counts)
    return offers[counts.index(most)], most


def _offers(question: str, replies: Sequence[str]) -> Iterator[str]:
    """The answers that replies give as such; where none does, the names and numbers that the question has not."""
    tagged = [tagged_answer(reply) for reply in replies]
    short = [reply if len(reply.split()) <= _SHORT else "" for reply in replies]
    given = [one if tag is None else tag for tag, one in zip(tagged, short, strict=True)]
    clear = [one.strip() for one in given if normalize_answer(one)]
    if clear:
        yield from clear
        return
    known = f" {normalize_answer(question)} "
    for reply in replies:
        for match in _SPAN.finditer(reply):
            span = match[0].rstrip(".,'\u2019-")
            if words(span) and span != "I" and f" {normalize_answer(span)} " not in known:
                yield span
