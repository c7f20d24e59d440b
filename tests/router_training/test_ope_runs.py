"""From runs of the real graph, by a policy that draws its routes, to an estimate of what another would have earned."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from langchain_core.messages import AIMessage

from router_graph import Answer, RouteToKB, create_router
from router_graph.errors import RouterError
from router_graph.policies.explore import Exploring
from router_graph.policies.policy import Act, Choice, ChoicePolicy
from router_graph.protocols.tags import Tags
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.views import view_at
from router_training.errors import ConfigError, DataError
from router_training.ope import CannotTell, Estimate, evaluate
from router_training.ope.action_keys import action_key
from router_training.ope.from_runs import from_runs
from router_training.ope.policy_target import FAILS, target_of
from router_training.rewards.scoring import RewardRecord
from support.routed_runs import libraries

RIGHT = {"film": "kb:films", "person": "kb:people"}


class Draws(ChoicePolicy):
    """Asks the library that is right for the question with a chance, else the other; then answers, mostly."""

    def __init__(self, chance, *, name="draws", logs=True):
        self.name, self._chance, self._logs = name, chance, logs

    def probabilities(self, view):
        if view.must_answer:
            return {"answer": 1.0}
        if view.steps:
            legal = [key for key in ("kb:films", "kb:people") if not any(r.target == key for _, r, _ in view.routes())]
            return {"answer": 1.0} if not legal else {"answer": 0.7, legal[0]: 0.3}
        right = RIGHT[view.question.split()[0]]
        return {key: self._chance if key == right else (1 - self._chance) / 2 for key in (*RIGHT.values(), "kb:noise")}

    def choose(self, view):
        chances = self.probabilities(view)
        drawn = random.Random(repr((self.name, view.question, len(view.steps)))).choices(
            [*chances], [*chances.values()]
        )
        key = drawn[0]
        words = view.question if not view.steps else f"{view.question} again"
        action = Answer("Bo Chen") if key == "answer" else RouteToKB(key.removeprefix("kb:"), words)
        if not self._logs:
            return Choice("Drawn.", (action,), None, None)
        return Choice("Drawn.", (action,), chances, chances[key])


def _runs(policy, folder, count=160):
    graph = create_router(libraries(), policy=policy)
    with Recorder(folder) as recorder:
        for n in range(count):
            kind = ("film", "person")[n % 2]
            about = {"question_id": f"q{n}", "kind": kind}
            graph.invoke({"question": f"{kind} {n} of Ann Lee"}, config={"callbacks": [recorder], "metadata": about})
    return list(read_runs(folder))


def _worth(run):
    asked = [action_key(one.step) for one in run.steps]
    return float(RIGHT[run.metadata["kind"]] in asked) - 0.1 * len(asked)


def _rewards(runs):
    return [RewardRecord(run.run_id, 0, _worth(run), {}, "planted-1") for run in runs]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return _runs(Draws(0.4), tmp_path_factory.mktemp("runs"))


def test_an_estimate_from_recorded_runs_agrees_with_running_the_other_policy(runs, tmp_path):
    targets = {"better": target_of(Draws(0.8), Tags()), "same": target_of(Draws(0.4), Tags())}
    loaded = from_runs(runs, _rewards(runs), targets, kinds=["kind"])
    assert not isinstance(loaded, CannotTell) and not loaded.used.left_out
    better, same = (evaluate(loaded.logged, loaded.targets[name]) for name in ("better", "same"))
    assert isinstance(better, Estimate) and isinstance(same, Estimate)
    ran = np.mean([_worth(run) for run in _runs(Draws(0.8, name="truth"), tmp_path)])
    assert better.value.low <= ran <= better.value.high
    assert better.gain.low > 0
    assert same.support.ess == pytest.approx(1.0)
    assert same.snips.value == pytest.approx(np.mean([_worth(run) for run in runs]))
    assert set(loaded.logged.kinds["kind"]) == {"film", "person"}


def test_what_was_logged_is_what_is_read(runs):
    loaded = from_runs(runs, _rewards(runs), {})
    logged = loaded.logged
    assert logged.episodes == logged.questions == len(runs)
    assert {"answer", "kb:films", "kb:people", "kb:noise"} <= set(logged.actions)
    steps = [one.step for run in runs for one in run.steps]
    assert [logged.actions[n] for n in logged.action] == [action_key(step) for step in steps]
    assert logged.propensity.tolist() == [step["decision"]["propensity"] for step in steps]
    assert logged.behaviour is not None and logged.cost is not None
    assert np.allclose(logged.taken(logged.behaviour), logged.propensity)
    assert logged.cost.sum() == pytest.approx(sum(run.usd for run in runs))
    assert logged.grid(logged.reward).sum(axis=1).tolist() == pytest.approx([_worth(run) for run in runs])


def test_rewards_of_steps_and_of_the_run_are_one_sum(runs):
    rewards = [RewardRecord(run.run_id, one.number, 0.25, {}, "v") for run in runs for one in run.steps]
    rewards += [RewardRecord(run.run_id, 0, 1.0, {}, "v") for run in runs]
    logged = from_runs(runs, rewards, {}).logged
    assert logged.grid(logged.reward).sum(axis=1).tolist() == [1 + 0.25 * len(run.steps) for run in runs]
    with pytest.raises(DataError, match="step 99"):
        from_runs(runs, [*rewards, RewardRecord(runs[0].run_id, 99, 0.0, {}, "v")], {})


def test_runs_without_propensities_cannot_be_told_from_and_a_few_are_left_out_and_counted(runs, tmp_path):
    unknown = _runs(Draws(0.4, logs=False), tmp_path, 1)
    found = from_runs(unknown, _rewards(unknown), {})
    assert isinstance(found, CannotTell) and found.rule == "unknown"
    mixed = [*runs, *unknown]
    loaded = from_runs(mixed, _rewards(mixed), {})
    assert not isinstance(loaded, CannotTell) and loaded.used.left_out == {"no known propensity": 1}
    assert loaded.logged.episodes == len(runs)


def test_runs_that_have_not_ended_or_have_no_reward_are_left_out_and_an_empty_rest_is_refused(runs):
    still = dataclasses.replace(runs[0], status="open")
    loaded = from_runs([still, *runs[1:]], _rewards(runs[2:]), {})
    assert loaded.used.left_out == {"not ended": 1, "no reward": 1}
    with pytest.raises(DataError, match="score the log first"):
        from_runs(runs, [], {})
    with pytest.raises(DataError, match="No run has 'colour' in its metadata to make subgroups by; there is kind, "):
        from_runs(runs, _rewards(runs), {}, kinds=["colour"])


def test_the_log_of_a_policy_that_does_not_draw_is_deterministic(tmp_path):
    runs = _runs(Draws(1.0), tmp_path, 60)
    always = [
        dataclasses.replace(run, steps=tuple(one for one in run.steps if one.step["decision"]["propensity"] == 1.0))
        for run in runs
    ]
    loaded = from_runs(always, _rewards(always), {"x": lambda view: Draws(1.0).probabilities(view)})
    found = evaluate(loaded.logged, loaded.targets["x"])
    assert isinstance(found, CannotTell) and found.rule == "deterministic"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (lambda view: {"answer": 0.5}, "add up to 0.5"),
        (lambda view: {"answer": 1.5, "kb:films": -0.5}, "add up|negative|probabilities"),
    ],
)
def test_a_target_that_is_no_distribution_over_the_options_is_refused(runs, target, says):
    with pytest.raises(DataError, match=says):
        from_runs(runs, _rewards(runs), {"target": target})


def test_a_run_whose_policy_failed_has_no_propensity(runs):
    last = runs[0].steps[-1]
    decision = {**last.step["decision"], "forced": "policy_failed", "propensity": None}
    failed = dataclasses.replace(last, step={**last.step, "decision": decision})
    told = [dataclasses.replace(runs[0], steps=(*runs[0].steps[:-1], failed)), *runs[1:]]
    loaded = from_runs(told, _rewards(told), {})
    assert loaded.used.left_out == {"no known propensity": 1} and loaded.used.unknown == 1
    said = " ".join(loaded.used.sentences)
    assert "1 of 160 runs (0.625%) were not used: no known propensity." in said and "1 of " in said.split("used:")[1]


def test_a_log_of_which_too_much_has_not_ended_tells_nothing(runs):
    broken = [dataclasses.replace(run, status="failed") for run in runs[:20]]
    found = from_runs([*broken, *runs[20:]], _rewards(runs), {})
    assert isinstance(found, CannotTell) and found.rule == "unended"
    assert "20 of 160 runs (12.5%) have not ended" in str(found)


class Spoils(Draws):
    """Every so often the text spoils what it chose, as a small model's does."""

    def __init__(self, every):
        super().__init__(0.4, name="spoils")
        self._every = every

    async def act(self, view, protocol, means):
        act = await super().act(view, protocol, means)
        if view.steps or int(view.question.split()[1]) % self._every:
            return act
        spoiled = act.reply.model_copy(update={"content": str(act.reply.text).replace('">', '" and')})
        return dataclasses.replace(act, reply=spoiled, propensity=None)


def test_an_option_that_its_text_spoiled_is_told_by_its_opening_and_too_many_of_them_are_refused(tmp_path):
    runs = _runs(Spoils(50), tmp_path / "few", 60)
    (spoiled,) = [
        run for run in runs if run.steps[0].step["actions"][0]["kind"] == "malformed" and run.question[5] != "0"
    ]
    loaded = from_runs(runs, _rewards(runs), {"same": target_of(Draws(0.4), Tags())})
    assert not isinstance(loaded, CannotTell) and loaded.used.spoiled == 2 and not loaded.used.left_out
    logged, at = loaded.logged, sum(len(run.steps) for run in runs[: runs.index(spoiled)])
    chose = logged.actions[logged.action[at]]
    assert f'<route to="{chose}"' in spoiled.steps[0].step["reply"]
    assert logged.propensity[at] == spoiled.steps[0].step["decision"]["probabilities"][chose]
    assert "2 of " in loaded.used.sentences[-1] and "could not be read" in loaded.used.sentences[-1]
    many = _runs(Spoils(10), tmp_path / "many", 60)
    found = from_runs(many, _rewards(many), {})
    assert isinstance(found, CannotTell) and found.rule == "spoiled"


class Twice(ChoicePolicy):
    """Asks one library two things at once, or all of them at once; then answers."""

    def __init__(self, bases):
        self.name, self._bases = "twice", bases

    def choose(self, view):
        if view.must_answer or view.steps:
            return Choice("", (Answer("Bo Chen"),))
        return Choice("", tuple(RouteToKB(kb, f"{view.question} {n}") for n, kb in enumerate(self._bases)))


@pytest.mark.parametrize("bases", [("films", "films"), ("films", "people", "noise")])
def test_a_search_of_several_is_an_action_of_its_own_with_its_chance_under_exploration(bases, tmp_path):
    """Were two searches of films at once the same as one of films, weights would average well above 1."""
    runs = _runs(Exploring(Twice(bases), 0.25), tmp_path, 100)
    loaded = from_runs(runs, _rewards(runs), {"twice": target_of(Twice(bases), Tags())})
    logged, first = loaded.logged, loaded.logged.step == 1
    both = logged.actions.index(" + ".join(sorted(f"kb:{one}" for one in bases)))
    assert logged.propensity[first & (logged.action == both)] == pytest.approx(0.75)
    ratios = logged.taken(loaded.targets["twice"]) / logged.propensity
    assert ratios[first].mean() == pytest.approx(1, abs=0.15)
    found = evaluate(logged, loaded.targets["twice"])
    assert isinstance(found, Estimate) and found.support.unsupported == 0


def test_what_the_log_never_did_cannot_be_told_and_is_named(runs):
    class Mumbles(Draws):
        async def act(self, view, protocol, means):
            return Act(AIMessage("Hm."), None, 1.0)

    class Breaks(Draws):
        def choose(self, view):
            raise RouterError("no words")

    rivals = {"fan-out": Twice(("films", "people")), "mumbles": Mumbles(0.4), "breaks": Breaks(0.4)}
    targets = {name: target_of(one, Tags()) for name, one in rivals.items()}
    loaded = from_runs(runs, _rewards(runs), {**targets, "better": target_of(Draws(0.8), Tags())})
    for name, key in (("fan-out", "kb:films + kb:people"), ("mumbles", "malformed"), ("breaks", FAILS)):
        found = evaluate(loaded.logged, loaded.targets[name])
        assert isinstance(found, CannotTell) and found.rule == "support" and repr(key) in str(found)
    assert isinstance(evaluate(loaded.logged, loaded.targets["better"]), Estimate)
    masked = dataclasses.replace(view_at(runs[0], 1), masked={"kb:noise": "pinned"})
    assert target_of(Twice(("noise",)), Tags())(masked) == {"kb:noise (refused)": 1.0}


def test_a_policy_that_takes_the_likeliest_is_a_target_that_is_sure(runs):
    class Greedy(Draws):
        def choose(self, view):
            return dataclasses.replace(super().choose(view), propensity=1.0)

    target = target_of(Greedy(0.6), Tags())
    assert list(target(view_at(runs[0], 1)).values()) == [1.0]


def test_a_policy_that_asks_a_model_or_does_not_know_its_probabilities_is_no_target(runs):
    asks = Draws(0.5)
    asks.decides_alone = False
    with pytest.raises(ConfigError, match="asks a model"):
        target_of(asks, Tags())
    view = view_at(runs[0], 1)
    assert target_of(asks, Tags(), ask=True)(view) == asks.probabilities(view)
    with pytest.raises(ConfigError, match="how likely"):
        target_of(Draws(0.5, logs=False), Tags())(view)
