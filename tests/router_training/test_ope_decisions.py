"""When an estimate is given and when not, whether its interval holds, and what the gate says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from router_training.errors import ConfigError
from router_training.ope import CannotTell, Estimate, Rules, bandit, by_group, compare, evaluate, promotion, report
from router_training.ope.chart import save_chart
from router_training.ope.intervals import Interval, interval, intervals
from router_training.ope.planted import PlantedWorld
from router_training.ope.promotion import Values, gate

WORLD = PlantedWorld(steps=2)


def _log(questions=400, seed=0, *, world=WORLD, runs=1):
    return world.draw(world.behaviour(), questions, seed, runs=runs)


def _rule(found):
    assert isinstance(found, CannotTell), found
    assert str(found).startswith("cannot tell: ")
    return found.rule


def test_the_intervals_hold_the_truth_about_as_often_as_they_promise():
    """A quick version of benchmarks/ope_coverage.py: 95 % is promised; at 1.1 points of standard error."""
    held = []
    for steps, share in ((1, 0.9), (2, 0.6), (3, 0.6)):
        world = PlantedWorld(steps=steps)
        policy = world.toward(share)
        for seed in range(130):
            logged = _log(100, seed, world=world)
            found = evaluate(logged, world.target(policy, logged), seed=seed)
            if isinstance(found, Estimate):
                held.append(found.value.low <= world.truth(policy) <= found.value.high)
    assert len(held) > 350
    assert 0.92 < np.mean(held) < 0.98


def test_the_sign_of_a_difference_agrees_with_running_both_policies_in_nine_of_ten_planted_pairs():
    agree = told = 0
    for seed in range(30):
        drawn = np.random.default_rng(seed)
        one, other = WORLD.toward(drawn.uniform(0.1, 0.45)), WORLD.toward(drawn.uniform(0.6, 0.95))
        if seed % 2:
            one, other = other, one
        logged = _log(300, seed)
        found = compare(logged, WORLD.target(one, logged), WORLD.target(other, logged), seed=seed)
        on_policy = [WORLD.draw(p, 4000, seed + 1) for p in (one, other)]
        ran = on_policy[0].reward.sum() - on_policy[1].reward.sum()
        if isinstance(found, Interval):
            told += 1
            agree += np.sign(found.value) == np.sign(ran)
    assert told >= 27
    assert agree >= 0.9 * told


def test_runs_of_one_question_do_not_count_as_many():
    logged = _log(60, world=PlantedWorld(steps=1, varies=0.1))
    target = logged.behaviour
    again = bandit(
        logged.actions,
        np.tile(logged.action, 10),
        np.tile(logged.propensity, 10),
        np.tile(logged.reward, 10),
        question=list(logged.question) * 10,
    )
    once, often = evaluate(logged, target), evaluate(again, np.tile(target, (10, 1)))
    assert isinstance(once, Estimate) and isinstance(often, Estimate)
    assert often.logged.n == once.logged.n == 60
    assert often.logged.error == pytest.approx(once.logged.error)


def test_a_deterministic_log_is_refused_whatever_the_target():
    n = 100
    logged = bandit(["a", "b"], [0] * n, [1.0] * n, np.arange(n) % 2)
    for target in ([[1.0, 0.0]] * n, [[0.5, 0.5]] * n):
        assert _rule(evaluate(logged, target)) == "deterministic"


def test_an_action_that_the_log_never_tries_is_refused_and_named():
    drawn = np.random.default_rng(0)
    n = 400
    logged = bandit(["a", "b", "c"], drawn.integers(0, 2, n), [0.5] * n, drawn.random(n))
    found = evaluate(logged, [[0.4, 0.4, 0.2]] * n)
    assert _rule(found) == "support"
    assert "'c'" in str(found)


def test_an_action_that_is_possible_elsewhere_but_not_where_it_is_wanted_is_refused():
    drawn = np.random.default_rng(0)
    n, side = 400, np.arange(400) % 2
    behaviour = np.where(side[:, None] == 0, [[0.5, 0.5, 0.0]], [[0.5, 0.0, 0.5]])
    action = np.where(drawn.random(n) < 0.5, 0, side + 1)
    logged = bandit(["a", "b", "c"], action, [0.5] * n, drawn.random(n), behaviour=behaviour)
    target = np.where(side[:, None] == 0, [[0.5, 0.0, 0.5]], [[0.5, 0.5, 0.0]])
    assert _rule(evaluate(logged, target)) == "support"


@pytest.mark.parametrize(
    ("questions", "policy", "rule"),
    [(30, WORLD.toward(0.5), "questions"), (60, WORLD.best(), "effective"), (3000, WORLD.wrong(), "ess")],
)
def test_too_few_questions_and_too_far_targets_are_refused(questions, policy, rule):
    logged = _log(questions)
    assert _rule(evaluate(logged, WORLD.target(policy, logged), rules=Rules(balance=1e9))) == rule


@pytest.mark.parametrize("seed", range(10))
def test_a_log_that_was_lucky_enough_to_draw_no_large_weight_is_refused_all_the_same(seed):
    """The target wants an action half of the time that the log draws once in 100 runs; its weight would be 50."""
    drawn = np.random.default_rng(seed)
    n = 300
    action = np.zeros(n, dtype=np.int64)
    action[:3] = 1
    behaviour = np.tile([0.99, 0.01], (n, 1))
    logged = bandit(["a", "b"], action, behaviour[range(n), action], drawn.random(n), behaviour=behaviour)
    assert _rule(evaluate(logged, [[0.5, 0.5]] * n)) == "ess"
    far = _log(300, seed)
    assert _rule(evaluate(far, WORLD.target(WORLD.wrong(), far))) == "ess"


def test_one_question_that_has_a_tenth_of_the_weight_is_refused():
    drawn = np.random.default_rng(1)
    n = 400
    rare = np.arange(n) == 7
    action, propensity = np.where(rare, 1, drawn.integers(0, 2, n)), np.where(rare, 0.01, 0.5)
    target = np.tile([0.5, 0.5], (n, 1))
    logged = bandit(["a", "b"], action, propensity, drawn.random(n))
    assert _rule(evaluate(logged, target)) == "share"


def test_propensities_that_are_not_those_that_were_drawn_with_are_noticed():
    logged = _log(1000)
    assert logged.behaviour is not None
    turned = np.roll(logged.behaviour, 1, axis=1)
    lied = dataclasses.replace(
        logged, behaviour=turned, propensity=np.maximum(turned[np.arange(len(turned)), logged.action], 1e-3)
    )
    assert _rule(evaluate(lied, turned)) == "calibration"
    only_propensities = dataclasses.replace(logged, behaviour=None, propensity=np.sqrt(logged.propensity))
    target = WORLD.target(WORLD.toward(0.3), logged)
    assert _rule(evaluate(only_propensities, target)) == "balance"


def test_rewards_that_are_all_the_same_tell_nothing():
    logged = _log(200, world=PlantedWorld(steps=1))
    same = logged.with_reward(np.ones(len(logged.reward)))
    assert _rule(evaluate(same, logged.behaviour)) == "constant"


def test_the_same_seed_gives_the_same_bits_and_another_nearly_the_same_ends():
    logged = _log(200)
    target = WORLD.target(WORLD.toward(0.5), logged)
    one, again, other = (evaluate(logged, target, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert isinstance(one, Estimate) and isinstance(other, Estimate)
    assert other.value != one.value
    assert other.value.low == pytest.approx(one.value.low, abs=0.6 * one.value.error)


def test_an_interval_is_wider_on_the_side_of_the_long_tail_and_infinite_where_nothing_bounds_it():
    skewed = np.random.default_rng(0).exponential(size=60)
    found = interval(skewed)
    assert found.high - found.value > 1.15 * (found.value - found.low)
    beside = intervals([skewed, 2 * skewed])
    assert beside[0].low == pytest.approx(found.low) and beside[1].high == pytest.approx(2 * found.high)
    assert interval(np.array([1.0])).high == np.inf
    rare = np.zeros(50)
    rare[3] = 1.0
    assert interval(rare).high == np.inf


def test_an_interval_is_wider_the_fewer_questions_it_rests_on():
    values = np.random.default_rng(0).normal(size=400)
    plain, few, same = (interval(values, effective=number) for number in (None, 30.0, 400.0))
    assert plain == same
    assert 1.04 < (few.high - few.low) / (plain.high - plain.low) < 1.08


def test_subgroups_show_a_harm_that_the_average_hides():
    """b is better for nine of ten, and much worse for the tenth."""
    drawn = np.random.default_rng(0)
    n = 4000
    few = np.arange(n) % 10 == 0
    action = drawn.integers(0, 2, n)
    reward = drawn.random(n) < np.where(action == 0, 0.5, np.where(few, 0.1, 0.7))
    kinds = {"kind": ["table" if one else "text" for one in few]}
    logged = bandit(["a", "b"], action, [0.5] * n, reward, features=few[:, None], kinds=kinds)
    target = np.tile([0.1, 0.9], (n, 1))
    whole, parts = evaluate(logged, target), by_group(logged, target, "kind")
    assert isinstance(whole, Estimate) and whole.gain.low > 0
    assert parts["text"].gain.low > 0 > parts["table"].gain.high
    said = report(logged, "new", {"new": target, "old": np.tile([0.9, 0.1], (n, 1))})
    assert [one.name for one in said.groups if one.is_harmed] == ["table"]
    assert "Worse than the log for kind: table." in said.to_text()


def _gate(candidate, *simple, questions=1500, seed=0):
    logged = _log(questions, seed)
    targets = {f"simple {n}": WORLD.target(one, logged) for n, one in enumerate(simple)}
    return promotion(logged, WORLD.target(candidate, logged), targets, seed=seed)


def test_a_policy_that_beats_the_simple_ones_is_promoted():
    found = _gate(WORLD.toward(0.9), WORLD.toward(0.2), WORLD.toward(0.4))
    assert found.word == "promote", found
    assert all(one.ahead.low > 0 for one in found.rivals)


def test_a_policy_that_is_worse_or_no_better_is_not_promoted_and_the_winner_is_named():
    worse = _gate(WORLD.toward(0.2), WORLD.toward(0.1), WORLD.toward(0.8))
    assert (worse.word, worse.keep) == ("keep", "simple 1")
    assert "is worse than" in str(worse)


def test_a_lead_that_may_be_luck_is_not_enough():
    drawn = np.random.default_rng(1)
    n = 400
    logged = bandit(["a", "b"], drawn.integers(0, 2, n), [0.5] * n, drawn.random(n) < 0.5)
    ways = [np.tile(row, (n, 1)) for row in ([1.0, 0.0], [0.0, 1.0])]
    ahead = compare(logged, *ways)
    assert isinstance(ahead, Interval)
    found = promotion(logged, ways[ahead.value < 0], {"handbook": ways[ahead.value > 0]})
    assert found.rivals[0].ahead.low < 0 < found.rivals[0].ahead.value
    assert str(found).startswith("keep handbook: it is not shown to beat handbook (+")


def test_nobody_can_tell_without_support_of_the_candidate_or_of_what_it_is_compared_with():
    assert _gate(WORLD.wrong(), WORLD.toward(0.2)).word == "cannot tell"
    assert _gate(WORLD.toward(0.9), WORLD.toward(0.2), WORLD.wrong()).word == "cannot tell"
    assert _gate(WORLD.toward(0.9)).word == "cannot tell"
    assert _gate(WORLD.toward(0.2), WORLD.toward(0.8), WORLD.wrong()).word == "keep"


def _dial(shares, n=6000, seed=0):
    """cheap is right 40 % at 1 cent, dear 80 % at 10, odd 50 % at 8; reward is being right."""
    drawn = np.random.default_rng(seed)
    action = drawn.integers(0, 3, n)
    reward = drawn.random(n) < np.array([0.4, 0.8, 0.5])[action]
    logged = bandit(["cheap", "dear", "odd"], action, [1 / 3] * n, reward, cost=np.array([0.01, 0.1, 0.08])[action])
    return logged, {name: np.tile(row, (n, 1)) for name, row in shares.items()}


def test_at_equal_cost_a_mixture_of_simple_policies_beats_a_candidate_that_only_spends_more():
    """The candidate is right more often than the cheap one, and costs less than the dear one; tossing a coin between
    the two is better for the same money."""
    logged, targets = _dial({"candidate": [0.1, 0.1, 0.8], "cheap": [1, 0, 0], "dear": [0, 1, 0]})
    alone = promotion(logged, targets["candidate"], {"cheap": targets["cheap"]})
    assert alone.word == "keep" and "it earns more than cheap" in str(alone) and "not equal cost" in str(alone)
    found = promotion(logged, targets["candidate"], {name: targets[name] for name in ("cheap", "dear")})
    assert found.word == "keep"
    assert found.rivals[0].name == "72% dear, 28% cheap"
    assert found.rivals[0].ahead.value == pytest.approx(0.52 - (0.4 + 0.4 * 0.065 / 0.09), abs=0.06)


def _two(reward, cost, n=1000, seed=0):
    """What two policies earn and spend, question by question: 0.5 for $0.01, and what is given."""
    drawn = np.random.default_rng(seed)
    shared, ours = drawn.normal(0, 0.3, n), drawn.normal(0, 0.05, (2, n))
    spent = drawn.uniform(0.8, 1.2, (2, n))
    mine = Values(reward + shared + ours[0], cost * spent[0])
    return mine, {"handbook": Values(0.5 + shared + ours[1], 0.01 * spent[1])}


@pytest.mark.parametrize(
    ("reward", "cost", "word", "says"),
    [
        (0.6, 0.01, "promote", "it beats handbook at equal cost"),
        (0.6, 0.0105, "promote", "it beats handbook at equal cost"),
        (0.6, 0.005, "promote", "it beats handbook at equal cost"),
        (0.6, 0.02, "keep", "it earns more than handbook (+0.1"),
        (0.5, 0.005, "promote", "it is as good as handbook (+0.0"),
        (0.5, 0.0095, "keep", "it is not shown to beat handbook"),
        (0.5, 0.01, "keep", "it is not shown to beat handbook"),
        (0.45, 0.005, "keep", "it is worse than handbook"),
    ],
)
def test_equal_cost_is_that_of_the_gate(reward, cost, word, says):
    """Better for the same money, or the same for clearly less; what is better and dearer is for people to judge."""
    found = gate(*_two(reward, cost), spread=0.3)
    assert found.word == word and says in found.reason.replace("-0.0", "+0.0")


def test_a_policy_that_is_no_better_is_hardly_ever_promoted():
    """A quick version of benchmarks/ope_promotion.py: 5 % is allowed, of which 300 tries show up to 8 %."""
    no_better = {"equal": (0.5, 0.01), "a little worse": (0.49, 0.01), "worse by the margin": (0.5 - 0.05 * 0.3, 0.005)}
    for name, (reward, cost) in no_better.items():
        words = [gate(*_two(reward, cost, 120, seed), spread=0.3, seed=seed).word for seed in range(300)]
        assert np.mean([word == "promote" for word in words]) < 0.08, name


def test_by_a_log_a_policy_that_is_good_at_other_questions_and_on_the_whole_equal_is_not_promoted():
    words = []
    for seed in range(120):
        logged = _log(150, seed)
        ways = []
        for at_home in (0, 1):
            policy = WORLD.toward(0.4)
            policy[:, at_home::3] = WORLD.toward(0.7)[:, at_home::3]
            ways.append(WORLD.target(policy, logged))
        words.append(promotion(logged, ways[0], {"handbook": ways[1]}, seed=seed).word)
    assert words.count("promote") <= 9 and words.count("cannot tell") < 30


def test_who_says_what_a_reward_is_worth_has_other_costs_compared():
    dearer, cheaper = _two(0.6, 0.02), _two(0.45, 0.005)
    assert gate(*dearer, spread=0.3, worth=0.2).word == "promote"  # $0.02 gained for $0.01
    assert gate(*dearer, spread=0.3, worth=0.05).word == "keep"
    assert gate(*cheaper, spread=0.3, worth=0.05).word == "promote"
    assert gate(*cheaper, spread=0.3, worth=0.2).word == "keep"
    with pytest.raises(ConfigError, match="above 0"):
        gate(*dearer, spread=0.3, worth=0.0)


def test_a_dear_policy_that_is_bad_does_not_make_a_dear_candidate_a_bargain():
    mine, simple = _two(0.6, 0.02)
    bad = Values(simple["handbook"].reward - 0.1, 10 * simple["handbook"].cost)
    good = Values(simple["handbook"].reward + 0.2, 10 * simple["handbook"].cost)
    assert gate(mine, {**simple, "bad": bad}, spread=0.3).word == "keep"
    assert gate(mine, {**simple, "good": good}, spread=0.3).word == "promote"


def test_the_interval_against_a_mixture_knows_that_costs_are_estimates_too():
    """Half the calls are free, so that how much of the dear policy may be mixed in varies from log to log."""
    found = []
    for seed in range(120):
        drawn = np.random.default_rng(seed)
        n = 300
        action = drawn.integers(0, 3, n)
        lucky = drawn.random(n)
        cost = np.array([0.0, 0.1, 0.05])[action] * 2 * (lucky < 0.5)
        reward = 1.0 * (action == 1) + 0.2 * drawn.random(n)
        logged = bandit(["cheap", "dear", "odd"], action, [1 / 3] * n, reward, cost=cost)
        targets = {name: np.tile(np.eye(3)[place], (n, 1)) for place, name in enumerate(logged.actions)}
        gate = promotion(logged, targets.pop("odd"), targets, seed=seed)
        found += [one.ahead for one in gate.rivals if "%" in one.name]
    spread = np.std([one.value for one in found], ddof=1)
    assert len(found) > 100
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.2)


def test_a_dearer_simple_policy_that_is_better_does_not_stop_a_candidate_that_is_cheap():
    drawn = np.random.default_rng(0)
    n = 6000
    side = drawn.integers(0, 2, n)
    action = drawn.integers(0, 3, n)
    right = np.where(action == 2, 0.95, np.where(action == side, 0.8, 0.2))
    logged = bandit(
        ["a", "b", "dear"],
        action,
        [1 / 3] * n,
        drawn.random(n) < right,
        features=side[:, None],
        cost=np.array([0.01, 0.01, 1.0])[action],
    )
    candidate = np.eye(3)[side]
    simple = {"a": np.tile([1.0, 0, 0], (n, 1)), "dear": np.tile([0, 0, 1.0], (n, 1))}
    found = promotion(logged, candidate, simple)
    assert found.word == "promote" and "at equal cost" in str(found)
    assert all(one.name != "dear" for one in found.rivals)


def test_a_report_says_the_same_as_text_and_json_and_no_name_steers_the_terminal(tmp_path):
    logged = _log(400)
    evil = "\x1b[31mevil\n$name"
    targets = {evil: WORLD.target(WORLD.toward(0.8), logged), "far": np.where(logged.behaviour > 0.1, 0.0, 1.0)}
    targets["far"] /= targets["far"].sum(axis=1, keepdims=True)
    found = report(logged, evil, targets, seed=3)
    text, plain = found.to_text(), json.loads(found.to_json())
    assert "\x1b" not in text and "\\x1b[31mevil\\n$name" in text
    assert "seed 3" in text and "400 questions" in text
    assert plain["policies"]["far"]["cannot_tell"]
    assert plain["policies"][evil]["value"]["n"] == 400
    assert plain["promotion"]["word"] == "cannot tell"
    assert f"{plain['policies'][evil]['value']['value']:.3f}" in text
    save_chart(tmp_path / "report.png", found)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_on_a_target_or_subgroup_that_is_not_there_is_refused():
    logged = _log(60)
    with pytest.raises(ConfigError, match="no target"):
        report(logged, "x", {"y": logged.behaviour})
    with pytest.raises(ConfigError, match="subgroups"):
        report(logged, "y", {"y": logged.behaviour}, kinds=["color"])
