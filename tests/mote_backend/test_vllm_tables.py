"""The buffers that vLLM's routers read: which row each token follows, and that nothing is ever allocated anew."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.fingerprint import Fingerprint
from mote_backend.in_vllm.tables import MaskTables, Span
from mote_backend.mask import MOST_BIAS, ExpertMask, Phase

MODEL = Fingerprint("tiny", (8, 8, 8), (2, 2, 2))
OFF = ExpertMask(off=frozenset({(1, 3)}))


def mask(expert: int, phase: Phase = "all") -> ExpertMask:
    return ExpertMask(off=frozenset({(expert % 3, expert // 3)}), phase=phase)


def switched_off(tables: MaskTables, token: int) -> set[tuple[int, int]]:
    shift = tables.shift[:, tables.row_of_token[token]]
    return {(layer, expert) for layer, expert in shift.isneginf().nonzero().tolist()}


spans = st.lists(
    st.builds(
        Span,
        st.one_of(st.none(), st.builds(mask, st.integers(0, 23), st.sampled_from(["all", "prefill", "decode"]))),
        tokens=st.integers(1, 6),
        first=st.integers(0, 8),
        prompt=st.integers(1, 10),
    ),
    min_size=1,
    max_size=4,
)


@given(st.lists(spans, min_size=1, max_size=8))
def test_each_token_follows_its_requests_mask_in_the_phase_it_is_in_whatever_came_before(
    steps: list[list[Span]],
) -> None:
    tables = MaskTables(MODEL, rows=4, tokens=32)
    for step in steps:
        tables.fill(step)
        token = 0
        for span in step:
            for position in range(span.first, span.first + span.tokens):
                phase = "prefill" if position < span.prompt else "decode"
                acts = span.mask is not None and span.mask.phase in ("all", phase)
                assert switched_off(tables, token) == (set(span.mask.off) if span.mask and acts else set())
                token += 1


def test_a_prompt_in_chunks_and_a_chunk_across_its_end_are_told_apart_by_position() -> None:
    tables = MaskTables(MODEL, rows=2, tokens=16)
    only_prompt = mask(4, "prefill")
    tables.fill([Span(only_prompt, 4, 0, 6), Span(mask(4, "decode"), 4, 4, 6)])
    assert [bool(switched_off(tables, token)) for token in range(8)] == [True] * 4 + [False, False, True, True]


def test_more_masks_than_rows_come_and_go_and_no_buffer_moves() -> None:
    tables = MaskTables(MODEL, rows=2, tokens=8)
    places = {name: one.data_ptr() for name, one in tables.named()}
    for expert in range(20):
        tables.fill([Span(mask(expert), 1, 0, 4), Span(mask(expert + 1), 1, 0, 4)])
        assert switched_off(tables, 0) == set(mask(expert).off)
        assert switched_off(tables, 1) == set(mask(expert + 1).off)
    assert {name: one.data_ptr() for name, one in tables.named()} == places


def test_a_step_without_masks_leaves_no_token_on_a_masked_row() -> None:
    tables = MaskTables(MODEL, rows=2, tokens=8)
    tables.fill([Span(OFF, 8, 0, 8)])
    tables.fill([Span(None, 1, 8, 8)])
    assert not tables.row_of_token.any()
    assert not any(switched_off(tables, token) for token in range(8))


def test_the_largest_bias_stays_finite_in_half_precision() -> None:
    tables = MaskTables(MODEL, rows=1, tokens=2)
    tables.fill([Span(ExpertMask(bias=frozenset({(0, 1, MOST_BIAS), (0, 2, -MOST_BIAS)})), 1, 0, 1)])
    assert tables.shift.to(torch.float16).isfinite().all()
