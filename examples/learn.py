"""Record, learn, compare: from the runs of one policy to another, and whether that one is worth having.

python examples/learn.py

Questions with known answers are asked of three knowledge bases. A search costs 0.001 USD, and there is one step.
While the log is made every other route is drawn at random, and its chance kept: what was never tried cannot be learned.
From the log comes a handbook: what was each source worth for which kind of question? (In its place goes `fit_knn`, or a
model: learn_weights.py.) Other questions then decide, through the real graph. The word is `promote` only for what beats
the simple policies, and any coin between two of them, at equal cost; else it names the one to keep. With one step, whom
to ask first matters. Take the limit out of LOOK_ONCE, and a wrong first look can be mended: then the word is `keep`.

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

from demo_sources import files, model_prices, planet_tables

from kb_tools import Catalog, KBError, Table
from router_graph import Knowledge, RouterContext, RouterError, create_router
from router_graph.policies.learned import fit_handbook
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_training.quality import qualities
from router_training.running import Asked, compared, ran

LOOK_ONCE = RouterContext(max_steps=1)


def prices() -> list[Table]:
    """Short price lists of three makers."""
    makers, columns = ("anthropic", "mistral", "openai"), ["model", "USD per million input tokens"]
    lists = [one for one in model_prices() if one.id in makers]
    return [one.model_copy(update={"header": columns, "rows": [row[:2] for row in one.rows[:12]]}) for one in lists]


def questions() -> Iterator[Asked]:
    """Of the cells of these tables, with their answers."""
    (moons,) = (one for one in planet_tables() if isinstance(one, Table) and one.id == "moons.csv")
    for moon, planet, _, _, year, discoverer in moons.rows:
        if discoverer:
            yield Asked(f"Who discovered the moon {moon}?", (discoverer,))
            yield Asked(f"In which year was the moon {moon} discovered?", (year,))
            yield Asked(f"Which planet does the moon {moon} go around?", (planet,))
    for table in prices():
        for model, price in table.rows:
            yield Asked(f"What does {model} cost per million input tokens?", (price,))


def record(knowledge: list[Knowledge], asked: list[Asked], folder: str) -> None:
    """Each question twice, with other dice; what is right is kept with the run."""
    graph = create_router(knowledge, defaults=LOOK_ONCE)
    with Recorder(folder) as recorder:
        for seed in (0, 1):
            for one in asked:
                config = {"callbacks": [recorder], "metadata": {"gold": list(one.answers)}}
                graph.invoke({"question": one.question}, config, context=RouterContext(explore=0.5, seed=seed))


def sources(catalog: Catalog) -> list[Knowledge]:
    """What may be asked, and at what price."""
    articles = catalog.create("articles", description="Articles about planets, moons and spacecraft.")
    articles.add(files("articles", "text"))
    tables = catalog.create("tables", description="Figures: planets, moons, missions of spacecraft.", modality="table")
    tables.add(planet_tables())
    lists = catalog.create("prices", description="What language models cost, by maker.", modality="table")
    lists.add(prices())
    return [replace(Knowledge.of(kb), cost_usd=0.001) for kb in (articles, tables, lists)]


async def main() -> None:
    """All three, and the word."""
    asked = list(questions())
    random.Random(0).shuffle(asked)
    train, test = asked[:30], asked[30:]
    with tempfile.TemporaryDirectory() as folder, Catalog(folder) as catalog:
        knowledge = sources(catalog)
        await asyncio.to_thread(record, knowledge, train, f"{folder}/runs")
        runs = list(read_runs(f"{folder}/runs"))
        right = qualities(runs)
        print(f"recorded: {len(runs)} runs of {len(train)} questions, {sum(right.values()) / len(runs):.0%} right")

        handbook = fit_handbook(runs, right)
        simple = ("heuristic", "fanout", "gate", "kb:tables", "kb:prices")
        policies = {"handbook": handbook, **{name: name for name in simple}}
        graphs = {name: create_router(knowledge, policy=one, defaults=LOOK_ONCE) for name, one in policies.items()}
        results = {name: await ran(graph, test) for name, graph in graphs.items()}
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
