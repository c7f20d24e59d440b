"""The models of a deployment, each alone and with each of its named masks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.errors import InputError, MaskError, MoTEError
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook, MaskLike


class UnknownModelError(MoTEError):
    """Nobody serves a model of this name."""


@dataclass(frozen=True)
class Choice:
    """A model with the mask that it was asked with."""

    chat_model: ChatMoTE
    mask: ExpertMask | None


class ServedModels:
    """Chat models by name. "NAME" is a model with its own mask, if it has one, and "NAME:MASK" with a mask of its book.

    A mask comes from a client: it is a name, an id or the mask itself, and never a file.
    """

    def __init__(self, models: Mapping[str, ChatMoTE]) -> None:
        if not models:
            raise InputError("There is no model to serve; give at least one by name.")
        for name in models:
            if not name or ":" in name or not name.isprintable():
                raise InputError(f"A model cannot be served as {name!r}; a name has no colon, and is not empty.")
        self._models = dict(models)

    @property
    def names(self) -> tuple[str, ...]:
        """All that can be asked for by name."""
        return tuple(
            one
            for name, model in self._models.items()
            for one in (name, *(f"{name}:{mask}" for mask in book_of(model)))
        )

    def check(self) -> None:
        """Load the models. ModelLoadError for one that cannot be, UnsupportedModelError for one without experts to
        switch, MaskError for a mask that does not fit its model."""
        for model in self._models.values():
            fingerprint = model.engine().steering.fingerprint
            for mask in (*book_of(model).values(), *((model.mote_mask,) if model.mote_mask else ())):
                assert isinstance(mask, ExpertMask)
                mask.check(fingerprint)

    def choose(self, name: str, mask: MaskLike | None = None, *, names_mask: bool | None = None) -> Choice:
        """The model of this name, with the mask given beside it, else with the one in its name, else with its own.

        `names_mask` with no mask switches nothing. Raises UnknownModelError, MaskError and MaskNotAllowedError.
        """
        base, _, suffix = name.partition(":")
        model = self._models.get(base)
        if model is None:
            raise UnknownModelError(self._unknown(name))
        book = book_of(model)
        if suffix and suffix not in book:
            raise UnknownModelError(self._unknown(name))
        given = book.resolve(mask)
        if suffix:
            named = book[suffix]
            if mask is not None and given != named:
                raise MaskError(f"The model {name!r} carries a mask, and mote_mask names another; give one of the two.")
            return Choice(model, named)
        if mask is not None or names_mask:
            return Choice(model, given)
        return Choice(model, model.mote_mask if isinstance(model.mote_mask, ExpertMask) else None)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.names[:20])}."
        return f"There is no model {name[:100]!r}; {hint}"


def book_of(model: ChatMoTE) -> MaskBook:
    """The masks that calls of the model may name."""
    return model.mask_book if isinstance(model.mask_book, MaskBook) else MaskBook()
