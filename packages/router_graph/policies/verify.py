"""Which documents support a question or an answer, by the words that they share with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from router_graph.citations import citations, mark
from router_graph.evidence.words import words
from router_graph.state import Hit


def share(wanted: Collection[str], text: str) -> float:
    """The share of these words that a text has, from 0 to 1; 0 where none is wanted."""
    return len(set(wanted).intersection(words(text))) / len(set(wanted)) if wanted else 0.0


def support(wanted: Collection[str], hit: Hit) -> float:
    """The share of these words that a document has, its title included."""
    return share(wanted, f"{hit['title']} {hit['text']}")


def supporting(question: str, hits: Iterable[Hit], *, most: int, at_least: float = 0.5) -> list[Hit]:
    """Up to `most` documents, best first, that cover at least this share of what the best one covers of the question.

    Equals stay in their order.
    """
    wanted = words(question)
    ranked = sorted(((support(wanted, hit), n, hit) for n, hit in enumerate(hits)), key=lambda one: (-one[0], one[1]))
    return [hit for covered, _, hit in ranked[:most] if covered >= at_least * ranked[0][0]]


def with_source(text: str, hits: Iterable[Hit], *, at_least: float = 0.5) -> str:
    """The text, and behind it the document that has most of its words, if it has at least this share of them.

    A text that cites a document already stays as it is.
    """
    given = list(hits)
    if not given or citations(text, given):
        return text
    wanted = words(text)
    best = max(given, key=lambda hit: support(wanted, hit))
    return f"{text} {mark(best['kb'], best['doc_id'])}" if support(wanted, best) >= at_least else text
