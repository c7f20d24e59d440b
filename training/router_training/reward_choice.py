"""A reward by its name, with settings as a command line or a recipe gives them, fitted on a log where it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from router_graph.trajectories.records import RunRecord
from router_training.errors import ConfigError
from router_training.recipe import near, read_recipe
from router_training.rewards.costs import CostNormaliser, Pricing, scales
from router_training.rewards.gold import Questions
from router_training.rewards.reward import Reward
from router_training.trainers.config import Part


class Prices(Part):
    """What the ledger books at nothing, in USD; see `rewards.costs.Pricing`."""

    policy_input: float = Field(default=0.0, ge=0)
    policy_output: float = Field(default=0.0, ge=0)
    step: float = Field(default=0.0, ge=0)
    failed: float = Field(default=0.0, ge=0)

    @property
    def pricing(self) -> Pricing:
        """The same, as rewards take it."""
        return Pricing(**self.model_dump())


class OfRuns(Part):
    """Of Router-R1's reward: format, outcome and cost of a whole run."""

    alpha: float = Field(default=0.6, ge=0, le=1)
    metric: Literal["em", "f1"] = "f1"
    preferred: dict[str, float] = Field(default_factory=dict)
    beta: float = Field(default=0.0, ge=0, le=1)
    pricing: Prices = Prices()


class OfPaper(Part):
    """Of Router-R1's reward as the paper's code has it."""

    prices: dict[str, float] = Field(default_factory=dict)
    alpha: float = Field(default=0.6, ge=0, le=1)
    metric: Literal["em", "f1"] = "em"


class Imitation(Part):
    """Of R1-Router's reward of a step: how near it comes to a teacher's."""

    query_weight: float = Field(default=0.5, ge=0, le=1)


class PartWeights(Part):
    """What each part of the verifiable reward counts; see `rewards.verifiable.Weights`."""

    documents: float = Field(default=1.0, ge=0)
    utility: float = Field(default=0.0, ge=0)
    answer: float = Field(default=1.0, ge=0)
    stop: float = Field(default=0.5, ge=0)
    cost: float = Field(default=0.2, ge=0)
    repetition: float = Field(default=0.3, ge=0)
    preference: float = Field(default=0.0, ge=0)


class OfSteps(Part):
    """Of the verifiable reward of a step."""

    weights: PartWeights = PartWeights()
    pricing: Prices = Prices()
    preferred: dict[str, float] = Field(default_factory=dict)
    value: Literal["closing", "containment"] | None = None
    """What answering in a state is worth, for the part `utility`."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A reward that is ready to score."""

    reward: Reward
    scale: CostNormaliser | None
    """Of costs; it belongs with every policy that is trained on these scores."""

    @property
    def about(self) -> dict[str, Any]:
        """What goes with the scores, to compute the same ones again."""
        return {
            "reward": self.reward.name,
            "version": self.reward.version,
            "parameters": dict(self.reward.parameters),
            "scale": None if self.scale is None else asdict(self.scale),
        }


@dataclass(frozen=True, slots=True)
class _Log:
    runs: Iterable[RunRecord]
    """Can be read again and again."""
    questions: Questions
    teacher: Iterable[RunRecord] | None
    scale: CostNormaliser | None

    def scale_of(self, what: Literal["run", "step"], pricing: Pricing) -> CostNormaliser:
        """The one that is given, else one fitted here."""
        return self.scale or scales(self.runs, pricing)[what]


def reward_named(
    name: str,
    settings: Sequence[str],
    runs: Iterable[RunRecord],
    questions: Questions,
    *,
    teacher: Iterable[RunRecord] | None = None,
    scale: CostNormaliser | None = None,
) -> Chosen:
    """The reward of a name, with settings such as "alpha=0.3" or "weights.cost=0.5".

    Without `scale` the scale of costs is fitted on `runs`, which are read again for it. `teacher` are the runs that
    `r1_router` imitates. Raises `ConfigError` for a name or a setting that there is not, with the nearest.
    """
    if name not in REWARDS:
        raise ConfigError(f"There is no reward {name!r}; {near(name, list(REWARDS))}")
    kind, make = REWARDS[name][1:]
    chosen = read_recipe(kind, None, settings)
    return make(chosen, _Log(runs, questions, teacher, scale))


def _router_r1(chosen: Any, log: _Log) -> Chosen:
    from router_training.rewards.router_r1 import RouterR1

    pricing = chosen.pricing.pricing
    scale = log.scale_of("run", pricing)
    reward = RouterR1(scale, chosen.alpha, chosen.metric, pricing, chosen.preferred, chosen.beta)
    return Chosen(reward, scale)


def _paper(chosen: Any, log: _Log) -> Chosen:
    from router_training.rewards.router_r1_paper import PaperCode

    return Chosen(PaperCode(chosen.prices, chosen.alpha, chosen.metric), None)


def _r1_router(chosen: Any, log: _Log) -> Chosen:
    from router_training.rewards.r1_router import R1Router, Teacher

    teacher = Teacher.of_runs(log.runs if log.teacher is None else log.teacher, log.questions)
    return Chosen(R1Router(teacher, query_weight=chosen.query_weight), None)


def _verifiable(chosen: Any, log: _Log) -> Chosen:
    from router_training.rewards.utility import Closing, Containment
    from router_training.rewards.verifiable import Verifiable, Weights

    pricing = chosen.pricing.pricing
    value = None if chosen.value is None else Closing() if chosen.value == "closing" else Containment()
    weights = Weights(**chosen.weights.model_dump())
    scale = log.scale_of("step", pricing)
    return Chosen(Verifiable(scale, weights, pricing, value, chosen.preferred), scale)


REWARDS: Mapping[str, tuple[str, type[Part], Callable[[Any, _Log], Chosen]]] = {
    "verifiable": (
        "each step by what it really found, its price, and whether it was time to answer",
        OfSteps,
        _verifiable,
    ),
    "router_r1": (
        "each run by format, outcome and cost, gated by success (Router-R1, as it should be)",
        OfRuns,
        _router_r1,
    ),
    "r1_router": ("each step by how near it comes to a teacher's (R1-Router's Step-GRPO)", Imitation, _r1_router),
    "router_r1_paper": ("each run as Router-R1's published code scores it, to compare with", OfPaper, _paper),
}
"""The rewards that have names: what each pays for, its settings, and what makes it."""
