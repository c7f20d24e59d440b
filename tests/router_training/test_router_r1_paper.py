"""`PaperCode` gives what the paper's code gives: the values below came from running that code."""

from __future__ import annotations

from itertools import pairwise

import pytest
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage

from router_graph.evaluation.gold import Gold
from router_graph.pool import ModelCard, ModelPool
from router_training.errors import ConfigError, DataError
from router_training.rewards.router_r1_paper import (
    PaperCode,
    RollingCost,
    calls_of,
    composed,
    format_of,
    right_of,
    text_of,
)
from support.routed_runs import run_of

SEARCH = "<search>qwen: who?</search>"
TOLD = "<information>Paris.</information>"
END = "<think>so</think><answer>Paris</answer>"


@pytest.mark.parametrize(
    ("text", "form", "calls"),
    [
        (END, 0, 0),
        (f"<think>a</think>{SEARCH}{TOLD}{END}", 0, 1),
        ("<answer>Paris</answer>", -1, 0),
        (f"Well. {END}", -1, 0),
        (f"{END} Done.", -1, 0),
        (f"{END}<answer>Rome</answer>", -1, 0),
        ("<think> </think><answer>Paris</answer>", -1, 0),
        ("<think>...</think><answer>Paris</answer>", -1, 0),
        ("Paris", -1, 0),
        (f"<think>a</think><search>qwen: Who wrote Dune: Part Two?</search>{TOLD}{END}", -1, 0),
        (f"<think>a</think><search>nobody: who?</search>{TOLD}{END}", -1, 0),
        (f"<think>a</think><search>qwen: your-query</search>{TOLD}{END}", -1, 0),
        (f"<think>a</think><search>LLM-Name: who?</search>{TOLD}{END}", -1, 0),
        (f"<think>a</think><search>qwen: ask qwen</search>{TOLD}{END}", -1, 1),
        (f"<think>a</think>{SEARCH}{END}", -1, 1),
        (f"<think>a</think>{SEARCH}<information><answer>x</answer></information>{END}", -1, 1),
        (f"<think>a</think>{SEARCH}<information><think>x</think></information>{END}", -1, 1),
        (f"<think>a</think>{SEARCH}<information>Par{END}", -1, 1),
        (f"<think>a</think><search>who?</search>{TOLD}{SEARCH}{TOLD}{END}", -1, 0),
    ],
)
def test_the_format_and_the_calls_are_counted_as_the_code_counts_them(text, form, calls):
    assert format_of(text, {"qwen"}.__contains__) == form
    assert calls_of(text, {"qwen"}.__contains__) == calls


@pytest.mark.parametrize(
    ("form", "said", "metric", "alpha", "cheapness", "reward"),
    [
        (0.0, "Paris", "em", 0.0, 0.3, 1.0),
        (0.0, "Paris", "em", 0.6, 1.0, 1.0),
        (0.0, "Paris", "em", 0.6, 0.5, 0.7),
        (0.0, "Paris", "em", 0.6, 0.0, 0.4),
        (0.0, "Paris", "em", 0.9, 0.0, 0.09999999999999998),
        (0.0, "Rome", "em", 0.6, 1.0, 0.0),
        (0.0, "", "em", 0.6, 1.0, 0.0),
        (-1.0, "Paris", "em", 0.6, 1.0, -1.0),
        (0.0, "Paris France", "f1", 0.6, 0.25, 0.41666666666666663),
    ],
)
def test_the_parts_make_the_reward_to_the_last_digit(form, said, metric, alpha, cheapness, reward):
    assert composed(form, right_of(f"<answer>{said}</answer>", Gold(("Paris",)), metric), cheapness, alpha) == reward


def test_the_last_answer_counts_and_words_are_compared_as_the_code_compares_them():
    gold = Gold(("The", "yes", "Paris"))
    text = "<answer>Rome</answer> <answer>{}</answer>".format
    assert [right_of(text(one), gold, "em") for one in ("Paris", "a", "no", "")] == [1.0, 1.0, 0.0, 1.0]
    assert [right_of(text(one), gold, "f1") for one in ("Paris", "a", "no", "")] == [1.0, 0.0, 0.0, 0.0]
    assert right_of("Paris", gold, "em") == right_of("<answer>Paris", gold, "f1") == 0.0


def test_f1_is_computed_in_the_order_of_the_code():
    """2 · 1 · (2/7) / (1 + 2/7) is not 2 · 2 / 9 in the last digit; the code's own value."""
    said = "<answer>France, the Paris nobody: x é</answer>"
    assert right_of(said, Gold(("France Paris the big one",)), "f1") == 0.4444444444444445


def test_a_tag_in_what_a_model_says_costs_the_policy_its_reward():
    run = asked_a_model(
        "<think>a</think><search>qwen: capital of France?</search>", END, says="<answer>x</answer> &lt;"
    )
    assert "<information><answer>x</answer> &lt;</information>" in text_of(run)
    (score,) = PaperCode({"qwen": 0.3}).score(run, Gold(("Paris",)))
    assert score.total == score.parts["format"] == -1.0


def test_a_cost_is_measured_against_the_costs_before_it_and_itself():
    rolling = RollingCost()
    assert [rolling.cheapness(cost) for cost in (100, 100, 400, 25, 0, 0, 900)] == [0.5, 0.5, 0.0, 1.0, 1.0, 1.0, 0.0]


def test_the_window_forgets_all_but_the_last_thousand_costs():
    full, fresh = RollingCost(), RollingCost()
    for _ in range(500):
        full.cheapness(1e9)
    costs = [float(n * n) for n in range(1000)]
    assert [full.cheapness(c) for c in costs][-1] == [fresh.cheapness(c) for c in costs][-1] == 0.0
    assert full.cheapness(500.0**2) == fresh.cheapness(500.0**2)


def asked_a_model(*replies: str, says: str = "It is Paris.", model=None):
    """A run of the paper's loop, which asks a model."""
    card = ModelCard(name="qwen", transport="it", price={"input": 1, "output": 2})
    pool = ModelPool([card], transports={"it": model or FakeListChatModel(responses=[says])})
    return run_of(replies, knowledge=[], pool=pool, protocol="router_r1:paper", metadata={"gold": ["Paris"]})


def test_a_run_of_the_papers_own_loop_is_judged_by_all_its_text():
    run = asked_a_model("<think>a</think><search>qwen: capital of France?</search>", END)
    text = text_of(run)
    assert text.startswith("<think>a</think>") and "<information>It is Paris.</information>" in text
    assert text.endswith("</answer>") and all(a != b for a, b in pairwise(text.split("\n\n")))
    (score,) = PaperCode({"qwen": 0.3}).score(run, Gold(("Paris",)))
    assert score.total == pytest.approx(0.4 + 0.6 * 0.5)
    assert dict(score.parts) == {"format": 0.0, "outcome": 1.0, "cost": 0.5, "calls": 1.0}


def test_a_cost_is_what_the_provider_counted_of_the_reply_and_nothing_of_the_prompt(monkeypatch):
    usage = {"input_tokens": 900, "output_tokens": 137, "total_tokens": 1037}
    model = GenericFakeChatModel(messages=iter([AIMessage("It is Paris.", usage_metadata=usage)]))
    run = asked_a_model("<think>a</think><search>qwen: capital of France?</search>", END, model=model)
    came = run.steps[0].step["observations"]["0"]
    assert (came["tokens"], came["output_tokens"]) == (1037, 137)
    costs: list[float] = []
    monkeypatch.setattr(RollingCost, "cheapness", lambda self, cost: costs.append(cost) or 0.5)
    reward = PaperCode({"qwen": 0.3})
    list(reward.score(run, Gold(("Paris",))))
    del came["output_tokens"]  # as in logs from before it was kept: about as many as the text has
    list(reward.score(run, Gold(("Paris",))))
    assert costs[0] == 137 * 0.3 and 0 < costs[1] < 10 * 0.3


def test_a_model_without_a_price_is_one_sentence():
    run = asked_a_model("<think>a</think><search>qwen: capital of France?</search>", END)
    with pytest.raises(DataError, match="has no price; add it to 'prices'"):
        list(PaperCode({}).score(run, Gold(("Paris",))))
    with pytest.raises(ConfigError, match="alpha is a number from 0 to 1"):
        PaperCode({}, alpha=1.5)
