"""What `polyroute ask` does to a terminal: nothing that it prints can steer it, and Ctrl-C ends it in good order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_graph import cli_ask_print
from router_graph.cli_ask_story import Story
from router_graph.cli_loop import command_loop
from router_graph.settings import VARIABLES
from support.handbook import ABOUT_THE_SKY, HOSTILE, QUESTION, STEERS, make_shelf, run

POLYROUTE = Path(sys.executable).with_name("polyroute")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_shelf(folder)
    return folder


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shelf: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    Path("router.yaml").write_text(f"knowledge: {shelf}\n")


def test_what_documents_and_models_say_cannot_steer_the_terminal():
    for args in (["ask", "--why"], ["ask", "-q"], ["ask", "--json"], ["preview"]):
        result = run(*args, f"{ABOUT_THE_SKY} {HOSTILE}", "--policy", "kb:hostile")
        assert not STEERS.search(result.output), args
    shown = run("ask", ABOUT_THE_SKY, "--policy", "kb:hostile")
    assert "\\x1b[31mred\\x1b[0m [bold]loud[/bold]" in shown.stderr
    assert "[hostile:a]\\x1b[2J]" in shown.stdout or "[hostile:" not in shown.stdout


_any = st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE)), max_size=60)
_observations = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ok", "empty", "failed", "declined"]),
        "text": _any,
        "hits": st.lists(st.fixed_dictionaries({"title": _any, "doc_id": _any, "kb": _any}), max_size=5),
        "served": _any,
        "usd": st.floats(0, 1),
        "seconds": st.floats(0, 9),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(thought=_any, query=_any, key=_any, observation=_observations)
def test_whatever_an_event_holds_its_lines_are_plain(capsys, thought, query, key, observation):
    story = Story()
    decision = {"usd": 0.0, "policy": key}
    actions = [
        {"kind": "kb", "kb": key, "query": query, "linked": key},
        {"kind": "note", "text": query},
        {"kind": "malformed", "problem": query},
    ]
    story.tell({"type": "decision", "number": 1, "thought": thought, "actions": actions, "decision": decision})
    story.tell({"type": "observation", "target": key, "observation": observation})
    story.tell({"type": "problem", "text": query})
    cli_ask_print.print_answer(
        {"answer": query, "stop_reason": "answered", "citations": [{"kb": key, "doc_id": key, "title": thought}]}
    )
    out, err = capsys.readouterr()
    assert not STEERS.search(out + err)
    assert len(err.splitlines()) == 6


def test_in_a_terminal_the_answer_is_framed_and_no_line_is_wider(shelf: Path):
    env = {**os.environ, "COLUMNS": "50", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0", "NO_COLOR": "1"}
    command = [str(POLYROUTE), "ask", QUESTION, "--only", "kb:handbook"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    panel = done.stdout.splitlines()[:3]
    assert panel[0].startswith("╭─ Answer ─")
    assert "30" in panel[1]
    assert max(map(len, panel)) <= 50


def test_ctrl_c_ends_a_run_with_one_word_and_130_and_keeps_what_was_answered():
    Path("q.txt").write_text(f"{QUESTION}\n" * 20_000)
    command, out = [str(POLYROUTE), "ask", "--file", "q.txt"], Path("out.jsonl")
    with out.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not out.stat().st_size:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert err == "Interrupted.\n"
    assert all("30" in json.loads(line)["answer"] for line in out.read_text().splitlines())


def test_an_interrupt_cancels_where_work_waits_whatever_handler_was_there():
    def raise_at_once(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    seen: list[str] = []

    async def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)
        seen.append("not torn")
        await wait("the interrupted")

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append(name)
            raise

    async def both() -> None:
        await asyncio.gather(wait("the other"), interrupted())

    before = signal.signal(signal.SIGINT, raise_at_once)
    try:
        with pytest.raises(KeyboardInterrupt), command_loop() as loop:
            loop.run(both())
        assert signal.getsignal(signal.SIGINT) is raise_at_once
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(seen) == ["not torn", "the interrupted", "the other"]


def test_help_of_every_command_loads_no_graph():
    code = (
        "import sys; from typer.testing import CliRunner; from router_graph.cli import app\n"
        "for name in ('ask', 'chat', 'preview', 'graph', 'init'):\n"
        "    assert CliRunner().invoke(app, [name, '--help']).exit_code == 0\n"
        "print([name for name in ('langgraph', 'langchain_core', 'pydantic', 'chromadb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert not {"langgraph", "langchain_core", "chromadb"} & set(eval(done.stdout))


def test_a_reader_of_many_answers_who_leaves_early_sees_no_traceback():
    """As in `polyroute ask --file questions.txt | head -1`."""
    Path("questions.txt").write_text("\n".join(f"{QUESTION} {n}" for n in range(30)))
    with subprocess.Popen(
        [POLYROUTE, "ask", "--file", "questions.txt", "--parallel", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["answer"]
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert said == ""


def test_a_disk_that_takes_no_more_answers_is_one_sentence():
    Path("questions.txt").write_text("one\ntwo\n")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [POLYROUTE, "ask", "-f", "questions.txt"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "polyroute: No space left on device.\n"
