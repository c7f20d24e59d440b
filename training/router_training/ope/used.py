"""What of a log an estimate rests on. What is left out is not like the rest, so that little may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router_training.ope.estimate import CannotTell
from router_training.ope.rules import Rules
from router_training.ope.support import Rule

FOREIGN, NOT_ENDED, NO_REWARD, NO_PROPENSITY = "of another make", "not ended", "no reward", "no known propensity"


@dataclass(frozen=True, slots=True)
class Used:
    """Runs and steps of a log, by whether they were used."""

    runs: int
    steps: int
    left_out: Mapping[str, int]
    """Runs that were not used, by the reason."""
    unknown: int
    """Steps without a known propensity, for each of which its run is left out."""
    unused: int
    """The other steps of those runs."""
    spoiled: int
    """Steps that were used whose text spoiled the option that was drawn: what came of it counts as the option's."""

    @property
    def sentences(self) -> list[str]:
        """What is to be known of it, beside the numbers."""
        total = self.runs + sum(self.left_out.values())
        said = [f"{_part(count, total, 'runs')} were not used: {why}." for why, count in self.left_out.items()]
        if self.unknown:
            said.append(
                f"{_part(self.unknown, self.steps + self.unknown + self.unused, 'steps')} have no known propensity; "
                "their runs are left out, which tilts the estimates a little if such runs are not like the others."
            )
        if self.spoiled:
            said.append(
                f"{_part(self.spoiled, self.steps, 'steps')} worded the option that they chose so that it could not be "
                "read; that counts as what comes of the option, for all policies."
            )
        return said


def refused(used: Used, rules: Rules) -> CannotTell | None:
    """Why too much of a log is not known well enough to estimate from it, if so."""
    without, unended = used.left_out.get(NO_PROPENSITY, 0), used.left_out.get(NOT_ENDED, 0)
    scored = used.runs + without
    checks: list[tuple[Rule, bool, str]] = [
        (
            "unknown",
            without > rules.unknown * scored,
            f"{_part(without, scored, 'runs')} have a step whose propensity is not known, and leaving out more than "
            f"{_percent(rules.unknown)} would tilt every estimate; record with --explore, or with a local policy that "
            "draws",
        ),
        (
            "unended",
            unended > rules.unended * (scored + unended),
            f"{_part(unended, scored + unended, 'runs')} have not ended, which may depend on what they did, and at "
            f"most {_percent(rules.unended)} may be left out for it; let them end, or record them again",
        ),
        (
            "spoiled",
            used.spoiled > rules.spoiled * used.steps,
            f"{_part(used.spoiled, used.steps, 'steps')} worded the option that they chose so that it could not be "
            f"read; above {_percent(rules.spoiled)} that would tell against every policy that words better",
        ),
    ]
    return next((CannotTell(rule, reason, None) for rule, fails, reason in checks if fails), None)


def _part(count: int, of: int, what: str) -> str:
    return f"{count:,} of {of:,} {what} ({_percent(count / max(of, 1))})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
