"""NQ pool through the routing graph: what a cascade answers, what it costs, and what it has to beat.

    python benchmarks/cascade_report.py [--split dev] [--policy cascade] [--frontier] [--json PATH]

Everything goes through the compiled graph with recorded replies. Beside the cascade: each model alone, with what stands
in its answer tag; selection alone, which asks one model per question (the one that is best on train, and kNN over train
questions); extraction alone, which reads the first model's reply with the cascade's reader; and a vote without
training. `--frontier` fits cascades on train for other cost limits too.

Published, on all 500 questions that this pool's are from: Router-R1 EM .388 at 150.6 units (Qwen) and .416 (Llama, cost
not given), arXiv 2506.09033. A unit is a completion token times USD per million; the policy's own tokens, which
Router-R1 does not count, are none here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nq_pool

from router_graph.errors import RouterError
from router_graph.evaluation.metrics import exact_match
from router_graph.graph import create_router
from router_graph.policies import Policy, policy_named
from router_graph.policies.cascade import Cascade, Fitted, chain_of
from router_graph.policies.cascade.fitting import fit_cascades, question_hash
from router_graph.policies.learned import Decided, Knn
from router_graph.policies.learned.decided import State
from router_graph.policies.learned.knn import Memory
from router_graph.policies.models import Direct
from router_graph.policies.replies import answer_in
from router_graph.policies.support import Support
from router_graph.pool import ModelCard, ModelPool

AT_ONCE = 4
RESAMPLES = 4_000
FRONTIER = (35, 45, 60, 75, 90, 110, 130, 160, 200, 300)
"""Cost limits in units."""
NEEDED_EM, NEEDED_UNITS = 0.40, 100.0
VOTERS = ("google/gemma-2-27b-it", "meta/llama-3.1-8b-instruct", "meta/llama-3.1-70b-instruct")
"""Of the best vote without training on all 500 (EM .384 at 192 units): chosen among eight on the same questions."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--split", choices=["train", "dev"], default="dev", help="train was fitted on: a check, no test"
    )
    parser.add_argument("--policy", default="cascade", help="cascade, or cascade:FILE")
    parser.add_argument("--frontier", action="store_true", help="other cost limits too; takes a minute")
    parser.add_argument("--json", type=Path, help="write what is printed to this file, for a plot")
    given = parser.parse_args()
    nq_pool.need_data()
    try:
        train, cards, _ = nq_pool.recorded([nq_pool.DATA / "replies.train.jsonl"])
        asked, _, transport = nq_pool.recorded([nq_pool.DATA / f"replies.{given.split}.jsonl"])
        pool = ModelPool(cards, transports={"replay": transport})
        ours = policy_named(given.policy, pool=pool)
    except RouterError as error:
        sys.exit(str(error))
    if not isinstance(ours, Cascade):
        sys.exit(f"{given.policy} is no cascade; give cascade or cascade:FILE.")
    seen = sum(question_hash(row["question"]) in set(ours.fitted.learned["hashes"]) for row in asked)
    if seen and given.split == "dev":
        sys.exit(f"{seen} of the {len(asked)} questions are among those that {given.policy} was fitted on.")
    command = shlex.join(["python", "benchmarks/cascade_report.py", *sys.argv[1:]])
    print(
        f"{command}\nNQ pool {given.split}, n = {len(asked)}, {seen} of them fitted on; unit: 1e-6 USD; Wilson's 95 %\n"
    )
    print(f"{'':40} {'EM [95 %]':22}  units  calls")
    table = {}
    for name, policy in {**baselines(cards, train, ours), given.policy: ours}.items():
        table[name] = figures = asyncio.run(measure(pool, policy, asked))
        print(line(name, figures), flush=True)
    frontier = []
    if given.frontier:
        print("\nThe frontier: fitted on train for other limits; nested is EM and units in cross-validation on train")
        for fitted in fit_cascades(train, cards, [limit * nq_pool.UNIT for limit in FRONTIER]):
            policy = Cascade(fitted, chain=chain_of(pool.cards, fitted.chain))
            figures, nested = asyncio.run(measure(pool, policy, asked)), fitted.learned["cv"]
            limit, units = fitted.learned["limit_usd"] / nq_pool.UNIT, nested["usd"] / nq_pool.UNIT
            print(line(f"limit {limit:3.0f}; nested {nested['em']:.3f} at {units:.1f}", figures), flush=True)
            about = {"limit": limit, "chain": fitted.chain, "stops": fitted.stops}
            frontier.append({**about, "nested_em": nested["em"], "nested_units": units, **figures})
    reached = table[given.policy]
    print(f"\nEM of {given.policy} minus that of, on the same questions [bootstrap's 95 %, seed 0]")
    for name in (one for one in table if ":" in one and one != given.policy):
        print(f"{name:40} {difference(reached['right'], table[name]['right'])}")
    held = reached["em"] >= NEEDED_EM and reached["units"] <= NEEDED_UNITS
    print(f"\nEM of {NEEDED_EM:.2f} or more at {NEEDED_UNITS:g} units or less: {'held' if held else 'MISSED'}")
    if given.json:
        told = {"command": command, "split": given.split, "n": len(asked), "rows": table, "frontier": frontier}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def baselines(cards: Sequence[ModelCard], train: Sequence[dict[str, Any]], ours: Cascade) -> dict[str, Policy]:
    by_id = {card.id: card.name for card in cards}
    scores = {card: [_right(card, row) for row in train] for card in by_id}
    best = max(scores, key=lambda one: sum(scores[one]))
    first = Fitted(ours.fitted.chain[:1], (), ours.fitted.reader, ours.fitted.learned)
    choices = [
        Decided(row["question"], 1, row["question"], State("new"), f"llm:{by_id[card]}", _right(card, row))
        for row in train
        for card in by_id
    ]
    return {
        **{f"{name}, its tag": Direct(name) for name in by_id.values()},
        f"selection: best on train ({by_id[best]})": Direct(by_id[best]),
        "selection: kNN over train": Knn(Memory.of(choices, neighbours=6 * 20)),
        f"extraction: {ours.chain[0]}, read": Cascade(first, chain=ours.chain[:1]),
        "vote: gemma-2-27b, llama-8b, llama-70b": Support([by_id[card] for card in VOTERS if card in by_id]),
    }


async def measure(pool: ModelPool, policy: Policy, asked: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """EM, units and calls of every question, through the graph."""
    router, limit = create_router(pool=pool, policy=policy), asyncio.Semaphore(AT_ONCE)

    async def one(row: dict[str, Any]) -> tuple[float, float, int]:
        async with limit:
            out = await router.ainvoke({"question": row["question"]})
        came = [each for step in out["steps"] for each in step.get("observations", {}).values()]
        return exact_match(out["answer"], row["golden_answers"]), sum(each["usd"] for each in came), len(came)

    ran = await asyncio.gather(*(one(row) for row in asked))
    right, usd, calls = (list(one) for one in zip(*ran, strict=True))
    n, em, z = len(ran), sum(right) / len(ran), 1.96
    middle, spread = em + z * z / (2 * n), z * math.sqrt(em * (1 - em) / n + z * z / (4 * n * n))
    low, high = ((middle + side * spread) / (1 + z * z / n) for side in (-1, 1))
    return {
        "em": em,
        "em_95": [low, high],
        "units": sum(usd) / n / nq_pool.UNIT,
        "calls": sum(calls) / n,
        "right": right,
    }


def difference(ours: Sequence[float], others: Sequence[float]) -> str:
    """The mean difference of pairs, with the percentiles of resampled means (Efron, 1979)."""
    pairs, draw = [one - other for one, other in zip(ours, others, strict=True)], random.Random(0)
    means = sorted(sum(draw.choices(pairs, k=len(pairs))) / len(pairs) for _ in range(RESAMPLES))
    low, high = means[round(0.025 * RESAMPLES)], means[round(0.975 * RESAMPLES) - 1]
    return f"{sum(pairs) / len(pairs):+.3f} [{low:+.3f}, {high:+.3f}]"


def line(name: str, figures: dict[str, Any]) -> str:
    low, high = figures["em_95"]
    em = f"{figures['em']:.3f} [{low:.3f}, {high:.3f}]"
    return f"{name:40} {em:22} {figures['units']:6.1f}  {figures['calls']:5.2f}"


def _right(model: str, row: dict[str, Any]) -> float:
    return exact_match(answer_in(row["responses"][model]["text"]), row["golden_answers"])


if __name__ == "__main__":
    main()
