import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.ftri.statistics import benjamini_hochberg, fisher_p, newcombe_interval, relabelling_p, welch

SIZES = st.integers(1, 40)


def fisher_by_hand(k_a, n_a, k_b, n_b):
    """The smaller tail of the hypergeometric distribution, doubled, in whole numbers."""
    margin = k_a + k_b
    ways = [math.comb(n_a, k) * math.comb(n_b, margin - k) for k in range(margin + 1) if margin - k <= n_b and k <= n_a]
    first = max(0, margin - n_b)
    tails = sum(ways[: k_a - first + 1]), sum(ways[k_a - first :])
    return min(1.0, 2 * min(tails) / sum(ways))


@given(st.data(), SIZES, SIZES)
def test_fishers_test_is_exact(data, n_a, n_b):
    k_a, k_b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    p = fisher_p(np.array([float(k_a)]), n_a, np.array([float(k_b)]), n_b)
    assert p[0] == pytest.approx(fisher_by_hand(k_a, n_a, k_b, n_b), rel=1e-9)


def test_fishers_test_of_many_experts_is_that_of_each(monkeypatch):
    monkeypatch.setattr("mote_backend.ftri.statistics._CELLS", 50)  # so that it is worked off in pieces
    generator = np.random.default_rng(0)
    k_a, k_b = generator.integers(0, 13, 300), generator.integers(0, 31, 300)
    p = fisher_p(k_a.astype(float), 12, k_b.astype(float), 30)
    np.testing.assert_allclose(p, [fisher_by_hand(int(a), 12, int(b), 30) for a, b in zip(k_a, k_b, strict=True)])


def test_newcombes_interval_is_the_published_one():
    low, high = newcombe_interval(np.array([56.0]), 70, np.array([48.0]), 80)  # Newcombe 1998, table II, example (a)
    assert (round(low[0], 4), round(high[0], 4)) == (0.0524, 0.3339)


@given(st.data(), SIZES, SIZES)
def test_newcombes_interval_holds_the_difference_and_stays_within_one(data, n_a, n_b):
    k_a, k_b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    low, high = newcombe_interval(np.array([float(k_a)]), n_a, np.array([float(k_b)]), n_b)
    assert -1 - 1e-12 <= low[0] <= k_a / n_a - k_b / n_b <= high[0] <= 1 + 1e-12


@pytest.mark.parametrize(("p_a", "p_b"), [(0.5, 0.3), (0.05, 0.02), (0.9, 0.9), (0.03, 0.03)])
def test_newcombes_interval_covers_in_95_of_100(p_a, p_b):
    generator = np.random.default_rng(1)
    low, high = newcombe_interval(
        generator.binomial(64, p_a, 20_000) * 1.0, 64, generator.binomial(96, p_b, 20_000) * 1.0, 96
    )
    covered = np.mean((low <= p_a - p_b) & (p_a - p_b <= high))
    assert 0.93 <= covered <= 0.99


def test_welchs_interval_covers_in_95_of_100_and_its_p_is_uniform_without_an_effect():
    generator = np.random.default_rng(2)
    a, b = generator.normal(0.3, 1.0, (12, 20_000)), generator.normal(0.3, 3.0, (40, 20_000))
    low, high, p = welch(a.mean(0), a.var(0, ddof=1), 12, b.mean(0), b.var(0, ddof=1), 40)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.95, abs=0.006)
    for level in (0.01, 0.05, 0.2, 0.5, 0.9):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.012)


def test_welchs_p_is_that_of_the_tables_of_students_t():
    """Two samples of n with variance n/2 each have a standard error of 1, and 2n - 2 degrees of freedom."""
    for n, t, p in ((6, 2.2281, 0.05), (6, 3.1693, 0.01), (8, 4.1405, 0.001), (16, 3.6460, 0.001), (61, 1.6577, 0.1)):
        half = np.array([n / 2])
        low, high, found = welch(np.array([t]), half, n, np.zeros(1), half, n)
        assert found[0] == pytest.approx(p, rel=2e-3)
        assert (low[0] + high[0]) / 2 == pytest.approx(t)


def test_experts_that_are_constant_in_few_prompts_do_not_seem_certain():
    zeros, ones = np.zeros(2), np.array([1.0, 0.0])
    low, high, p = welch(ones, zeros, 8, zeros, zeros, 8)
    assert p[0] == pytest.approx(2 / math.comb(16, 8))
    assert p[1] == 1
    assert (low[0], high[0]) == (1, 1)


def test_relabelling_gives_the_share_of_relabellings_that_bring_as_large_a_difference():
    generator = np.random.default_rng(3)
    a, b = generator.gamma(0.5, 1.0, 10) + 0.5, generator.gamma(0.5, 1.0, 50)
    every = np.concatenate([a, b])
    centred = every - every.mean()
    found = relabelling_p(
        np.array([a.mean() - b.mean()]), 10, 50, np.array([(centred**2).mean()]), np.array([(centred**3).mean()])
    )
    sums = np.array([generator.permutation(every)[:10].sum() for _ in range(20_000)])
    assert found[0] == pytest.approx(2 * np.mean(sums >= a.sum()), rel=0.15)


def test_q_values_are_those_of_benjamini_and_hochberg():
    p = np.array([0.04, 0.001, 0.03, 0.9])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.16 / 3, 0.004, 0.16 / 3, 0.9])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_q_values_keep_the_order_and_are_never_below_p(values):
    p = np.array(values)
    q = benjamini_hochberg(p)
    assert (q >= p - 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(q[order]) >= -1e-12).all()
    assert q.max() <= 1
