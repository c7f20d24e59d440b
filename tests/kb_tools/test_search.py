"""The parts of a search: term keys, BM25, fusion, the snapshot."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb_tools.search import analysis, fusion, lexical
from kb_tools.search.lexical import Postings
from kb_tools.search.snapshot import Segment, View

TEXTS = st.lists(st.lists(st.sampled_from("red green blue stone river".split()), max_size=8).map(" ".join), max_size=12)


def alive(postings: Postings) -> np.ndarray:
    return np.ones(len(postings.lengths), bool)


def bm25_by_the_book(query: str, texts: list[str]) -> list[float]:
    """Robertson and Zaragoza, term by term, as slow as it reads."""

    def terms(text: str) -> Counter:
        words = analysis.words(text)
        return Counter(words) + Counter(itertools.pairwise(words))

    counted = [terms(t) for t in texts]
    lengths = [len(analysis.words(t)) for t in texts]
    n = sum(length > 0 for length in lengths)
    scores = []
    for counts, length in zip(counted, lengths, strict=True):
        score = 0.0
        for term in terms(query):
            weight = lexical.PAIR_WEIGHT if isinstance(term, tuple) else 1.0
            df = sum(term in c for c in counted)
            if counts[term]:
                norm = lexical.K1 * (1 - lexical.B + lexical.B * length / (sum(lengths) / n))
                score += weight * math.log(1 + (n - df + 0.5) / (df + 0.5)) * counts[term] / (counts[term] + norm)
        scores.append(score)
    return scores


@given(TEXTS, st.lists(st.sampled_from("red green blue stone sky".split()), max_size=5).map(" ".join))
def test_bm25_equals_the_formula(texts, query):
    postings = Postings.build(texts)
    got = lexical.bm25(query, [(postings, alive(postings))])
    assert got == pytest.approx(bm25_by_the_book(query, texts), abs=1e-5)


@settings(max_examples=60)
@given(TEXTS, TEXTS, st.data())
def test_scores_do_not_depend_on_how_rows_are_spread_or_which_died(first, second, data):
    parts = [Postings.build(first), Postings.build(second)]
    masks = [np.array([data.draw(st.booleans()) for _ in texts], bool) for texts in (first, second)]
    split = lexical.bm25("red stone river", list(zip(parts, masks, strict=True)))
    kept = np.concatenate(masks)
    merged = Postings.merge(list(zip(parts, masks, strict=True)))
    fresh = Postings.build([t for t, m in zip(first + second, kept, strict=True) if m])
    for other in (merged, fresh):
        assert lexical.bm25("red stone river", [(other, alive(other))]) == pytest.approx(split[kept], abs=1e-6)
    assert not split[~kept].any()


def test_words_are_stemmed_and_question_words_left_out():
    assert analysis.words("Which rivers are FLOWING?") == ["river", "flow"]


def test_chinese_is_found_by_its_neighbouring_characters():
    postings = Postings.build(["北京大学在北京", "东京的大雪"])
    scores = lexical.bm25("北京大学", [(postings, alive(postings))])
    assert scores[0] > scores[1] > 0


@given(
    st.dictionaries(
        st.sampled_from(["dense", "lexical", "visual"]), st.lists(st.sampled_from("abcdef"), unique=True), max_size=3
    )
)
def test_fusion_is_deterministic_and_keeps_every_document(rankings):
    weights = fusion.WEIGHTS["image"]
    fused = fusion.fuse(rankings, weights)
    assert fused == fusion.fuse(dict(reversed(rankings.items())), weights)
    assert {doc for doc, _ in fused} == {doc for ranking in rankings.values() for doc in ranking}
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


def test_fusion_is_reciprocal_rank_fusion():
    fused = dict(fusion.fuse({"dense": ["a", "b"], "lexical": ["b"]}, {"dense": 0.5, "lexical": 2.0}))
    assert fused["a"] == pytest.approx(0.5 / (fusion.RRF_K + 1))
    assert fused["b"] == pytest.approx(0.5 / (fusion.RRF_K + 2) + 2.0 / (fusion.RRF_K + 1))


@given(st.lists(st.sampled_from([0.5, 0.25, 1.0, -math.inf]), max_size=20), st.integers(1, 8))
def test_top_orders_ties_by_name_and_leaves_out_what_was_not_found(scores, depth):
    names = [f"d{len(scores) - i:02d}" for i in range(len(scores))]
    got = [(score, names[row]) for row, score in fusion.top(np.array(scores, np.float32), names, depth)]
    expected = sorted(
        ((s, n) for s, n in zip(scores, names, strict=True) if s > -math.inf), key=lambda x: (-x[0], x[1])
    )
    assert got == expected[:depth]


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-1, 1, width=32)), max_size=30), st.integers(0, 30))
def test_a_document_scores_what_its_best_row_scores(rows, cut):
    segments = [
        Segment(
            ids=[f"d{doc}#{start + n}" for n, (doc, _) in enumerate(part)],
            vectors=np.zeros((len(part), 2), np.float32),
            postings=Postings.build([""] * len(part)),
            alive=np.ones(len(part), bool),
        )
        for start, part in ((0, rows[:cut]), (cut, rows[cut:]))
    ]
    view = View(1, segments)
    best: dict[str, float] = {}
    for doc, score in rows:
        best[f"d{doc}"] = max(score, best.get(f"d{doc}", -math.inf))
    got = view.per_document(np.array([score for _, score in rows], np.float32))
    assert dict(zip(view.documents, got.tolist(), strict=True)) == best
