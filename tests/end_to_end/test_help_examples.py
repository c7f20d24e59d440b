"""Each command's --help ends with an example, and each example works when pasted: all are run here, as one story.

The folder is a newcomer's: the repository's `examples/`, and what the examples before have left in it. What no example
makes is put in where the story needs it: a toy base model, labels, and a pool file of a model on loopback.
"""

from __future__ import annotations

import itertools
import os
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from router_graph.cli import app
from router_graph.trajectories.labels import LabelWriter
from router_graph.trajectories.reader import read_runs
from support.model_server import ModelServer

ROOT = Path(__file__).resolve().parents[2]

STORY = {
    "knowledge": "kb add, kb list, kb show, kb search, kb sql, kb check",
    "asking": "init, ask, preview, graph, chat, eval, doctor",
    "models": "pool list, pool show, pool test, pool probe",
    "runs": "runs list, runs show, runs stats, runs check, runs compact, runs export",
    "without weights": "train reward, train handbook, train knn, train gate, train ope",
    "weights": "train build, train rft, train awr, train dpo, train kto, train sft, train report",
    "sampling": "train offline-grpo, train step-grpo, train router-r1",
    "words": "train reflect",
    "experts": "mote families, mote inspect, mote mask show, mote chat, mote profile, mote select",
    "masks": "mote report, mote mask diff, mote mask combine",
    "servers": "mote serve, serve, runs view",
    "others": "",
    "the end": "kb remove",
}
"""Chapters, and the commands whose examples are run in them, in order. Those that nobody named are `others`."""

SERVERS = STORY["servers"].split(", ")
"""They are run until they say their address, and are then interrupted."""

SMALL = {
    "polyroute train rft runs --model base --out policy": ["trl.max_steps=1", "data.most_tokens=900"],
    "polyroute mote select": ["--prompts", "4", "--budget", "4"],
    "polyroute mote report": ["--draws", "1", "--max-tokens", "16"],
    "--policy local:policy": ["--max-steps", "2"],
    "--out policy-": ["--dry-run"],
    "polyroute runs view": ["--no-browser"],
}
"""What is added to examples that take long, by what stands in them; and which are not carried out to the end."""


def commands() -> dict[str, Any]:
    """Each command, by its path as in `kb add`."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield " ".join(path), command
        for name, one in (inner or {}).items():
            yield from walk(one, (*path, name))

    return dict(walk(typer.main.get_command(app), ()))


COMMANDS = commands()


def chapter(name: str) -> list[str]:
    """The commands of a chapter; the example of one that is not there yet is not missed."""
    if name != "others":
        return [one for one in STORY[name].split(", ") if one in COMMANDS]
    told = {one for listed in STORY.values() for one in listed.split(", ")}
    return [one for one in COMMANDS if one not in told]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the story takes place."""
    there = tmp_path_factory.mktemp("newcomer")
    (there / "examples").symlink_to(ROOT / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(there)
        for name in [one for one in os.environ if one.startswith("POLYROUTE_") and one != "POLYROUTE_CACHE"]:
            patch.delenv(name)
        yield there


@pytest.mark.parametrize("name", STORY)
def test_the_examples_of_help_work_when_pasted(name: str, folder: Path):
    if name == "weights":
        runpy.run_path(str(ROOT / "examples" / "toy_base.py"))["main"]("runs", "base")
        label(folder / "runs")
    with ModelServer() as server:
        if name == "words":
            write_pool(folder, server)
        for path in chapter(name):
            for example in COMMANDS[path].examples:
                if path in SERVERS and f"polyroute {path} " in f"{example} ":
                    serve(example)
                else:
                    paste(example)


def test_each_command_has_an_example_of_its_own():
    lacking = [path for path, one in COMMANDS.items() if not any(f"polyroute {path}" in said for said in examples(one))]
    assert not lacking, (
        f"Without an example in --help: {', '.join(lacking)}. Let the docstring have a paragraph that begins with "
        "`polyroute COMMAND`, which works when pasted (cls=PlainCommand prints it last), and name it in STORY."
    )


def test_examples_stand_last_in_the_help_and_no_width_breaks_them(monkeypatch: pytest.MonkeyPatch):
    for columns, paths in (("40", list(COMMANDS)[::4]), ("80", list(COMMANDS)[::15])):
        monkeypatch.setenv("COLUMNS", columns)
        for path in paths:
            command = COMMANDS[path]
            said = CliRunner().invoke(app, [*path.split(), "--help"]).stdout
            shown = said.rpartition("Example:\n")[2].splitlines()
            assert [line[3:] for line in shown if line] == "\n".join(examples(command)).splitlines(), path


def examples(command: Any) -> list[str]:
    return getattr(command, "examples", [])


def paste(example: str) -> None:
    """Run it in this process; it ends well, and shows no traceback."""
    given, args = taken_apart(example)
    result = CliRunner().invoke(app, args, input=given)
    assert result.exit_code == 0, f"{shlex.join(['polyroute', *args])}\n{result.output[-2000:]}"
    assert "Traceback" not in result.output


def serve(example: str) -> None:
    """Run it in a process until it says where it listens, and interrupt it."""
    _, args = taken_apart(example)
    command = [sys.executable, "-m", "router_graph.cli", *args, *([] if "--port" in args else ["--port", "0"])]
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "http://127.0.0.1" in line or "http://localhost" in line:
                process.send_signal(signal.SIGINT)
                break
        said += process.stdout.read()
        assert process.wait(20) in (0, 130), said
        assert "Traceback" not in said


def taken_apart(example: str) -> tuple[str | None, list[str]]:
    """What is piped in, and the arguments, with those of `SMALL`."""
    before, _, command = example.replace("\\\n", " ").rpartition(" | polyroute ")
    given = "".join(f"{one}\n" for one in shlex.split(before)[1:]) if before else None
    args = shlex.split(command if before else command.removeprefix("polyroute "))
    if "--policy local:policy" in command:  # a model that writes 256 tokens a step
        args = [str(few_questions()) if one == "examples/questions.jsonl" else one for one in args]
    added = [more for said, words in SMALL.items() if said in example for more in words]
    return given, [*args, *added]


def label(log: Path) -> None:
    """What a person says in the viewer: of ten runs, whom else their first step should have asked."""
    writer = LabelWriter(log)
    for run in itertools.islice(read_runs(log), 10):
        asked = {action.get("kb") for action in run.steps[0].step["actions"]}
        other = next(name for name in ("tables", "articles", "pictures", "") if name not in asked)
        better = {"kind": "kb", "kb": other, "query": run.question} if other else {"kind": "answer", "text": "None."}
        writer.give(run.run_id, 1, "better", better=better)


def few_questions() -> Path:
    """The first of the examples' questions."""
    lines = Path("examples/questions.jsonl").read_text().splitlines(keepends=True)
    Path("few.jsonl").write_text("".join(lines[:12]))
    return Path("few.jsonl")


def write_pool(folder: Path, server: ModelServer) -> None:
    """A pool whose model is on loopback, as a newcomer has it after reading `polyroute pool --help`."""
    (folder / "pool.yaml").write_text(
        f"models:\n  - {{name: fast, model: openai/good-n42, api_base: '{server.url}', price: free, context: 100000}}\n"
    )
