"""How a policy is learned in the world: the pieces that a test and a benchmark put together."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from router_graph.actions import Route
from router_graph.evaluation.gold import Gold
from router_graph.protocols import protocol_named
from router_graph.state import Observation
from router_graph.trajectories.records import RunRecord
from router_graph.trajectories.views import view_at
from router_graph.view import View
from router_training.credit.searches import Searches
from router_training.credit.states import state_key
from router_training.data.rendering import Rendering
from router_training.data.samples import samples
from router_training.rewards.costs import CostNormaliser
from router_training.rewards.scoring import RewardRecord, score
from router_training.rewards.verifiable import Verifiable, Weights
from router_training.trainers.config import OfflineConfig, Rft, Spoken
from router_training.trainers.executing import Executor
from router_training.trainers.online_config import OnlineConfig
from router_training.trainers.rows import Judged, judge
from router_training.world.logs import Task
from router_training.world.questions import Question, balanced
from router_training.world.tokenizer import word_tokenizer
from router_training.world.world import PHRASES, PRICE_PAIRS, Prices, World

SPOKEN = Spoken(name="small", protocol="brief", max_tokens=16)


def tasks_of(
    questions: Sequence[Question], count: int, *, seed: int, prices: Sequence[Prices] = PRICE_PAIRS
) -> list[Task]:
    """So many questions, each at prices that are drawn for it."""
    dice = random.Random(seed)
    return [Task(one, dice.choice(prices)) for one in balanced(questions, count, seed=seed)]


def tokenizer_of(world: World, runs: Iterable[RunRecord]) -> Any:
    """Of the words of the runs, and of all questions and documents of the world."""
    protocol = protocol_named(SPOKEN.protocol)
    texts = [f"{one.text} is {one.answer}" for one in world.questions()]
    texts += [f"{kb.name}: {kb.description}\nkb:{kb.name} '{kb.name}'." for kb in world.knowledge()]
    texts.append(" ".join(map(str, range(200))))
    for run in runs:
        for record in run.steps:
            texts += [str(one.content) for one in protocol.messages(view_at(run, record.number))]
            texts.append(record.step["reply"])
    return word_tokenizer(texts, phrases=PHRASES)


def reward_of(runs: Sequence[RunRecord]) -> Verifiable:
    """A step is worth how much better the question can be answered after it, less what it cost; an answer, whether it
    is right.

    Costs are from nothing to the dearest of the menus. A scale of the steps that were taken (`scales`) ends at the 95th
    percentile: where nearly all steps are cheap, that is the middle price, and the dearest would count no more than it.
    """
    menus = [option["usd"] for run in runs for option in run.menu]
    weights = Weights(documents=0.0, stop=0.0, utility=1.0, cost=0.6)
    normaliser = CostNormaliser(0.0, max(menus), "none", len(menus))
    return Verifiable(normaliser, weights=weights, value=Found())


class Found:
    """Whether the answer is known: the needed document was found, or a model said it. That it stands in some text does
    not count: in a world of ten numbers, it soon does."""

    name = "found"

    def __call__(self, view: View, gold: Gold) -> float:
        """1 or 0."""
        if gold.documents:
            return float(len(gold.met(view.evidence)) == len(gold.documents))
        said = (came["text"] for _, route, came in view.routes() if route.kind == "llm")
        return float(any(one in gold.answers for one in said))


def judged(runs: Sequence[RunRecord], tokenizer: Any, scores: Iterable[RewardRecord]) -> list[Judged]:
    """The decisions of the runs, those from one state at one price compared with each other."""
    rendering = Rendering(tokenizer, protocol_named(SPOKEN.protocol))
    return judge(
        samples(runs, rendering), runs, scores, group=lambda run, n: (run.question_id, state_key(view_at(run, n)))
    )


def with_choice(found: Sequence[Judged]) -> list[Judged]:
    """Those from states in which different things were tried."""
    worth: dict[object, set[float]] = {}
    for one in found:
        worth.setdefault(one.state, set()).add(round(one.reward, 9))
    return [one for one in found if len(worth[one.state]) > 1]


def scores_of(runs: Sequence[RunRecord], *, scrambled: int | None = None) -> list[RewardRecord]:
    """By the world's reward; `scrambled` is the seed by which they are dealt out again at random."""
    found = list(score(runs, reward_of(runs)))
    if scrambled is None:
        return found
    totals = [one.total for one in found]
    random.Random(scrambled).shuffle(totals)
    return [
        RewardRecord(one.run_id, one.number, total, {}, f"scrambled-{one.version}")
        for one, total in zip(found, totals, strict=True)
    ]


def imitation(*, updates: int = 250, seed: int = 0) -> OfflineConfig:
    """Settings to learn from nothing to speak as the policy of a log does."""
    return _config(Rft(above=-float("inf"), dedupe=False), updates, seed, learning_rate=5e-3)


def filtered(*, updates: int = 150, seed: int = 0) -> OfflineConfig:
    """Settings to learn from the best that was done in each state."""
    return _config(Rft(above=0.2, best_of_state=1), updates, seed, learning_rate=3e-3)


def one_of_each(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """One run of each task: of several, most states are late ones, into which only a poor policy gets."""
    return list({run.question_id: run for run in runs}.values())


def tried_again(*, updates: int = 300, seed: int = 0) -> OnlineConfig:
    """Settings to sample anew in recorded states.

    Advantages are by the deviation of each group: by that of the batch, which right and wrong make, the difference
    between two prices moves the policy less than chance does.
    """
    trl = {
        "learning_rate": 7e-4,
        "scale_rewards": "group",
        "entropy_coef": 0.02,
        "lr_scheduler_type": "constant",
        "use_cpu": True,
    }
    return OnlineConfig(updates=updates, longest_reply=16, policy=SPOKEN, seed=seed, trl=trl)


def _config(objective: Rft, updates: int, seed: int, **trl: Any) -> OfflineConfig:
    return OfflineConfig(
        objective=objective,
        policy=SPOKEN,
        seed=seed,
        trl={
            "max_steps": updates,
            "per_device_train_batch_size": 16,
            "lr_scheduler_type": "linear",
            "warmup_steps": 20,
            "adam_beta2": 0.98,
            "use_cpu": True,
            **trl,
        },
    )


class Ask:
    """Takes the routes that a policy in training wants to take."""

    def __init__(self, world: World) -> None:
        self._executor = Executor(Searches(world.knowledge()), world.pool(PRICE_PAIRS[0]))

    def __call__(self, run: RunRecord, number: int, route: Route) -> Awaitable[Observation]:
        """At the prices of the run."""
        return self._executor(run, number, route)
