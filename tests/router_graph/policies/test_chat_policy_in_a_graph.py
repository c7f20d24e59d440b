"""The tokens of a policy in LangGraph's own stream, and any chat model as a policy."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph

from router_graph import create_router, errors
from router_graph.ledger import Ledger
from router_graph.policies.chat import TAG, ChatPolicy
from router_graph.policies.policy import Means
from support.chat_models import InTwoParts, Plain
from support.plain_protocol import PlainProtocol
from support.served_pool import pool_of
from support.views import view_of

VIEW = view_of("kb:books")


class State(TypedDict, total=False):
    answer: str


def graph_of(policy):
    """A graph whose one node asks the policy."""

    async def think(state: State) -> State:
        act = await policy.act(VIEW, PlainProtocol(), Means(ledger=Ledger()))
        return {"answer": act.reply.text}

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    graph.add_edge("think", END)
    return graph.compile()


def streamed(policy):
    """The messages of LangGraph's stream with what is told of each, and the answer."""

    async def run():
        return [one async for one in graph_of(policy).astream({}, stream_mode=["messages", "values"])]

    came = asyncio.run(run())
    return [one for mode, one in came if mode == "messages"], came[-1][1]["answer"]


@pytest.mark.parametrize("streams", [True, None, False])
def test_the_tokens_come_in_langgraphs_stream_under_the_policys_tag(server, streams):
    told, answer = streamed(ChatPolicy(pool_of(server, "good"), "good", streams=streams))
    assert "".join(piece.text for piece, _ in told) == answer != ""
    assert len({piece.id for piece, _ in told}) == 1
    assert (len(told) > 10) == (streams is not False)
    assert all(TAG in facts["tags"] and facts["langgraph_node"] == "think" for _, facts in told)


def test_where_nobody_listens_nothing_is_streamed(server):
    policy = ChatPolicy(pool_of(server, "good"), "good")
    assert asyncio.run(graph_of(policy).ainvoke({}))["answer"]
    assert "stream" not in server.seen[0].body


def test_after_half_a_reply_the_whole_one_comes_in_langgraphs_stream_as_a_message_of_its_own(server):
    pool = pool_of(server, "a-half", "good", fallbacks={"a-half": "good"}, retries=0)
    told, answer = streamed(ChatPolicy(pool, "a-half"))
    last = told[-1][0]
    assert last.text == answer
    assert {piece.id for piece, _ in told[:-1]} != {last.id}


def say(policy):
    ledger = Ledger()
    return asyncio.run(policy.act(VIEW, PlainProtocol(), Means(ledger=ledger))).reply, ledger


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Plain(), "one two three"),
        (InTwoParts(messages=iter([])), "one two"),
        (GenericFakeChatModel(messages=iter([AIMessage("hello there")])), "hello there"),
    ],
    ids=["no streaming", "usage in two parts", "streaming"],
)
def test_any_chat_model_is_a_policy_once_its_price_is_known(model, text):
    policy = ChatPolicy.of(model, price={"input": 1, "output": 2}, name="mine", streams=True)
    reply, ledger = say(policy)
    assert (reply.text, policy.name, policy.card.name) == (text, "mine", "mine")
    assert ledger.spent.picousd > 0


def test_a_chat_model_can_be_free():
    reply, ledger = say(ChatPolicy.of(Plain(), price="free"))
    assert reply.text
    assert ledger.spent.picousd == 0 < ledger.spent.tokens


def test_a_litellm_id_is_priced_by_litellms_map():
    policy = ChatPolicy.of("openai/gpt-4o-mini")
    assert policy.name == "openai/gpt-4o-mini"
    assert policy.card.price.input == 0.15
    assert policy.card.transport == "litellm"
    assert ChatPolicy.of("ollama/llama3.1:8b-q4", price="free").name == "ollama/llama3.1-8b-q4"


def test_a_chat_model_that_tells_who_it_is_is_priced_by_litellms_map():
    class Told(Plain):
        def _get_ls_params(self, stop=None, **kwargs):
            return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini"}

    class Elsewhere(Told):
        openai_api_base: str = "http://127.0.0.1:1/v1"

    assert ChatPolicy.of(Told()).card.price.input == 0.15
    with pytest.raises(errors.UnknownPriceError):
        ChatPolicy.of(Elsewhere())


@pytest.mark.parametrize("model", [Plain(), "hosted_vllm/nobody-knows", "nonsense/x"])
def test_an_unknown_price_is_refused_in_one_sentence_that_says_how_to_give_it(model):
    with pytest.raises(errors.UnknownPriceError) as caught:
        ChatPolicy.of(model)
    assert "'input': 0.15" in str(caught.value)
    assert "'free'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_thought_that_the_transport_took_out_of_the_text_is_put_back():
    class Reasoning(FakeListChatModel):
        def _generate(self, *args, **kwargs):
            result = super()._generate(*args, **kwargs)
            result.generations[0].message.additional_kwargs["reasoning_content"] = "It is the capital."
            return result

    policy = ChatPolicy.of(Reasoning(responses=["<answer>Prague</answer>"]), price="free", name="mine", streams=False)
    step = create_router(policy=policy).invoke({"question": "Which city?"})["steps"][0]
    assert step["thought"] == "It is the capital."
    assert step["reply"].startswith("<think>It is the capital.</think>")
