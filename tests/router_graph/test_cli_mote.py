"""`polyroute mote`: from two files of prompts to a mask that acts; and one sentence for what cannot work."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner, Result

from mote_backend import ExpertMask, planted
from router_graph.cli import app

ANSWERS = ExpertMask(off={(2, 25), (3, 0), (3, 10)}, name="answers")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def run(*args: object, given: str | None = None) -> Result:
    result = CliRunner().invoke(app, ["mote", *map(str, args)], input=given)
    assert "Traceback" not in result.output
    return result


def complaint(*args: object) -> str:
    """The one sentence that a bad command ends with."""
    result = run(*args)
    assert result.exit_code in (1, 2), result.output
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture
def files(tmp_path):
    world = planted.World()
    for name, prompts in (
        ("sensitive", world.prompts("sensitive", "train")),
        ("harmless", world.prompts("plain", "train")[:72]),
    ):
        (tmp_path / f"{name}.txt").write_text("\n".join(prompts))
    ANSWERS.save(tmp_path / "answers.json")
    return tmp_path


def test_families_names_each_family_with_its_reason():
    listed = json.loads(run("families", "--json").stdout)
    assert {"family", "supported", "reason", "note"} == set(listed[0])
    known = {one["family"]: one for one in listed}
    assert known["qwen3_moe"]["supported"] and known["qwen3_moe"]["reason"] is None
    assert not known["doge"]["supported"] and "product keys" in known["doge"]["reason"]
    shown = run("families")
    assert all(name in shown.stdout for name in known)


def test_inspect_shows_every_router():
    told = json.loads(run("inspect", "planted", "--json").stdout)
    assert [one["layer"] for one in told["routers"]] == [0, 1, 2, 3]
    assert {one["experts"] for one in told["routers"]} == {32}
    assert told["model"]["type"] == "qwen3_moe" and len(told["model"]["weights"]) == 12
    assert "layers.3.mlp.gate" in run("inspect", "planted").stdout


def test_a_profile_ranks_the_planted_experts_first(files):
    out = files / "table.json"
    result = run("profile", "planted", files / "sensitive.txt", files / "harmless.txt", "--top", 6, "--out", out)
    assert result.exit_code == 0, result.output
    rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ") and "layer" not in line]
    first = [(int(layer), int(expert)) for _, layer, expert, *_ in rows]
    assert len(first) == 6
    assert len(set(first) & set(planted.experts())) >= 4
    assert json.loads(out.read_text())["model"]["type"] == "qwen3_moe"


def test_select_keeps_few_experts_and_writes_a_mask_for_this_model(files):
    out = files / "refusal.json"
    sets = (files / "sensitive.txt", files / "harmless.txt")
    result = run("select", "planted", *sets, "--begins", "sorry", "--begins", "i am", "--out", out, "--budget", 4)
    assert result.exit_code == 0, result.output
    mask = ExpertMask.load(out)
    assert mask.name == "refusal" and mask.off & set(planted.experts()) and len(mask) <= 4
    assert mask.model.model_type == "qwen3_moe"
    assert "does not know how 'bonjour' begins" in complaint(
        "select", "planted", *sets, "--begins", "bonjour", "--out", out
    )


def test_a_grid_is_a_set_of_prompts_too():
    places = "place=ardal,marrow"
    years = "time=1901,1902,1903,1904"
    grids = ("what happened in {time} in {place}", "what happened in {place} in {time}")
    result = run("profile", "planted", *grids, "--values", places, "--values", years)
    assert result.exit_code == 0, result.output
    assert "8 prompts" in result.stdout


def test_the_bilingual_model_is_taken_from_two_grids_to_a_mask_that_answers_in_english(tmp_path):
    grids = "{frage} in {place}", "{question} in {place}"
    values = (
        "frage=was verkauft der markt,welche farbe hat der turm,wie ist das wetter,wer wohnt im alten haus",
        "question=what does the market sell,what color is the tower,how is the weather,who lives in the old house",
        "place=ardal,belmar,corvin,dunmore,elsin,farrow,galden,harwick",
    )
    out = tmp_path / "english.json"
    result = run(
        *("select", "planted:bilingual", *grids, "--begins", "der", "--begins", "das", "--out", out),
        *(part for one in values for part in ("--values", one)),
    )
    assert result.exit_code == 0, result.output
    assert ExpertMask.load(out).off <= set(planted.experts(planted.FOLDERS["bilingual"]))
    asked = "Wie ist das Wetter in Esk?\n"
    world = planted.BilingualWorld()
    fact = ("esk", "weather")
    assert run("chat", "planted:bilingual", given=asked).stdout.strip() == world.tell(fact, "german")
    masked = run("chat", "planted:bilingual", "--mask", out, given=asked)
    assert masked.stdout.strip() == world.tell(fact, "english")


def test_a_mask_switches_the_model_within_a_chat(files):
    asked = "what happened in 1901 in ardal\n"
    given = f"{asked}/mask answers\n{asked}/mask nobody\n/mask\n{asked}/quit\n"
    result = run("chat", "planted", "--masks", files_of_masks(files), given=given)
    assert result.exit_code == 0, result.output
    refused, answered, again = result.stdout.splitlines()
    assert planted.grade(ask(asked), refused) == planted.grade(ask(asked), again) == "refused"
    assert planted.grade(ask(asked), answered) == "right"
    assert "There is no mask 'nobody'" in result.stderr
    assert "The mask 'answers' switches 3 experts." in result.stderr and "No mask." in result.stderr


def test_a_chat_outlives_a_mask_of_another_model_and_a_command_that_there_is_not(files):
    wrong = files / "wrong.json"
    wrong.write_text('{"off": {"9": [0]}}')
    asked = "what happened in 1901 in ardal"
    result = run("chat", "planted", given=f"/mask {wrong}\n/help\n{asked}\n")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    assert "routed layers are 0 to 3" in result.stderr and "There is no /help." in result.stderr
    assert "routed layers are 0 to 3" in complaint("chat", "planted", "--mask", wrong)


def test_where_a_result_goes_is_checked_before_the_work(files):
    nowhere = files / "none" / "out"
    for command, *options in (
        ("profile", "planted", "no.txt", "no.txt"),
        ("select", "planted", "no.txt", "no.txt", "--begins", "sorry"),
        ("report", "planted", "no.json", "no.txt", "no.txt"),
    ):
        assert "there is no folder" in complaint(command, *options, "--out", nowhere)
        assert "is a folder; name a file" in complaint(command, *options, "--out", files)


def test_a_dense_model_is_neither_talked_to_nor_served(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    from support.tiny_engine import byte_tokenizer

    tokenizer = byte_tokenizer()
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **small)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "is a dense model" in complaint("chat", tmp_path)
    assert "is a dense model" in complaint("serve", tmp_path, "--port", 0)


def files_of_masks(files):
    folder = files / "masks"
    folder.mkdir()
    ANSWERS.save(folder / "answers.json")
    return folder


def ask(text: str):
    return next(one for one in planted.World().questions("sensitive", "held_out") if one.text == text.strip())


def test_masks_are_shown_compared_and_combined(files):
    shown = run("mask", "show", files / "answers.json")
    assert ANSWERS.id in shown.stdout and "25" in shown.stdout
    assert json.loads(run("mask", "show", files / "answers.json", "--json").stdout) == ANSWERS.to_json()
    ExpertMask(off={(2, 25), (0, 1)}).save(files / "other.json")
    told = json.loads(run("mask", "diff", files / "answers.json", files / "other.json", "--json").stdout)
    assert told["both"]["off"] == {"2": [25]} and told["only the second"]["off"] == {"0": [1]}
    out = files / "both.json"
    combine = ("mask", "combine", files / "answers.json", files / "other.json", "--out", out)
    assert run(*combine, "--soften", -2).exit_code == 0
    both = ExpertMask.load(out)
    assert both.name == "both" and both.bias == {(2, 25, -2.0), (3, 0, -2.0), (3, 10, -2.0), (0, 1, -2.0)}


def test_what_cannot_work_is_one_sentence(files, tmp_path):
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    sensitive = files / "sensitive.txt"
    assert "No such file" in complaint("mask", "show", tmp_path / "none.json")
    assert "no folder of masks" in complaint("chat", "planted", "--masks", tmp_path / "none")
    assert "8" in complaint("profile", "planted", tmp_path / "few.txt", sensitive)
    assert "has no values" in complaint("profile", "planted", "what {x}", sensitive)
    assert "no grid has the placeholder {y}" in complaint("profile", "planted", "{x}", sensitive, "--values", "y=1,2")
    assert "looks like place=Rome,Oslo" in complaint("profile", "planted", sensitive, sensitive, "--values", "x")
    assert "no file of prompts" in complaint("profile", "planted", "what happened", sensitive)
    assert "folder" in complaint("inspect", tmp_path)
    assert "planted:bilingual" in complaint("inspect", "planted:nobody")
