"""What a request to vLLM may say about its mask, and which requests share what the prefix cache holds."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mote_backend.errors import MaskError, MaskNotAllowedError
from mote_backend.fingerprint import Fingerprint
from mote_backend.in_vllm.requests import (
    ANY_VARIABLE,
    FOLDER_VARIABLE,
    KEY,
    book_from_environment,
    complete,
    mask_arguments,
    mask_of,
    read,
    salted,
)
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook

MODEL = Fingerprint("tiny", (8, 8), (2, 2))
QUIET = ExpertMask(off=frozenset({(1, 3)}), name="quiet")
OTHER = ExpertMask(off=frozenset({(0, 3)}))
BOOK = MaskBook([QUIET], only_named=True)
ANY = MaskBook([QUIET])


@dataclass
class Parameters:
    extra_args: dict[str, Any] | None = None


@dataclass
class Request:
    """The fields of vLLM's `EngineCoreRequest` that masks touch."""

    sampling_params: Parameters | None = field(default_factory=Parameters)
    cache_salt: str | None = None
    request_id: str = "request-1"


def asking(mask: ExpertMask | str, salt: str | None = None) -> Request:
    fields = mask_arguments(mask, salt=salt)
    return Request(Parameters(dict(fields["vllm_xargs"])), fields["cache_salt"])


def admitted(request: Request, book: MaskBook = ANY) -> Request:
    complete(request, mask_of(request, book, MODEL))
    return request


@pytest.mark.parametrize("given", ["quiet", QUIET.id, QUIET])
def test_a_mask_given_by_name_by_id_or_whole_reaches_the_worker_as_the_same_mask(given: ExpertMask | str) -> None:
    request = admitted(asking(given), BOOK)
    assert request.sampling_params is not None
    assert request.sampling_params.extra_args is not None
    assert read(request.sampling_params.extra_args[KEY]) == QUIET
    assert request.cache_salt == QUIET.id


def test_a_request_without_a_salt_gets_its_masks_and_other_extra_arguments_stay() -> None:
    request = Request(Parameters({KEY: "quiet", "other": 1}))
    assert admitted(request).cache_salt == QUIET.id
    assert request.sampling_params is not None
    assert request.sampling_params.extra_args is not None
    assert request.sampling_params.extra_args["other"] == 1


def test_a_request_without_a_mask_is_left_alone() -> None:
    for parameters in (None, Parameters(), Parameters({"other": 1})):
        request = Request(parameters, cache_salt="tenant")
        complete(request, mask_of(request, None, MODEL))
        assert request == Request(parameters, cache_salt="tenant")


def test_without_a_mask_nobody_may_read_what_a_mask_left_in_the_prefix_cache() -> None:
    with pytest.raises(MaskError, match="kept for masks"):
        mask_of(Request(cache_salt=QUIET.id), ANY, MODEL)


masks = st.builds(
    ExpertMask, off=st.frozensets(st.tuples(st.integers(0, 1), st.integers(0, 7)), min_size=1, max_size=3)
)
own_salts = st.one_of(st.none(), st.text("ab:-", min_size=1, max_size=4))


@given(masks, own_salts, masks, own_salts)
def test_the_prefix_cache_is_shared_by_the_same_mask_and_the_same_salt_only(
    one: ExpertMask, salt: str | None, two: ExpertMask, other: str | None
) -> None:
    shared = admitted(asking(one, salt)).cache_salt == admitted(asking(two, other)).cache_salt
    assert shared == (one == two and salt == other)


@given(masks, own_salts)
def test_salting_twice_is_salting_once(mask: ExpertMask, salt: str | None) -> None:
    once = salted(mask, asking(mask, salt).cache_salt, "r")
    assert salted(mask, once, "r") == once


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_mask_for_one_phase_shares_no_cache_because_generated_tokens_become_prompt(phase: Any) -> None:
    mask = ExpertMask(off=QUIET.off, phase=phase)
    assert salted(mask, None, "first") != salted(mask, None, "second")


@pytest.mark.parametrize(
    ("given", "book", "said"),
    [
        ("quite", ANY, "did you mean 'quiet'"),
        ("{", ANY, "no JSON"),
        (json.dumps({"off": {"9": [1]}}), ANY, "layer 9"),
        (json.dumps({"off": {"0": [0, 1, 2, 3, 4, 5, 6]}}), ANY, "leaves 1 experts"),
        (json.dumps({"on": {"0": [1]}, "force": "natural"}), ANY, "force 'max'"),
        (7, ANY, "not int"),
        ("quiet", None, FOLDER_VARIABLE),
    ],
)
def test_what_cannot_be_applied_is_refused_in_a_sentence(given: Any, book: MaskBook | None, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        mask_of(Request(Parameters({KEY: given})), book, MODEL)


def test_a_server_of_named_masks_takes_no_others() -> None:
    assert mask_of(asking(QUIET), BOOK, MODEL) == QUIET
    with pytest.raises(MaskNotAllowedError):
        mask_of(asking(OTHER), BOOK, MODEL)


@pytest.mark.parametrize("salt", [f"mote-x:{QUIET.id}", f"mote-x:mote-y:{QUIET.id}", QUIET.id, f"mote-:{QUIET.id}:a"])
def test_an_empty_mask_cannot_pass_for_one_that_is_not(salt: str) -> None:
    masked = admitted(asking(QUIET)).cache_salt, admitted(asking(QUIET, "a")).cache_salt
    request = admitted(Request(Parameters({KEY: ""}), salt))
    assert request.cache_salt not in masked
    assert not (request.cache_salt or "").startswith("mote-")


def test_an_empty_mask_is_none_and_keeps_the_users_salt() -> None:
    request = admitted(asking(ExpertMask(), "tenant"))
    assert request.sampling_params == Parameters({KEY: ""})
    assert request.cache_salt == "tenant"


def test_the_environment_says_which_masks_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv(ANY_VARIABLE, raising=False)
    assert book_from_environment() is None
    monkeypatch.setenv(ANY_VARIABLE, "1")
    assert mask_of(asking(OTHER), book_from_environment(), MODEL) == OTHER
    QUIET.save(tmp_path / "quiet.json")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert mask_of(asking(OTHER), book_from_environment(), MODEL) == OTHER
    monkeypatch.delenv(ANY_VARIABLE)
    assert mask_of(asking("quiet"), book_from_environment(), MODEL) == QUIET
    with pytest.raises(MaskNotAllowedError):
        mask_of(asking(OTHER), book_from_environment(), MODEL)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(MaskError, match="missing"):
        book_from_environment()
