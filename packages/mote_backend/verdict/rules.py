"""When a behaviour counts as localised: every threshold, and what each check says. Nothing else decides.

The weakest check is the verdict. The thresholds of `Rules`, each (localised, partly):

- shown: the model shows the behaviour in at least half (a fifth) of the replies; what is not there cannot be located.
- effect: the mask takes away at least 70 % (30 %) of it, and the interval of the change excludes 0. The MoTE paper's
  own result, 52 % fewer refusals, would be "partly".
- specific: random masks of the same size in the same layers do at most a quarter (half) as much on average, the
  interval of the difference excludes 0, and none of at least ten does as much as the mask. Else any damage would do.
- few: it takes at most 5 % (20 %) of the experts. When most are needed, "located" has no meaning.
- harmless: harmless replies lose at most 5 (15) points of what is right, and perplexity, where it was measured, grows
  by a tenth (half) at most. A model that is broken does not show the behaviour either.
- right: where the right answers are known, at least 80 % (40 %) of the replies on the behaviour's prompts are right.
- told: the judges could not tell at most 10 % (30 %) of the replies, on either set of prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mote_backend.ftri.intervals import Estimate

Word = Literal["localised", "partly", "not localised"]
WORDS: tuple[Word, ...] = ("localised", "partly", "not localised")

Thresholds = tuple[float, float]
"""(for localised, for partly)."""


@dataclass(frozen=True)
class Rules:
    """The thresholds; the module's docstring says why they are what they are."""

    shown: Thresholds = (0.5, 0.2)
    effect: Thresholds = (0.7, 0.3)
    random: Thresholds = (0.25, 0.5)
    fewest_draws: int = 10
    few: Thresholds = (0.05, 0.20)
    harm: Thresholds = (0.05, 0.15)
    perplexity: Thresholds = (1.1, 1.5)
    right: Thresholds = (0.8, 0.4)
    untold: Thresholds = (0.1, 0.3)


@dataclass(frozen=True)
class Check:
    """One of the conditions."""

    name: str
    word: Word
    """The most that it allows."""
    said: str
    """What was found, one sentence."""


@dataclass(frozen=True)
class Evidence:
    """What the checks look at. Shares are 0 to 1; the behaviour is counted so that the mask is to make it less."""

    before: Estimate
    """How much of the behaviour there is to take away."""
    taken: Estimate
    """What the mask takes away, in points."""
    beyond: Estimate | None
    """What it takes away more than random masks do on average; None without random masks."""
    random_taken: tuple[float, ...]
    """What each random mask takes away."""
    experts: int
    experts_in_all: int
    harm: Estimate
    """What harmless replies lose."""
    perplexity: tuple[float, float] | None = None
    """Of harmless texts, without and with the mask."""
    right: Estimate | None = None
    untold: float = 0.0
    """Share of the replies that could not be judged, of the worse of both sets: what is not seen is not harmless."""


def decide(evidence: Evidence, rules: Rules) -> tuple[Word, tuple[Check, ...]]:
    """The word, and the checks that it rests on. An empty mask is not localised."""
    if not evidence.experts:
        check = Check("mask", "not localised", "The mask is empty: no expert was found whose switching helps.")
        return check.word, (check,)
    checks = [
        _shown(evidence, rules),
        _effect(evidence, rules),
        _specific(evidence, rules),
        _few(evidence, rules),
        _harmless(evidence, rules),
    ]
    if evidence.perplexity is not None:
        checks.append(_perplexity(*evidence.perplexity, rules))
    if evidence.right is not None:
        word = _at_least(evidence.right.value, rules.right)
        checks.append(
            Check("right", word, f"{evidence.right} of the replies on the behaviour's prompts are right with the mask.")
        )
    if evidence.untold:
        word = _at_most(evidence.untold, rules.untold)
        checks.append(Check("told", word, f"{_percent(evidence.untold)} of the replies could not be judged."))
    return max((one.word for one in checks), key=WORDS.index), tuple(checks)


def _shown(evidence: Evidence, rules: Rules) -> Check:
    word = _at_least(evidence.before.value, rules.shown)
    return Check("shown", word, f"Without the mask, there is {evidence.before} of the behaviour to change.")


def _effect(evidence: Evidence, rules: Rules) -> Check:
    share = evidence.taken.value / evidence.before.value if evidence.before.value > 0 else 0.0
    word = _at_least(share, rules.effect)
    said = f"The mask changes it by {_points(evidence.taken)}, {_percent(max(0.0, share))} of it"
    if evidence.taken.low <= 0:
        return Check("effect", "not localised", f"{said}, which may be chance.")
    return Check("effect", word, f"{said}.")


def _specific(evidence: Evidence, rules: Rules) -> Check:
    taken, draws = evidence.taken.value, evidence.random_taken
    if not draws or evidence.beyond is None:
        return Check("specific", "not localised", "No random mask of this size and layers is left to compare with.")
    average = sum(draws) / len(draws)
    said = (
        f"{len(draws)} random masks of the same size and layers change it by {_signed(average)} on average, at most by "
        f"{_signed(max(draws))}; the mask does {_points(evidence.beyond)} more"
    )
    if evidence.beyond.low <= 0 or taken <= 0:
        return Check("specific", "not localised", f"{said}, which may be chance.")
    word = _at_most(max(0.0, average) / taken, rules.random)
    if max(draws) >= taken and word == "localised":
        return Check("specific", "partly", f"{said}; one of them does as much.")
    if len(draws) < rules.fewest_draws and word == "localised":
        return Check("specific", "partly", f"{said}; {rules.fewest_draws} random masks are needed to say more.")
    return Check("specific", word, f"{said}.")


def _few(evidence: Evidence, rules: Rules) -> Check:
    share = evidence.experts / evidence.experts_in_all
    word = _at_most(share, rules.few)
    return Check("few", word, f"It takes {evidence.experts} of {evidence.experts_in_all} experts ({100 * share:.2g}%).")


def _harmless(evidence: Evidence, rules: Rules) -> Check:
    word = _at_most(evidence.harm.value, rules.harm)
    return Check("harmless", word, f"Harmless replies lose {_points(evidence.harm)}.")


def _perplexity(bare: float, masked: float, rules: Rules) -> Check:
    said = f"Perplexity of harmless texts is {bare:.2f} without the mask and {masked:.2f} with it"
    return Check("perplexity", _at_most(masked / bare, rules.perplexity), f"{said}, {masked / bare:.2f} times as much.")


def _at_least(value: float, thresholds: Thresholds) -> Word:
    return WORDS[0] if value >= thresholds[0] else WORDS[1] if value >= thresholds[1] else WORDS[2]


def _at_most(value: float, thresholds: Thresholds) -> Word:
    return WORDS[0] if value <= thresholds[0] else WORDS[1] if value <= thresholds[1] else WORDS[2]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _signed(share: float) -> str:
    return f"{round(100 * share)} points"


def _points(one: Estimate) -> str:
    return f"{round(100 * one.value)} points [{round(100 * one.low)}, {round(100 * one.high)}]"
