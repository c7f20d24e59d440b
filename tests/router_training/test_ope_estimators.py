"""Estimators against worlds whose values are known exactly, and against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_training.errors import DataError
from router_training.ope.bandit import Logged, bandit, check_target, one_hot
from router_training.ope.estimators import direct, doubly_robust, ips, on_policy, snips
from router_training.ope.planted import PlantedWorld
from router_training.ope.reward_model import action_values


def _repeated(steps, share, questions=200, logs=150):
    world = PlantedWorld(steps=steps)
    policy = world.toward(share)
    found = {"ips": [], "snips": [], "dr": []}
    for seed in range(logs):
        logged = world.draw(world.behaviour(), questions, seed)
        target = world.target(policy, logged)
        found["ips"].append(ips(logged, target).mean())
        found["snips"].append(snips(logged, target).mean())
        found["dr"].append(doubly_robust(logged, target, action_values(logged, target, seed=seed)).mean())
    return world.truth(policy), found


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_over_many_logs_each_estimator_is_within_three_standard_errors_of_the_truth(steps):
    truth, found = _repeated(steps, 0.7)
    for name, values in found.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        slack = 0.005 if name == "snips" else 0.0  # its bias is of the order of one over the number of runs
        assert abs(np.mean(values) - truth) < 3 * error + slack, name


@pytest.mark.parametrize("steps", [1, 2])
def test_doubly_robust_varies_less_than_importance_sampling(steps):
    _, found = _repeated(steps, 0.9, logs=60)
    assert np.std(found["dr"]) < 0.75 * np.std(found["ips"])


def test_doubly_robust_is_biased_where_its_model_has_seen_the_steps_and_unbiased_where_it_has_not():
    """The target takes only what the log rarely takes: one lucky step then makes the model believe, and the correction
    for it vanishes, if the model was fitted on that very step."""
    several, contexts, n = 5, 10, 60
    behaviour = np.full((contexts, several), 0.05)
    behaviour[:, 0] = 0.8
    wanted = np.array([0, 0.25, 0.25, 0.25, 0.25])
    plain, crossed = [], []
    for seed in range(200):
        drawn = np.random.default_rng(seed)
        context = drawn.integers(0, contexts, n)
        action = np.minimum((behaviour[context].cumsum(axis=1) < drawn.random((n, 1))).sum(axis=1), several - 1)
        reward = np.where(action == 0, 1.0, drawn.random(n) < 0.2)
        logged = bandit("abcde", action, behaviour[context, action], reward, features=np.eye(contexts)[context])
        target = np.tile(wanted, (n, 1))
        for folds, values in ((1, plain), (5, crossed)):
            values.append(doubly_robust(logged, target, action_values(logged, target, folds=folds, seed=seed)).mean())
    error = np.std(crossed, ddof=1) / np.sqrt(len(crossed))
    assert abs(np.mean(crossed) - 0.2) < 3 * error
    assert np.mean(plain) - 0.2 > 5 * np.std(plain, ddof=1) / np.sqrt(len(plain))


def test_the_direct_method_believes_its_model_and_doubly_robust_does_not():
    world = PlantedWorld(steps=2)
    logged = world.draw(world.behaviour(), 3000, 0)
    target = world.target(world.toward(0.6), logged)
    nonsense = np.full_like(target, 5.0)
    assert direct(logged, target, nonsense).mean() == pytest.approx(5.0)
    assert doubly_robust(logged, target, nonsense).mean() == pytest.approx(world.truth(world.toward(0.6)), abs=0.3)


def test_on_its_own_policy_every_weighted_estimate_is_the_mean_of_the_log():
    world = PlantedWorld(steps=3)
    logged = world.draw(world.behaviour(), 100, 0, runs=2)
    own = logged.behaviour
    assert own is not None
    mean = logged.grid(logged.reward).sum(axis=1).mean()
    assert on_policy(logged).mean() == pytest.approx(mean)
    assert ips(logged, own).mean() == pytest.approx(mean)
    assert snips(logged, own).mean() == pytest.approx(mean)


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3))
def test_estimates_equal_a_slow_reference_and_do_not_depend_on_the_order_of_the_steps(seed, steps, runs):
    world = PlantedWorld(steps=steps)
    logged = world.draw(world.behaviour(), 12, seed, runs=runs)
    target = world.target(world.toward(0.5), logged)
    q = np.random.default_rng(seed).normal(size=target.shape)
    expected = {"ips": 0.0, "dr": 0.0}
    by_step = [[0.0, 0.0] for _ in range(steps)]
    for episode in range(logged.episodes):
        rows = sorted(np.flatnonzero(logged.episode == episode), key=lambda row: logged.step[row])
        weight = 1.0
        for at in range(steps):
            if at < len(rows):
                row, done = rows[at], logged.action[rows[at]]
                before = weight
                weight *= target[row, done] / logged.propensity[row]
                expected["ips"] += weight * logged.reward[row]
                expected["dr"] += weight * (logged.reward[row] - q[row, done]) + before * (target[row] @ q[row])
                by_step[at][0] += weight * logged.reward[row]
            by_step[at][1] += weight
    shuffled = np.random.default_rng(seed).permutation(len(logged.action))
    assert logged.cost is not None and logged.behaviour is not None
    mixed = Logged(
        logged.actions,
        logged.action[shuffled],
        logged.propensity[shuffled],
        logged.reward[shuffled],
        logged.episode[shuffled],
        logged.step[shuffled],
        logged.question,
    )
    for log, wanted, values in ((logged, target, q), (mixed, target[shuffled], q[shuffled])):
        assert ips(log, wanted).mean() == pytest.approx(expected["ips"] / logged.episodes)
        assert doubly_robust(log, wanted, values).mean() == pytest.approx(expected["dr"] / logged.episodes)
        if all(below > 0 for _, below in by_step):
            assert snips(log, wanted).mean() == pytest.approx(sum(above / below for above, below in by_step))


def test_a_question_is_never_valued_by_a_model_that_has_seen_it():
    world = PlantedWorld(steps=1)
    logged = world.draw(world.behaviour(), 60, 0, runs=3)
    target = world.target(world.best(), logged)
    before = action_values(logged, target)
    mine = logged.cluster[logged.episode] == 0
    changed = logged.with_reward(np.where(mine, 1000.0, logged.reward))
    after = action_values(changed, target)
    assert np.array_equal(before[mine], after[mine])
    assert not np.allclose(before[~mine], after[~mine])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"propensity": [0.0, 0.5]}, "propensity"),
        ({"action": [0, 7]}, "from 0 to 1"),
        ({"reward": [0.0, float("nan")]}, "finite"),
        ({"reward": [0.0]}, "shape"),
        ({"features": [[1.0]]}, "features"),
        ({"kinds": {"kind": ["a"]}}, "entries"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused_in_a_sentence(change, says):
    whole = {"action": [0, 1], "propensity": [0.5, 0.5], "reward": [0.0, 1.0], **change}
    with pytest.raises(DataError, match=says):
        bandit(["a", "b"], **whole)


@pytest.mark.parametrize("target", [[[0.5, 0.6]] * 2, [[1.5, -0.5]] * 2, [[1.0]] * 2, [[0.5, 0.5]]])
def test_a_target_that_is_no_distribution_at_every_step_is_refused(target):
    logged = bandit(["a", "b"], [0, 1], [0.5, 0.5], [0.0, 1.0])
    with pytest.raises(DataError):
        check_target(logged, target)


def test_state_keys_become_one_column_each():
    assert one_hot(["x", "y", "x"]).tolist() == [[1, 0], [0, 1], [1, 0]]
