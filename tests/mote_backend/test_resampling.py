import numpy as np
import pytest

from mote_backend.errors import InputError
from mote_backend.ftri.activity import Accumulator
from mote_backend.ftri.resampling import balanced_signs, chance_difference, stability


def activity_of(rates, *, experts=None, seed=0, stream=0, replicates=200, pieces=7, name="A", gates=None):
    """What these observations [prompts, F] give, added in so many pieces."""
    sums = Accumulator(experts or (rates.shape[1],), len(rates), seed=seed, stream=stream, replicates=replicates)
    rates = np.asarray(rates, np.float32)
    for part in np.array_split(np.arange(len(rates)), pieces):
        sums.add(rates[part], None if gates is None else gates[part], [1] * len(part))
    return sums.finish(name, "0" * 12, "last")


@pytest.mark.parametrize("prompts", [1, 8, 1024, 2601])
def test_signs_are_half_plus_and_half_minus(prompts):
    signs = np.stack(list(balanced_signs(prompts, 30, 0, 0)))
    assert signs.shape == (prompts, 30)
    assert set(np.unique(signs)) <= {-1, 1}
    assert (np.abs(signs.sum(0, dtype=int)) <= prompts % 2).all()


def test_signs_depend_on_seed_and_stream():
    first, again, other, stream = (
        np.stack(list(balanced_signs(64, 8, *key))) for key in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert (first == again).all()
    assert (first != other).any()
    assert (first != stream).any()


def test_half_means_are_those_of_the_halves():
    rates = np.random.default_rng(0).random((37, 5)).astype(np.float32)
    signs = np.stack(list(balanced_signs(37, 12, 3, 1)))
    sample = activity_of(rates, seed=3, stream=1, replicates=12).sample
    plus = [rates[signs[:, one] > 0].mean(0) for one in range(12)]
    minus = [rates[signs[:, one] < 0].mean(0) for one in range(12)]
    np.testing.assert_allclose(sample.half_means(12), [*plus, *minus], rtol=1e-4)


@pytest.mark.parametrize("prompts", [20, 21])
def test_what_never_varies_has_no_noise(prompts):
    sample = activity_of(np.full((prompts, 3), 0.7)).sample
    np.testing.assert_allclose(sample.noise(), 0, atol=1e-6)


def test_one_prompt_with_two_tokens_makes_the_observations_rates():
    sums = Accumulator((4,), 2)
    for tokens in (2, 1):
        sums.add(np.zeros((1, 4), np.float32), None, [tokens])
    assert not sums.finish("A", "", "prompt").binary


def test_sums_do_not_depend_on_how_the_prompts_were_cut():
    rates = (np.random.default_rng(0).random((300, 40)) < 0.3).astype(np.float32)
    one, many = activity_of(rates, pieces=1), activity_of(rates, pieces=90)
    for field in ("total", "signed", "balance"):
        np.testing.assert_array_equal(getattr(one.sample, field), getattr(many.sample, field))
    np.testing.assert_allclose(one.variances, rates.var(0, ddof=1), rtol=1e-5)


def test_an_expert_with_a_large_effect_is_stable_and_one_without_is_not():
    generator = np.random.default_rng(0)
    chances = np.full(200, 0.1)
    with_effect = chances.copy()
    with_effect[7] = 0.6
    a, b = generator.random((100, 200)) < with_effect, generator.random((100, 200)) < chances
    shares = stability(activity_of(a).sample, activity_of(b, stream=1).sample, 5)
    assert shares[7] == 1
    assert shares.sum() <= 5 + 1e-9
    assert np.delete(shares, 7).max() < 0.9


def test_experts_that_the_target_uses_less_are_never_stable():
    a, b = np.zeros((20, 6)), np.ones((20, 6))
    assert (stability(activity_of(a).sample, activity_of(b).sample, 10) == 0).all()


def test_chance_passes_its_threshold_somewhere_in_about_5_of_100_contrasts_without_an_effect():
    generator = np.random.default_rng(4)
    chances = generator.random(150) ** 3
    passed = []
    for trial in range(300):
        a, b = generator.random((40, 150)) < chances, generator.random((70, 150)) < chances
        first, second = (activity_of(one, seed=trial, stream=at).sample for at, one in enumerate((a, b)))
        passed.append(np.abs(first.mean - second.mean).max() > chance_difference(first, second))
    assert 0.01 <= np.mean(passed) <= 0.10


def test_the_threshold_is_near_that_of_relabelled_prompts():
    generator = np.random.default_rng(5)
    chances = generator.random(100)
    pooled = (generator.random((120, 100)) < chances).astype(np.float32)
    largest = []
    for _ in range(1000):
        order = generator.permutation(120)
        largest.append(np.abs(pooled[order[:60]].mean(0) - pooled[order[60:]].mean(0)).max())
    threshold = chance_difference(
        activity_of(pooled[:60], replicates=1000).sample, activity_of(pooled[60:], stream=1, replicates=1000).sample
    )
    assert threshold == pytest.approx(np.quantile(largest, 0.95), rel=0.1)


def test_two_sets_are_one_when_added():
    rates = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    both = activity_of(rates[:12], gates=rates[:12]) + activity_of(rates[12:], stream=1, name="B", gates=rates[12:])
    whole = activity_of(rates, gates=rates)
    assert both.name == "A + B"
    np.testing.assert_allclose(both.rates, whole.rates, rtol=1e-5)
    np.testing.assert_allclose(both.gate_means, whole.gate_means, rtol=1e-5)
    np.testing.assert_allclose(both.variances, whole.variances, rtol=1e-4)


def test_sets_of_different_models_cannot_be_added():
    with pytest.raises(InputError, match="recorded alike"):
        activity_of(np.zeros((8, 4))) + activity_of(np.zeros((8, 6)), name="B")


def test_layers_may_have_different_numbers_of_experts():
    activity = activity_of(np.arange(40.0).reshape(8, 5), experts=(2, 3))
    assert activity.layer.tolist() == [0, 0, 1, 1, 1]
    assert activity.expert.tolist() == [0, 1, 0, 1, 2]
    assert [len(part) for part in activity.by_layer(activity.rates)] == [2, 3]
