"""Named masks of a deployment: a folder of JSON files, and which masks may be used at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mote_backend.errors import MaskError, MaskNotAllowedError, shown
from mote_backend.mask import ExpertMask
from mote_backend.mask_json import parsed

MaskLike = ExpertMask | Mapping[str, Any] | str
"""A mask, its JSON (as an object or as text), or the name or id of one in a book."""


class MaskBook(Mapping[str, ExpertMask]):
    """Masks by name. With `only_named` nothing else may be used: not even the same experts in another phase."""

    def __init__(self, masks: Iterable[ExpertMask] = (), *, only_named: bool = False) -> None:
        self._masks: dict[str, ExpertMask] = {}
        for mask in masks:
            if not mask.name:
                raise MaskError(f"The mask {mask.id} has no name; a book finds its masks by name.")
            if mask.name in self._masks:
                raise MaskError(f"Two masks are named {mask.name!r}; each needs a name of its own.")
            self._masks[mask.name] = mask
        self.only_named = only_named

    @classmethod
    def of_folder(cls, folder: str | Path, *, only_named: bool = False) -> MaskBook:
        """All `*.json` of a folder; a mask without a name has its file's."""
        folder = Path(folder)
        if not folder.is_dir():
            raise MaskError(f"There is no folder of masks at {folder}.")
        return cls((ExpertMask.load(path) for path in sorted(folder.glob("*.json"))), only_named=only_named)

    def __getitem__(self, name: str) -> ExpertMask:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def resolve(self, given: MaskLike | None) -> ExpertMask | None:
        """The mask that is meant. MaskError if there is none such, MaskNotAllowedError if it may not be used here."""
        mask = self._meant(given)
        if not mask:
            return None
        for known in self._masks.values():
            if known == mask:
                return known
        if self.only_named:
            raise MaskNotAllowedError(f"The mask {mask.title} is not allowed here; allowed are {self._said()}.")
        return mask

    def _meant(self, given: MaskLike | None) -> ExpertMask | None:
        if given is None or isinstance(given, ExpertMask):
            return given
        if isinstance(given, Mapping):
            return ExpertMask.from_json(given)
        if not isinstance(given, str):
            raise MaskError(f"A mask is an ExpertMask, its JSON, a name or an id, not {type(given).__name__}.")
        if not given:
            return None
        if given in self._masks:
            return self._masks[given]
        for mask in self._masks.values():
            if mask.id == given:
                return mask
        if given.lstrip().startswith("{"):
            return ExpertMask.from_json(parsed(given))
        near = difflib.get_close_matches(given[:100], self._masks, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {self._said()}."
        raise MaskError(f"There is no mask {shown(given)}; {hint}")

    def _said(self) -> str:
        return ", ".join(sorted(self._masks)) or "none"
