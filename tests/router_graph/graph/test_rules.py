"""Who may never meet: exclusions are kept whatever the policy wants."""

from __future__ import annotations

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from router_graph import Answer, Exclusion, RouterContext, RouterError, RouteToKB, RouteToLLM, create_router
from router_graph.errors import AuthenticationError
from router_graph.pool import ModelCard, ModelPool
from support.chat_models import Plain
from support.routing import Script, Shelf, statuses

HR = Exclusion(knowledge_bases=["hr"], privacy=["external"])
THREAD = {"configurable": {"thread_id": "t"}}


def pool(*, local_fails: bool = False) -> ModelPool:
    cards = [
        ModelCard(name="local", price="free", transport="local", privacy="local"),
        ModelCard(name="cloud", price="free", transport="cloud"),
    ]
    local = Plain(error=AuthenticationError("no")) if local_fails else FakeListChatModel(responses=["local says"])
    return ModelPool(
        cards,
        transports={"local": local, "cloud": FakeListChatModel(responses=["cloud says"])},
        fallbacks={"local": ["cloud"]},
    )


def router(*says, **options):
    bases = [Shelf("hr"), Shelf("open")]
    options = {"pool": pool(), "exclusions": [HR]} | options
    return create_router(bases, policy=Script(*says), checkpointer=InMemorySaver(), **options)


def ask(graph, thread=THREAD):
    return graph.invoke({"question": "?!"}, thread, context=RouterContext(max_steps=5))


def test_a_model_is_refused_once_the_run_has_met_what_it_must_not_see_and_others_are_not():
    to_models = [RouteToLLM("cloud", "x"), RouteToLLM("local", "x")]
    result = ask(
        router(to_models, RouteToKB("hr", "x"), [RouteToLLM("cloud", "y"), RouteToLLM("local", "y")], Answer("a"))
    )
    assert statuses(result) == [["ok", "ok"], ["ok"], ["refused", "ok"], []]
    assert "hr" in result["steps"][2]["decision"]["masked"]["llm:cloud"]


def test_what_a_thread_has_met_it_has_met_in_every_later_turn():
    graph = router(lambda view: RouteToLLM("cloud", "x") if view.earlier else RouteToKB("hr", "x"), Answer("a"))
    ask(graph)
    assert statuses(ask(graph))[0] == ["refused"]
    assert statuses(ask(graph, {"configurable": {"thread_id": "new"}}))[0] == ["ok"]


def test_what_an_answer_was_made_of_goes_with_the_message_into_another_thread():
    graph = router(lambda view: RouteToLLM("cloud", "x") if view.earlier else RouteToKB("hr", "x"), Answer("a"))
    said = ask(graph)["messages"]
    other = graph.invoke({"messages": [*said, HumanMessage("And?")]}, {"configurable": {"thread_id": "other"}})
    assert statuses(other)[0] == ["refused"]


def test_what_an_error_of_a_knowledge_base_says_is_met_as_well():
    def relay(view):
        return RouteToLLM("cloud", view.steps[0]["observations"]["0"]["text"])

    bases = [Shelf("hr", error=ValueError("no number: the salary of Ann"))]
    script = Script(RouteToKB("hr", "x"), relay, Answer("a"))
    assert statuses(ask(create_router(bases, pool=pool(), policy=script, exclusions=[HR]))) == [
        ["failed"],
        ["refused"],
        [],
    ]


def test_a_fallback_is_held_to_the_rules_as_well():
    graph = router(RouteToKB("hr", "x"), RouteToLLM("local", "x"), Answer("a"), pool=pool(local_fails=True))
    told = ask(graph)["steps"][1]["observations"]["0"]
    assert told["status"] == "failed"
    assert "cloud says" not in told["text"]


def test_an_exclusion_of_what_is_not_there_is_a_mistake_that_is_told():
    with pytest.raises(RouterError, match="names the knowledge base 'hrr'"):
        router(Answer("a"), exclusions=[Exclusion(knowledge_bases=["hrr"], models=["cloud"])])
    with pytest.raises(RouterError, match="names the model 'clod'"):
        router(Answer("a"), exclusions=[Exclusion(knowledge_bases=["hr"], models=["clod"])])
    with pytest.raises(RouterError, match="needs 'models' or 'privacy'"):
        Exclusion(knowledge_bases=["hr"])


def test_only_and_exclude_mask_with_the_reason():
    graph = create_router([Shelf("a"), Shelf("b")], policy=Script(RouteToKB("a", "x"), Answer("a")))
    for context in (RouterContext(only=["kb:b"]), RouterContext(exclude=["kb:a"])):
        result = graph.invoke({"question": "?!"}, context=context)
        assert statuses(result)[0] == ["refused"]
        assert set(result["steps"][0]["decision"]["masked"]) == {"kb:a"}
    with pytest.raises(RouterError, match="did you mean 'kb:a'"):
        graph.invoke({"question": "?!"}, context=RouterContext(exclude=["kb:aa"]))
