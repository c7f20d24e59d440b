"""What is right for a question: its answers, and the documents that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from router_graph.evaluation.metrics import contains, normalize_answer
from router_graph.state import Hit

_IN_ANY_TEXT = frozenset({"yes", "no", "noanswer"})
Needed = frozenset[str]
"""Ids of documents of which one is enough: `doc_id`, or `kb:doc_id` where two knowledge bases share an id."""


@dataclass(frozen=True, slots=True)
class Gold:
    """What is right for a question."""

    answers: tuple[str, ...] = ()
    """Each is right."""
    documents: tuple[Needed, ...] | None = None
    """All are needed. Empty where none is: the question is to be answered without a search. None where nobody knows."""

    def met(self, hits: Iterable[Hit]) -> frozenset[int]:
        """Which of the needed documents are among the hits, by their place in `documents`."""
        found = {name for hit in hits for name in (hit["doc_id"], f"{hit['kb']}:{hit['doc_id']}")}
        return frozenset(place for place, one in enumerate(self.documents or ()) if not one.isdisjoint(found))

    def stands_in(self, texts: Iterable[str]) -> bool:
        """Whether a right answer stands in one of the texts. Answers such as "yes" stand in any, and count in none."""
        golds = [one for one in self.answers if normalize_answer(one) not in _IN_ANY_TEXT]
        return any(contains(text, golds) for text in texts)


def answers_of(value: object) -> tuple[str, ...]:
    """Right answers: a text, a number, or a list of them; blank ones are none. Raises `TypeError` for anything else."""
    given = [value] if isinstance(value, str | int | float) else value
    if not isinstance(given, Sequence) or not all(isinstance(one, str | int | float) for one in given):
        raise TypeError(f"answers are a list of texts, and not {value!r:.80}")
    return tuple(text for one in given if (text := str(one)).strip())


def needed_of(value: object) -> tuple[Needed, ...] | None:
    """Needed documents: a list of ids, or of lists of which one id is enough; None where nobody says.

    Raises `TypeError` for anything else.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"documents are a list of ids, and not {value!r:.80}")
    groups = [[one] if isinstance(one, str) else one for one in value]
    if not all(isinstance(one, Sequence) and one and all(isinstance(name, str) for name in one) for one in groups):
        raise TypeError(f"documents are a list of ids, or of lists of ids, and not {value!r:.80}")
    return tuple(dict.fromkeys(frozenset(one) for one in groups))
