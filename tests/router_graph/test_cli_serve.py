"""`polyroute serve` as a command: what it prints can be pasted, and what cannot be served is said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from router_graph.settings import VARIABLES
from support.handbook import QUESTION, make_shelf, run
from support.served_router import ANSWER

READY_S = 15.0
"""Seconds: 3 on a machine that does nothing else, which no test suite runs on."""


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "POLYROUTE_CONFIG", "POLYROUTE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_what_it_prints_can_be_pasted_and_ctrl_c_ends_it(tmp_path, monkeypatch, capsys):
    make_shelf(tmp_path / "kb")
    monkeypatch.setenv("MY_TOKEN", "secret words")
    command = [sys.executable, "-m", "router_graph.cli", "serve", "-C", "kb", "--port", "0", "--token-env", "MY_TOKEN"]
    began = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            said = ""
            while "print(" not in said:
                said += server.stderr.readline()
            assert time.monotonic() - began < READY_S
            assert "secret words" not in said
            shell, python = said[said.index("curl") :].replace("Which moon has an ocean?", QUESTION).split("\n\n", 1)
            told = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=True).stdout
            assert json.loads(told)["choices"][0]["message"]["content"] == ANSWER
            exec(python, {})
            assert capsys.readouterr().out == f"{ANSWER} 0.01\n"
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 130
            assert "Traceback" not in server.stderr.read()
        finally:
            server.kill()


def test_what_cannot_be_served_is_said_in_a_sentence(tmp_path, monkeypatch):
    make_shelf(tmp_path / "kb")
    monkeypatch.setenv("POLYROUTE_KB", "kb")
    assert "set a token (POLYROUTE_TOKEN" in run("serve", "--host", "0.0.0.0", code=1).stderr
    assert "--token-env names NOBODY, which is not set" in run("serve", "--token-env", "NOBODY", code=1).stderr
    assert "There is no policy 'nobody'" in run("serve", "--offer", "nobody", "--port", "0", code=1).stderr
    assert "--max-runs" in run("serve", "--max-runs", "0", code=2).stderr
