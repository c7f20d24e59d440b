"""Exploration draws what the policy would not do, at the rate that it says, and its log tells the probabilities."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from router_graph import create_router
from router_graph.actions import Answer, RouteToKB
from router_graph.ledger import Ledger
from router_graph.policies.chat import ChatPolicy
from router_graph.policies.explore import Exploring
from router_graph.policies.policy import Choice, ChoicePolicy, Means
from router_graph.protocols import protocol_named
from router_graph.state import Option
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.records import Tokens
from router_graph.view import View
from support.routing import Shelf


class Always(ChoicePolicy):
    name = "always"

    def choose(self, view):
        if view.steps or view.must_answer:
            return Choice("Known.", (Answer("yes"),))
        return Choice("First.", (RouteToKB("one", "a query"),))


KEYS = ("kb:one", "kb:two", "kb:three")
TOKENS = {"prompt_token_ids": [1], "token_ids": [2], "token_logprobs": [-0.5]}


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


class Draws(ChoicePolicy):
    """Draws one of two, each of which it always asks the same."""

    name = "draws"

    def choose(self, view):
        if view.must_answer:
            return Choice("Known.", (Answer("yes"),))
        key = random.Random(f"{view.seed}, {len(view.steps)}").choices(KEYS[:2], [0.7, 0.3])[0]
        chances = {"kb:one": 0.7, "kb:two": 0.3, "kb:three": 0.0, "answer": 0.0}
        return Choice("Drawn.", (RouteToKB(key[3:], f"about {key[3:]}"),), chances, chances[key])


def test_probabilities_are_those_of_the_draw_whatever_the_policy_would_have_asked():
    graph = create_router([Shelf(key[3:]) for key in KEYS], policy=Draws())
    expected, counts, told = Counter(), Counter(), defaultdict(set)
    for seed in range(400):
        out = graph.invoke({"question": "Q"}, context={"explore": 0.4, "seed": seed, "max_steps": 2})
        before, step = out["steps"][:2]
        chances = step["decision"]["probabilities"]
        expected.update(chances)
        counts[step["actions"][0]["kb"]] += 1
        told[before["actions"][0]["kb"], before["actions"][0]["query"]].add(repr(sorted(chances.items())))
    squares = [(counts[key[3:]] - expected[key]) ** 2 / expected[key] for key in KEYS]
    assert sum(squares) < 13.8  # chi-square of 2 degrees of freedom, p = 0.001
    assert {len(each) for each in told.values()} == {1}


class Sampled(ChoicePolicy):
    """A policy whose tokens are known."""

    name = "sampled"

    def choose(self, view):
        return Choice("Known.", (Answer("yes"),) if view.must_answer else (RouteToKB("one", "a query"),))

    async def act(self, view, protocol, means):
        told = Tokens(
            prompt_ids=[1], completion_ids=[2], logprobs=[0.0], logprob_kind="processed", model="", tokenizer=""
        )
        return replace(await super().act(view, protocol, means), tokens=told)


def test_tokens_go_with_the_reply_that_they_are_of_and_with_no_other():
    view = View("Q", tuple(Option(key=key, description="", modality="", usd=0.0) for key in (*KEYS, "answer")))
    with_tokens = set()
    for seed in range(30):
        act = asyncio.run(
            Exploring(Sampled(), 0.5).act(replace(view, seed=seed), protocol_named("tags"), Means(ledger=Ledger()))
        )
        with_tokens.add((act.tokens is not None, 'to="kb:one"' in str(act.reply.text)))
        assert act.tokens is None or 'to="kb:one"' in str(act.reply.text)
    assert (True, True) in with_tokens and (False, False) in with_tokens


def test_a_model_whose_reply_another_route_took_the_place_of_is_logged_without_tokens(tmp_path):
    class Tells(GenericFakeChatModel):
        async def _agenerate(self, *_, **__):
            reply = AIMessage('<route to="kb:one">q</route>', response_metadata=TOKENS)
            return ChatResult(generations=[ChatGeneration(message=reply)])

    policy = ChatPolicy.of(Tells(messages=iter([])), price="free", name="m", streams=False)
    graph = create_router([Shelf(key[3:]) for key in KEYS], policy=policy)
    with Recorder(tmp_path) as recorder:
        for seed in range(12):
            context = {"explore": 0.7, "max_steps": 1, "seed": seed}
            graph.invoke({"question": "Q"}, {"callbacks": [recorder]}, context=context)
    seen = set()
    for run in read_runs(tmp_path):
        record = run.steps[0]
        is_its_own = record.step["reply"] == record.call["reply"]
        assert (record.call["tokens"] is not None) == is_its_own
        seen.add(is_its_own)
    assert seen == {True, False}
