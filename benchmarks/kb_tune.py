"""The sweep that chose RRF's k and weight, on OTT-QA's train questions only.

    python benchmarks/kb_tune.py [--folder FOLDER]

Columns: table by question at 1 and 5, passage by question at 1 and 5, passage by title at 1 and 5, their sum.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import ottqa

from kb_tools import Catalog, KnowledgeBase
from kb_tools.hits import Source
from kb_tools.search import fusion

Pairs = list[tuple[list[str], list[str]]]


def rankings(kb: KnowledgeBase, queries: Sequence[str]) -> Pairs:
    """For each query the lexical and the dense ranking, to full depth."""

    def one(query: str, mode: str) -> list[str]:
        return [hit.doc_id for hit in kb.search(query, fusion.DEPTH, mode=mode)]

    return [(one(query, "lexical"), one(query, "dense")) for query in queries]


def accuracy(found: Pairs, gold: Sequence[frozenset[str]], weight: float) -> list[float]:
    weights: dict[Source, float] = {"lexical": 1.0, "dense": weight}
    fused = [[doc for doc, _ in fusion.fuse({"lexical": words, "dense": near}, weights)[:5]] for words, near in found]
    return [
        sum(any(doc in g for doc in ranking[:k]) for ranking, g in zip(fused, gold, strict=True)) / len(gold)
        for k in (1, 5)
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--folder", type=Path, default=ottqa.BUILT)
    given = arguments.parse_args()
    ottqa.need_data()
    with Catalog(given.folder) as catalog:
        wikipedia, tables, _ = ottqa.build(catalog)
        titles = {p.id: p.title for p in ottqa.passages()}
        asked = ottqa.questions("train")
        linked = [q for q in asked if q.passages]
        by_passage = [q.passages for q in linked]
        tasks = [
            (rankings(tables, [q.text for q in asked]), [frozenset([q.table]) for q in asked]),
            (rankings(wikipedia, [q.text for q in linked]), by_passage),
            (rankings(wikipedia, [titles[min(q.passages)] for q in linked]), by_passage),
        ]
    for k, weight in product((0, 1, 2, 3, 5, 10, 20, 60), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)):
        fusion.RRF_K = k
        figures = [x for found, gold in tasks for x in accuracy(found, gold, weight)]
        print(f"k {k:2}  weight {weight:.1f}  ", "  ".join(f"{x:.4f}" for x in figures), f"  {sum(figures):.3f}")


if __name__ == "__main__":
    main()
