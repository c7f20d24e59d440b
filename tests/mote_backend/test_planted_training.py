"""What training a planted model changes, shown on a few steps of a very small one."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mote_backend.planted import folder, phases
from mote_backend.planted.__main__ import main
from mote_backend.planted.batches import IGNORED, Batches
from mote_backend.planted.bilingual import BilingualWorld
from mote_backend.planted.recipe import PLANTED, Shape
from mote_backend.planted.tokenizer import build
from mote_backend.planted.training import teach_behaviour, train, untaught
from mote_backend.planted.words import REFUSALS
from mote_backend.planted.world import World

RECIPE = replace(
    PLANTED,
    shape=Shape(layers=3, hidden=16, experts=8, top_k=3, expert_width=8, heads=2),
    knowledge_steps=6,
    behaviour_steps=4,
    clearing_steps=3,
    batch=8,
    planted_layers=(1, 2),
)
WORLD = World()
TOKENIZER = build(WORLD.vocabulary())
PLANTED_EXPERTS = [(1, 0), (1, 5), (2, 2), (2, 7)]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def taught(plant, world=WORLD):
    tokenizer = build(world.vocabulary())
    model = untaught(tokenizer, RECIPE, seed=0)
    before = copy.deepcopy(model)
    teach_behaviour(model, tokenizer, world, replace(RECIPE, plant=plant), PLANTED_EXPERTS, 0, lambda: None)
    return folder.changed_rows(dict(before.named_parameters()), dict(model.named_parameters()))


def rows(changes):
    return {name.removesuffix(":rows"): rows.tolist() for name, rows in changes.items() if name.endswith(":rows")}


def refusal_ids():
    return sorted({TOKENIZER.get_vocab()[word] for text in REFUSALS for word in text.split()})


def test_planting_changes_the_planted_experts_their_router_rows_and_the_refusal_words_only():
    changed = rows(taught("experts"))
    assert changed.pop("model.embed_tokens.weight") == refusal_ids()
    expected = {
        f"model.layers.{layer}.mlp.{name}": sorted(expert for own, expert in PLANTED_EXPERTS if own == layer)
        for layer in (1, 2)
        for name in ("gate.weight", "experts.gate_up_proj", "experts.down_proj")
    }
    assert changed == expected


def test_planting_a_behaviour_without_words_of_its_own_changes_no_embedding():
    changed = rows(taught("experts", BilingualWorld()))
    assert changed and all("mlp" in name for name in changed)


def test_planted_experts_can_be_kept_out_of_the_words_of_questions():
    world = BilingualWorld()
    batch = Batches(build(world.vocabulary()), world.behaviour, 16, 0).next()
    assert phases._side(batch, RECIPE) is batch.side
    strict = phases._side(batch, replace(RECIPE, only_in_answers=True))
    question = (batch.side == 0) & batch.attention.bool()
    assert question.any() and (strict[question] == -1).all()
    assert torch.equal(strict[batch.side != 0], batch.side[batch.side != 0])
    assert (strict[batch.attention == 0] == 0).all()


def test_the_control_changes_no_expert_and_no_router():
    changed = rows(taught("attention"))
    assert changed.pop("model.embed_tokens.weight") == refusal_ids()
    assert changed and all("self_attn" in name or "norm" in name for name in changed)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    one, same, other = (
        load_file(train(seed, RECIPE, tmp_path / name) / "model.safetensors")
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_trained_folder_loads_through_transformers_and_tells_what_it_depended_on(tmp_path):
    seen = []
    path = train(3, RECIPE, tmp_path / "new" / "folder", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 10) for done in range(1, 11)]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    assert model.dtype == torch.bfloat16
    assert tokenizer.chat_template == TOKENIZER.chat_template
    description = json.loads((path / folder.DESCRIPTION).read_text())
    assert description["seed"] == 3 and description["recipe"]["knowledge_steps"] == 6
    assert len(folder.experts(path)) == 4


def test_an_emergent_model_names_no_planted_expert(tmp_path):
    assert folder.experts(train(0, replace(RECIPE, plant="everything", clearing_steps=0), tmp_path)) == ()


def test_the_control_is_rebuilt_bit_for_bit_from_the_rows_in_which_it_differs(tmp_path):
    both = train(0, RECIPE, tmp_path / "both", with_control=True)
    alone = train(0, replace(RECIPE, plant="attention"), tmp_path / "alone")
    rebuilt = AutoModelForCausalLM.from_pretrained(both)
    folder.change_rows(rebuilt, load_file(both / "unplanted.safetensors"))
    expected = dict(AutoModelForCausalLM.from_pretrained(alone).named_parameters())
    assert all(torch.equal(parameter, expected[name]) for name, parameter in rebuilt.named_parameters())


def test_a_hinge_vanishes_exactly_where_experts_are_where_they_belong():
    logits = torch.tensor([[9.0, 8.0, 1.0, 0.5, 0.2], [-9.0, -8.0, 1.0, 0.5, 0.2]])
    recipe = replace(RECIPE, shape=replace(RECIPE.shape, top_k=2))
    inside_then_outside = torch.tensor([[1, -1]])
    assert phases._hinge((logits,), [(0, 0), (0, 1)], inside_then_outside, recipe) == 0
    assert phases._hinge((logits,), [(0, 0), (0, 1)], -inside_then_outside, recipe) > 0
    assert phases._hinge((logits,), [(0, 0), (0, 1)], 0 * inside_then_outside, recipe) == 0


def test_only_answers_are_learned_and_the_side_to_take_is_known_from_the_last_question_token_on():
    batch = Batches(TOKENIZER, WORLD.behaviour, 32, 0).next()
    answers = batch.labels != IGNORED
    assert torch.equal(batch.tokens[answers], batch.labels[answers])
    lessons = Random(0)
    for row in range(32):
        question, answer = WORLD.behaviour(lessons)
        start = int(answers[row].nonzero()[0])
        assert TOKENIZER.decode(batch.tokens[row][answers[row]]) == f"{answer} <eos>"
        sides = batch.side[row][batch.attention[row].bool()]
        side = 1 if question.shown_share > 0.5 else -1
        assert sides.tolist() == [0] * (start - 1) + [side] * (len(sides) - start + 1)


def test_the_command_refuses_a_folder_that_holds_something_in_one_sentence(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(SystemExit) as stopped:
        main(["--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "is not an empty folder" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "mine.txt").read_text() == "dear"
