"""A table of experts as text: the first rows in Markdown, and a heat map of characters for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mote_backend.ftri.expert_table import ExpertRow, ExpertTable

_MORE = "░▒▓█"
_LESS = "-=≡#"


def markdown(table: ExpertTable, rows: Sequence[ExpertRow]) -> str:
    """These rows of the table, with what they rest on. Names come from outside and are shown as nothing but text."""
    a, b = _plain(table.a), _plain(table.b)
    lines = [
        f"{a} ({table.n_a} prompts) minus {b} ({table.n_b} prompts), tokens: {_plain(table.at)}. Chance alone reaches "
        f"±{table.chance:.3f} somewhere in the model.",
        "",
        f"| layer | expert | {a} | {b} | difference (95 %) | q | stability | gate difference |",
        "|--:|--:|--:|--:|:--|--:|--:|--:|",
    ]
    for row in rows:
        gate = "" if math.isnan(row.gate_difference) else f"{row.gate_difference:+.3f}"
        lines.append(
            f"| {row.layer} | {row.expert} | {row.rate_a:.2f} | {row.rate_b:.2f} | {row.difference:+.2f} "
            f"({row.low:+.2f} to {row.high:+.2f}) | {row.q:.2g} | {row.stability:.2f} | {gate} |"
        )
    return "\n".join([*lines, *(f"\n{_plain(note)}" for note in table.notes)]) + "\n"


def heat_map(table: ExpertTable, width: int = 64) -> str:
    """A line a layer and a character an expert, or the strongest of a few neighbours where a layer has more experts
    than `width`: shades for experts that the target uses more, dashes for those it uses less, a dot within chance."""
    bins = math.ceil(max(table.experts) / max(1, width))
    steps = max(float(np.abs(table.difference).max()), table.chance) - table.chance
    digits = len(str(len(table.experts) - 1))
    lines = [f"{_MORE} used more by {_shown(table.a)}, {_LESS} by {_shown(table.b)}"]
    start = 0
    for layer, size in enumerate(table.experts):
        differences = table.difference[start : start + size]
        start += size
        cells = []
        for first in range(0, size, bins):
            several = differences[first : first + bins]
            strongest = float(several[np.abs(several).argmax()])
            beyond = abs(strongest) - table.chance
            shade = 0 if steps <= 0 else min(3, int(4 * beyond / steps))
            cells.append("·" if beyond <= 0 else (_MORE if strongest > 0 else _LESS)[shade])
        lines.append(f"{layer:>{digits}} {''.join(cells)}")
    return "\n".join(lines) + "\n"


def _shown(text: str) -> str:
    """Text from outside without line breaks or what steers a terminal."""
    return "".join(one if one.isprintable() else " " for one in text)


def _plain(text: str) -> str:
    """The same as a cell of Markdown, where it is no markup."""
    shown = _shown(text)
    for special in "\\`*_[]<>|#&":
        shown = shown.replace(special, "\\" + special)
    return shown
