"""Three pictures for story.ipynb, as PNG: the walk of a run, what policies earn and spend, and experts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mote_backend.ftri.expert_table import ExpertTable
from router_graph.actions import action_from_dict
from router_graph.state import Step

_DPI = 80
_ASKED, _WALKED, _RIGHT = "#3b6ea5", "#999999", "#2a9d5c"


def walk(steps: Sequence[Step]) -> bytes:
    """Steps from left to right; a dot for each source that was asked, with the first titles that came back."""
    asked = {action_from_dict(one).target for step in steps for _, one in _numbered(step)}
    lanes = ["answer", *sorted(asked - {"answer"}, reverse=True)]
    figure = Figure(figsize=(9, 0.8 * len(lanes) + 0.8), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    before: list[tuple[int, int]] = []
    for step in steps:
        brought: dict[int, list[str]] = {}
        for position, data in _numbered(step):
            came = step.get("observations", {}).get(str(position))
            titles = [hit["title"] or hit["doc_id"] for hit in came["hits"]] if came else [str(data.get("text", ""))]
            brought.setdefault(lanes.index(action_from_dict(data).target), []).extend(titles)
        for lane, titles in brought.items():
            axes.plot(step["number"], lane, "o", color=_RIGHT if lane == 0 else _ASKED, markersize=9, zorder=3)
            label = "\n".join(_cut(title) for title in titles[:3])
            axes.annotate(
                label,
                (step["number"], lane),
                (7, -4),
                textcoords="offset points",
                fontsize=8,
                va="top",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )
        here = [(step["number"], lane) for lane in brought]
        for x, y in before:
            for to_x, to_y in here:
                axes.plot([x, to_x], [y, to_y], color=_WALKED, linewidth=0.8, zorder=1)
        before = here
    axes.set(yticks=range(len(lanes)), yticklabels=lanes, xticks=[step["number"] for step in steps], xlabel="step")
    axes.set_xlim(0.8, len(steps) + 0.9)
    axes.set_ylim(-0.7, len(lanes) - 0.7)
    _plain(axes)
    return _png(figure)


def earned(points: Mapping[str, tuple[float, float, float, float]]) -> bytes:
    """(USD a question, share that is right, low, high) of each policy: up is better, left is cheaper."""
    figure = Figure(figsize=(6, 3), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    for n, (name, (usd, right, low, high)) in enumerate(points.items()):
        axes.errorbar(usd, right, [[right - low], [high - right]], fmt="o", color=f"C{n}", capsize=3)
        axes.annotate(name, (usd, right), (6, 4 - 14 * (n % 2)), textcoords="offset points", fontsize=9)
    axes.set(xlabel="USD a question", ylabel="right", ylim=(0, 1))
    axes.set_xlim(0, 1.3 * max(usd for usd, *_ in points.values()))
    _plain(axes)
    return _png(figure)


def experts(table: ExpertTable, off: Sequence[tuple[int, int]]) -> bytes:
    """Layers down, experts across: red where the target uses one more. Those that are switched off have a frame."""
    from matplotlib.patches import Rectangle

    cells = [[table.row(layer, expert).difference for expert in range(n)] for layer, n in enumerate(table.experts)]
    figure = Figure(figsize=(8, 2), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(cells, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for layer, expert in off:
        axes.add_patch(Rectangle((expert - 0.5, layer - 0.5), 1, 1, fill=False, linewidth=2))
    axes.set(xlabel="expert", ylabel="layer", yticks=range(len(cells)), title=f"{table.a} minus {table.b}")
    figure.colorbar(shown, ax=axes)
    return _png(figure)


def _numbered(step: Step) -> list[tuple[int, dict[str, Any]]]:
    return [(n, one) for n, one in enumerate(step["actions"]) if one["kind"] in ("kb", "llm", "answer")]


def _cut(text: str, most: int = 26) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
