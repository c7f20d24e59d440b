"""The commands for real checkpoints, from a folder to a page, on tiny random models of the same classes."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from router_graph.cli import app
from support.moe_families import build
from support.tiny_routed import some_prompts, word_tokenizer


@pytest.mark.parametrize("family", ["olmoe", "qwen3_moe", "gpt_oss"])
def test_profile_and_report_run_on_a_folder_of_each_class_and_claim_nothing_of_a_random_model(tmp_path, family):
    torch.set_num_threads(1)
    folder = tmp_path / family
    build(family).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    for name, seed, last in (("target", 1, "w1"), ("other", 2, "w2")):
        (tmp_path / f"{name}.txt").write_text("\n".join(some_prompts(16, seed, last)))
    sets = (tmp_path / "target.txt", tmp_path / "other.txt")

    profiled = polyroute("profile", folder, *sets, "--out", tmp_path / "table.json")
    assert profiled.exit_code == 0, profiled.output
    rows = json.loads((tmp_path / "table.json").read_text())
    assert rows["model"]["type"] == family

    layer, expert = next(
        (int(line.split("|")[1]), int(line.split("|")[2]))
        for line in profiled.stdout.splitlines()
        if line.startswith("| ") and "layer" not in line
    )
    (tmp_path / "mask.json").write_text(json.dumps({"off": {str(layer): [expert]}}))
    page = tmp_path / "page.html"
    judged = polyroute(
        "report", folder, tmp_path / "mask.json", *sets, "--out", page, "--max-tokens", 3, "--judge", "regex:w3"
    )
    assert judged.exit_code == 0, judged.output
    assert "not localised" in judged.stdout
    assert "not localised" in page.read_text()


def polyroute(*args):
    return CliRunner().invoke(app, ["mote", *map(str, args)])
