"""How long a run takes to be drawn in a browser: from the navigation to its address until its last card is painted.

python benchmarks/viewer_draw.py [--steps 30] [--times 5]

A real run of the real graph, recorded; the real server; headless Chromium with an empty cache each time. The clock is
the page's own (`performance.now()`, from the navigation on), read two frames after the last card came into the
document. The window is high enough for all cards to be drawn, up to 60; more are drawn only as far as they are in view.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from router_graph.trajectories.reader import read_runs
from support.viewer_browser import chromium, drawn_ms, serving
from support.viewer_log import make_library, recording


def main() -> None:
    """Print the median and the spread."""
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--steps", type=int, default=30)
    wanted.add_argument("--times", type=int, default=5)
    given = wanted.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_library(folder / "kb")
        with recording(folder / "kb", folder / "runs") as take:
            take.run("patient", "What is known of Triton?", "q", max_steps=given.steps - 1)
        (run,) = read_runs(folder / "runs")
        with chromium() as browser, serving(folder / "runs", cache=folder / "index.sqlite") as address:
            where, cards = f"{address}#/run/{run.run_id}", min(len(run.steps), 60)
            drawn_ms(browser, where, cards)  # the index is made
            took = [drawn_ms(browser, where, cards) for _ in range(given.times)]
    print(
        f"{len(run.steps)} steps drawn in {statistics.median(took):.0f} ms (median of {given.times}; "
        f"{min(took):.0f} to {max(took):.0f})"
    )


if __name__ == "__main__":
    main()
