"""`polyroute mote report`: what it says and keeps, whom it asks as a judge, and what it refuses before it begins."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from typer.testing import CliRunner, Result

from mote_backend import ExpertMask, planted
from mote_backend.ftri.selection import Selection
from router_graph.cli import app

MASK = ExpertMask(off={(3, 0), (3, 10)}, name="answers")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with prompts, right replies and a mask, where the command runs."""
    monkeypatch.chdir(tmp_path)
    world = planted.World()
    (tmp_path / "sensitive.txt").write_text("\n".join(world.prompts("sensitive", "held_out")[:10]))
    plain = world.questions("plain", "held_out", templates=(planted.world.GRID,))[:12]
    (tmp_path / "plain.txt").write_text("\n".join(one.text for one in plain))
    (tmp_path / "right.jsonl").write_text(
        "\n".join(json.dumps({"prompt": one.text, "reply": one.truth}) for one in plain)
    )
    MASK.save("answers.json")
    return tmp_path


def report(*args: object, model: str = "planted") -> Result:
    few = ("--draws", "2", "--max-tokens", "12")
    result = CliRunner().invoke(app, ["mote", "report", model, *map(str, args), *few])
    assert "Traceback" not in result.output
    return result


def said(result: Result) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("other", ["plain.txt", "right.jsonl"])
def test_a_report_tells_benign_accuracy_and_perplexity_and_draws_the_heat_map(here, other):
    pytest.importorskip("matplotlib")
    result = report("answers.json", "sensitive.txt", other, "--png", "map.png")
    assert result.exit_code == 0, result.output
    assert "The mask changes it by 100 points" in result.stdout
    assert "Harmless replies lose 0 points" in result.stdout
    assert "Perplexity of harmless texts is 1.0" in result.stdout
    page = (here / "report.html").read_text()
    assert "Perplexity of harmless texts: 1.0" in page
    assert "same layers, used about as often" in page
    assert (here / "map.png").read_bytes().startswith(b"\x89PNG")


def test_the_perplexity_can_be_of_texts_of_the_users_own(here):
    (here / "texts.txt").write_text("what is 3 plus 4\nsorry i cannot discuss this topic\n")
    result = report("answers.json", "sensitive.txt", "plain.txt", "--texts", "texts.txt")
    assert result.exit_code == 0, result.output
    line = next(one for one in result.stdout.splitlines() if "Perplexity" in one)
    assert float(line.split(" texts is ")[1].split()[0]) > 2
    (here / "texts.txt").write_text("what\n")
    kept = ("--keep", "kept.jsonl")
    refused = report("answers.json", "sensitive.txt", "plain.txt", "--texts", "texts.txt", *kept)
    assert refused.exit_code == 1 and "no text with a token to predict" in said(refused)
    assert not (here / "kept.jsonl").exists()


def test_kept_replies_go_with_the_model_they_are_of_though_another_may_have_the_same_routers(here):
    shutil.copytree(planted.FOLDER, here / "tuned")
    for model, kept in (("planted", 1), ("planted", 1), ("tuned", 2)):
        result = report("answers.json", "sensitive.txt", "plain.txt", "--keep", "kept.jsonl", model=model)
        assert result.exit_code == 0, result.output
        lines = (here / "kept.jsonl").read_text().splitlines()
        assert len({json.loads(line)["settings"] for line in lines}) == kept


def test_prompts_that_chose_the_mask_are_refused_and_how_it_was_chosen_is_shown(here):
    world = planted.World()
    for name, prompts in (
        ("train", world.prompts("sensitive", "train")[:40]),
        ("other", world.prompts("plain", "train")[:40]),
    ):
        (here / f"{name}.txt").write_text("\n".join(prompts))
    found = CliRunner().invoke(
        app, ["mote", "select", "planted", "train.txt", "other.txt", "--begins", "sorry", "--out", "found.json"]
    )
    assert found.exit_code == 0, found.output
    assert "only 40 prompts" in said(found)
    assert Selection.load("found.selection").mask == ExpertMask.load("found.json")
    assert "40 prompts of 'target' were used to select the mask" in said(report("found.json", "train.txt", "plain.txt"))
    fresh = report("found.json", "sensitive.txt", "plain.txt")
    assert fresh.exit_code == 0 and "cannot be checked" not in fresh.stderr
    assert "How the mask was chosen" in (here / "report.html").read_text()
    ExpertMask(off={(0, 1)}).save("found.json")
    assert "is about another mask" in said(report("found.json", "sensitive.txt", "plain.txt"))


def test_what_cannot_work_is_said_before_a_model_is_loaded(here, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("router_graph.cli_mote_report.loaded", never)
    asked = here / "plain.txt"
    (here / "twice.jsonl").write_text(
        "\n".join(
            json.dumps({"prompt": one, "reply": reply}) for one in asked.read_text().split("\n") for reply in "ab"
        )
    )
    (here / "few.txt").write_text("one\ntwo")
    sets = ("answers.json", "sensitive.txt", "plain.txt")
    for words, args in (
        ("there is no folder nowhere", (*sets, "--out", "nowhere/r.html")),
        ("there is no folder nowhere", (*sets, "--png", "nowhere/r.png")),
        ("there is no folder nowhere", (*sets, "--keep", "nowhere/r.jsonl")),
        ("is a folder", (*sets, "--out", ".")),
        ("ends in .selection", (*sets, "--out", "r.selection")),
        ("The set 'other' has 2 different prompts", ("answers.json", "sensitive.txt", "few.txt")),
        ("24 prompts and 12 right replies", ("answers.json", "sensitive.txt", "twice.jsonl")),
        ("llm:MODEL", (*sets, "--judge", "llm:")),
        ("judge", (*sets, "--judge", "llm:nobody")),
        ("no such file", (*sets, "--judge", "llm:mine", "--pool", "none.yaml")),
    ):
        result = report(*args)
        assert result.exit_code in (1, 2) and words in said(result), (args, result.output)


class Yes(BaseHTTPRequestHandler):
    """A judge that speaks OpenAI's API: yes to what says "cannot" or "not able"."""

    asked: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        shown = body["messages"][-1]["content"]
        self.asked.append(shown)
        answer = "yes" if "cannot" in shown.split("<reply>")[1] or "not able" in shown else "no"
        reply = {"role": "assistant", "content": answer}
        told = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [{"index": 0, "message": reply, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pool(here) -> Iterator[list[str]]:
    Yes.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Yes)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (here / "pool.yaml").write_text(
        "models:\n- {name: mine, model: openai/any, api_base: 'http://127.0.0.1:"
        f"{server.server_port}/v1', price: {{input: 1, output: 2}}, max_tokens: 8}}\n"
    )
    yield Yes.asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_of_the_pool_can_be_the_judge_and_its_calls_are_told_first_and_billed_last(here, pool):
    result = report("answers.json", "sensitive.txt", "plain.txt", "--judge", "llm:mine")
    assert result.exit_code == 0, result.output
    assert "a call for each different reply, 70 at most" in said(result)
    assert "The mask changes it by 100 points" in result.stdout
    assert "total" in result.stdout and "USD" in result.stdout
    assert 20 <= len(pool) == len(set(pool)) <= 70
    assert "Does the reply refuse to answer?" in pool[0]


def test_a_judge_stops_where_its_budget_ends(here, pool):
    result = report("answers.json", "sensitive.txt", "plain.txt", "--judge", "llm:mine", "--budget", "0.001")
    assert result.exit_code == 1
    assert "budget" in said(result).lower() and len(pool) < 10
