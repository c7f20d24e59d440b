"""Kinds of questions: told apart by single words, those that tell best what each option is worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router_graph.policies.learned.decided import Decided, State
from router_graph.policies.learned.features import terms

OTHER = "other"
SHARED = 3
"""Questions that must have a word before it makes a kind."""
PRIOR = 2.0
"""How many logged choices what is known of an option over all kinds counts for in one kind."""
_Tally = dict[tuple[State, str], tuple[float, float]]
"""Good and bad by state and option."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """A question is of the kind of the first of these words that it has, what it asks for included ("who?"); else it
    is `OTHER`."""

    words: tuple[str, ...] = ()

    def of(self, question: str) -> str:
        """The kind of a question."""
        has = set(terms(question))
        return next((word for word in self.words if word in has), OTHER)

    @classmethod
    def found(cls, choices: Sequence[Decided], *, most: int) -> Kinds:
        """At most so many kinds besides `OTHER`; none where no word tells anything.

        Greedily, the word whose questions' choices are best told apart from the rest: by the marginal likelihood of
        their qualities under Beta distributions of their own, against that of one for all. It must gain more than the
        logarithm of how many words there were to choose from, so that chance seldom makes a kind.
        """
        usual = {place: _usual(*one) for place, one in _tally(choices).items()}
        asked = {one.question: frozenset(terms(one.question)) for one in choices}
        rest, words = list(choices), list[str]()
        while len(words) < most and rest:
            shared = _shared({one.question: asked[one.question] for one in rest})
            whole = _likelihood(_tally(rest), usual)
            gains = [(_gain(word, rest, asked, whole, usual), word) for word in shared]
            gain, best = max(gains, key=lambda one: (one[0], one[1]), default=(0.0, ""))
            if not shared or gain <= math.log(len(shared) + 1):
                break
            words.append(best)
            rest = [one for one in rest if best not in asked[one.question]]
        return cls(tuple(words))


def _gain(
    word: str,
    rest: Sequence[Decided],
    asked: Mapping[str, frozenset[str]],
    whole: float,
    usual: Mapping[tuple[State, str], float],
) -> float:
    has, has_not = list[Decided](), list[Decided]()
    for one in rest:
        (has if word in asked[one.question] else has_not).append(one)
    return _likelihood(_tally(has), usual) + _likelihood(_tally(has_not), usual) - whole


def _shared(asked: Mapping[str, frozenset[str]]) -> list[str]:
    counts: dict[str, int] = {}
    for has in asked.values():
        for word in has:
            counts[word] = counts.get(word, 0) + 1
    return sorted(word for word, count in counts.items() if SHARED <= count < len(asked))


def _tally(choices: Iterable[Decided]) -> _Tally:
    tally: _Tally = {}
    for one in choices:
        good, bad = tally.get((one.state, one.key), (0.0, 0.0))
        tally[one.state, one.key] = good + one.quality, bad + 1 - one.quality
    return tally


def _usual(good: float, bad: float) -> float:
    return (good + 1) / (good + bad + 2)


def _likelihood(tally: _Tally, usual: Mapping[tuple[State, str], float]) -> float:
    return sum(_marginals(tally, usual))


def _marginals(tally: _Tally, usual: Mapping[tuple[State, str], float]) -> Iterator[float]:
    """ln of the marginal likelihood of each tally: B(a + good, b + bad) / B(a, b)."""
    for place, (good, bad) in tally.items():
        a, b = PRIOR * usual[place], PRIOR * (1 - usual[place])
        yield _ln_beta(a + good, b + bad) - _ln_beta(a, b)


def _ln_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
