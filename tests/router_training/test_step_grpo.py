"""Step-GRPO: what is sampled in a recorded state is done, as the graph would do it, and judged by what came of it."""

import asyncio
import math

import pytest

from router_graph.actions import RouteToKB, RouteToLLM, action_from_dict
from router_graph.protocols import protocol_named
from router_graph.trajectories.views import view_at
from router_training.data.rendering import Rendering
from router_training.data.samples import Left
from router_training.errors import ConfigError, DataError
from router_training.trainers.online_config import OnlineConfig, grpo_arguments
from router_training.trainers.online_states import states_of
from router_training.trainers.step_grpo import judged_by, train_step_grpo
from router_training.world.learning import SPOKEN, Ask, reward_of, tasks_of, tokenizer_of
from router_training.world.logs import record
from router_training.world.model import small_model
from router_training.world.poor import Poor
from router_training.world.world import World

WORLD = World()
BRIEF = protocol_named("brief")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return record(WORLD, Poor(), tasks_of(WORLD.questions(), 24, seed=0), tmp_path_factory.mktemp("log"), times=2)


@pytest.fixture(scope="module")
def tokenizer(runs):
    return tokenizer_of(WORLD, runs)


def test_a_route_that_is_taken_in_training_brings_what_it_brought_in_the_graph(runs):
    ask, seen = Ask(WORLD), 0
    for run in runs:
        for step in run.steps:
            for position, data in enumerate(step.step["actions"]):
                action, was = action_from_dict(data), step.step["observations"].get(str(position))
                if isinstance(action, RouteToKB | RouteToLLM) and was["status"] in ("ok", "empty"):
                    came = asyncio.run(ask(run, step.number, action))
                    seen += 1
                    for field in ("status", "text", "hits", "served", "usd"):
                        assert came[field] == was[field], field

    assert seen > 40


def test_the_best_route_is_worth_most_and_what_is_no_action_least(runs, tokenizer):
    judge = judged_by(reward_of(runs), Ask(WORLD), BRIEF)
    state = next(one for one in states_of(runs, Rendering(tokenizer, BRIEF)) if one.run.question.startswith("moons"))
    query = state.run.question

    async def worth(reply):
        return await judge(state, reply)

    right = asyncio.run(worth(f'<think></think>\n<route to="kb:atlas">{query}</route>'))
    wrong = asyncio.run(worth(f'<think></think>\n<route to="kb:people">{query}</route>'))
    nothing = asyncio.run(worth("atlas atlas"))
    nobody = asyncio.run(worth(f'<think></think>\n<route to="kb:nobody">{query}</route>'))

    assert right > wrong > nothing
    assert nothing == nobody == -1.0
    assert not any(map(math.isnan, (right, wrong, nothing)))


def test_states_are_different_and_have_a_choice_and_the_rest_is_counted(runs, tokenizer):
    left = Left()
    states = states_of([*runs, *runs], Rendering(tokenizer, BRIEF), left=left)

    assert all(len(view_at(one.run, one.number).legal) > 1 for one in states)
    assert left.counts["states that were seen before"] >= len(states)
    assert len(states) + sum(left.counts.values()) == 2 * sum(len(run.steps) for run in runs)


def test_where_no_state_has_a_choice_it_is_said_before_anything_is_computed(runs, tokenizer):
    with pytest.raises(DataError, match="no state to sample from"):
        states_of(runs, Rendering(tokenizer, BRIEF), most_tokens=3)


@pytest.mark.parametrize(
    ("trl", "said"),
    [
        ({"num_generations": 4}, "follows from the other settings"),
        ({"learning_rat": 1.0}, "did you mean 'learning_rate'"),
    ],
)
def test_settings_of_trl_that_cannot_be_are_named(trl, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        grpo_arguments(OnlineConfig(trl=trl), tmp_path)


def test_what_trl_may_change_is_said(tmp_path):
    args = grpo_arguments(OnlineConfig(trl={"use_cpu": True}), tmp_path)

    assert (args.beta, args.loss_type, args.scale_rewards, args.num_iterations) == (0.0, "dapo", "batch", 1)
    assert (args.bf16, args.gradient_checkpointing, list(args.report_to)) == (False, False, [])


def test_states_are_recorded_anew_with_the_policy_as_it_is(runs, tokenizer, tmp_path):
    seen = []

    def collect(folder, number):
        again = tasks_of(WORLD.questions(), 6, seed=number)
        found = record(WORLD, f"local:{folder}", again, tmp_path / f"log{number}")
        seen.append({run.steps[0].step["decision"]["version"] for run in found})
        return found

    config = OnlineConfig(
        updates=3, samples=2, groups=2, refresh_every=1, longest_reply=16, policy=SPOKEN,
        trl={"use_cpu": True, "learning_rate": 1e-2},
    )  # fmt: skip
    judge = judged_by(reward_of(runs), Ask(WORLD), BRIEF)
    model = small_model(tokenizer)
    folder = train_step_grpo(runs, judge, config, model, tokenizer, tmp_path / "policy", collect=collect)

    assert (folder / "policy.json").is_file()
    assert len(seen) == 2
    assert seen[0] != seen[1]  # the version holds the fingerprint of the weights


def test_refreshing_without_anybody_who_runs_the_graph_is_refused(runs, tokenizer, tmp_path):
    judge = judged_by(reward_of(runs), Ask(WORLD), BRIEF)
    with pytest.raises(ConfigError, match="give collect"):
        train_step_grpo(runs, judge, OnlineConfig(refresh_every=5), small_model(tokenizer), tokenizer, tmp_path / "p")
