"""When evaluation says "cannot tell", and what equal cost is: every threshold, once. Nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass

from router_training.errors import ConfigError


@dataclass(frozen=True)
class Rules:
    """What a log must have for an estimate to be given, and a candidate to be promoted. benchmarks/ope_coverage.py and
    benchmarks/ope_promotion.py show what they let through."""

    questions: int = 50
    """The fewest different questions: with fewer, the resampled intervals are too short."""
    ess: float = 0.05
    """The least effective sample size, as a share of the episodes."""
    effective: float = 30.0
    """The least effective number of questions."""
    share: float = 0.10
    """The largest share of all weight that one question may have."""
    truncated: float = 0.05
    """The largest share of weight that may be lost where weights are cut at the square root of the episodes."""
    unsupported: float = 0.001
    """The largest share of the target's probability on actions that were never possible in the log."""
    balance: float = 4.0
    """By how many standard errors the mean weight may differ from 1, which is what it is if the propensities are true
    and the support is full."""
    calibration: float = 5.0
    """By how many standard errors an action may be taken more or less often than its logged probabilities say."""
    unknown: float = 0.01
    """The largest share of runs that may be left out because a propensity is not known: such runs are not like the
    others (a long run has more steps that can lack one), so that leaving them out tilts what is estimated."""
    unended: float = 0.05
    """The largest share of runs that may be left out because they have not ended, which may depend on what they did."""
    spoiled: float = 0.02
    """The largest share of steps whose text spoiled the option that was drawn. It counts as what comes of the option,
    also for a policy that would word it better."""
    margin: float = 0.05
    """How much less a candidate may earn that counts as good as another, in standard deviations of what runs earn."""
    saving: float = 0.2
    """The least part of a policy's cost that a candidate must save to replace it where it is only as good."""
    dearer: float = 0.1
    """By what part a candidate may cost more than the simple policies and still be at equal cost."""

    def __post_init__(self) -> None:
        if self.questions < 2:
            raise ConfigError(f"questions is {self.questions}; an interval needs at least 2, and Rules() asks for 50.")
        for name in ("ess", "share", "truncated", "unsupported", "unknown", "unended", "spoiled", "saving"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a share, from 0 to 1.")


DEFAULT = Rules()
