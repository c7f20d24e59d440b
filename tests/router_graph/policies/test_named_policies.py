"""Policies by name, and policies that say what a test gave them."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage

from router_graph.actions import Answer, RouteToKB
from router_graph.errors import RouterError, SettingsError
from router_graph.graph import create_router
from router_graph.ledger import Ledger
from router_graph.policies import POLICIES, Choice, Means, policy_named
from router_graph.policies.scripted import Scripted
from router_graph.pool import ModelCard, ModelPool
from support.plain_protocol import PlainProtocol
from support.routing import Shelf
from support.views import after, observation, view_of

POOL = ModelPool(
    ModelCard(name=name, model="openai/gpt-4o-mini", price={"input": usd, "output": usd})
    for name, usd in (("fast", 1), ("strong", 9), ("acme/own", 2), ("gate", 3))
)
NAMES = ["direct", "direct:fast", "kb:books", "fanout", "fanout:fast", "gate", "cheapest", "strongest", "random"]
MODELS = {
    "fast": "fast",
    "acme/own": "acme/own",
    "llm:strong": "strong",
    "llm:gate": "gate",
    "llm:acme/own": "acme/own",
}


def named(spec, pool=POOL):
    return policy_named(spec, pool=pool, knowledge=["books", "tables"])


@pytest.mark.parametrize("spec", [*NAMES, "support", "cascade"])
def test_a_name_makes_the_policy_that_calls_itself_so(spec):
    policy = named(spec)
    assert (policy.name, policy.decides_alone, policy.card) == (spec, True, None)


@pytest.mark.parametrize("spec", [name for name in (*NAMES, "support", "cascade") if ":fast" not in name])
def test_policies_that_ask_models_say_that_there_is_no_pool_and_the_others_need_none(spec):
    if spec in ("direct", "cheapest", "strongest", "random", "support", "cascade"):
        with pytest.raises(RouterError, match="there is no pool of models"):
            named(spec, pool=None)
    else:
        assert named(spec, pool=None).name == spec


@pytest.mark.parametrize("spec", MODELS)
def test_a_model_of_the_pool_is_a_policy_by_its_name(spec):
    policy = named(spec)
    assert (policy.card.name, policy.decides_alone) == (MODELS[spec], False)


def test_a_litellm_id_is_a_policy():
    assert named("openai/gpt-4o-mini", pool=None).card.name == "openai/gpt-4o-mini"


def test_the_strongest_is_that_of_the_pool():
    view = view_of("llm:fast", "llm:strong")
    assert named("strongest").choose(view).actions[0].model == "strong"


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("gat", "did you mean 'gate'"),
        ("fanuot", "did you mean 'fanout'"),
        ("fas", "did you mean 'fast'"),
        ("kb:book", "did you mean 'books'?"),
        ("kb:", "'kb:books'"),
        ("kb", "there is no policy 'kb'"),
        ("llm", "there is no policy 'llm'"),
        ("llm:fats", "did you mean 'fast'"),
        ("direct:strnog", "did you mean 'strong'"),
        ("gate:fast", "fast cannot be read"),
        ("", "there is heuristic, gate"),
        ("who knows", "there is heuristic, gate"),
        ("no/such-model", "nobody knows what 'no/such-model' costs"),
    ],
)
def test_an_unknown_name_is_refused_in_a_sentence_with_the_nearest(spec, hint):
    with pytest.raises(RouterError) as caught:
        named(spec)
    text = str(caught.value)
    assert hint in text or hint in text.lower()
    assert "\n" not in text


def test_a_model_without_a_pool_is_refused():
    with pytest.raises(SettingsError, match="no pool of models"):
        named("direct:fast", pool=None)


def test_every_policy_has_a_few_words_for_people():
    assert all(0 < len(words) < 90 and not words.endswith(".") for words, _ in POLICIES.values())


def test_importing_the_policies_loads_nothing_heavy():
    program = (
        "import sys, router_graph.policies as p; p.policy_named('gate'); "
        "sys.exit(any(name in sys.modules for name in ('litellm', 'torch', 'numpy', 'chromadb')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def says(policy, view):
    return asyncio.run(policy.act(view, PlainProtocol(), Means(ledger=Ledger())))


def test_a_script_says_the_line_of_the_step_and_then_its_last_one_again():
    policy = Scripted(["one", AIMessage("two"), Choice("three", (Answer("x"),), {"answer": 1.0}, 1.0)])
    view, heard = view_of("kb:books"), []
    for _ in range(4):
        heard.append(says(policy, view).reply.text)
        view = after(view, (RouteToKB("books", "?"), observation("empty")))
    assert heard[:2] == ["one", "two"]
    assert heard[2] == heard[3] == "three\nAnswer(text='x')"
    assert says(policy, view).propensity == 1.0
    assert says(policy, view_of("kb:books")).reply.text == "one"


def test_a_script_can_be_a_function_of_the_view():
    assert says(Scripted(lambda view: view.question.upper()), view_of(question="why?")).reply.text == "WHY?"


@pytest.mark.parametrize("lines", [[], "", "one text"])
def test_a_script_without_lines_is_refused(lines):
    with pytest.raises(SettingsError, match="at least one line"):
        Scripted(lines)


@pytest.mark.parametrize("protocol", ["tags", "tool_calls", "router_r1", "r1_router"])
@pytest.mark.parametrize("spec", ["gate", "fanout", "kb:books"])
def test_a_named_policy_runs_in_the_graph_under_every_protocol_and_cites_what_it_found(spec, protocol):
    books = Shelf("books", ["Frank Herbert wrote the novel Dune."], description="Novels and who wrote them.")
    router = create_router([books, Shelf("sand", ["A dune is a heap."])], policy=spec, protocol=protocol)
    result = router.invoke({"question": "Who wrote the novel Dune?"})
    assert (result["answer"], result["stop_reason"]) == ("Frank Herbert [books:0]", "answered")
    assert [one["doc_id"] for one in result["citations"]] == ["0"]
