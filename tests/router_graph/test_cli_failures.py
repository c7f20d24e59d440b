"""How a command ends that goes wrong: one sentence, an exit code that says whose fault it was, and no traceback unless
it is asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from router_graph import cli_init
from router_graph.cli import app

SECRET = "planted-canary-4711"


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`polyroute init` with a fault in it."""

    def fails(path: Path, text: str) -> None:
        raise KeyError(f"cellar {SECRET} sk-abcdefghijklmnopqrstuvwx")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_API_KEY", SECRET)
    monkeypatch.setattr(cli_init, "_write", fails)


def test_a_mistake_of_the_user_is_one_sentence_and_exit_code_1():
    result = run("runs", "list", "-r", "/nowhere")
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("polyroute: There is no /nowhere")


@pytest.mark.usefixtures("broken")
def test_a_fault_of_ours_is_one_sentence_too_and_exit_code_70():
    result = run("init")
    assert result.exit_code == 70
    (line,) = result.stderr.splitlines()
    assert line.startswith("polyroute: KeyError: 'cellar ") and "--debug" in line and "report it" in line


@pytest.mark.parametrize("how", [("--debug", "init"), ("init", "--debug"), ("init",)])
@pytest.mark.usefixtures("broken")
def test_the_traceback_comes_where_it_is_asked_for(how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    if "--debug" not in how:
        monkeypatch.setenv("POLYROUTE_DEBUG", "1")
    result = run(*how)
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr and "in fails" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("polyroute: KeyError")


@pytest.mark.usefixtures("broken")
def test_no_secret_stands_in_what_is_said():
    for args in (("init",), ("init", "--debug")):
        said = run(*args).output
        assert "[secret]" in said and SECRET not in said and "sk-abc" not in said


def test_a_word_that_follows_two_dashes_is_no_option():
    result = run("kb", "list", "--", "--debug")
    assert result.exit_code == 2 and "Traceback" not in result.output


def test_a_reader_who_leaves_is_no_news(tmp_path: Path):
    command = f"{sys.executable} -m router_graph.cli --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "" and done.stdout.strip() in ("0", "1")


def test_ctrl_c_ends_with_130(tmp_path: Path):
    command = [sys.executable, "-m", "router_graph.cli", "ask", "--file", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stderr is not None
        while "router_graph" not in Path(f"/proc/{process.pid}/cmdline").read_text():
            os.sched_yield()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)  # it reads its input
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        assert process.wait(10) == 130 and said == "Interrupted.\n"
