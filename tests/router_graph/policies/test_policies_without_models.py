"""What every policy without a language model of its own keeps to, whatever it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.policies.cascade import Cascade, load
from router_graph.policies.fanout import FanOut
from router_graph.policies.gate import Gate, Thresholds
from router_graph.policies.models import Cheapest, Direct, RandomModel, Strongest
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.policies.single import OneKnowledgeBase
from router_graph.policies.support import Support
from router_graph.view import View
from support.views import observations, problems, view_of, views, walk

POLICIES: dict[str, ChoicePolicy] = {
    "cascade": Cascade(load(), chain=["fast", "m.2"]),
    "direct": Direct(),
    "direct:fast": Direct("fast"),
    "cheapest": Cheapest(),
    "strongest": Strongest(["m.2", "strong"]),
    "random": RandomModel(3),
    "kb:books": OneKnowledgeBase("books", k=2),
    "fanout": FanOut(),
    "fanout:fast": FanOut("fast"),
    "gate": Gate(),
    "gate that never stops": Gate(Thresholds(top=2, coverage=2)),
    "gate, then support": Gate(then=Support(n=2)),
    "support": Support(n=2),
    "support of three": Support(["strong", "fast", "books"]),
}
each_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)


@each_policy
@given(view=views())
def test_a_choice_is_legal_and_asks_something_and_answers_alone_whatever_is_shown(policy: ChoicePolicy, view: View):
    assert problems(policy.choose(view), view) == []


@each_policy
@given(view=views(), data=st.data())
def test_a_run_ends_with_an_answer_whatever_comes_of_the_routes_and_the_same_view_gives_the_same(policy, view, data):
    came = data.draw(st.lists(observations, min_size=1, max_size=4))
    answer, _ = walk(policy, view, lambda action, number: came[number % len(came)])
    assert answer.strip()


@each_policy
def test_where_there_is_nobody_to_ask_the_answer_says_so(policy):
    answer, last = walk(policy, view_of(), lambda action, number: None)
    assert answer.startswith("No answer was found")
    assert not last.steps


@each_policy
def test_where_nobody_may_be_asked_the_answer_says_why(policy):
    masked = {"kb:books": "excluded from this turn", "llm:fast": "too dear"}
    answer, _ = walk(policy, view_of("kb:books", "llm:fast", masked=masked), lambda action, number: None)
    assert "excluded from this turn" in answer


def test_the_checks_of_these_tests_find_what_is_wrong():
    from router_graph.actions import Answer, RouteToKB

    view = view_of("kb:books", masked={"kb:books": "excluded"}, must_answer="steps")
    choice = Choice("", (RouteToKB("books", " "), Answer("x")), {"answer": 0.5}, 1.0)
    assert len(problems(choice, view)) == 6
