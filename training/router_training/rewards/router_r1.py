"""Router-R1's reward for a whole run (arXiv 2506.09033, §3.2) as it should be: format, outcome, cost.

What its code does instead stands in `router_r1_paper`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import exact_match, f1
from router_graph.trajectories.records import RunRecord
from router_training.errors import ConfigError
from router_training.rewards.costs import CostNormaliser, Pricing
from router_training.rewards.facts import fault
from router_training.rewards.hygiene import check_preferred, gated, preferred_share
from router_training.rewards.reward import WHOLE_RUN, RunReward, Score

Metric = Literal["em", "f1"]
BAD_FORMAT = -1.0


@dataclass(frozen=True, slots=True)
class RouterR1(RunReward):
    """−1 where a reply was no action; else the outcome, of which the share `alpha` is paid as far as the run was cheap.

    Unlike the paper's code: the scale of costs is fitted once and kept; the router's tokens, prompts and failures have
    their price; the format is what the protocol's parser says of the policy's own replies; and a half-right answer
    is paid half of what thrift brings. Raises `ConfigError`.
    """

    name = "router_r1"

    normaliser: CostNormaliser
    """Of runs."""
    alpha: float = 0.6
    metric: Metric = "f1"
    pricing: Pricing = field(default_factory=Pricing)
    preferred: Mapping[str, float] = field(default_factory=dict)
    """Sources that the user prefers, each with how much, from 0 to 1."""
    beta: float = 0.0
    """The share of the outcome that is paid as far as the preferred sources served."""

    def __post_init__(self) -> None:
        if not (self.alpha >= 0 and self.beta >= 0 and self.alpha + self.beta <= 1):
            raise ConfigError(
                f"alpha and beta are shares of the outcome, 0 or more and 1 at most together, and not {self.alpha!r} "
                f"and {self.beta!r}."
            )
        check_metric(self.metric)
        check_preferred(self.preferred)

    @property
    def parameters(self) -> Mapping[str, object]:
        """All that a score depends on."""
        return {
            "rules": 2,
            "alpha": self.alpha,
            "beta": self.beta,
            "metric": self.metric,
            "pricing": asdict(self.pricing),
            "preferred": dict(self.preferred),
            "normaliser": self.normaliser.fingerprint,
        }

    def of_run(self, run: RunRecord, gold: Gold) -> Score:
        """The score, with `format` (−1 or 0), `outcome`, `cost` (1 is cheap), `usd` and `share` as its parts."""
        broken = any(fault(run, step.step) for step in run.steps)
        usd = self.pricing.of_run(run)
        parts = {
            "format": BAD_FORMAT if broken else 0.0,
            "outcome": outcome(bare(run.answer, run.citations), gold, self.metric),
            "cost": self.normaliser.cheapness(usd),
            "usd": usd,
        }
        if self.preferred:
            parts["share"] = preferred_share(run, self.preferred, gold)
        if broken:
            return Score(WHOLE_RUN, BAD_FORMAT, parts)
        total = gated(
            parts["outcome"],
            cheapness=parts["cost"],
            alpha=self.alpha,
            share=parts.get("share", 0.0),
            beta=self.beta,
        )
        return Score(WHOLE_RUN, total, parts)


def outcome(answer: str, gold: Gold, metric: Metric) -> float:
    """How right the answer is, from 0 to 1; 0 where there is none, even if the right one is an article."""
    if not answer:
        return 0.0
    return exact_match(answer, gold.answers) if metric == "em" else f1(answer, gold.answers)


def check_metric(metric: str) -> None:
    """Raises `ConfigError` for a metric that there is not."""
    if metric not in ("em", "f1"):
        raise ConfigError(f"An answer is scored by 'em' or 'f1', and not by {metric!r}.")
