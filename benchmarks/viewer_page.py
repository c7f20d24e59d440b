"""How long the run viewer takes for a page of a log of 10,000 runs, over HTTP: the must is 300 ms.

python benchmarks/viewer_page.py [RUNS]

The runs have three steps, with five hits of 600 characters each. First the pages are asked while the log is indexed for
the first time, then with the index there; p50 and p95 of the time until the whole answer is here, in ms.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import uvicorn

from router_graph.trajectories.writer import RunWriter
from router_graph.viewer.app import viewer_app

RUNS, SEED, REPEATS = 10_000, 0, 40
WORDS = "moon storm planet ring year orbit mass sea volcano probe launch crater ice gas dust star day night".split()
POLICIES = ("heuristic", "gate", "fanout", "random", "tiny")
MENU = [
    {"key": key, "description": "What it has, in a sentence or two of some length.", "modality": kind, "usd": usd}
    for key, kind, usd in (
        ("kb:articles", "text", 0.0),
        ("kb:tables", "table", 0.001),
        ("kb:pictures", "image", 0.0),
        ("llm:fast", "", 0.0004),
        ("llm:strong", "", 0.02),
        ("answer", "", 0.0),
    )
]
PAGES = {
    "default": {},
    "page 50": {"offset": "5000"},
    "by reward": {"sort": "-reward"},
    "by cost": {"sort": "-usd"},
    "words": {"filter": "volcano ring"},
    "right, dear": {"filter": "right=false usd>0.002 policy=gate"},
    "of a step": {"filter": "step.kb:tables step.status=empty"},
    "words of a step": {"filter": 'step.thought:"crater ice" or step.query:dust'},
    "not, by time": {"filter": "not step.llm=fast at>2020-01-01", "sort": "seconds"},
}


def lines_of(number: int, draw: random.Random) -> list[dict]:
    """The lines of a run as a graph records them."""
    run, at, policy = f"{number:032x}", 1.7e9 + 20 * number, draw.choice(POLICIES)

    def said(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    gold, answer = said(2), said(8)
    began = {"thread": "", "parent": run, "question": said(12), "images": [], "earlier": [], "menu": MENU}
    began |= {
        "settings": {"policy": policy, "usd": 0.05, "tokens": None, "seconds": 60, "max_steps": 6, "seed": number}
    }
    began |= {"metadata": {"question_id": f"q{number % 2000}", "gold": [gold]}, "software": {"polyroute": "0.1.0"}}
    lines = [{"kind": "began", "run": run, "at": at, **began}]
    for n in range(1, 4):
        key = "answer" if n == 3 else draw.choice([one["key"] for one in MENU[:5]])
        kind, _, name = key.partition(":")
        action = {"kind": kind, {"kb": "kb", "llm": "model"}.get(kind, "text"): name or answer}
        action |= {"query": said(8)} if name else {}
        decision = {"policy": policy, "version": "1", "protocol": "tags", "propensity": draw.random()}
        decision |= {
            "probabilities": {one["key"]: 1 / 6 for one in MENU},
            "masked": {"llm:strong": "too dear: 0.02 USD"},
        }
        decision |= {"left": {"steps": 6 - n, "usd": 0.04, "tokens": None, "seconds": 50.0}, "forced": None}
        decision |= {"problem": "", "replay_id": run[:16], "served": "", "usd": 0.0001, "tokens": 120, "seconds": 0.2}
        step = {"id": f"{run}/{n}", "number": n, "thought": said(30), "reply": said(40), "actions": [action]}
        step |= {"decision": decision, "observations": {}}
        lines.append({"kind": "decided", "run": run, "at": at + n, "number": n, "step": step, "call": None})
        if not name:
            continue
        hits = [
            {"kb": name, "doc_id": f"d{h}", "title": said(4), "text": said(100), "score": 0.5, "metadata": {}}
            for h in range(5 if kind == "kb" else 0)
        ]
        seen = {"status": draw.choice(["ok", "ok", "ok", "empty"]), "text": "", "hits": hits, "served": key}
        seen |= {"usd": draw.random() / 500, "tokens": 200, "seconds": 0.3}
        lines.append(
            {"kind": "observed", "run": run, "at": at + n + 0.5, "number": n, "position": 0, "observation": seen}
        )
    end = {"answer": f"{answer} {gold}" if draw.random() < 0.5 else answer, "citations": [], "stop_reason": "answered"}
    return [*lines, {"kind": "ended", "run": run, "at": at + 4, **end, "usd": 0.004, "tokens": 900}]


def write_log(folder: Path, runs: int) -> int:
    """Bytes of the log."""
    draw = random.Random(SEED)
    with RunWriter(folder, sync="never") as writer:
        for number in range(runs):
            for line in lines_of(number, draw):
                assert writer.write({"v": 1, **line}), writer.problem
    return sum(one.stat().st_size for one in folder.rglob("*.jsonl"))


class Server:
    """The viewer on a free port of loopback."""

    def __init__(self, log: Path, cache: Path) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(viewer_app(log, cache=cache), log_level="warning", access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    def get(self, path: str, **query: str) -> tuple[float, dict]:
        """Milliseconds, and the answer."""
        started = time.perf_counter()
        with urlopen(f"{self.address}/api/{path}?{urlencode(query)}") as reply:
            body = reply.read()
        return 1000 * (time.perf_counter() - started), json.loads(body)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()


def shown(times: list[float]) -> str:
    ordered = sorted(times)
    return f"p50 {ordered[len(ordered) // 2]:6.1f}  p95 {ordered[int(0.95 * (len(ordered) - 1))]:6.1f}  n {len(times)}"


def main() -> None:
    runs = int(sys.argv[1]) if sys.argv[1:] else RUNS
    with tempfile.TemporaryDirectory() as where:
        log, cache = Path(where) / "runs", Path(where) / "index.sqlite"
        size = write_log(log, runs)
        print(f"{runs:,} runs, {size / 1e6:,.0f} MB, seed {SEED}; ms over HTTP")
        started = time.perf_counter()
        server = Server(log, cache)
        times, facts = [], {"indexing": {}}
        while facts["indexing"] is not None:
            took, facts = server.get("runs")
            times.append(took)
            time.sleep(0.05)
        print(f"{'first opening':18} indexed in {time.perf_counter() - started:.1f} s; pages meanwhile: {shown(times)}")
        server.close()
        started = time.perf_counter()
        server = Server(log, cache)
        first = server.get("runs")
        whole = 1000 * (time.perf_counter() - started)
        print(f"{'opened again':18} first page {first[0]:.1f}, with the server's start {whole:.0f}")
        for name, query in PAGES.items():
            answers = [server.get("runs", **query) for _ in range(REPEATS)]
            print(f"{name:18} {shown([took for took, _ in answers])}  runs {answers[0][1]['total']:,}")
        run = f"{runs - 1:032x}"
        print(f"{'a run':18} {shown([server.get(f'runs/{run}')[0] for _ in range(REPEATS)])}")
        print(f"{'about':18} {shown([server.get('about')[0] for _ in range(REPEATS)])}")
        server.close()


if __name__ == "__main__":
    main()
