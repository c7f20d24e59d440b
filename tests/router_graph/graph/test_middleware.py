"""`RouterMiddleware` in LangChain's `create_agent`: who is chosen, who pays, and what is told of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from router_graph import Budget, RouterMiddleware
from router_graph.errors import BudgetExceededError, RouterError, SettingsError, UnknownModelError
from router_graph.model_choice import Escalation, turns_of
from router_graph.pool import ModelPool, Price
from support.served_pool import asked, card

CHEAP, DEAR = "cheap-tool-n4", "dear-tool-n4"
ONE = [HumanMessage("Add 1 to 1.")]


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    if a == b == 1:
        return 2
    raise ValueError(f"{a} and {b} are not 1 and 1")


def pool_for(server, *more, **options) -> ModelPool:
    cards = [card(server, DEAR, price=Price(input=10, output=20), tools=True), card(server, CHEAP, tools=True), *more]
    return ModelPool(cards, retries=0, **options)


def agent(pool, *args, tools=(add,), checkpointer=None, model=None, **options):
    router = RouterMiddleware(pool, *args, **options)
    given = model or pool.as_chat_model(next(iter(pool.cards)))
    return create_agent(given, list(tools), middleware=[router], checkpointer=checkpointer)


def run(graph, how="sync", messages=ONE, config=None):
    given = {"messages": messages}
    return asyncio.run(graph.ainvoke(given, config)) if how == "async" else graph.invoke(given, config)


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(
    ("choose", "chosen"),
    [
        ("cheapest", CHEAP),
        ("strongest", DEAR),
        ("escalation", CHEAP),
        (Escalation((DEAR, CHEAP)), DEAR),
        (lambda request, cards: cards[-1].name, CHEAP),
    ],
)
def test_the_model_that_is_chosen_is_the_one_that_serves_pays_and_is_reported(server, how, choose, chosen):
    result = run(agent(pool_for(server), choose), how)
    assert [type(one) for one in result["messages"]] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    replies = [one for one in result["messages"] if isinstance(one, AIMessage)]
    assert asked(server) == [chosen, chosen]
    assert {one.response_metadata["card"] for one in replies} == {chosen}
    decisions = result["model_decisions"]
    assert [one["message"] for one in decisions] == [one.id for one in replies]
    assert {(one["chosen"], one["served"]) for one in decisions} == {(chosen, chosen)}
    assert decisions[0]["alternatives"][DEAR] == pytest.approx(10 * decisions[0]["alternatives"][CHEAP])
    assert [one["tokens"] for one in decisions] == [row.prompt + row.completion for row in server.meter]
    booked = list(result["ledger"].values())
    assert [entry["name"] for entry in booked] == [chosen, chosen]
    assert sum(entry["spent"]["picousd"] for entry in booked) == pytest.approx(
        1e12 * sum(one["usd"] for one in decisions)
    )


def test_models_that_cannot_serve_are_masked_with_the_reason(server):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    others = [
        card(server, "a-toolless", tools=False),
        card(server, "a-blind", tools=True, vision=False),
        card(server, "a-short", tools=True, context=5),
        card(server, "a-local", tools=True, privacy="local"),
    ]
    graph = agent(pool_for(server, *others), models=[CHEAP, *(one.name for one in others)], privacy=["external"])
    masked = run(graph, messages=[HumanMessage([{"type": "text", "text": "Add."}, picture])])["model_decisions"][0][
        "masked"
    ]
    assert set(masked) == {one.name for one in others}
    assert masked["a-toolless"] == "it calls no tools"
    assert masked["a-blind"] == "it sees no pictures"
    assert masked["a-short"].endswith("its context is 5")
    assert masked["a-local"] == "its privacy is 'local', which is excluded"
    assert run(agent(pool_for(server, others[0]), tools=()))["model_decisions"][0]["masked"] == {}


def test_a_fallback_serves_where_the_chosen_fails_and_is_reported_and_what_is_masked_never_is_one(server):
    bad = card(server, "a-500", price=Price(input=0.1, output=0.1), tools=True)
    hidden = card(server, "b-hidden", tools=True, privacy="local")
    pool = pool_for(server, bad, hidden, fallbacks={"a-500": ["b-hidden", CHEAP]})
    result = run(agent(pool, privacy=["external"]))
    assert asked(server) == ["a-500", CHEAP, "a-500", CHEAP]
    assert [(one["chosen"], one["served"]) for one in result["model_decisions"]] == [("a-500", CHEAP)] * 2
    assert [entry["name"] for entry in result["ledger"].values()] == ["a-500", CHEAP, "a-500", CHEAP]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_escalation_goes_up_after_a_turn_whose_tool_failed(server, how):
    @tool
    def broken(a: int) -> int:
        """Never works."""
        raise ValueError(f"no {a}")

    broken.handle_tool_error = True
    answered = [
        HumanMessage("?"),
        AIMessage("", tool_calls=[{"name": "broken", "args": {"a": 1}, "id": "1"}]),
        ToolMessage("no 1", tool_call_id="1", status="error"),
    ]
    result = run(agent(pool_for(server), "escalation", tools=[broken]), how, messages=answered)
    assert asked(server) == [DEAR]
    assert result["model_decisions"][0]["why"] == "rung 2 of 2: 1 failed of 1 turns"


def test_turns_are_counted_since_the_last_question():
    def ai(n, **more):
        return AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": f"{n}"}], **more)

    wrong = {"name": "f", "args": "{", "id": "9", "error": "no JSON", "type": "invalid_tool_call"}
    good, bad = ToolMessage("", tool_call_id="1"), ToolMessage("", tool_call_id="1", status="error")
    assert turns_of([HumanMessage("?")]) == (0, 0)
    assert turns_of([HumanMessage("?"), ai(1), bad, bad, ai(2), good]) == (2, 1)
    assert turns_of([ai(1), bad, HumanMessage("?"), ai(2), good]) == (1, 0)
    assert turns_of([HumanMessage("?"), ai(1, invalid_tool_calls=[wrong]), bad]) == (1, 1)


def test_escalation_goes_up_with_the_turns_and_past_a_rung_that_cannot_serve(server):
    pool = pool_for(server, card(server, "mid", price=Price(input=2, output=2), tools=False))
    ladder = (CHEAP, "mid", DEAR)
    run(agent(pool, Escalation(ladder, every=1)))
    assert asked(server) == [CHEAP, DEAR]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_out_of_budget_the_agent_says_so_or_raises(server, how):
    pool = pool_for(server)
    result = run(agent(pool, budget=Budget(usd=1e-6)), how)
    assert result["messages"][-1].text.startswith("The budget")
    assert result["messages"][-1].response_metadata["stop_reason"] == "budget"
    assert result["model_decisions"][0]["masked"][CHEAP].startswith("too dear")
    with pytest.raises(BudgetExceededError, match="pays for no model"):
        run(agent(pool, budget=Budget(usd=1e-6), when_spent="raise"), how)
    assert asked(server) == []


@pytest.mark.parametrize("how", ["sync", "async"])
def test_what_is_kept_back_for_the_answer_pays_a_last_call_without_tools(server, how):
    always = "loop-tool-n4"
    pool = ModelPool([card(server, always, price=Price(input=1, output=100), tools=True, max_tokens=100)])
    first = run(agent(pool), how)["model_decisions"][0]["usd"]
    result = run(agent(pool, budget=Budget(usd=0.02, answer_usd=0.0195 - first)), how)
    assert result["messages"][-1].text
    assert server.seen[-1].body["tool_choice"] == "none"
    assert [entry["purpose"] for entry in result["ledger"].values()][-1] == "answer"
    assert sum(entry["spent"]["picousd"] for entry in result["ledger"].values()) <= 0.02e12


def test_a_budget_too_small_for_the_dear_model_leaves_the_cheap_one(server):
    result = run(agent(pool_for(server), "strongest", budget=Budget(usd=0.005)))
    assert {one["served"] for one in result["model_decisions"]} == {CHEAP}
    assert result["model_decisions"][0]["masked"][DEAR].startswith("too dear")


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("per", ["run", "thread"])
def test_the_bill_is_that_of_the_run_or_of_the_thread(server, per, how):
    graph = agent(pool_for(server), per=per, checkpointer=InMemorySaver(), budget=Budget(calls=3))
    for number, thread in enumerate("aab"):
        result = run(graph, how, config={"configurable": {"thread_id": thread}})
        if per == "run" or number != 1:
            assert len(result["ledger"]) == 2
            assert result["messages"][-1].response_metadata["card"] == CHEAP
        else:
            assert len(result["ledger"]) == 3
            assert result["messages"][-1].response_metadata["stop_reason"] == "budget"
    assert len(server.meter) == (6 if per == "run" else 5)


def test_a_budget_per_thread_without_a_thread_is_refused(server):
    with pytest.raises(SettingsError, match="needs a thread"):
        run(agent(pool_for(server), per="thread"))


@pytest.mark.parametrize("how", ["sync", "async"])
def test_tokens_and_decisions_are_streamed(server, how):
    async def astreamed():
        return [part async for part in graph.astream({"messages": ONE}, stream_mode=["messages", "custom"])]

    graph = agent(pool_for(server))
    given = {"messages": ONE}
    parts = (
        asyncio.run(astreamed()) if how == "async" else list(graph.stream(given, stream_mode=["messages", "custom"]))
    )
    decisions = [part for mode, part in parts if mode == "custom"]
    assert [(one["v"], one["type"], one["served"]) for one in decisions] == [(1, "model_decision", CHEAP)] * 2
    said = [part[0].text for mode, part in parts if mode == "messages" and part[0].type == "AIMessageChunk"]
    assert len([text for text in said if text]) == 4


def test_the_options_of_the_model_that_the_agent_was_given_stay(server):
    pool = pool_for(server)
    run(agent(pool, model=pool.as_chat_model(DEAR, temperature=0.25, max_tokens=7)))
    assert [(one.body["temperature"], one.body["max_tokens"]) for one in server.seen] == [(0.25, 7)] * 2
    assert asked(server) == [CHEAP, CHEAP]


def test_structured_output_comes_through(server):
    pool = pool_for(server)
    graph = create_agent(
        pool.as_chat_model(DEAR),
        response_format={
            "title": "Pick",
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "required": ["x"],
        },
        middleware=[RouterMiddleware(pool)],
    )
    assert set(run(graph)["structured_response"]) == {"x"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"choose": "cheapst"}, "did you mean 'cheapest'"),
        ({"choose": Escalation(("nobody",))}, "has no model 'nobody'"),
        ({"models": ["nobody"]}, "has no model 'nobody'"),
        ({"privacy": ["secret"]}, "privacy names"),
        ({"per": "day"}, "per is"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(server, wrong, said):
    with pytest.raises(RouterError, match=said):
        RouterMiddleware(pool_for(server), **wrong)


def test_a_function_that_names_nobody_is_told_whom_it_may_name(server):
    with pytest.raises(SettingsError, match=f"must return one of {DEAR}, {CHEAP}"):
        run(agent(pool_for(server), lambda request, cards: "x"))
    with pytest.raises(UnknownModelError):
        RouterMiddleware(pool_for(server), Escalation(("x",)))


def test_without_langchain_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['langchain'] = sys.modules['langchain.agents'] = None\n"
        "import router_graph\n"
        "try: router_graph.RouterMiddleware\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("MissingExtraError")
    assert "pip install 'polyroute[agents]'" in told
