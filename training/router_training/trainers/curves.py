"""What a run looked like: as a picture, and in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BARS = "▁▂▃▄▅▆▇█"
_LEFT_OUT = frozenset(
    "step epoch total_flos num_tokens train_runtime train_samples_per_second train_steps_per_second train_loss "
    "eval_runtime eval_samples_per_second eval_steps_per_second eval_num_tokens step_time".split()
)
_DETAILS = re.compile(r"(eval_)?(rewards/|completions/(min|max|mean_terminated)_|clip_ratio/(low|high)_)")
"""Of TRL's online trainers: `reward`, `completions/mean_length` and `clip_ratio/region_mean` say it in a line each."""


def curves(history: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Each figure of a trainer's log history, by update; without times, counts and the parts of other figures."""
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in history:
        for name, value in entry.items():
            if name not in _LEFT_OUT and not _DETAILS.match(name) and isinstance(value, int | float):
                found.setdefault(name, []).append((int(entry["step"]), float(value)))
    return {name: points for name, points in found.items() if len(points) > 1}


def in_terminal(history: Sequence[Mapping[str, Any]], *, width: int = 48) -> str:
    """A line for each figure: its course, from where, and to where."""
    found = curves(history)
    longest = max(map(len, found), default=0)
    return "\n".join(
        f"{name:<{longest}}  {_line([value for _, value in points], width)}  {points[0][1]:.4g} → {points[-1][1]:.4g}"
        for name, points in found.items()
    )


def picture(history: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Write them as a PNG. False where there is nothing to draw, or no matplotlib to draw it."""
    found = curves(history)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not found:
        return False
    figure = Figure(figsize=(6, 1.6 * len(found)), layout="constrained")
    for place, (axes, (name, points)) in enumerate(
        zip(figure.subplots(len(found), sharex=True, squeeze=False)[:, 0], found.items(), strict=True)
    ):
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else None, color=f"C{place % 10}")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    axes.set_xlabel("update")
    figure.savefig(path, dpi=110)
    return True


def _line(values: Sequence[float], width: int) -> str:
    # Means of neighbours, where there are more values than room.
    count = min(width, len(values))
    cut = [values[at * len(values) // count : (at + 1) * len(values) // count] for at in range(count)]
    means = [sum(part) / len(part) for part in cut]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((one - low) * scale)] if one == one else " " for one in means)
