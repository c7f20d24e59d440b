"""Exploration draws what the policy would not do, at the rate that it says, and its log tells the probabilities."""

from __future__ import annotations

from collections import Counter

import pytest

from router_graph import create_router
from router_graph.actions import Answer, RouteToKB
from router_graph.policies.explore import Exploring
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from support.routing import Shelf


class Always(ChoicePolicy):
    name = "always"

    def choose(self, view):
        if view.steps or view.must_answer:
            return Choice("Known.", (Answer("yes"),))
        return Choice("First.", (RouteToKB("one", "a query"),))


KEYS = ("kb:one", "kb:two", "kb:three")


def router():
    return create_router([Shelf(key[3:]) for key in KEYS], policy=Always())


def firsts(epsilon, runs):
    graph = router()
    for n in range(runs):
        yield graph.invoke({"question": f"Q{n}"}, context={"explore": epsilon})["steps"][0]


def test_routes_are_drawn_as_often_as_their_probability_says():
    steps = list(firsts(0.3, 600))
    counts = Counter(step["actions"][0]["kb"] for step in steps)
    assert counts["one"] / 600 == pytest.approx(0.8, abs=0.06)
    assert counts["two"] / 600 == pytest.approx(0.1, abs=0.05)
    for step in steps:
        chances = step["decision"]["probabilities"]
        assert chances == pytest.approx({"kb:one": 0.8, "kb:two": 0.1, "kb:three": 0.1, "answer": 0.0})
        assert step["decision"]["propensity"] == pytest.approx(chances[f"kb:{step['actions'][0]['kb']}"])
        assert step["actions"][0]["query"] == "a query"


def test_the_answer_can_be_put_off_but_is_not_drawn(tmp_path):
    graph = router()
    with Recorder(tmp_path) as recorder:
        for n in range(40):
            graph.invoke({"question": f"Q{n}"}, {"callbacks": [recorder]}, context={"explore": 1.0, "max_steps": 2})
    for run in read_runs(tmp_path):
        *routes, last = (record.step for record in run.steps)
        assert last["decision"]["forced"] == "steps" and last["actions"][0]["kind"] == "answer"
        assert [step["actions"][0]["kind"] for step in routes] == ["kb", "kb"]
        assert routes[1]["decision"]["probabilities"]["answer"] == 0.0
        assert routes[0]["actions"][0]["kb"] != routes[1]["actions"][0]["kb"] or (
            routes[0]["actions"][0]["query"] != routes[1]["actions"][0]["query"]
        )


def test_a_step_that_is_taken_again_draws_alike_and_no_exploration_changes_nothing():
    graph = router()
    one, two = (graph.invoke({"question": "Q"}, context={"explore": 0.5})["steps"][0] for _ in range(2))
    assert one["actions"] == two["actions"]
    plain = graph.invoke({"question": "Q"}, context={"explore": 0.0})["steps"][0]
    assert plain["decision"]["version"] == "1" and plain["decision"]["propensity"] == 1.0
    assert Exploring(Always(), 0.5).version in one["decision"]["version"]
