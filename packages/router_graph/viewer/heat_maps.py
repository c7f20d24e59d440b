"""Tables of experts as `polyroute mote profile --out` writes them, and the masks beside them, as data of heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mote_backend.errors import MoTEError
from mote_backend.ftri.expert_table import FORMAT, ExpertTable
from mote_backend.ftri.random_masks import switched
from mote_backend.mask import ExpertMask
from router_graph.viewer.problems import Problem

_MASK = "polyroute-mask/1"
_HEAD, _MOST, _LONGEST = 200, 300, 64 << 20
"""Bytes in which the format is named; files that are looked at; bytes of one."""


def tables_in(folder: Path | None) -> dict[str, Path]:
    """The tables that lie in a folder, by the names of their files without `.json`."""
    return {one.stem: one for one in _files(folder, FORMAT)}


def heat_map(folder: Path | None, name: str) -> dict[str, Any]:
    """How much more the target's prompts use each expert, as rows of layers; and the experts that the newest mask for
    this model in the folder switches. Raises `Problem`."""
    tables = tables_in(folder)
    if name not in tables:
        raise Problem(404, f"There is no table of experts {name[:80]!r}.")
    try:
        table = ExpertTable.load(tables[name])
    except MoTEError as error:
        raise Problem(409, str(error)) from None
    cells: list[list[float]] = []
    start = 0
    for size in table.experts:
        cells.append([round(float(one), 6) for one in table.difference[start : start + size]])
        start += size
    mask = _mask(folder, table)
    return {
        "name": name,
        "layers": len(table.experts),
        "experts": max(table.experts, default=0),
        "behaviour": f"{table.a} ({table.n_a} prompts) minus {table.b} ({table.n_b} prompts): the share of tokens that "
        f"select each expert. Chance alone reaches {table.chance:.3f} nowhere, in 95 of 100 such profiles.",
        "chance": table.chance,
        "notes": list(table.notes),
        "cells": cells,
        "mask_name": None if mask is None else mask.name or mask.id,
        "mask": [] if mask is None else sorted([layer, expert] for layer, expert in switched(mask)),
    }


def _mask(folder: Path | None, table: ExpertTable) -> ExpertMask | None:
    """The newest one in the folder that is for this model."""
    for path in sorted(_files(folder, _MASK), key=lambda one: -one.stat().st_mtime):
        try:
            mask = ExpertMask.load(path)
        except MoTEError:
            continue
        if mask.model is not None and mask.model == table.model:
            return mask
    return None


def _files(folder: Path | None, form: str) -> list[Path]:
    """The files of a format: it stands at their beginning."""
    if folder is None or not folder.is_dir():
        return []
    return [one for one in sorted(folder.glob("*.json"))[:_MOST] if _has(one, form)]


def _has(path: Path, form: str) -> bool:
    try:
        with path.open("rb") as file:
            return path.stat().st_size <= _LONGEST and form.encode() in file.read(_HEAD)
    except OSError:
        return False
