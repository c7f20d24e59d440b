"""Retrieval on OTT-QA's dev questions against plain parts, in one run.

    python benchmarks/kb_retrieval.py [--split dev] [--folder FOLDER]

Plain parts are what anyone would put together first: BM25 with stemming (bm25s, k1 1.5, b 0.75), MiniLM int8, and their
RRF with k = 60. Ours are the three modes of `KnowledgeBase.search`. All settings were chosen on the train questions.
"""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import bm25s
import numpy as np
import ottqa
import Stemmer

from kb_tools import Catalog, KnowledgeBase
from kb_tools.embeddings.minilm import MiniLM

DEEP = 100
Rankings = list[list[str]]


def plain_bm25(ids: Sequence[str], texts: Sequence[str], queries: Sequence[str]) -> Rankings:
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    index.index(bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    asked = bm25s.tokenize(list(queries), stopwords="en", stemmer=stemmer, show_progress=False)
    found, _ = index.retrieve(asked, k=DEEP, show_progress=False)
    return [[ids[n] for n in row] for row in found]


def plain_dense(ids: Sequence[str], vectors: np.ndarray, queries: np.ndarray) -> Rankings:
    best = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :DEEP]
    return [[ids[n] for n in row] for row in best]


def plain_rrf(first: Rankings, second: Rankings, k: int = 60) -> Rankings:
    fused = []
    for rankings in zip(first, second, strict=True):
        scores: dict[str, float] = {}
        for ranking in rankings:
            for rank, doc in enumerate(ranking, start=1):
                scores[doc] = scores.get(doc, 0.0) + 1 / (k + rank)
        fused.append(sorted(scores, key=lambda doc: (-scores[doc], doc)))
    return fused


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, 1927)."""
    z, p = 1.96, hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def shown(rankings: Rankings, gold: Sequence[frozenset[str]]) -> tuple[float, float, str]:
    n = len(gold)
    first, five = (
        sum(any(doc in g for doc in ranking[:k]) for ranking, g in zip(rankings, gold, strict=True)) for k in (1, 5)
    )
    low, high = wilson(first, n)
    low5, high5 = wilson(five, n)
    text = f"{first / n:.3f} [{low:.3f}, {high:.3f}]   {five / n:.3f} [{low5:.3f}, {high5:.3f}]"
    return first / n, five / n, text


def report(
    title: str, gold: Sequence[frozenset[str]], plain: dict[str, Rankings], ours: Callable[[str], Rankings]
) -> bool:
    print(f"\n{title}, n = {len(gold)}\n{'':22}top 1 [95 %]             top 5 [95 %]")
    best1 = best5 = 0.0
    for name, rankings in plain.items():
        one, five, text = shown(rankings, gold)
        best1, best5 = max(best1, one), max(best5, five)
        print(f"  plain {name:14}  {text}")
    for mode in ("lexical", "dense", "hybrid"):
        one, five, text = shown(ours(mode), gold)
        print(f"  ours  {mode:14}  {text}")
    held = one >= best1 and five >= best5
    verdict = "held" if held else "MISSED"
    print(f"  hybrid against the best plain: {one - best1:+.3f} at 1, {five - best5:+.3f} at 5: {verdict}")
    return held


def search(kb: KnowledgeBase, queries: Sequence[str]) -> Callable[[str], Rankings]:
    return lambda mode: [[hit.doc_id for hit in kb.search(query, 5, mode=mode)] for query in queries]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--split", choices=["train", "dev"], default="dev")
    arguments.add_argument("--folder", type=Path, default=ottqa.BUILT)
    given = arguments.parse_args()
    ottqa.need_data()
    versions = ", ".join(f"{p} {version(p)}" for p in ("polyroute", "chromadb", "onnxruntime", "bm25s"))
    print(f"OTT-QA {given.split}; Python {platform.python_version()}, {versions}; deterministic, no seed")

    model = MiniLM()
    with Catalog(given.folder, embedding=model) as catalog:
        wikipedia, tables, _ = ottqa.build(catalog)
        texts, cards = list(ottqa.passages()), list(ottqa.tables())
        titles = {p.id: p.title for p in texts}
        asked = ottqa.questions(given.split)
        held = []

        flat = [" ".join([t.title, t.section, *t.header, *(c for r in t.rows for c in r)]) for t in cards]
        short = [
            f"{t.title}. {t.section}. columns: {', '.join(t.header)}. " + "; ".join(", ".join(r) for r in t.rows[:3])
            for t in cards
        ]
        ids, queries = [t.id for t in cards], [q.text for q in asked]
        words = plain_bm25(ids, flat, queries)
        meaning = plain_dense(ids, model.embed_array(short), model.embed_array(queries))
        plain = {"BM25": words, "MiniLM": meaning, "RRF 60": plain_rrf(words, meaning)}
        held.append(
            report("Gold table by the question", [frozenset([q.table]) for q in asked], plain, search(tables, queries))
        )

        asked = [q for q in asked if q.passages]
        gold = [q.passages for q in asked]
        ids = [p.id for p in texts]
        vectors = model.embed_array([f"{p.title}. {p.text}" for p in texts])
        for title, queries in (
            ("Gold passage by the question", [q.text for q in asked]),
            ("Gold passage by the title of a linked passage", [titles[min(q.passages)] for q in asked]),
        ):
            words = plain_bm25(ids, [f"{p.title} {p.text}" for p in texts], queries)
            meaning = plain_dense(ids, vectors, model.embed_array(queries))
            plain = {"BM25": words, "MiniLM": meaning, "RRF 60": plain_rrf(words, meaning)}
            held.append(report(title, gold, plain, search(wikipedia, queries)))
    print(f"\nRows held: {sum(held)} of {len(held)}")


if __name__ == "__main__":
    main()
