import numpy as np
import pytest
import torch

from mote_backend.errors import InputError, PromptError
from mote_backend.ftri.contrast import contrast
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.recorder import record
from mote_backend.steering import steer
from support.tiny_routed import LAYERS, TOP_K, some_prompts, tiny_model, word_tokenizer

TOKENIZER = word_tokenizer()
ENDING = PromptSet("ending in w7", tuple(some_prompts(40, seed=1, last="w7")))
OTHER = PromptSet("ending in w8", tuple(some_prompts(40, seed=2, last="w8")))
THIRD = PromptSet("ending in w9", tuple(some_prompts(40, seed=3, last="w9")))


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return tiny_model()


@pytest.fixture(scope="module")
def profile(model):
    return contrast(model, TOKENIZER, ENDING, OTHER, at=slice(-2, -1), seed=3)


def test_a_contrast_says_what_it_rests_on(profile):
    table = profile.table
    assert (table.a, table.b, table.n_a, table.n_b) == ("ending in w7", "ending in w8", 40, 40)
    assert (table.digest_a, table.digest_b) == (ENDING.digest, OTHER.digest)
    assert (table.at, table.seed) == ("slice(-2, -1, None)", 3)
    assert table.model.model_type == "qwen3_moe"
    assert table.model.weights
    assert table.versions["torch"] == torch.__version__
    assert len(table.notes) == 2


def test_experts_that_follow_the_last_word_are_found_and_can_be_switched_off(model, profile):
    first = profile.table.top(1)[0]
    assert first.difference > 0.5
    assert first.q < 0.001
    with steer(model, profile.table.mask(1)):
        again = record(model, TOKENIZER, ENDING, at=slice(-2, -1))
    assert again.rates[again.layer * 8 + again.expert == first.layer * 8 + first.expert] == 0


def test_sets_drawn_alike_show_nothing(model):
    prompts = some_prompts(120, seed=5)
    table = contrast(model, TOKENIZER, prompts[:60], prompts[60:], at="prompt").table
    assert table.q.min() > 0.05
    assert np.abs(table.difference).max() < 2 * table.chance


def test_the_difference_is_that_of_what_was_recorded(model, profile):
    a, b = (record(model, TOKENIZER, one, at=slice(-2, -1)) for one in (ENDING, OTHER))
    np.testing.assert_allclose(profile.table.difference, a.rates - b.rates)


def test_each_set_has_half_samples_of_its_own(model):
    made = contrast(model, TOKENIZER, ENDING, OTHER, at="prompt", seed=3).activities[OTHER.name]
    as_first, as_second = (record(model, TOKENIZER, OTHER, at="prompt", seed=3, stream=stream) for stream in (0, 1))
    np.testing.assert_array_equal(made.sample.signed, as_second.sample.signed)
    assert np.abs(made.sample.signed - as_first.sample.signed).max() > 1


def test_the_papers_way_sums_over_the_tokens_of_the_prompt(model):
    table = contrast(model, TOKENIZER, ENDING, OTHER, at="sum").table
    mean_length = np.mean([len(one.text.split()) + 2 for one in ENDING.prompts])
    assert table.rate_a.sum() == pytest.approx(mean_length * TOP_K * LAYERS)


def test_any_of_several_sets_can_be_the_target_without_another_run(model):
    profile = contrast(model, TOKENIZER, ENDING, OTHER, THIRD, at=slice(-2, -1))
    assert profile.table.b == "ending in w8 + ending in w9"
    turned = profile.against_others("ending in w9")
    np.testing.assert_allclose(
        turned.difference,
        profile.activities["ending in w9"].rates
        - (profile.activities["ending in w7"].rates + profile.activities["ending in w8"].rates) / 2,
    )
    with pytest.raises(InputError, match="no set 'other'"):
        profile.against_others("other")


def test_the_same_seed_gives_the_same_table(model, profile):
    again = contrast(model, TOKENIZER, ENDING, OTHER, at=slice(-2, -1), seed=3)
    assert again.table.to_json() == profile.table.to_json()


def test_progress_runs_once_over_all_sets(model):
    seen = []
    contrast(model, TOKENIZER, ENDING, OTHER, batch_size=25, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(25, 80), (40, 80), (65, 80), (80, 80)]


def test_what_cannot_be_contrasted_is_refused_before_the_model_runs(model):
    def never(done, total):
        raise AssertionError

    few = PromptSet("few", tuple(some_prompts(7)))
    for sets, at in (
        ((ENDING, few), "last"),
        ((ENDING, ENDING), "last"),
        ((ENDING,), "last"),
        ((ENDING, OTHER), "end"),
    ):
        with pytest.raises(PromptError):
            contrast(model, TOKENIZER, *sets, at=at, progress=never)


def test_one_text_in_place_of_a_list_is_refused(model):
    with pytest.raises(PromptError, match="one prompt"):
        contrast(model, TOKENIZER, "what happened?", OTHER)
