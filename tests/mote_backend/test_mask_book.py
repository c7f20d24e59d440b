"""A deployment's named masks: found by name, id or content; others refused where only named ones are allowed."""

from __future__ import annotations

import json

import pytest

from mote_backend import ExpertMask
from mote_backend.errors import MaskError, MaskNotAllowedError
from mote_backend.mask_book import MaskBook

SHORT = ExpertMask(off={(0, 1)}, name="short")
FRENCH = ExpertMask(on={(1, 2)}, name="french")


@pytest.fixture
def folder(tmp_path):
    for mask in (SHORT, FRENCH):
        mask.save(tmp_path / f"{mask.name}.json")
    return tmp_path


@pytest.mark.parametrize(
    "given", ["short", SHORT.id, SHORT, {"off": {"0": [1]}}, json.dumps(SHORT.to_json()), ExpertMask(off={(0, 1)})]
)
def test_a_named_mask_is_found_by_its_name_its_id_and_its_content(folder, given):
    found = MaskBook.of_folder(folder, only_named=True).resolve(given)
    assert found == SHORT and found.name == "short"


@pytest.mark.parametrize("given", [None, "", ExpertMask(), {}])
def test_no_mask_is_always_allowed(folder, given):
    assert MaskBook.of_folder(folder, only_named=True).resolve(given) is None


@pytest.mark.parametrize("given", [{"off": {"0": [2]}}, {"off": {"0": [1]}, "phase": "decode"}])
def test_what_is_not_named_is_refused_where_only_named_masks_are_allowed(folder, given):
    assert MaskBook.of_folder(folder).resolve(given)
    with pytest.raises(MaskNotAllowedError, match="is not allowed here; allowed are french, short"):
        MaskBook.of_folder(folder, only_named=True).resolve(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("shirt", "did you mean 'short'"),
        ("zzz", "known are french, short"),
        ("{", "no JSON"),
        ('{"off":' * 10**5, "no JSON"),
        (3, "not int"),
    ],
)
def test_a_mask_that_nobody_knows_is_one_sentence(folder, given, said):
    with pytest.raises(MaskError, match=said):
        MaskBook.of_folder(folder).resolve(given)


def test_a_book_needs_names_of_their_own_and_a_folder_that_exists(tmp_path):
    with pytest.raises(MaskError, match="has no name"):
        MaskBook([ExpertMask(off={(0, 1)})])
    with pytest.raises(MaskError, match="Two masks are named 'short'"):
        MaskBook([SHORT, FRENCH.named("short")])
    with pytest.raises(MaskError, match="no folder of masks"):
        MaskBook.of_folder(tmp_path / "none")
