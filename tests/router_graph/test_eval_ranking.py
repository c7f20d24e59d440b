"""Rankings, against TREC's own evaluation tool."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.evaluation.ranking import hit, ndcg, recall, reciprocal_rank

pytrec_eval = pytest.importorskip("pytrec_eval")
ids = st.sampled_from([f"d{n}" for n in range(15)])


@given(st.lists(ids, unique=True, max_size=12), st.sets(ids, min_size=1, max_size=6))
def test_all_figures_are_those_of_trec_eval(ranking, relevant):
    wanted = {"recall.1,5,10", "success.1,5", "recip_rank", "ndcg_cut.10"}
    judge = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(relevant, 1)}, wanted)
    scores = {one: float(len(ranking) - place) for place, one in enumerate(ranking)}
    told = judge.evaluate({"q": scores}).get("q", {}) if scores else {}
    for k in (1, 5, 10):
        assert recall(ranking, relevant, k) == pytest.approx(told.get(f"recall_{k}", 0.0))
    for k in (1, 5):
        assert hit(ranking, relevant, k) == told.get(f"success_{k}", 0.0)
    assert reciprocal_rank(ranking, relevant) == pytest.approx(told.get("recip_rank", 0.0))
    assert ndcg(ranking, relevant, 10) == pytest.approx(told.get("ndcg_cut_10", 0.0))
