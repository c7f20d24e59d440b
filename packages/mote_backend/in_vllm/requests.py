"""What a request to vLLM says about its mask, and what the engine makes of that: checked, and its prefix cache salted.

A key-value cache that was filled under one mask belongs to that mask, so the salt of vLLM's prefix cache begins with
the mask's id. Needs neither vLLM nor torch: a client can use `mask_arguments` alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypedDict

from mote_backend.errors import MaskError
from mote_backend.fingerprint import Fingerprint
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook

KEY = "mote_mask"
"""The key in `SamplingParams.extra_args`, and in `vllm_xargs` of a request to the OpenAI-compatible server."""
FOLDER_VARIABLE = "MOTE_VLLM_MASKS"
"""Environment variable: the folder whose masks requests may name, one JSON file each."""
ANY_VARIABLE = "MOTE_VLLM_ANY_MASK"
"""Environment variable: "1" allows requests to bring masks of their own, as JSON."""
_SALT = "mote-"


class MaskArguments(TypedDict):
    """Fields to merge into the body of a request to vLLM's OpenAI-compatible server."""

    vllm_xargs: dict[str, str]
    cache_salt: str


def mask_arguments(mask: ExpertMask | str, *, salt: str | None = None) -> MaskArguments:
    """The fields of a request under `mask`: the name or id of one that the server knows, or one that is sent along.

    For the `openai` client give them as `extra_body`. For `vllm.LLM`, `vllm_xargs` is what `SamplingParams` takes as
    `extra_args`, and `cache_salt` goes into the prompt's dict. `salt` is one of your own, such as one per tenant. The
    plug-in completes the salt of a request that lacks it.
    """
    known = mask if isinstance(mask, str) else mask.id
    sent = mask if isinstance(mask, str) else _canonical(mask)
    return {
        "vllm_xargs": {KEY: sent},
        "cache_salt": f"{_SALT}{known.removeprefix(_SALT)}" + (f":{salt}" if salt else ""),
    }


def book_from_environment() -> MaskBook | None:
    """The masks that requests may use, as the two variables say; None if neither is set. MaskError if a file is bad."""
    folder, any_mask = os.environ.get(FOLDER_VARIABLE), os.environ.get(ANY_VARIABLE) == "1"
    if folder:
        return MaskBook.of_folder(folder, only_named=not any_mask)
    return MaskBook() if any_mask else None


@lru_cache(maxsize=1024)
def read(text: str) -> ExpertMask:
    """The mask that `complete` wrote into a request."""
    return ExpertMask.from_json(json.loads(text))


def mask_of(request: Any, book: MaskBook | None, model: Fingerprint | None) -> ExpertMask | None:
    """The mask of an `EngineCoreRequest`; None if it switches nothing.

    MaskError if it is unknown or does not fit the model, MaskNotAllowedError if it may not be used here.

    `book` is None where masks are off; `model` is None where the model's shape is not known, and so not checked.
    """
    given = _extra(request).get(KEY)
    if given is None:
        if (request.cache_salt or "").startswith(_SALT):
            raise MaskError(
                f"The cache_salt begins with {_SALT!r}, which is kept for masks; give {KEY} or another salt."
            )
        return None
    if book is None:
        raise MaskError(
            f"The request has a {KEY}, and this vLLM was started without them; set {FOLDER_VARIABLE} or {ANY_VARIABLE}."
        )
    mask = book.resolve(given)
    if mask is None:
        return None
    if mask.on and mask.force != "max":
        raise MaskError(
            f"The mask {mask.title} has force 'natural', which vLLM's kernels cannot do; give it force 'max'."
        )
    if model is not None:
        mask.check(model)
    return mask


def complete(request: Any, mask: ExpertMask | None) -> None:
    """Give the request its mask as JSON, which the workers read, and the salt that belongs to it."""
    extra = _extra(request)
    if KEY in extra:
        request.sampling_params.extra_args = {**extra, KEY: "" if mask is None else _canonical(mask)}
        request.cache_salt = salted(mask, request.cache_salt, request.request_id)


def salted(mask: ExpertMask | None, salt: str | None, request_id: str) -> str | None:
    """The prefix cache's salt: what is cached is shared by requests of the same mask and the same salt of the user's.

    A mask for one phase shares nothing: what one request generated, the next one has in its prompt, and there its keys
    and values would be others.
    """
    own = salt or ""
    if own.startswith(_SALT):
        _, _, own = own.partition(":")
    if mask is None:
        while own.startswith(_SALT):  # else a client could fill a mask's cache with what no mask made
            _, _, own = own.partition(":")
        return own or None
    parts = (mask.id, own, "" if mask.phase == "all" else request_id)
    return ":".join(part for part in parts if part)


def _extra(request: Any) -> Mapping[str, Any]:
    parameters = request.sampling_params
    return (parameters.extra_args if parameters is not None else None) or {}


def _canonical(mask: ExpertMask) -> str:
    return json.dumps(mask.to_json(), separators=(",", ":"), sort_keys=True)
