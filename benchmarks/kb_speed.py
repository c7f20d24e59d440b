"""How fast knowledge bases are built and searched, as ratios in one run.

    python benchmarks/kb_speed.py [--folder FOLDER]

Builds both OTT-QA corpora from nothing, through the loaders; compares MiniLM on onnxruntime with itself on torch, and
the exact vector search with bare numpy. Times are of one noisy machine; the ratios are what to look at.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import ottqa

from kb_tools import Catalog, KnowledgeBase, searcher
from kb_tools.embeddings.minilm import MAX_TOKENS, MiniLM, model_folder
from kb_tools.loaders import load


def memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def percentiles(work: Callable[[int], object], n: int) -> tuple[float, float]:
    """Median and 95th percentile of n calls, in ms."""
    times = []
    for i in range(n):
        begun = time.perf_counter()
        work(i)
        times.append(1e3 * (time.perf_counter() - begun))
    times.sort()
    return statistics.median(times), times[int(0.95 * n)]


def build(folder: Path, model: MiniLM) -> None:
    with Catalog(folder, embedding=model) as catalog:
        begun = time.perf_counter()
        for name, file, modality in (("wikipedia", "passages.jsonl", "text"), ("tables", "tables.jsonl", "table")):
            kb = catalog.create(name, description=f"OTT-QA's {name}.", modality=modality)
            started = time.perf_counter()
            load(kb, [ottqa.DATA / file])
            seconds = time.perf_counter() - started
            size = kb.describe()
            rate = size.units / seconds
            print(f"  {name}: {size.documents} documents, {size.units} units in {seconds:.0f} s ({rate:.0f}/s)")
        seconds = time.perf_counter() - begun
    verdict = "held" if seconds <= 300 else "MISSED"
    print(f"  both: {seconds:.0f} s of 300 s: {verdict}; peak memory {memory_mib():.0f} MiB")


def embedding(model: MiniLM) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(os.cpu_count() or 1)
    tokenizer = AutoTokenizer.from_pretrained(model_folder(), local_files_only=True)
    bert = AutoModel.from_pretrained(model_folder(), local_files_only=True).eval()
    texts = [f"{p.title}. {p.text}" for p, _ in zip(ottqa.passages(), range(384), strict=False)]

    def by_torch() -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = np.empty((len(texts), 384), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), 32):
                rows = order[start : start + 32]
                batch = tokenizer(
                    [texts[i] for i in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
                )
                mask = batch["attention_mask"].unsqueeze(-1)
                mean = (bert(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
                out[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return out

    model.embed_array(texts[:32])
    rates: dict[str, list[float]] = {"onnxruntime int8": [], "torch": []}
    vectors = {}
    for _ in range(3):  # in turn, so that a slow moment of the machine hits both
        for name, work in (("onnxruntime int8", lambda: model.embed_array(texts)), ("torch", by_torch)):
            begun = time.perf_counter()
            vectors[name] = work()
            rates[name].append(len(texts) / (time.perf_counter() - begun))
    same = (vectors["torch"] * vectors["onnxruntime int8"]).sum(1)
    ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
    print("  texts/s, median of 3:", ", ".join(f"{name} {statistics.median(r):.0f}" for name, r in rates.items()))
    verdict = "held" if ratio >= 4 else "MISSED"
    print(f"  ratio {ratio:.2f} of 4.00: {verdict}; mean cosine between the two {same.mean():.4f}")


def queries(kb: KnowledgeBase, asked: list[str]) -> None:
    kb.search(asked[0], 5)
    for mode in ("lexical", "dense", "hybrid"):
        median, high = percentiles(lambda i, mode=mode: kb.search(asked[i], 5, mode=mode), len(asked))
        verdict = "" if mode != "hybrid" else f" of 15 ms: {'held' if median <= 15 else 'MISSED'}"
        print(f"  {kb.name}, {mode}, with embedding: p50 {median:.1f} ms, p95 {high:.1f} ms{verdict}")


def exact(kb: KnowledgeBase, model: MiniLM, asked: list[str]) -> None:
    """The vector search alone, best 100 documents, against one matrix product and a partial sort of the same memory."""
    view = kb._text.view()
    matrix = np.concatenate([s.vectors for s in view.segments])
    edges = np.cumsum([len(s) for s in view.segments])[:-1]
    for segment, rows in zip(view.segments, np.split(matrix, edges), strict=True):
        segment.vectors = rows
    ratios = []
    for vector in model.embed_array(asked + asked):
        begun = time.perf_counter()
        scores = matrix @ vector
        best = np.argpartition(scores, -100)[-100:]
        best[np.argsort(-scores[best])]
        between = time.perf_counter()
        searcher.dense(kb._text, view, vector, None, 100)
        ratios.append((time.perf_counter() - between) / (between - begun))
    ratio = statistics.median(ratios)
    verdict = "held" if ratio <= 1.5 else "MISSED"
    print(f"  {kb.name}, {len(matrix)} by {matrix.shape[1]}: ours / numpy {ratio:.2f} of 1.50: {verdict}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--folder", type=Path, help="use knowledge bases that are there instead of building them")
    given = arguments.parse_args()
    ottqa.need_data()
    versions = ", ".join(f"{p} {version(p)}" for p in ("polyroute", "chromadb", "onnxruntime", "torch", "numpy"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}")
    model = MiniLM()
    model.embed_query("export and load before the clock starts")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "kb"
        if given.folder is None:
            print("Building from nothing")
            build(folder, model)
        asked = [q.text for q in ottqa.questions("dev")][:200]
        with Catalog(folder, embedding=model) as catalog:
            print(f"Searching, n = {len(asked)} questions, k = 5")
            for name in ("wikipedia", "tables"):
                queries(catalog.open(name), asked)
            print("Exact vector search")
            for name in ("wikipedia", "tables"):
                exact(catalog.open(name), model, asked)
        print(f"Peak memory {memory_mib():.0f} MiB")
        print("Embedding 384 passages")
        embedding(model)


if __name__ == "__main__":
    sys.exit(main())
