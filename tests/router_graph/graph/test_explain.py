"""Every decision explains itself: previews, replays, shadows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from router_graph import (
    Answer,
    Choice,
    Exclusion,
    Knowledge,
    RouterContext,
    RouterError,
    RouteToKB,
    create_router,
    preview,
    replay,
)
from router_graph.policies.policy import ChoicePolicy
from router_graph.pool import ModelCard, ModelPool
from support.routing import Script, Shelf

THREAD = {"configurable": {"thread_id": "t"}}


class Scoring(ChoicePolicy):
    """Scores the legal options by the question's length, and takes the best."""

    name = "scoring"

    def choose(self, view):
        keys = [option["key"] for option in view.legal]
        weights = {key: 1 + (len(view.question) * 7 + 13 * n) % 5 for n, key in enumerate(keys)}
        shares = {key: weight / sum(weights.values()) for key, weight in weights.items()}
        best = max(keys, key=lambda key: (shares[key], key))
        action = RouteToKB(best[3:], view.question) if best.startswith("kb:") else Answer("Done.")
        return Choice("By its share.", (action,), shares, 1.0)


def router(**options):
    bases = [Knowledge(name, f"About {name}.", Shelf(name), cost_usd=0.001) for name in ("a", "b", "c")]
    return create_router(bases, policy=Scoring(), checkpointer=InMemorySaver(), **options)


GRAPH = router()


@settings(max_examples=60, deadline=None)
@given(st.text("abcdef ?", min_size=1).filter(str.strip), st.sampled_from([None, 0.0005, 0.0015, 1.0]))
def test_a_preview_is_the_decision_that_is_then_taken_and_spends_nothing(question, usd):
    context = RouterContext(usd=usd, max_steps=3)
    before = preview(GRAPH, question, context=context)
    taken = GRAPH.invoke({"question": question}, {"configurable": {"thread_id": question}}, context=context)["steps"][0]
    if taken["decision"]["left"] == {"steps": 3, "usd": usd, "tokens": None, "seconds": None}:
        assert before.actions == taken["actions"]
        masked = {one["key"]: one["masked"] for one in before.options if one["masked"]}
        assert masked == taken["decision"]["masked"]
        probabilities = {one["key"]: one["probability"] for one in before.options if one["probability"] is not None}
        assert probabilities == taken["decision"]["probabilities"]


def test_a_replay_takes_every_step_again_and_notices_another_policy():
    graph = router()
    graph.invoke({"question": "abc"}, THREAD)
    state = graph.get_state(THREAD).values
    for step in state["steps"]:
        again, is_same = replay(graph, state, step["decision"]["replay_id"])
        assert is_same and again.actions == step["actions"]
    other = create_router(
        [Shelf(name) for name in "abc"],
        policy=type("Other", (Scoring,), {"version": "2"})(),
        checkpointer=InMemorySaver(),
    )
    assert not replay(other, state, state["steps"][0]["decision"]["replay_id"])[1]
    with pytest.raises(RouterError, match="replay id 'nope'"):
        replay(graph, state, "nope")


def test_a_shadow_speaks_the_protocol_that_it_was_trained_in():
    class Trained(Script):
        speaks = "router_r1"

        async def act(self, view, protocol, means):
            assert protocol.name == self.speaks
            return await super().act(view, protocol, means)

    shadow = Trained(RouteToKB("b", "shadow"), name="other")
    graph = create_router([Shelf("a"), Shelf("b")], policy=Script(RouteToKB("a", "x"), Answer("a")), policies=[shadow])
    first = graph.invoke({"question": "?!"}, context=RouterContext(shadow="other"))["steps"][0]
    assert first["decision"]["protocol"] == "tags"
    assert first["shadow"]["actions"] == [{"kind": "kb", "kb": "b", "query": "shadow"}]


def test_a_shadow_is_logged_and_not_followed():
    shadow = Script(RouteToKB("b", "shadow"), name="other")
    graph = create_router([Shelf("a"), Shelf("b")], policy=Script(RouteToKB("a", "x"), Answer("a")), policies=[shadow])
    result = graph.invoke({"question": "?!"}, context=RouterContext(shadow="other"))
    assert [step["actions"][0]["kind"] for step in result["steps"]] == ["kb", "answer"]
    first = result["steps"][0]
    assert first["actions"] == [{"kind": "kb", "kb": "a", "query": "x"}]
    assert first["shadow"]["policy"] == "other"
    assert first["shadow"]["actions"] == [{"kind": "kb", "kb": "b", "query": "shadow"}]


@pytest.mark.parametrize("error", [RouterError("broken"), ValueError("broken")])
def test_a_shadow_that_fails_is_logged_and_nothing_else_happens(error):
    class Failing(Script):
        async def act(self, view, protocol, means):
            raise error

    graph = create_router([Shelf("a")], policy=Script(Answer("a")), policies=[Failing(name="other")])
    result = graph.invoke({"question": "?!"}, context=RouterContext(shadow="other"))
    assert result["answer"] == "a"
    assert result["steps"][0]["shadow"]["problem"] == "broken"


def test_a_preview_of_the_next_turn_has_the_whole_budget_again_and_is_the_decision_that_is_then_taken():
    graph, context = router(), RouterContext(usd=0.0015)
    assert graph.invoke({"question": "One?"}, THREAD, context=context)["ledger"]
    expected = preview(graph, "Two?", context=context, state=graph.get_state(THREAD).values)
    taken = graph.invoke({"question": "Two?"}, THREAD, context=context)["steps"][0]
    assert (expected.actions, expected.replay_id) == (taken["actions"], taken["decision"]["replay_id"])


def test_a_preview_knows_what_the_messages_have_met_and_refuses_what_a_turn_would_refuse():
    pool = ModelPool([ModelCard(name="cloud", price="free")])
    rules = [Exclusion(knowledge_bases=["a"], models=["cloud"])]
    graph = create_router([Shelf("a")], pool=pool, policy=Script(RouteToKB("a", "x"), Answer("a")), exclusions=rules)
    said = graph.invoke({"question": "One?"})["messages"]
    told = preview(graph, {"messages": [*said, HumanMessage("Two?")]})
    assert {one["key"]: bool(one["masked"]) for one in told.options}["llm:cloud"]
    with pytest.raises(RouterError, match="pin names 'kb:b'"):
        preview(graph, {"question": "Two?", "pin": "kb:b"})
