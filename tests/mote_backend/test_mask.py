"""Masks are plain data: combined, hashed, saved, checked; one that contradicts itself is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend import ExpertMask, Fingerprint
from mote_backend.errors import MaskError

SMALL = Fingerprint("qwen3_moe", (8, 8, 8), (2, 2, 2))
EXPERTS = st.tuples(st.integers(0, 2), st.integers(0, 7))


@st.composite
def masks(draw, phase=None):
    experts = draw(st.lists(EXPERTS, unique=True, max_size=9))
    kinds = [draw(st.sampled_from("off on bias".split())) for _ in experts]
    of = {kind: [one for one, its in zip(experts, kinds, strict=True) if its == kind] for kind in ("off", "on", "bias")}
    values = st.floats(-9, 9).filter(bool)
    return ExpertMask(
        off=frozenset(of["off"]),
        on=frozenset(of["on"]),
        bias=frozenset((*one, draw(values)) for one in of["bias"]),
        phase=phase or draw(st.sampled_from(["all", "prefill", "decode"])),
        mode=draw(st.sampled_from(["remove", "zero", "zero_renorm"])) if phase is None else "remove",
        force=draw(st.sampled_from(["max", "natural"])) if phase is None else "max",
        name=draw(st.none() | st.text(min_size=1, max_size=9).filter(str.isprintable)),
        model=draw(st.sampled_from([None, SMALL])),
    )


@given(masks())
def test_a_mask_survives_its_json(mask):
    text = json.dumps(mask.to_json())
    again = ExpertMask.from_json(json.loads(text))
    assert again == mask
    assert (again.name, again.model, again.id) == (mask.name, mask.model, mask.id)


@given(masks(), masks())
def test_ids_are_equal_when_the_masks_are(one, other):
    assert (one.id == other.id) == (one == other)
    assert hash(one) == hash(ExpertMask.from_json(one.to_json()))


@given(masks(phase="all"), masks(phase="all"))
def test_a_sum_holds_both_and_its_order_does_not_matter(one, other):
    try:
        both = one + other
    except MaskError:
        with pytest.raises(MaskError):
            _ = other + one
        return
    assert both == other + one == one | other
    assert one.off | other.off == both.off and one.on | other.on == both.on
    assert both & one == ExpertMask(off=one.off, on=one.on, bias=one.bias & both.bias)
    assert not (one - one) and one + ExpertMask() == one


@given(masks())
def test_a_saved_mask_is_the_same_mask(tmp_path_factory, mask):
    path = tmp_path_factory.getbasetemp() / "mask.json"
    mask.save(path)
    assert ExpertMask.load(path) == mask
    assert ExpertMask.load(path).name == (mask.name or "mask")


def test_a_saved_mask_can_be_read_by_a_person(tmp_path):
    mask = ExpertMask(off={(3, 5), (3, 1), (11, 0)}, bias={(0, 7, -2.0)}, name="short", model=SMALL)
    mask.save(tmp_path / "short.json")
    lines = (tmp_path / "short.json").read_text().splitlines()
    assert '    "3": [1, 5],' in lines
    assert '    "0": {"7": -2.0}' in lines
    assert '    "experts": 8,' in lines


def test_biases_of_one_expert_add_up_and_cancel():
    up, down = ExpertMask(bias={(0, 1, 2.0)}), ExpertMask(bias={(0, 1, -2.0), (1, 1, 1.0)})
    assert (up + up).bias == {(0, 1, 4.0)}
    assert (up + down).bias == {(1, 1, 1.0)}


def test_off_becomes_a_dial():
    assert ExpertMask(off={(0, 1)}).softened(-2) == ExpertMask(bias={(0, 1, -2.0)})
    with pytest.raises(MaskError, match="must be negative"):
        ExpertMask(off={(0, 1)}).softened(2)


def test_a_part_of_a_mask_is_a_mask():
    mask = ExpertMask(off={(0, 1), (2, 3)}, on={(1, 1)})
    assert mask.where(lambda layer, expert: layer > 0) == ExpertMask(off={(2, 3)}, on={(1, 1)})
    assert mask.layers == (0, 1, 2) and len(mask) == 3 and not ExpertMask()


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"off": {(0, 1)}, "on": {(0, 1)}}, "Expert 1 of layer 0 is both off and on"),
        ({"off": {(0, 1)}, "bias": {(0, 1, 1.0)}}, "both off and biased"),
        ({"bias": {(0, 1, 1.0), (0, 1, 2.0)}}, "two biases"),
        ({"bias": {(0, 1, float("nan"))}}, "no bias"),
        ({"bias": {(0, 1, 0.0)}}, "other than 0"),
        ({"off": {(0, -1)}}, "no expert"),
        ({"off": [0, 1]}, "no expert"),
        ({"off": {(0, 1.5)}}, "no expert"),
        ({"phase": "later"}, "phase is 'later'; it can be 'all', 'prefill', 'decode'"),
        ({"mode": "softly"}, "mode is 'softly'"),
        ({"force": 1}, "force is 1"),
    ],
)
def test_a_mask_that_contradicts_itself_is_refused_in_a_sentence(given_, said):
    with pytest.raises(MaskError, match=said):
        ExpertMask(**given_)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (ExpertMask(off={(3, 0)}), "switches layer 3, and this model's routed layers are 0 to 2"),
        (ExpertMask(off={(1, 8)}), "expert 8 of layer 1, whose experts are 0 to 7"),
        (ExpertMask(on={(0, 0), (0, 1), (0, 2)}), "forces 3 experts of layer 0 on, and a token gets 2"),
        (ExpertMask(off={(0, one) for one in range(7)}), "leaves 1 experts of layer 0 on, and each token needs 2"),
        (ExpertMask(model=Fingerprint("olmoe", (8, 8, 8), (2, 2, 2))), "was made for olmoe"),
        (ExpertMask(model=Fingerprint("qwen3_moe", (8, 8), (2, 2))), "was made for qwen3_moe with 2 routed layers"),
    ],
)
def test_a_mask_that_does_not_fit_the_model_is_refused_in_a_sentence(mask, said):
    with pytest.raises(MaskError, match=said):
        mask.check(SMALL)


def test_zeroing_all_experts_of_a_layer_is_allowed_since_none_is_removed():
    ExpertMask(off={(0, one) for one in range(8)}, mode="zero").check(SMALL)


def test_other_weights_of_the_same_shape_are_told_apart():
    made_for = Fingerprint("qwen3_moe", (8, 8, 8), (2, 2, 2), weights="a" * 12)
    mask = ExpertMask(off={(0, 0)}, model=made_for)
    mask.check(SMALL)
    assert mask.fits_weights(SMALL) and mask.fits_weights(made_for)
    assert not mask.fits_weights(Fingerprint("qwen3_moe", (8, 8, 8), (2, 2, 2), weights="b" * 12))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "a JSON object, not list"),
        ({"of": {}}, "'of' is no key of a mask"),
        ({"format": "polyroute-mask/9"}, "'polyroute-mask/9'"),
        ({"off": {"a": [1]}}, "'off' is"),
        ({"off": "3"}, "'off' is '3'"),
        ({"off": {"0": 3}}, "'off' is"),
        ({"bias": {"0": [1]}}, "'bias' is"),
        ({"off": {"0": [1]}, "id": "mote-000000000000"}, "remove the 'id' if it was changed on purpose"),
        ({"model": {"layers": 3}}, "no fingerprint"),
        ({"model": {"type": "x", "layers": 3, "experts": [1, 2], "top_k": 1}}, "no fingerprint"),
    ],
)
def test_json_that_is_no_mask_is_refused_in_a_sentence(data, said):
    with pytest.raises(MaskError, match=said):
        ExpertMask.from_json(data)


def test_lists_of_pairs_are_read_too():
    assert ExpertMask.from_json({"off": [[0, 1]], "bias": [[0, 2, -1]]}) == ExpertMask(
        off={(0, 1)}, bias={(0, 2, -1.0)}
    )


def test_a_file_that_is_no_mask_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(MaskError, match="cannot be read: No such file"):
        ExpertMask.load(tmp_path / "none.json")
    (tmp_path / "torn.json").write_text('{"off": ')
    with pytest.raises(MaskError, match="no JSON"):
        ExpertMask.load(tmp_path / "torn.json")


def test_masks_of_different_phases_are_not_mixed():
    with pytest.raises(MaskError, match="phase 'prefill' and 'all'"):
        _ = ExpertMask(off={(0, 1)}, phase="prefill") + ExpertMask(off={(0, 2)})


def test_numpys_numbers_are_numbers_of_experts() -> None:
    made = ExpertMask(off=[(np.int64(2), np.int32(3))], bias=[(np.int64(1), 0, np.float32(-2))])
    assert made == ExpertMask(off={(2, 3)}, bias={(1, 0, -2.0)})
    assert json.loads(json.dumps(made.to_json())) == made.to_json()
    with pytest.raises(MaskError, match="is no expert"):
        ExpertMask(off={(2.0, 3)})


def test_a_file_that_is_no_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "typo.json").write_text('{"of": {}}')
    with pytest.raises(MaskError, match=r"typo\.json: 'of' is no key of a mask"):
        ExpertMask.load(tmp_path / "typo.json")


SHAPE = {"type": "qwen3_moe", "layers": 3, "experts": 8, "top_k": 2}


@pytest.mark.parametrize(
    "data",
    [
        {"off": {"0": [True]}},
        {"off": {"1_0": [1]}},
        {"off": {"01": [1]}},
        {"off": [{"0": 1}]},
        {"off": [[[0], 1]]},
        {"bias": [1]},
        {"bias": [[[0], 1, 2]]},
        {"bias": {"0": {"1": True}}},
        {"bias": {"0": {"1": 10**400}}},
        {"bias": {"0": {"1": -1e39}}},
        {"name": 5},
        {"name": ["short"]},
        {"name": "short\nlogged: a line of its own"},
        {"model": {**SHAPE, "layers": 10**12}},
        {"model": {**SHAPE, "layers": float("inf")}},
        {"model": {**SHAPE, "experts": True}},
        {"model": {**SHAPE, "weights": {}}},
        {"off": "x" * 10**6},
    ],
    ids=lambda data: str(data)[:40],
)
def test_json_of_any_kind_is_a_mask_or_refused_in_one_short_sentence(data):
    with pytest.raises(MaskError) as refused:
        ExpertMask.from_json(data)
    assert len(str(refused.value)) < 400 and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ['{"off": {"0": [1]}, "off": {"0": [2]}}', '{"off": {"0": [1], "0": [2]}}'])
def test_a_file_that_says_two_things_under_one_key_is_refused(tmp_path, text):
    (tmp_path / "two.json").write_text(text)
    with pytest.raises(MaskError, match="twice"):
        ExpertMask.load(tmp_path / "two.json")


def test_a_file_that_nests_without_end_is_refused(tmp_path):
    (tmp_path / "deep.json").write_text('{"off": ' * 10**5)
    with pytest.raises(MaskError, match="nests too deeply"):
        ExpertMask.load(tmp_path / "deep.json")
