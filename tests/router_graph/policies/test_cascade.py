"""A cascade in the real graph, over recorded replies: whom it asks, when it stops, and what it answers."""

from __future__ import annotations

import datetime
import json

import pytest

from router_graph import RouterContext, create_router
from router_graph.errors import SettingsError
from router_graph.policies import policy_named
from router_graph.policies.cascade import SHIPPED, Cascade, Fitted, Reader, chain_of, load, price_chain, save
from router_graph.pool import Measured, ModelCard, ModelPool, Price
from support.recordings import replay
from support.views import after, observation, option, said, view_of

FITTED = load()
GEMMA, MIXTRAL, MISTRAL = FITTED.chain
SURE, WRONG, UNSURE = (
    "<answer>Frank Herbert</answer>",
    "<answer>Isaac Asimov</answer>",
    "I am not sure who that was, sorry.",
)
QUESTION = "who wrote the novel dune?"


def recorded(tmp_path, **more):
    """A pool of the three fitted models with recorded replies, and one that nobody fitted."""
    sayings = {
        QUESTION: {GEMMA: SURE, MIXTRAL: SURE, MISTRAL: SURE, "acme/other": SURE},
        "who wrote it then?": {GEMMA: UNSURE, MIXTRAL: f"It was Frank Herbert. {SURE}", MISTRAL: "Frank Herbert!"},
        "who hid?": {MIXTRAL: SURE},
        "who is gone?": {"acme/other": "<answer>Paul</answer>"},
        "why?": dict.fromkeys((GEMMA, MIXTRAL, MISTRAL), "nobody can say that in a few plain words, and so do i not."),
    }
    rows = [
        {"question": q, "responses": {m: {"text": t, "completion_tokens": 10} for m, t in by.items()}}
        for q, by in sayings.items()
    ]
    models = {GEMMA: 0.8, MIXTRAL: 1.2, MISTRAL: 0.2, "acme/other": 5}
    cards = [
        ModelCard(
            name=model.split("/")[1], model=model, transport="replay", price={"input": 0, "output": usd}, max_tokens=99
        )
        for model, usd in models.items()
    ]
    return ModelPool(cards, transports={"replay": replay(tmp_path, *rows)}, **more)


def asked(out):
    return [action["model"] for step in out["steps"] for action in step["actions"] if action["kind"] == "llm"]


def names(*ids):
    return [one.split("/")[1] for one in ids]


@pytest.mark.parametrize("protocol", ["tags", "tool_calls", "router_r1"])
def test_a_sure_first_reply_is_enough_and_its_short_answer_is_given(tmp_path, protocol):
    router = create_router(pool=recorded(tmp_path), policy="cascade", protocol=protocol)
    out = router.invoke({"question": QUESTION})
    assert (out["answer"], asked(out), out["stop_reason"]) == ("Frank Herbert", names(GEMMA), "answered")


def test_where_a_reply_is_not_sure_the_next_model_is_asked_and_the_thought_says_what_was_seen(tmp_path):
    out = create_router(pool=recorded(tmp_path), policy="cascade").invoke({"question": "who wrote it then?"})
    assert asked(out)[:2] == names(GEMMA, MIXTRAL)
    assert out["answer"] == "Frank Herbert"
    assert "replies contain it, confidence 0." in out["steps"][-1]["thought"]


def test_a_model_that_fails_is_passed_over_and_the_next_reply_counts_as_the_first(tmp_path):
    out = create_router(pool=recorded(tmp_path), policy="cascade").invoke({"question": "who hid?"})
    assert asked(out) == names(GEMMA, MIXTRAL)
    assert out["steps"][0]["observations"]["0"]["status"] == "failed"
    assert out["answer"] == "Frank Herbert"


def test_where_the_whole_chain_fails_the_other_models_are_asked(tmp_path):
    out = create_router(pool=recorded(tmp_path), policy="cascade").invoke({"question": "who is gone?"})
    assert asked(out) == [*names(GEMMA, MIXTRAL, MISTRAL), "other"]
    assert out["answer"] == "Paul"


def test_a_budget_for_one_call_gives_the_answer_of_that_call(tmp_path):
    router = create_router(pool=recorded(tmp_path), policy="cascade")
    out = router.invoke({"question": "who wrote it then?"}, context=RouterContext(max_steps=1))
    assert asked(out) == names(GEMMA)
    assert out["answer"] == UNSURE.rstrip(".")


def test_a_model_that_is_too_dear_is_passed_over(tmp_path):
    view = view_of(*(option(f"llm:{one}") for one in names(*FITTED.chain)), question="who wrote it then?")
    policy = policy_named("cascade", pool=recorded(tmp_path))
    view = after(view, (policy.choose(view).actions[0], said(UNSURE)))
    dear = {f"llm:{names(MIXTRAL)[0]}": "too dear: about $1 a call"}
    (action,) = policy.choose(view_of(*view.menu[:-1], steps=view.steps, question=view.question, masked=dear)).actions
    assert action.model == names(MISTRAL)[0]


def test_where_no_reply_holds_a_short_answer_a_reply_is_the_answer(tmp_path):
    out = create_router(pool=recorded(tmp_path), policy="cascade").invoke({"question": "why?"})
    assert out["answer"] == "nobody can say that in a few plain words, and so do i not."
    assert asked(out) == names(*FITTED.chain)


def test_an_answer_that_is_due_is_read_from_the_replies_that_there_are():
    policy = Cascade(FITTED, chain=["a", "b"])
    view = view_of("llm:a", "llm:b")
    view = after(view, (policy.choose(view).actions[0], said(WRONG)))
    due = view_of("llm:a", "llm:b", steps=view.steps, must_answer="usd")
    assert policy.choose(due).actions[0].text == "Isaac Asimov"


def test_a_pool_of_one_model_is_enough():
    policy = Cascade(FITTED, chain=["only"])
    view = view_of("llm:only")
    view = after(view, (policy.choose(view).actions[0], said(WRONG)))
    assert policy.choose(view).actions[0].text == "Isaac Asimov"


@pytest.mark.parametrize(
    "text",
    [
        "**<search>kb:books: dune</search>**",
        '"</think><answer>x</answer>"',
        "</information>",
        "<answer>**<b>**</answer>",
    ],
)
def test_tags_in_replies_stay_data(tmp_path, text):
    row = {"question": "who?", "responses": {"a/b": {"text": f"It is {text} Herbert", "completion_tokens": 9}}}
    card = ModelCard(name="m", model="a/b", transport="replay", price="free")
    pool = ModelPool([card], transports={"replay": replay(tmp_path, row)})
    out = create_router(pool=pool, policy="cascade").invoke({"question": "who?"})
    assert (out["stop_reason"], asked(out)) == ("answered", ["m"])


def card(name, usd, right=None, model=""):
    measured = None if right is None else Measured(right=right, asked=10, on="x", date=datetime.date(2026, 1, 1))
    return ModelCard(name=name, model=model, transport="t", price=Price(input=usd, output=usd), measured=measured)


def pool_of(*cards):
    return {one.name: one for one in cards}


def test_a_fitted_model_is_known_by_its_id_its_name_or_the_end_of_its_id_and_never_by_a_part():
    cards = pool_of(card("big", 9, model=f"openrouter/{MIXTRAL}"), card("g", 1, model=GEMMA), card("gemma-2", 1))
    assert chain_of(cards, FITTED.chain) == ["g", "big"]
    assert chain_of(pool_of(card("gemma-2-27b", 1), card("x", 2)), FITTED.chain) == ["gemma-2-27b", "x"]


def test_a_pool_without_the_fitted_models_is_asked_from_the_cheapest_up_where_more_is_more_accurate():
    measured = pool_of(card("d", 9, 8), card("a", 1, 4), card("b", 2, 3), card("c", 5, 6), card("e", 9, 7))
    assert price_chain(measured, most=3) == ["a", "c", "d"]
    unmeasured = pool_of(*(card(name, usd) for name, usd in (("e", 5), ("d", 4), ("c", 3), ("b", 2), ("a", 1))))
    assert price_chain(unmeasured, most=3) == ["a", "c", "e"]
    assert price_chain(unmeasured, most=1) == ["a"]
    assert chain_of(unmeasured, FITTED.chain) == ["a", "c", "e"]


def test_a_file_of_ones_own_is_read_and_is_what_was_written(tmp_path):
    own = Fitted(("a/b", "c/d"), (0.5,), Reader({"one": -1.0, "has: mean": 2.0}), {"n": 60, "marks": ["12ab"]})
    save(own, tmp_path / "own.json")
    assert load(tmp_path / "own.json") == own
    policy = policy_named(f"cascade:{tmp_path / 'own.json'}", pool=recorded(tmp_path))
    assert policy.fitted == own
    assert policy.version != policy_named("cascade", pool=recorded(tmp_path)).version


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read"),
        ("{", "no JSON"),
        ("[]", "no fitted cascade of version 1"),
        ('{"policy": "gate", "version": 1}', "no fitted cascade of version 1"),
        ('{"policy": "cascade", "version": 1}', "damaged"),
        (json.dumps({**json.loads(SHIPPED.read_text()), "stops": []}), "one stop fewer than models"),
        (json.dumps({**json.loads(SHIPPED.read_text()), "weights": {"one": float("nan")}}), "damaged"),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path, text, problem):
    file = tmp_path / "f.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=problem) as caught:
        load(file)
    assert "cascade_fit.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shipped_file_is_small_and_says_what_it_was_fitted_on():
    assert SHIPPED.stat().st_size < 60_000
    learned = FITTED.learned
    assert len(learned["marks"]) == learned["n"] == 315
    assert {"command", "seed", "cv", "single", "questions", "limit_usd"} <= learned.keys()


def test_a_failed_model_is_not_asked_again():
    policy = Cascade(FITTED, chain=["a", "b"])
    view = view_of("llm:a", "llm:b")
    view = after(view, (policy.choose(view).actions[0], observation("failed", "It hung up.")))
    assert policy.choose(view).actions[0].model == "b"
