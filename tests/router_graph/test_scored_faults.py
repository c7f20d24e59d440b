"""A scored policy to the letter: a model of one token for each character says what a test has it say."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import time
from collections import Counter
from dataclasses import replace

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from mote_backend import ChatTransformers
from mote_backend.chat.scoring import Scored, score
from mote_backend.errors import ContextLengthError, InputError
from router_graph import RouteToKB, create_router
from router_graph.errors import SettingsError
from router_graph.ledger import Ledger
from router_graph.policies.local import PolicyCard, load_policy, tokenizer_fingerprint, weights_fingerprint
from router_graph.policies.policy import Means
from router_graph.policies.scored import ScoredPolicy
from router_graph.protocols import protocol_named
from router_graph.state import Option
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.view import View
from support.routing import Shelf
from support.tiny_chat import FOLDER, tiny_chat
from support.views import after, found, hit

END = 0
LIKELY = {"kb:one": -1.0, "kb:two": -2.0, "kb:three": -2.5, "answer": -1.5}
CHANCES = {key: math.exp(one) / sum(map(math.exp, LIKELY.values())) for key, one in LIKELY.items()}


class Letters(BaseChatModel):
    """Says `thought`, then `text`; scores an option as LIKELY says."""

    thought: str = ""
    text: str = ">q</route>"
    ended: bool = False
    """Whether the thought ends with the token that ends a reply."""
    tells: bool = True
    slow_s: float = 0.0
    seeds: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "letters"

    def _generate(self, *_, **__):
        raise NotImplementedError

    async def _agenerate(self, messages, stop=None, run_manager=None, reply_prefix_ids=(), **options):
        await asyncio.sleep(self.slow_s)
        self.seeds.append(options["seed"])
        is_thought = stop == ["</think>"]
        is_answer = "".join(map(chr, reply_prefix_ids)).endswith("<answer>")
        said = self.thought if is_thought else "yes</answer>" if is_answer else self.text
        ids = [ord(one) for one in said] + ([END] if is_thought and self.ended else [])
        facts = {"prompt_token_ids": [1, 2, *reply_prefix_ids], "token_ids": ids, "token_logprobs": [-0.1] * len(ids)}
        reply = AIMessage(said, response_metadata=facts if self.tells else {})
        return ChatResult(generations=[ChatGeneration(message=reply)])

    async def ascore(self, messages, continuations, *, reply_prefix_ids, temperature):
        likely = [next(LIKELY[key] for key in LIKELY if key in one) for one in continuations]
        return [
            Scored(tuple(map(ord, one)), (total, *[0.0] * (len(one) - 1)))
            for one, total in zip(continuations, likely, strict=True)
        ]

    def text_of(self, ids):
        return "".join(chr(one) for one in ids if one != END)


def first_step(tmp_path, model, *, thinks=False, **context):
    policy = ScoredPolicy.over(model, temperature=1.0, thinks=thinks)
    graph = create_router([Shelf("one"), Shelf("two"), Shelf("three")], policy=policy)
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "Q"}, {"callbacks": [recorder]}, context={"max_steps": 1, **context})
    return next(iter(read_runs(tmp_path))).steps[0]


@pytest.mark.parametrize("explore", [0.0, 0.3])
def test_options_are_taken_as_often_as_their_probability_says(explore):
    policy = ScoredPolicy.over(Letters(), temperature=1.0, thinks=False)
    graph = create_router([Shelf("one"), Shelf("two"), Shelf("three")], policy=policy)
    expected = {key: (1 - explore) * one + (explore / 3 if key != "answer" else 0) for key, one in CHANCES.items()}
    counts, runs = Counter(), 300
    for seed in range(runs):
        out = graph.invoke({"question": "Q"}, context={"seed": seed, "max_steps": 1, "explore": explore})
        step = out["steps"][0]
        taken = "answer" if step["actions"][0]["kind"] != "kb" else f"kb:{step['actions'][0]['kb']}"
        assert step["decision"]["probabilities"] == pytest.approx(expected)
        assert step["decision"]["propensity"] == pytest.approx(expected[taken])
        counts[taken] += 1
    squares = [(counts[key] - runs * one) ** 2 / (runs * one) for key, one in expected.items()]
    assert sum(squares) < 16.3  # chi-square of 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_chances_of_the_options_can_be_asked_without_a_reply(temperature):
    model = Letters()
    policy = ScoredPolicy.over(model, temperature=temperature, thinks=False)
    view, tags = view_of("kb:one", "kb:two", "kb:three"), protocol_named("tags")
    chances = asyncio.run(policy.chances(view, tags, Means(ledger=Ledger())))
    assert model.seeds == [] and sum(chances.values()) == pytest.approx(1)
    assert chances == asyncio.run(policy.act(view, tags, Means(ledger=Ledger()))).probabilities
    assert temperature == 0 or chances == pytest.approx(CHANCES)


def test_a_policy_that_thinks_writes_its_thought_to_tell_its_chances_and_no_more():
    model = Letters(thought="<think>Hm.</think>")
    policy = ScoredPolicy.over(model, temperature=1.0, thinks=True)
    view, tags = view_of("kb:one", "kb:two", "kb:three"), protocol_named("tags")
    assert asyncio.run(policy.chances(view, tags, Means(ledger=Ledger()))) == pytest.approx(CHANCES)
    assert len(model.seeds) == 1
    whole = ScoredPolicy.over(Letters(thought='<route to="kb:one">q</route>'), temperature=1.0, thinks=True)
    assert asyncio.run(whole.chances(view, tags, Means(ledger=Ledger()))) is None
    assert asyncio.run(whole.chances(view, protocol_named("tool_calls"), Means(ledger=Ledger()))) is None


def test_a_thought_that_its_model_ended_goes_on_without_the_token_that_ends_a_reply(tmp_path):
    record = first_step(tmp_path, Letters(thought="<think>Hm.", ended=True), thinks=True, seed=1)
    tokens = record.call["tokens"]
    assert END not in tokens["completion_ids"] and len(tokens["logprobs"]) == len(tokens["completion_ids"])
    assert record.step["reply"].startswith("<think>Hm.</think>\n<") and record.step["thought"] == "Hm."
    assert tokens["prompt_ids"] == [1, 2]


@pytest.mark.parametrize(
    "thought", ["<think>Hm.</think>", "<think>Hm.</think>\n", "<think>Hm.</think>\n\n", "<think>Hm.</th"]
)
def test_the_end_of_a_thought_is_written_once(tmp_path, thought):
    record = first_step(tmp_path, Letters(thought=thought), thinks=True)
    assert record.step["reply"].count("</think>") == 1 and record.step["thought"] == "Hm."


def test_a_thought_and_a_text_are_drawn_with_seeds_of_their_own(tmp_path):
    model = Letters(thought="<think>Hm.</think>")
    first_step(tmp_path, model, thinks=True)
    assert len(model.seeds) == len(set(model.seeds)) > 1


def test_a_reply_that_is_whole_before_the_choice_is_logged_to_the_token(tmp_path):
    record = first_step(tmp_path, Letters(thought='<route to="kb:one">q</route>'), thinks=True)
    assert record.step["decision"]["propensity"] is None and record.step["decision"]["probabilities"] is None
    assert record.call["tokens"]["completion_ids"] == [ord(one) for one in record.step["reply"]]


def test_the_propensity_of_an_option_that_its_text_spoiled_is_not_known(tmp_path):
    record = first_step(tmp_path, Letters(text=">"), exclude=["kb:three"], seed=3)
    assert record.step["actions"][0]["kind"] == "malformed"
    assert record.step["decision"]["propensity"] is None
    assert sum(record.step["decision"]["probabilities"].values()) == pytest.approx(1)


def test_a_model_that_does_not_tell_its_tokens_is_refused_in_a_sentence(tmp_path):
    record = first_step(tmp_path, Letters(tells=False))
    assert "does not tell its tokens" in record.step["decision"]["problem"]


def test_the_deadline_is_the_whole_steps_and_not_each_calls(tmp_path):
    started = time.perf_counter()
    record = first_step(tmp_path, Letters(thought="<think>Hm.</think>", slow_s=0.4), thinks=True, seconds=0.6)
    assert record.step["decision"]["forced"] is not None and time.perf_counter() - started < 1.5


def view_of(*keys):
    return View("Q", tuple(Option(key=key, description="d", modality="", usd=0.0) for key in (*keys, "answer")))


@pytest.mark.parametrize("name", ["tags", "brief", "router_r1", "r1_router"])
def test_openings_read_as_their_options_and_none_begins_another(name):
    protocol, strange = protocol_named(name), ["a", "a-b", "a&b", "a<b", "a>b", "a'b", 'a"b', "&quot;", "kb", "answer"]
    end = {"router_r1": " q </search>", "r1_router": "q</sub-question>"}.get(name, ">q</route>")
    for view in (view_of(*(f"kb:{one}" for one in strange)), view_of("kb:a", "llm:a", "llm:b/c", "llm:llm")):
        openings = protocol.openings(view)
        assert list(openings) == [option["key"] for option in view.menu]
        for key, opening in openings.items():
            reply = "".join(protocol.thinks) + opening + ("q</answer>" if key == "answer" else end)
            (action,) = protocol.read(AIMessage(reply), view).actions
            assert action.target == key
            written = str(protocol.write("Hm.", [action], view).text)
            assert written.startswith(f"{protocol.thinks[0]}Hm.{protocol.thinks[1]}{opening}")
        each = list(openings.values())
        assert not any(one is not other and other.startswith(one) for one in each for other in each)


def test_r1_router_scores_whom_to_ask_and_nothing_where_it_chooses_nobody(tmp_path):
    policy = ScoredPolicy.over(ChatTransformers(model=tiny_chat()), temperature=1.0, max_tokens=4, thinks=False)
    graph = create_router([Shelf("one"), Shelf("two")], policy=policy, protocol="r1_router")
    step = graph.invoke({"question": "Q"}, context={"max_steps": 1})["steps"][0]
    chances = step["decision"]["probabilities"]
    assert list(chances) == ["kb:one", "kb:two", "answer"] and sum(chances.values()) == pytest.approx(1.0)
    protocol, asked = protocol_named("r1_router"), RouteToKB("one", "q")
    reads = after(view_of("kb:one"), (asked, found(hit("It is so."))))
    assert protocol.role(reads) == "read" and protocol.openings(reads) == {}
    due = replace(reads, must_answer="steps", masked={"kb:one": "the answer is due"})
    assert protocol.openings(due) == {"answer": "<answer>"}


def test_a_protocol_without_openings_still_decides():
    policy = ScoredPolicy.over(ChatTransformers(model=tiny_chat()), temperature=1.0, max_tokens=4)
    graph = create_router([Shelf("one")], policy=policy, protocol="r1_router:paper")
    step = graph.invoke({"question": "Q"}, context={"max_steps": 1})["steps"][0]
    assert step["decision"]["probabilities"] is None and step["decision"]["propensity"] is None


@pytest.mark.parametrize(
    ("texts", "temperature", "error"),
    [
        ("abc", 1.0, InputError),
        ([""], 1.0, InputError),
        (["a\ud800"], 1.0, InputError),
        (["a"], -1.0, InputError),
        (["a"], math.nan, InputError),
        (["a " * 3_000], 1.0, ContextLengthError),
    ],
)
def test_what_cannot_be_scored_is_refused(texts, temperature, error):
    with pytest.raises(error):
        ChatTransformers(model=tiny_chat()).score("hello", texts, temperature=temperature)


def test_a_prompt_longer_than_the_context_is_refused():
    with pytest.raises(ContextLengthError, match="2048"):
        ChatTransformers(model=tiny_chat()).score("word " * 3_000, ["a", "b"])


@pytest.mark.parametrize("kind", ["gpt2", "mamba", "lfm2"])
def test_scores_are_exact_with_any_kind_of_cache_and_for_many_texts(kind):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
        "mamba": {"hidden_size": 16, "num_hidden_layers": 2},
        "lfm2": {
            **{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2},
            **{"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
        },
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=60, bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes[kind])
    model, prompt = AutoModelForCausalLM.from_config(config).eval(), [3, 1, 4, 1, 5]
    texts = [[n + 1, *range(n % 5)] for n in range(40)]
    for one in score(model, prompt, texts):
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([[*prompt, *one.ids]])).logits[0].float(), -1)
        plain = [float(logprobs[len(prompt) + at - 1, id_]) for at, id_ in enumerate(one.ids)]
        assert list(one.logprobs) == pytest.approx(plain, abs=1e-4)


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "policy")
    PolicyCard(name="mine", protocol="brief").save(tmp_path / "policy")
    return tmp_path / "policy"


def test_a_folder_without_what_a_policy_needs_is_refused_before_it_is_asked(folder):
    assert load_policy(folder).name == "mine"
    for file, said in (
        ("chat_template.jinja", "chat template"),
        ("tokenizer_config.json", "tokenizer_config.json"),
        ("config.json", "config.json"),
        ("model.safetensors", "no weights"),
    ):
        (folder / file).rename(folder / "away")
        with pytest.raises(SettingsError, match=said):
            load_policy(folder)
        (folder / "away").rename(folder / file)


def test_an_adapter_without_its_model_and_an_unknown_protocol_are_refused(folder, tmp_path):
    (folder / "config.json").rename(tmp_path / "config.json")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "base")}))
    with pytest.raises(SettingsError, match="is not there"):
        load_policy(folder)
    shutil.copytree(FOLDER, tmp_path / "base")
    was = weights_fingerprint(folder)
    (tmp_path / "base" / "model.safetensors").write_bytes(b"others")
    assert weights_fingerprint(folder) != was
    PolicyCard(name="mine", protocol="briefly").save(folder)
    with pytest.raises(SettingsError, match=r"policy\.json.*brief"):
        load_policy(folder)


def test_another_chat_template_is_another_tokenizer_wherever_it_is_kept(folder):
    was = tokenizer_fingerprint(folder)
    path = folder / "tokenizer_config.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "chat_template": "{{ messages }}"}))
    assert tokenizer_fingerprint(folder) != was
    path.write_text(json.dumps({**told, "note": "nothing"}))
    assert tokenizer_fingerprint(folder) == was
