"""Fit a cascade on recorded replies, and write it to a file for `--policy cascade:FILE`.

    python benchmarks/cascade_fit.py                              # on NQ train, as the shipped file was
    python benchmarks/cascade_fit.py mine/replies.jsonl --usd 0.002 --out mine.json

A row of a file of replies has `question`, `golden_answers`, and `responses`: by model its `text` and
`completion_tokens`. Beside it lies `models.jsonl` with `model` and `usd_per_million_completion_tokens`.
`RecordTransport` writes such rows but for the golden answers. The cascade is the one that is right most often at a mean
cost of --units or --usd per question; the printed EM is of nested cross-validation, so that no question had a part in
what answered it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import nq_pool

from router_graph.errors import RouterError
from router_graph.policies.cascade import save
from router_graph.policies.cascade.fitting import fit_cascade

UNITS = 90.0
"""Below the aim of 100, because other questions may cost more than those that it was chosen on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("replies", type=Path, nargs="*", help="files of recorded replies; NQ train if none")
    cost = parser.add_mutually_exclusive_group()
    cost.add_argument("--units", type=float, default=UNITS, help="of cost; default %(default)g")
    cost.add_argument("--usd", type=float, help="the same limit in USD per question")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=3, help="models of a chain, at most")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cascade.json"))
    given = parser.parse_args()
    if not given.replies:
        nq_pool.need_data()
    files = given.replies or [nq_pool.DATA / "replies.train.jsonl"]
    usd = given.units * nq_pool.UNIT if given.usd is None else given.usd
    begun = time.perf_counter()
    command = shlex.join(["python", "benchmarks/cascade_fit.py", *sys.argv[1:]])
    try:
        rows, cards, _ = nq_pool.recorded(files)
        told = {"command": command, "on": ", ".join(file.name for file in files)}
        fitted = fit_cascade(rows, cards, usd=usd, seed=given.seed, most=given.most, told=told)
    except (RouterError, OSError, ValueError) as error:
        sys.exit(str(error))
    save(fitted, given.out)
    learned = fitted.learned
    print(f"{command}\nn = {learned['n']}, seed {given.seed}, {learned['folds']} folds, nested; units: 1e-6 USD")
    print(f"\n{'':34} {'EM [95 %]':22}  units  calls")
    for model, figures in learned["single"].items():
        print(line(model, figures))
    print(line(f"the cascade, limit {usd / nq_pool.UNIT:.4g}", learned["cv"]))
    print(f"\n{' → '.join(fitted.chain)}, enough from {', '.join(f'{one:g}' for one in fitted.stops)}")
    print(f"{given.out}, {given.out.stat().st_size / 1000:.0f} kB, in {time.perf_counter() - begun:.0f} s")


def line(name: str, figures: dict) -> str:
    low, high = figures["em_95"]
    return (
        f"{name[-34:]:34} {figures['em']:.3f} [{low:.3f}, {high:.3f}]  "
        f"{figures['usd'] / nq_pool.UNIT:7.1f}  {figures['calls']:5.2f}"
    )


if __name__ == "__main__":
    main()
