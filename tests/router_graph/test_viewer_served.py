"""The viewer over real HTTP: news of a log that grows in another process's hands, and `polyroute runs view`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import typer
import uvicorn
from typer.testing import CliRunner

from router_graph import cli_runs, cli_runs_view
from router_graph.cli import Sentences
from router_graph.trajectories.shards import encode
from router_graph.viewer import index
from router_graph.viewer.app import viewer_app
from support.run_logs import SAY, began, decided, ended, whole_run, write

runs_app = typer.Typer(cls=Sentences, pretty_exceptions_enable=False)
runs_app.add_typer(cli_runs.app, name="runs")


class Listener:
    """One who reads `api/live`."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.request("GET", "/api/live")
        self._reply = self._connection.getresponse()
        assert self._reply.headers["content-type"].startswith("text/event-stream")

    def next(self, name: str = "changed") -> Any:
        """The data of the next event of this name."""
        while True:
            event = {"event": b"", "data": b""}
            while raw := self._reply.readline().rstrip(b"\n"):
                key, _, value = raw.partition(b": ")
                event[key.decode()] = value
            if event["event"].decode() == name:
                return json.loads(event["data"])

    def close(self) -> None:
        self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._reply.close()
        self._connection.close()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, int, Any]]:
    """A folder, the port, and the application."""
    monkeypatch.setattr(index, "TICK_S", 0.05)
    pages = viewer_app(tmp_path / "log", cache=tmp_path / "index.sqlite")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(pages, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield tmp_path / "log", listener.getsockname()[1], pages
    server.should_exit = True
    thread.join()


def test_each_listener_hears_of_a_run_while_it_is_going_on(served: tuple[Path, int, Any]):
    log, port, pages = served
    listeners = [Listener(port) for _ in range(2)]
    assert [one.next("indexing") for one in listeners] == [None, None]
    path = write(log, [began("a", 1)])
    assert [one.next() for one in listeners] == [{"runs": ["a"], "all": False, "total": 1}] * 2
    with path.open("ab") as file:
        file.write(encode(decided("a", 1, 2, actions=[SAY])) + encode(ended("a", 3)))
    assert listeners[0].next()["runs"] == ["a"]
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/runs?filter=status=ended")
    assert json.loads(connection.getresponse().read())["total"] == 1
    connection.close()
    for one in listeners:
        one.close()
    write(log, [line for n in range(700) for line in whole_run(f"r{n}", 10, steps=1)])
    last = Listener(port)
    while (news := last.next())["total"] < 701:
        pass
    assert news["all"] or news["runs"]
    last.close()
    watching = pages.state.viewer.index
    with watching._state:  # those that have left are forgotten as soon as the next news cannot be sent
        assert len(watching._listeners) <= 3


def _command(*words: str, **environ: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "router_graph.cli", "runs", "view", "--no-browser", "--port", "0", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ})


def test_the_command_serves_the_folder_and_ends_quietly(tmp_path: Path):
    write(tmp_path / "log", whole_run("a"))
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "POLYROUTE_TOKEN": "a token/of mine"}
    process = _command("--runs", str(tmp_path / "log"), **environ)
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)/app/#token=a%20token%2Fof%20mine ", said)
    assert found, said
    connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    for path, headers, status in [
        ("/", {}, 307),
        ("/nothing", {}, 404),
        ("/app/", {}, 200),
        ("/app/api/runs", {}, 401),
        ("/app/api/runs", {"Authorization": "Bearer a token/of mine"}, 200),
    ]:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
        assert reply.status == status, body
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert json.loads(body)["total"] == 1
    connection.close()
    live = HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    live.request("GET", "/app/api/live", headers={"Authorization": "Bearer a token/of mine"})
    assert live.getresponse().status == 200
    process.send_signal(signal.SIGINT)  # an open page holds nothing up, and causes no traceback
    assert process.stderr.read().strip() in ("", "Interrupted.") and process.wait(10) in (0, 130)
    live.close()
    process.stderr.close()
    assert [one.suffix for one in (tmp_path / "cache").rglob("*.sqlite")] == [".sqlite"]
    assert {one.name for one in (tmp_path / "log").iterdir()}.isdisjoint({"rewards", "labels", "forks"})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-r", "nowhere"], "There is no nowhere; give the folder that runs are recorded in, as in --runs runs."),
        (["--host", "0.0.0.0"], "0.0.0.0 is reachable for other machines; runs hold what people asked:"),
        (["--port", "TAKEN"], "Port TAKEN of 127.0.0.1 cannot be had (Address already in use); give another."),
        (["-c", "nothing.yaml"], "nothing.yaml"),
        (["--kb", "none", "--pool", "nothing.yaml"], "nothing.yaml: there is no such file"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_sentence(tmp_path: Path, monkeypatch, words: list[str], sentence: str):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = [port if one == "TAKEN" else one for one in words]
        given += [] if "--port" in given else ["--port", "0"]
        result = CliRunner().invoke(runs_app, ["runs", "view", "--no-browser", *given])
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert result.stderr.strip().splitlines()[-1].startswith(f"polyroute: {sentence.replace('TAKEN', port)}")


def test_one_run_becomes_a_file(tmp_path: Path):
    write(tmp_path / "log", whole_run("abc"))
    page = tmp_path / "run.html"

    def export(*words: str) -> Any:
        return CliRunner().invoke(runs_app, ["runs", "export", str(page), "-r", str(tmp_path / "log"), *words])

    assert export("--to", "html", "--run", "ab").exit_code == 0 and "Who wrote Dune?" in page.read_text()
    assert "is there already" in export("--to", "html", "--run", "last").stderr
    assert export("--to", "html", "--run", "last", "--overwrite").exit_code == 0
    for one in (("--to", "html"), ("--to", "csv", "--run", "last")):
        assert export(*one).exit_code == 2 and "--run" in export(*one).stderr


def test_the_log_and_who_can_be_asked_come_from_the_settings(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as opened:
        assert cli_runs_view._router(None, {}, None, opened) is None and capsys.readouterr().err == ""
        Path("router.yaml").write_text("knowledge: none\npool: pool.yaml\nruns: kept\n")
        assert cli_runs_view._router(None, {}, None, opened) is None
        assert capsys.readouterr().err.startswith("Nobody can be asked in the viewer: router.yaml, line 2")
        Path("pool.yaml").write_text(
            "models: [{name: fast, model: openai/x, api_base: 'http://127.0.0.1:9', price: free}]"
        )
        router = cli_runs_view._router(None, {}, None, opened)
        assert router is not None and cli_runs_view._log_of(router) == Path("kept")
        other = cli_runs_view._router(None, {"pool": "pool.yaml"}, Path("runs"), opened)
        assert other is not None and other.recorder is None and cli_runs_view._log_of(None) == Path("runs")
