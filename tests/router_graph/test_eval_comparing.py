"""Intervals, paired tests, and what simple policies reach at a cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.evaluation.comparing import Row, as_json, compared, cost_of, frontier, reached, row_of
from router_graph.evaluation.gold import Gold
from router_graph.evaluation.intervals import bootstrap, paired_p
from router_graph.evaluation.outcome import Outcome
from router_graph.evaluation.questions import Question

N = 200
QUESTIONS = [Question(str(n), f"question {n}", Gold(("right",))) for n in range(N)]
points = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=12)


def runs(name, right, units):
    return [
        Outcome(
            name, one.id, 0, "right" if n < right else "wrong", "answered", (), 0, False, 1, 1, 0.0, units, 0.0, 0.1
        )
        for n, one in enumerate(QUESTIONS)
    ]


def rows(**policies):
    made = [
        row_of(name, sort, QUESTIONS, {0: runs(name, right, units)}) for name, (sort, right, units) in policies.items()
    ]
    return {row.policy: row for row in compared(made, "em", cost_of(made))}


def test_the_interval_of_a_mean_holds_it_and_is_the_same_each_time():
    values = np.random.default_rng(1).random(50)
    one = bootstrap(values)
    assert one == bootstrap(values) and one.low < one.mean < one.high
    assert one.high - one.low == pytest.approx(2 * 1.96 * values.std() / 50**0.5, rel=0.15)
    assert bootstrap([]).mean == 0.0


def test_a_paired_p_is_that_of_the_signs():
    assert paired_p([0.0, 0.0]) == 1.0
    assert paired_p([1.0] * 12) < 0.002  # 2 / 2 ** 12, as estimated
    assert paired_p([1.0, -1.0] * 10) == 1.0


@given(points)
def test_no_point_lies_above_the_front_and_the_front_is_concave(given):
    hull = frontier(given)
    for cost, score in given:
        assert reached(hull, cost) >= score - 1e-9
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(hull)]
    assert slopes == sorted(slopes, reverse=True) or np.allclose(slopes, sorted(slopes, reverse=True))


def test_who_pays_less_than_the_cheapest_has_that_share_of_it():
    hull = frontier([(2.0, 0.4), (4.0, 0.6)])
    assert reached(hull, 1.0) == pytest.approx(0.2)
    assert reached(hull, 3.0) == pytest.approx(0.5)
    assert reached(hull, 99.0) == 0.6


def test_a_cheap_policy_must_beat_a_coin_between_nobody_and_the_best():
    table = rows(
        cheap=("simple", 2, 1.0), good=("simple", 100, 10.0), coin=("policy", 50, 5.0), less=("policy", 16, 2.0)
    )
    assert table["coin"].at_equal_cost.value.mean == pytest.approx(0.0, abs=1e-9)
    assert table["less"].at_equal_cost.value.mean == pytest.approx(-0.02) and not table["less"].beats_the_simple


def test_one_of_the_simple_policies_by_another_name_differs_by_nothing():
    table = rows(simple=("simple", 80, 5.0), twin=("policy", 80, 5.0))
    assert table["twin"].at_equal_cost.value.mean == 0.0 and table["twin"].at_equal_cost.p == 1.0


def test_a_policy_must_beat_a_coin_between_two_simple_ones_at_its_own_cost():
    table = rows(
        cheap=("simple", 40, 1.0), dear=("simple", 120, 9.0), ours=("policy", 80, 5.0), great=("policy", 140, 5.0)
    )
    assert table["ours"].at_equal_cost.value.mean == pytest.approx(0.0, abs=1e-9)
    assert table["ours"].beats_the_simple is False and table["great"].beats_the_simple is True
    assert table["cheap"].at_equal_cost is None and table["cheap"].beats_the_simple is None
    assert table["great"].against["dear"].value.mean == pytest.approx(0.1)
    assert table["dear"].against["cheap"].p < 0.001


def test_a_row_prints_each_metric_with_its_interval():
    told = as_json(rows(ours=("policy", 80, 5.0), cheap=("simple", 40, 1.0))["ours"])
    assert told["policy"] == "ours" and told["n"] == N and set(told["em"]) == {"mean", "low", "high"}
    assert told["em"]["mean"] == 0.4 and told["cost_units"]["mean"] == 5.0
    assert "gold_recall" not in told  # nobody says which documents are needed


def test_the_cost_is_the_first_that_anybody_pays():
    free = row_of("free", "simple", QUESTIONS, {0: runs("free", 1, 0.0)})
    assert cost_of([free]) == "retrievals"


def test_a_simple_policy_that_is_compared_has_still_to_be_beaten_by_the_others():
    made = [
        row_of(name, sort, QUESTIONS, {0: runs(name, right, 5.0)})
        for name, sort, right in (("weak", "simple", 20), ("good", "policy", 120), ("ours", "policy", 80))
    ]
    weak, good, ours = compared(made, "em", "cost_units", simple={"weak", "good"})
    assert set(ours.against) == {"weak", "good"} and ours.beats_the_simple is False
    assert set(good.against) == {"weak"} and good.beats_the_simple is True
    assert set(weak.against) == {"good"}


def test_one_as_good_as_many_simple_ones_is_seldom_called_better_or_worse():
    """Eight simple policies of the same quality and cost: the best of them in a sample is better than any is."""
    dice, better, worse, samples, n = np.random.default_rng(0), 0, 0, 40, 85
    for _ in range(samples):
        made = []
        for place in range(9):
            sort, values = ("simple" if place else "policy"), (dice.random(n) < 0.3) * 1.0
            values = {"em": values, "usd": 20 * np.exp(dice.normal(size=n) / 2)}
            made.append(Row(str(place), sort, n, (0,), {}, values, {}, {}, {}, {}, {}, {}, 0))
        found = compared(made, "em", "usd")[0].at_equal_cost.value
        better, worse = better + (found.low > 0), worse + (found.high < 0)
    assert better / samples <= 0.05 and worse / samples <= 0.15
