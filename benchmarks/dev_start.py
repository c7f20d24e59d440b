"""How soon `langgraph dev` answers, with knowledge bases, a pool and the run viewer; and what of it is ours.

    python benchmarks/dev_start.py

The server of the project's langgraph.json is started over three knowledge bases, a pool of two models and a log of
runs, until GET /ok answers; in turn with a server of langgraph-api whose only graph does nothing. Besides the clock,
the CPU time that the process has taken by then: it says the same on a machine that does other things. `ready` is the
figure that must hold.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import httpx
from pool_speed import verdict

from kb_tools import Catalog, Passage, Table

ROOT = Path(__file__).parents[1]
STARTS = 5
WANTED_S = 3.0
_BARE = """
from langgraph.graph import MessagesState, StateGraph

graph = StateGraph(MessagesState).add_node("idle", lambda state: {}).set_entry_point("idle").compile()
"""


def started(folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds until the server of the folder's langgraph.json answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true", "LOG_LEVEL": "ERROR"}
    command = [Path(sys.executable).with_name("langgraph"), "dev", "--no-browser", "--no-reload", "--port", str(port)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **quiet}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            while not _answers(http):
                if process.poll() is not None:
                    raise SystemExit(f"The server of {folder} did not start.")
                time.sleep(0.01)
        wall = time.perf_counter() - begun
        user, system = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return wall, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/ok").is_success
    except httpx.TransportError:
        return False


def ours(folder: Path) -> Path:
    folder.mkdir()
    with Catalog(folder / "polyroute-kb") as catalog:
        for name in ("handbook", "minutes"):
            texts = [Passage(id=f"p{n}", title=f"Page {n}", text=f"What the {name} says on {n}.") for n in range(500)]
            catalog.create(name, description=f"The {name}.").add(texts)
        rows = [["Free", "0", "1"], ["Team", "12", "20"]]
        plans = Table(id="plans", title="Our plans", header=["plan", "USD a month", "seats"], rows=rows)
        catalog.create("plans", description="What our plans cost.", modality="table").add([plans])
    cards = [{"name": name, "model": f"openai/{name}", "price": {"input": 1, "output": 2}} for name in ("fast", "good")]
    (folder / "pool.yaml").write_text(json.dumps({"models": cards}))
    shutil.copy(ROOT / "langgraph.json", folder)
    return folder


def bare(folder: Path) -> Path:
    folder.mkdir()
    (folder / "bare.py").write_text(_BARE)
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": {"bare": "./bare.py:graph"}}))
    return folder


def main() -> None:
    names = ("langgraph-api", "chromadb")
    print(f"Python {sys.version.split()[0]}, {', '.join(f'{one} {version(one)}' for one in names)}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as parent:
        folders = {"ready": ours(Path(parent) / "ours"), "langgraph-api alone": bare(Path(parent) / "bare")}
        for folder in folders.values():
            started(folder)  # the first reads the disk
        found = {name: [] for name in folders}
        for _ in range(STARTS):  # in turn, so that a slow moment of the machine hits both
            for name, folder in folders.items():
                found[name].append(started(folder))
    for name, rows in found.items():
        walls, cpus = zip(*rows, strict=True)
        told = f", wanted at most {WANTED_S:g}: {verdict(held=statistics.median(walls) <= WANTED_S)}"
        print(
            f"  {name}: median {statistics.median(walls):.2f} s [{min(walls):.2f}, {max(walls):.2f}], "
            f"CPU {statistics.median(cpus):.2f} s, n = {len(rows)}{told if name == 'ready' else ''}"
        )
    print(f"  Load of the machine, of {os.cpu_count()} cores: {load:.1f} before, {os.getloadavg()[0]:.1f} after.")


if __name__ == "__main__":
    main()
