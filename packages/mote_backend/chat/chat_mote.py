"""The chat model whose experts can be switched off and on, at construction and anew with each call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_serializer, model_validator

from mote_backend.chat.chat_model import ChatTransformers
from mote_backend.errors import MaskError
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook, MaskLike

_LOG = logging.getLogger(__name__)


class ChatMoTE(ChatTransformers):
    """A ChatTransformers over a Mixture-of-Experts model. Calls with different masks share a batch.

    A call has its own mask by `invoke(..., mote_mask=mask)`, `bind(mote_mask=mask)`, or
    `configurable_fields(mote_mask=ConfigurableField("mote_mask"))`; None switches nothing. `response_metadata["mote"]`
    tells what was switched: `id`, `name`, and how many experts are `off`, `on` and `bias`ed; it is None without a mask.
    Each call's mask is logged. Raises MaskError for a mask that does not fit the model, MaskNotAllowedError for one
    that is not allowed, and UnsupportedModelError for a model without experts that can be switched.
    """

    mote_mask: MaskLike | None = None
    """A mask, its JSON, a file that holds it (`*.json`), or the name or id of one in `mask_book`."""
    mask_book: MaskBook | str | Path | None = Field(default=None, repr=False)
    """Masks by name, or a folder of them. With `only_named` no other mask is accepted."""
    allowed_masks: tuple[str, ...] | None = None
    """The names in `mask_book` that calls may use; None: all, and masks without a name."""

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        book = self.mask_book if isinstance(self.mask_book, MaskBook) else None
        if isinstance(self.mask_book, str | Path):
            book = MaskBook.of_folder(self.mask_book)
        if self.allowed_masks is not None:
            book = _only(book or MaskBook(), self.allowed_masks)
        self.__dict__["mask_book"] = book or MaskBook()
        self.__dict__["mote_mask"] = self._meant(self.mote_mask)
        return self

    @field_serializer("mote_mask")
    def _mask_as_json(self, mask: ExpertMask | None) -> dict[str, Any] | None:
        return None if mask is None else mask.to_json()

    @property
    def _llm_type(self) -> str:
        return "mote"

    @property
    def _provider(self) -> str:
        return "mote"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "mote_mask": _id(self.mote_mask)}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        if "mote_mask" in kwargs:
            kwargs["mote_mask"] = _id(self._meant(kwargs["mote_mask"]))
        return super()._get_llm_string(stop, **kwargs)

    def _mask(self, kwargs: Mapping[str, Any]) -> tuple[ExpertMask | None, Mapping[str, Any]]:
        rest = dict(kwargs)
        mask = self._meant(rest.pop("mote_mask", self.mote_mask))
        if mask:
            _LOG.info(
                "%s runs with the mask %s (%s): %d experts off, %d on, %d biased",
                self.model,
                mask.id,
                mask.name or "no name",
                len(mask.off),
                len(mask.on),
                len(mask.bias),
            )
        return mask, rest

    def _mask_metadata(self, mask: ExpertMask | None) -> dict[str, Any]:
        if not mask:
            return {"mote": None}
        counts = {"off": len(mask.off), "on": len(mask.on), "bias": len(mask.bias)}
        return {"mote": {"id": mask.id, "name": mask.name, **counts}}

    def _meant(self, given: MaskLike | None) -> ExpertMask | None:
        book = self.mask_book
        assert isinstance(book, MaskBook)
        is_file = isinstance(given, str) and given.endswith(".json") and given not in book
        if is_file and not book.only_named:
            return ExpertMask.load(str(given))
        return book.resolve(given)


def _only(book: MaskBook, names: tuple[str, ...]) -> MaskBook:
    if missing := [name for name in names if name not in book]:
        known = ", ".join(sorted(book)) or "none"
        raise MaskError(f"allowed_masks names {missing[0]!r}, which mask_book does not have; it has {known}.")
    return MaskBook((book[name] for name in names), only_named=True)


def _id(mask: MaskLike | None) -> str | None:
    assert mask is None or isinstance(mask, ExpertMask)
    return mask.id if mask else None
