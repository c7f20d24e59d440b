"""A policy whose choice is drawn from exact probabilities: a real tiny model, the real graph, a real log."""

from __future__ import annotations

import math

import pytest

from mote_backend import ChatTransformers
from router_graph import create_router
from router_graph.policies.scored import ScoredPolicy
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from support.tiny_chat import tiny_chat


class Facts:
    description, modality, cost_usd = "capitals", "text", 0.0

    def __init__(self, name):
        self.name = name

    async def asearch(self, query, k):
        return [
            {"kb": self.name, "doc_id": "a", "title": "France", "text": "Paris is its capital.", "score": 1.0}
            | {"metadata": {}}
        ]


def router(temperature, **options):
    model = ChatTransformers(model=tiny_chat(), max_tokens=24)
    policy = ScoredPolicy.over(model, temperature=temperature, **options)
    return create_router([Facts("facts"), Facts("other")], policy=policy), model


def steps_of(folder):
    (run,) = read_runs(folder)
    return run.steps


@pytest.mark.parametrize("thinks", [False, True])
def test_the_logged_propensity_is_the_renormalised_probability_of_the_opening(tmp_path, thinks):
    graph, _ = router(1.0, thinks=thinks, most_thought=8)
    with Recorder(tmp_path) as recorder:
        graph.invoke(
            {"question": "What is the capital of France?"},
            {"callbacks": [recorder]},
            context={"max_steps": 2, "seed": 3},
        )
    scored = [step for step in steps_of(tmp_path) if step.step["decision"]["probabilities"]]
    assert scored
    for record in scored:
        decision = record.step["decision"]
        assert sum(decision["probabilities"].values()) == pytest.approx(1)
        assert decision["propensity"] in decision["probabilities"].values()
        assert set(decision["probabilities"]).isdisjoint(decision["masked"])


def test_what_was_sampled_is_logged_to_the_token_with_the_log_probs_of_a_plain_forward(tmp_path):
    import torch

    graph, _ = router(1.0, thinks=False)
    with Recorder(tmp_path) as recorder:
        graph.invoke(
            {"question": "What is the capital of France?"}, {"callbacks": [recorder]}, context={"max_steps": 2}
        )
    model, tokenizer = tiny_chat()
    for record in steps_of(tmp_path):
        assert record.call is not None
        tokens = record.call["tokens"]
        assert tokens is not None and tokens["logprobs"] is not None
        ids = tokens["prompt_ids"] + tokens["completion_ids"]
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)
        start = len(tokens["prompt_ids"])
        again = [float(logprobs[start + n - 1, id_]) for n, id_ in enumerate(tokens["completion_ids"])]
        assert tokens["logprobs"] == pytest.approx(again, abs=1e-4)
        assert tokenizer.decode(tokens["completion_ids"], skip_special_tokens=True) == record.step["reply"]


def test_scores_are_those_of_a_plain_forward_and_options_are_read_together():
    import torch

    model, tokenizer = tiny_chat()
    talk = ChatTransformers(model=(model, tokenizer))
    texts = ['<route to="kb:facts"', '<route to="llm:x"', "<answer>", "a"]
    prefix = tokenizer("Hm. ", add_special_tokens=False)["input_ids"]
    scored = talk.score("hello", texts, reply_prefix_ids=prefix, temperature=2.0)
    prompt = talk.invoke("hello", reply_prefix_ids=prefix, max_tokens=1).response_metadata["prompt_token_ids"]
    for one, text in zip(scored, texts, strict=True):
        assert list(one.ids) == tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *one.ids]])).logits[0].float() / 2
        logprobs = torch.log_softmax(logits, -1)
        plain = [float(logprobs[len(prompt) + n - 1, id_]) for n, id_ in enumerate(one.ids)]
        assert list(one.logprobs) == pytest.approx(plain, abs=1e-4)
        assert one.total == pytest.approx(math.fsum(plain), abs=1e-3)


def test_at_temperature_0_the_likeliest_option_is_taken_for_certain(tmp_path):
    graph, _ = router(0.0, thinks=False)
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "What?"}, {"callbacks": [recorder]}, context={"max_steps": 1})
    for record in steps_of(tmp_path):
        assert record.step["decision"]["propensity"] == 1.0


def test_the_same_seed_draws_alike_and_another_seed_can_draw_otherwise():
    graph, _ = router(1.0, thinks=False)

    def drawn(seed):
        out = graph.invoke({"question": "What is it?"}, context={"max_steps": 2, "seed": seed})
        return [step["actions"] for step in out["steps"]]

    assert drawn(1) == drawn(1)
    assert len({repr(drawn(seed)) for seed in range(6)}) > 1
