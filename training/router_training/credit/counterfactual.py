"""Complete groups: each recorded search is made on every knowledge base, so that the advantage of each choice is known
exactly, without sampling.

What is compared is the choice of the source alone: the words of the query are the policy's, which wrote them for the
one that it chose.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from math import isclose

from router_graph.actions import RouteToKB, action_from_dict
from router_graph.state import Hit, Observation, Step
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View, linked_ids
from router_training.credit.attempt import attempt
from router_training.credit.searches import Searches
from router_training.errors import DataError
from router_training.rewards.facts import step_of
from router_training.rewards.gold import Questions
from router_training.rewards.reward import StepReward
from router_training.rewards.scoring import lacks

_RUNS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What every legal knowledge base would have brought at one recorded step."""

    run_id: str
    number: int
    position: int
    """Of the route among the actions of the step."""
    query: str
    taken: str
    """The option that was taken."""
    rewards: Mapping[str, float]
    """By option, each `kb:NAME` that could be asked."""
    probabilities: Mapping[str, float]
    """Of these options alone, as the policy had them; all equal where nobody knows."""
    missing: tuple[str, ...] = ()
    """Options whose search failed, or that nobody holds: the group is not complete."""

    @property
    def value(self) -> float:
        """The expected reward under the probabilities."""
        return sum(self.probabilities[key] * reward for key, reward in self.rewards.items())

    @property
    def advantages(self) -> dict[str, float]:
        """A(s, a) = r(s, a) - sum over b of p(b | s) · r(s, b): exact, and 0 in expectation under the probabilities.

        Where all rewards are the same they are exactly 0.
        """
        if len(set(self.rewards.values())) < 2:
            return dict.fromkeys(self.rewards, 0.0)
        value = self.value
        return {key: reward - value for key, reward in self.rewards.items()}

    @property
    def best(self) -> list[str]:
        """The options of the highest reward, in the order of the menu."""
        most = max(self.rewards.values())
        return [key for key, reward in self.rewards.items() if isclose(reward, most, abs_tol=1e-12)]

    @property
    def regret(self) -> float:
        """What the best option would have brought more than the one that was taken; NaN where that is not known."""
        return max(self.rewards.values()) - self.rewards.get(self.taken, float("nan"))


async def alternatives(
    runs: Iterable[RunRecord],
    searches: Searches,
    reward: StepReward,
    questions: Questions | None = None,
    *,
    k: int | None = None,
) -> AsyncIterator[Alternatives]:
    """Make each recorded search on every knowledge base that was legal at its step, and judge what was found.

    A search is made with the `k` of the recorded one, or the run's, unless `k` is given. What was excluded at the step
    is not asked. Steps with several routes are judged as a whole, one route exchanged at a time. Raises `DataError`
    where a run has no gold that the reward needs.
    """
    questions, chunk = questions or Questions(), list[RunRecord]()
    for run in runs:
        chunk.append(run)
        if len(chunk) == _RUNS_AT_ONCE:
            for one in await _of_runs(chunk, searches, reward, questions, k):
                yield one
            chunk = []
    for one in await _of_runs(chunk, searches, reward, questions, k):
        yield one


async def _of_runs(
    runs: Iterable[RunRecord], searches: Searches, reward: StepReward, questions: Questions, k: int | None
) -> list[Alternatives]:
    places = [
        (run, step.number, position)
        for run in runs
        if run.is_ours
        for step in run.steps
        if step.is_whole
        for position, data in enumerate(step.step.get("actions", ()))
        if data["kind"] == "kb"
    ]
    found = await asyncio.gather(*(_at(*place, searches, reward, questions, k) for place in places))
    return [one for one in found if one is not None]


async def _at(
    run: RunRecord,
    number: int,
    position: int,
    searches: Searches,
    reward: StepReward,
    questions: Questions,
    k: int | None,
) -> Alternatives | None:
    record, view, gold = step_of(run, number), view_at(run, number), questions.of(run)
    if (lacking := lacks(gold, reward.needs)) is not None:
        raise DataError(f"Run {run.run_id!r} has no {lacking}; record it with the run, or give a file of questions.")
    actions = [action_from_dict(one) for one in record.step["actions"]]
    route = actions[position]
    assert isinstance(route, RouteToKB)
    observations = record.step["observations"]
    if observations[str(position)]["status"] in ("refused", "declined", "repeated"):
        return None
    legal = [name for name in view.names("kb") if route.linked is None or name == route.kb]
    most = k or route.k or run.settings.get("k") or 5
    within = linked_ids(view.steps, route.linked) if route.linked else None
    made = await asyncio.gather(*(_search(searches, name, route, most, within, view.images) for name in legal))
    rewards: dict[str, float] = {}
    missing: list[str] = []
    for name, hits in zip(legal, made, strict=True):
        if hits is None:
            missing.append(f"kb:{name}")
            continue
        changed = [*actions[:position], replace(route, kb=name), *actions[position + 1 :]]
        came = {**observations, str(position): _observation(searches, view, name, hits)}
        score = reward.of_step(_as_decided(attempt(run, number, changed, came), record), number, gold)
        if score is not None:
            rewards[f"kb:{name}"] = score.total
    if not rewards:
        return None
    return Alternatives(
        run.run_id, number, position, route.query, route.target, rewards, _shares(record.step, rewards), tuple(missing)
    )


async def _search(
    searches: Searches, kb: str, route: RouteToKB, k: int, within: list[str] | None, images: tuple[str, ...]
) -> list[Hit] | None:
    if kb not in searches.knowledge:
        return None
    return await searches.search(kb, route.query, k, images=images, within=within)


def _as_decided(told: RunRecord, record: StepRecord) -> RunRecord:
    """With what the decision took: the policy said the same, but for a name."""
    *earlier, last = told.steps
    step: Step = {**last.step, "decision": record.step["decision"]}
    return replace(told, steps=(*earlier, replace(last, step=step, call=record.call)))


def _observation(searches: Searches, view: View, kb: str, hits: list[Hit]) -> Observation:
    option = view.option(f"kb:{kb}")
    return Observation(
        status="ok" if hits else "empty",
        text="" if hits else f"Nothing was found in {kb!r}.",
        hits=hits,
        served=f"kb:{kb}",
        usd=option["usd"] if option else searches.knowledge[kb].cost_usd,
        tokens=0,
        seconds=0.0,
    )


def _shares(step: Mapping[str, object], rewards: Mapping[str, float]) -> dict[str, float]:
    decision = step.get("decision")
    logged = decision.get("probabilities") if isinstance(decision, Mapping) else None
    known = {key: float((logged or {}).get(key, 0.0)) for key in rewards}
    total = sum(known.values())
    return {key: share / total if total > 0 else 1.0 / len(known) for key, share in known.items()}
