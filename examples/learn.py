"""Record, learn, compare: from the runs of one policy to another, and whether that one is worth having.

python examples/learn.py

Questions with known answers are asked of three knowledge bases, where each search costs 0.001 USD. The policy heuristic
decides; every other route is drawn at random instead, and its chance logged. From the log a handbook is learned (in its
place goes `fit_knn`, or a model: learn_weights.py): what each source was worth for which kind of question. Other
questions then decide, through the real graph: the word is `promote` only for what beats the simple policies at equal
cost, else it names the one to keep. Here it is `keep gate`: the handbook spends less than the heuristic and is as often
right, and a rule that stops after one good search, which nobody had to learn, spends half of that.

The same from the command line:

polyroute ask --file questions.jsonl --record runs --explore 0.5
polyroute train handbook runs
polyroute eval --questions others.jsonl --policy handbook:handbook.json --policy heuristic
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from company import handbook_of
from demo_sources import model_prices, planet_tables

from kb_tools import Catalog, KBError, Table
from router_graph import Knowledge, RouterContext, RouterError, create_router
from router_graph.policies.learned import fit_handbook
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_training.quality import qualities
from router_training.running import Asked, compared, ran

SEARCH_USD = 0.001


def moons() -> Table:
    """The table of moons."""
    return next(one for one in planet_tables() if isinstance(one, Table) and one.id == "moons.csv")


def prices() -> list[Table]:
    """Short price lists of three makers."""
    makers, columns = ("anthropic", "mistral", "openai"), ["model", "USD per million input tokens"]
    lists = [one for one in model_prices() if one.id in makers]
    return [one.model_copy(update={"header": columns, "rows": [row[:2] for row in one.rows[:12]]}) for one in lists]


def questions() -> Iterator[Asked]:
    """Of the cells of these tables, with their answers."""
    for moon, planet, _, _, year, discoverer in moons().rows:
        if discoverer:
            yield Asked(f"Who discovered the moon {moon}?", (discoverer,))
            yield Asked(f"In which year was the moon {moon} discovered?", (year,))
            yield Asked(f"Which planet does the moon {moon} go around?", (planet,))
    for table in prices():
        for model, price in table.rows:
            yield Asked(f"What does {model} cost per million input tokens?", (price,))


def record(knowledge: list[Knowledge], asked: list[Asked], folder: str) -> None:
    """Each question twice, with other dice; what is right is kept with the run."""
    graph = create_router(knowledge)
    with Recorder(folder) as recorder:
        for seed in (0, 1):
            for one in asked:
                config = {"callbacks": [recorder], "metadata": {"gold": list(one.answers)}}
                graph.invoke({"question": one.question}, config, context=RouterContext(explore=0.5, seed=seed))


async def main() -> None:
    """All three, and the word."""
    asked = list(questions())
    random.Random(0).shuffle(asked)
    train, test = asked[:30], asked[30:]
    with tempfile.TemporaryDirectory() as own, Catalog(own) as catalog:
        sky = catalog.create("moons", description="Moons of the planets: who discovered them, when.", modality="table")
        sky.add(moons())
        lists = catalog.create("prices", description="What language models cost, by maker.", modality="table")
        lists.add(prices())
        known = [sky, lists, handbook_of(catalog)]
        knowledge = [replace(Knowledge.of(kb), cost_usd=SEARCH_USD) for kb in known]

        await asyncio.to_thread(record, knowledge, train, f"{own}/runs")
        runs = list(read_runs(f"{own}/runs"))
        right = qualities(runs)
        print(f"recorded: {len(runs)} runs of {len(train)} questions, {sum(right.values()) / len(runs):.0%} right")

        handbook = fit_handbook(runs, right)
        policies = {"handbook": handbook, "heuristic": "heuristic", "fanout": "fanout", "gate": "gate"}
        results = {name: await ran(create_router(knowledge, policy=one), test) for name, one in policies.items()}
    found = compared("handbook", results)
    print(f"asked: {len(test)} other questions\n\n{'policy':<10} {'right':>15} {'USD a question':>16}")
    for name, share in found.quality.items():
        print(f"{name:<10} {share.value:>5.0%} [{share.low:.0%}, {share.high:.0%}] {found.usd[name]:>14.4f}")
    print(f"\n{found.promotion}.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (KBError, RouterError) as error:
        sys.exit(str(error))
