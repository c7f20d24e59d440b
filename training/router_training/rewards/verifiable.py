"""A reward of each step that can be checked: what its routes really found, what that cost, and whether it was time.

Nobody's taste is in it, no teacher's and no judge's: the needed documents are known, the searches were executed, the
answer is right or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from router_graph.actions import Route
from router_graph.evaluation.answers import bare
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.metrics import f1
from router_graph.state import Step
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View, found
from router_training.errors import ConfigError
from router_training.rewards.costs import CostNormaliser, Pricing
from router_training.rewards.facts import answer_of, before, fault, step_of, taken
from router_training.rewards.hygiene import check_preferred, preferred_share
from router_training.rewards.reward import Needs, Score, StepReward
from router_training.rewards.utility import Value

_NO_ACTION = -1.0
_MOST = 10
"""Documents that a step may bring before it is a haystack."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part counts; 0 leaves it out. Raises `ConfigError` for one below 0."""

    documents: float = 1.0
    """The share of the needed documents that this step found first. Over a run it adds up to 1 at the most. Of a step
    that brings up to 10 documents (or the `k` of the run, if that is more) they count in full, where it brings twice
    as many half: to ask for a hundred is not to find."""
    utility: float = 0.0
    """How much better the question could be answered after the step than before."""
    answer: float = 1.0
    """Of an answering step: 2 · F1 - 1, so that giving up at once is worse than looking in vain. Where an answer is due
    and none is given, that of none: -1."""
    stop: float = 0.5
    """Of an answering step: 1 where all needed documents had been found; where none is needed, and nothing was
    searched."""
    cost: float = 0.2
    """0 (cheap) to -1 (dear), for each route: side by side they lose what they would have lost one after another."""
    repetition: float = 0.3
    """-1 for each route that had been taken before, found only what was known, or was a search where no document is
    needed."""
    preference: float = 0.0
    """Of an answering step: the share of the sources that served (`preferred_share`) which the user prefers, times the
    F1."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < float("inf"):
                raise ConfigError(f"The weight {name!r} is 0 or more, and not {value!r}.")
        if self.cost + self.repetition > self.answer > 0:
            raise ConfigError(
                f"What a search can lose (cost {self.cost} + repetition {self.repetition}) is more than what a wrong "
                f"answer loses (answer {self.answer}): the policy would learn to give up; make them less."
            )


@dataclass(frozen=True, slots=True)
class Verifiable(StepReward):
    """The weighted sum of the parts; −1 for a reply that is no action. Raises `ConfigError`."""

    name = "verifiable"

    normaliser: CostNormaliser
    """Of steps."""
    weights: Weights = field(default_factory=Weights)
    pricing: Pricing = field(default_factory=Pricing)
    value: Value | None = None
    """What answering in a state is worth, for the part `utility`."""
    preferred: Mapping[str, float] = field(default_factory=dict)
    """Sources that the user prefers, each with how much, from 0 to 1."""

    def __post_init__(self) -> None:
        check_preferred(self.preferred)
        if (self.weights.utility > 0) != (self.value is not None):
            raise ConfigError("A weight for utility and a value of states go together; give both, or neither.")

    @property
    def parameters(self) -> Mapping[str, object]:
        """All that a score depends on."""
        return {
            "rules": 2,
            "weights": asdict(self.weights),
            "pricing": asdict(self.pricing),
            "value": None if self.value is None else self.value.name,
            "preferred": dict(self.preferred),
            "normaliser": self.normaliser.fingerprint,
        }

    @property
    def needs(self) -> frozenset[Needs]:
        """Needed documents too, where they are paid for."""
        with_documents = self.weights.documents > 0 or self.weights.stop > 0
        return frozenset({"answers", "documents"} if with_documents else {"answers"})

    def of_step(self, run: RunRecord, number: int, gold: Gold) -> Score | None:
        """The score; None for a step at which the policy said nothing."""
        record = step_of(run, number)
        step, earlier = record.step, before(run, number)
        if not step.get("actions"):
            return None
        if fault(run, step):
            return Score(number, _NO_ACTION, {"format": -1.0})
        parts = {"cost": self._cost(run, record)}
        said = answer_of(step)
        if said is None and record.step["decision"]["forced"] is not None:
            said = ""  # the graph answers in its place, which is no merit of the policy's
        if said is None:
            parts |= _searched(step, earlier, gold, most=max(_MOST, run.settings.get("k") or 0))
            if self.value is not None:
                parts["utility"] = self._gain(run, number, step, gold)
        else:
            parts |= self._answered(run, number, bare(said, found(earlier)), earlier, gold)
        total = sum(getattr(self.weights, name) * part for name, part in parts.items())
        # No search, of however many routes, is worth less than a reply that is none.
        return Score(number, total if said is not None else max(_NO_ACTION, total), parts)

    def _cost(self, run: RunRecord, record: StepRecord) -> float:
        """Above the end of the scale nothing costs more; a step of many routes is not one dear route."""
        whole = 1.0 - self.normaliser.cheapness(self.pricing.of_step(run, record))
        each = [1.0 - self.normaliser.cheapness(usd) for usd in self.pricing.of_routes(run, record)]
        return -max(whole, sum(each))

    def _gain(self, run: RunRecord, number: int, step: Step, gold: Gold) -> float:
        assert self.value is not None
        now = view_at(run, number)
        return self.value(_after(now, step), gold) - self.value(now, gold)

    def _answered(
        self, run: RunRecord, number: int, said: str, earlier: tuple[Step, ...], gold: Gold
    ) -> dict[str, float]:
        right = f1(said, gold.answers) if said else 0.0
        parts = {"answer": 2.0 * right - 1.0}
        if gold.documents:
            parts["stop"] = float(len(gold.met(found(earlier))) == len(gold.documents))
        elif gold.documents is not None:
            parts["stop"] = float(not any(_is_search(route) for one in earlier for route, _ in taken(one)))
        if self.value is not None:
            parts["utility"] = right - self.value(view_at(run, number), gold)
        if self.preferred:
            parts["preference"] = right * preferred_share(run, self.preferred, gold)
        return parts


def _searched(step: Step, earlier: tuple[Step, ...], gold: Gold, *, most: int) -> dict[str, float]:
    """What the routes of a step found that was not known."""
    parts: dict[str, float] = {}
    known = found(earlier)
    if gold.documents:
        brought = found([step])
        new = gold.met(brought) - gold.met(known)
        parts["documents"] = len(new) / len(gold.documents) * min(1.0, most / max(1, len(brought)))
    seen = {(hit["kb"], hit["doc_id"]) for hit in known}
    stale = 0
    for route, came in taken(step):
        names = {(hit["kb"], hit["doc_id"]) for hit in came["hits"]}
        is_stale = came["status"] == "repeated" or (bool(names) and names <= seen)
        stale += is_stale or (gold.documents == () and _is_search(route))
        seen |= names
    parts["repetition"] = -float(stale)
    return parts


def _is_search(route: Route) -> bool:
    return route.kind == "kb"


def _after(view: View, step: Step) -> View:
    return View(view.question, view.menu, view.masked, (*view.steps, step), view.left, None, view.images, view.earlier)
