"""What every family's routers select is recorded: tiny models of all of them."""

import numpy as np
import pytest
import torch

from mote_backend.families import find_sites
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.recorder import record
from support.moe_families import FAMILIES
from support.tiny_routed import some_prompts, word_tokenizer

PROMPTS = PromptSet("mixed", tuple(some_prompts(9)))
TEXT = [one for one in FAMILIES if not one.embedding]
FOR_IMAGES = {"ernie4_5_vl_moe": 2}
"""Routers that text does not reach."""


@pytest.mark.parametrize("family", TEXT, ids=lambda family: family.name)
def test_each_token_is_sent_to_top_k_experts_whatever_it_is_padded_with(family):
    torch.set_num_threads(1)
    model = family.build()
    sites = find_sites(model)
    padded, alone = (
        record(model, word_tokenizer(), PROMPTS, raw=True, at="prompt", batch_size=size, replicates=1)
        for size in (len(PROMPTS), 1)
    )
    sums = [float(part.sum()) for part in padded.by_layer(padded.rates)]
    reached = [(found, site.top_k) for found, site in zip(sums, sites, strict=True) if found]
    assert len(sites) - len(reached) == FOR_IMAGES.get(family.name, 0)
    assert reached == pytest.approx(np.array([(k, k) for _, k in reached]), abs=1e-3)
    np.testing.assert_allclose(padded.rates, alone.rates, atol=1e-5)
