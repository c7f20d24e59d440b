"""What a run cost, as a reward counts it: all that it made others do, and what it wasted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Literal, Self

import numpy as np

from router_graph.state import Observation
from router_graph.trajectories.records import RunRecord, StepRecord
from router_training.errors import ConfigError, DataError
from router_training.rewards.facts import option_of, taken
from router_training.rewards.reward import digest

Transform = Literal["sqrt", "none"]
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Pricing:
    """How a step is priced, in USD: what its decision took, what its routes took, and what failed.

    The ledger has booked the prompts and replies of every model. What it books at nothing can be priced here, so that
    it is not free: a policy that runs on one's own machine, a decision as such, a route that failed. Raises
    `ConfigError` for a price below 0.
    """

    policy_input: float = 0.0
    """USD per million prompt tokens of a policy whose decision was booked at nothing."""
    policy_output: float = 0.0
    """USD per million tokens that such a policy wrote."""
    step: float = 0.0
    """USD of each decision, beside its tokens."""
    failed: float = 0.0
    """USD at the least of a route that failed, was refused, or had been asked before. Such a route never counts less
    than a typical call of its source, or than the dearest of the menu where its source does not exist."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < float("inf"):
                raise ConfigError(f"The price {name!r} is in USD, 0 or more, and not {value!r}.")

    def of_step(self, run: RunRecord, step: StepRecord) -> float:
        """What this step of the run cost, in USD."""
        return self.step + self._decision(step) + sum(self.of_routes(run, step))

    def of_routes(self, run: RunRecord, step: StepRecord) -> list[float]:
        """What each route of this step cost, in USD."""
        return [self._route(run, *one) for one in taken(step.step)]

    def of_run(self, run: RunRecord) -> float:
        """What all steps cost, in USD."""
        return sum(self.of_step(run, step) for step in run.steps)

    def _decision(self, step: StepRecord) -> float:
        decision = step.step.get("decision")
        if decision is not None and decision["usd"] > 0:
            return decision["usd"]
        if step.call is not None:
            read, wrote = step.call["input_tokens"], step.call["output_tokens"]
            return (read * self.policy_input + wrote * self.policy_output) / _MILLION
        tokens = 0 if decision is None else decision["tokens"]
        return tokens * max(self.policy_input, self.policy_output) / _MILLION

    def _route(self, run: RunRecord, route: object, came: Observation) -> float:
        if came["status"] in ("ok", "empty", "declined"):
            return came["usd"]
        option = option_of(run, getattr(route, "target", ""))
        typical = option["usd"] if option else max((one["usd"] for one in run.menu), default=0.0)
        return max(came["usd"], typical, self.failed)


@dataclass(frozen=True, slots=True)
class CostNormaliser:
    """Costs as a number from 0 (dear) to 1 (cheap), on a scale that was fitted once and stays as it is.

    Router-R1 (arXiv 2506.09033, §3.2 and its code) takes the square root and measures against the 5th and 95th
    percentile of the last 1,000 costs. Its window goes along with the policy, so that the pressure never ends and the
    score depends on the order; here the percentiles are those of a log, and are saved with the policy.
    """

    low: float
    """The transformed cost that is as cheap as it gets."""
    high: float
    """The transformed cost that is as dear as it counts."""
    transform: Transform = "sqrt"
    count: int = 0
    """How many costs it was fitted on."""

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and 0 <= self.low <= self.high):
            raise DataError(
                f"A scale of costs goes from 0 or more up to something higher, and not {self.low!r}…{self.high!r}."
            )
        if self.transform not in ("sqrt", "none"):
            raise DataError(f"Costs are transformed by 'sqrt' or 'none', and not by {self.transform!r}.")

    @classmethod
    def fit(cls, usd: Iterable[float], *, transform: Transform = "sqrt") -> Self:
        """From the costs of a log, in USD: of runs for a reward of runs, of steps for a reward of steps.

        Raises `DataError` where there are none, or one is no cost.
        """
        costs = np.asarray(list(usd), dtype=np.float64)
        if costs.size == 0:
            raise DataError("There is no cost to fit a scale on; give a log with at least one run that ended.")
        if not (np.isfinite(costs).all() and (costs >= 0).all()):
            raise DataError(f"Costs are in USD, 0 or more; {costs[~(costs >= 0) | ~np.isfinite(costs)][0]} is none.")
        low, high = np.percentile(np.sqrt(costs) if transform == "sqrt" else costs, [5, 95])
        return cls(float(low), float(high), transform, int(costs.size))

    def cheapness(self, usd: float) -> float:
        """1 where it is as cheap as the scale goes, 0 where it is as dear; 0.5 on a scale of one cost only.

        Raises `DataError` for what is no cost.
        """
        if not usd >= 0:
            raise DataError(f"A cost is in USD, 0 or more, and not {usd!r}; look at what the log has booked.")
        cost = sqrt(usd) if self.transform == "sqrt" else usd
        width = self.high - self.low
        if width < 1e-12:
            return 0.5 if abs(cost - self.low) < 1e-12 else float(cost < self.low)
        return 1.0 - min(1.0, max(0.0, (cost - self.low) / width))

    @property
    def fingerprint(self) -> str:
        """Names this scale."""
        return digest(asdict(self))

    def save(self, path: str | Path) -> None:
        """Write it as JSON; it belongs beside the policy that is trained with it."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read it back, the same to the last bit. Raises `DataError` where the file holds none."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(float(data["low"]), float(data["high"]), data["transform"], int(data["count"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no scale of costs ({error}); write one with CostNormaliser.save.") from error


def scales(runs: Iterable[RunRecord], pricing: Pricing | None = None) -> Mapping[str, CostNormaliser]:
    """A scale for whole runs ("run") and one for steps ("step"), of the runs of ours that ended.

    Raises `DataError` where there are none.
    """
    pricing, of_runs, of_steps = pricing or Pricing(), list[float](), list[float]()
    for run in runs:
        if run.is_ours and run.status == "ended":
            costs = [pricing.of_step(run, step) for step in run.steps]
            of_steps += costs
            of_runs.append(sum(costs))
    return {"run": CostNormaliser.fit(of_runs), "step": CostNormaliser.fit(of_steps)}
