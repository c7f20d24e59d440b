"""The two pictures of a report, as SVG inside the page: experts by layer, and the behaviour by experts switched."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from mote_backend.ftri.expert_table import ExpertTable
from mote_backend.mask import Expert
from mote_backend.report.page import text
from mote_backend.verdict.verdict import Verdict

_TITLED = 4096
"""Cells that have a title of their own, which browsers show under the pointer; more would make the page slow."""


def heat_map(table: ExpertTable, switched: Collection[Expert] = ()) -> str:
    """Layers × experts: red where the target uses an expert more, blue where less, the stronger the more; what chance
    alone reaches stays pale. Switched experts have a frame."""
    widest, layers = max(table.experts), len(table.experts)
    cell = max(3.0, min(22.0, 900 / widest))
    high = max(5.0, min(22.0, cell if layers > 12 else 22.0))
    left, top = 34, 18
    width, height = left + cell * widest + 8, top + high * layers + 22
    difference = table.difference
    most = max(float(np.abs(difference).max(initial=0)), table.chance, 1e-9)
    titled = len(table) <= _TITLED
    parts = []
    start = 0
    for layer, size in enumerate(table.experts):
        y = top + layer * high
        if layer % math.ceil(layers / 24) == 0:
            parts.append(f'<text x="{left - 6}" y="{y + high / 2 + 4:.1f}" text-anchor="end">{layer}</text>')
        for expert in range(size):
            value = float(difference[start + expert])
            strength = min(1.0, abs(value) / most) ** 0.8 * (1.0 if abs(value) > table.chance else 0.35)
            colour = "--more" if value > 0 else "--less"
            frame = (layer, expert) in switched
            title = f"<title>layer {layer}, expert {expert}: {value:+.3f}</title>" if titled or frame else ""
            if strength < 0.02 and not frame and not titled:
                continue
            inset = 0.5 if cell >= 5 else 0.0
            box = (
                f'x="{left + expert * cell + inset:.1f}" y="{y + inset:.1f}" width="{cell - 2 * inset:.1f}" '
                f'height="{high - 2 * inset:.1f}"'
            )
            parts.append(f'<g><rect {box} style="fill:var({colour});fill-opacity:{strength:.2f}"/>{title}')
            if frame:
                parts.append(f'<rect {box} style="fill:none;stroke:var(--fg);stroke-width:2"/>')
            parts.append("</g>")
        start += size
    step = _step(widest)
    for expert in range(0, widest, step):
        x = left + (expert + 0.5) * cell
        parts.append(f'<text x="{x:.1f}" y="{top - 6}" text-anchor="middle">{expert}</text>')
    parts.append(f'<text x="{left}" y="{height - 6:.0f}">layer down, expert across</text>')
    area = f'x="{left}" y="{top}" width="{cell * widest:.0f}" height="{high * layers:.0f}"'
    ground = f'<rect {area} style="fill:var(--cell)"/>'
    label = f"Heat map of {layers} layers and up to {widest} experts, {text(table.a)} minus {text(table.b)}"
    return _svg(width, height, label, [ground, *parts])


def curve(verdict: Verdict) -> str:
    """The behaviour against the number of experts switched, with its intervals, and the span and mean of the random
    masks beside it."""
    width, height, left, right, top, bottom = 640, 300, 46, 18, 14, 40
    most = max(point.experts for point in verdict.curve) or 1

    def x(experts: float) -> float:
        return left + (width - left - right) * math.sqrt(experts / most)  # the first experts matter most

    def y(share: float) -> float:
        return top + (height - top - bottom) * (1 - share)

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{y(share):.1f}" y2="{y(share):.1f}" '
            'style="stroke:var(--line)"/>'
            f'<text x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f}%</text>'
        )
    start = verdict.curve[0].behaviour.value
    spans = [(0, start, start, start)] + [
        (point.experts, min(point.random), max(point.random), sum(point.random) / len(point.random))
        for point in verdict.curve
        if point.random
    ]
    if len(spans) > 1:
        upper = [f"{x(k):.1f},{y(high):.1f}" for k, _, high, _ in spans]
        lower = [f"{x(k):.1f},{y(low):.1f}" for k, low, _, _ in reversed(spans)]
        parts.append(f'<polygon points="{" ".join(upper + lower)}" style="fill:var(--band);fill-opacity:.35"/>')
        parts.append(_line([(x(k), y(middle)) for k, _, _, middle in spans], "var(--band)", dashed=True))
    parts.append(_line([(x(point.experts), y(point.behaviour.value)) for point in verdict.curve], "var(--more)"))
    for point in verdict.curve:
        at, one = x(point.experts), point.behaviour
        parts.append(
            f'<g><line x1="{at:.1f}" x2="{at:.1f}" y1="{y(one.low):.1f}" y2="{y(one.high):.1f}" '
            f'style="stroke:var(--more);stroke-width:1.5"/><circle cx="{at:.1f}" cy="{y(one.value):.1f}" r="4" '
            f'style="fill:var(--more)"/><title>{point.experts} experts: {text(one)}</title></g>'
            f'<text x="{at:.1f}" y="{height - bottom + 16}" text-anchor="middle">{point.experts}</text>'
        )
    middle_x = (left + width - right) / 2
    parts.append(f'<text x="{middle_x:.0f}" y="{height - 6}" text-anchor="middle">experts switched</text>')
    return _svg(width, height, "The behaviour by number of experts switched, beside random masks", parts)


def _line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    dash = ";stroke-dasharray:5 4" if dashed else ""
    joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return f'<polyline points="{joined}" style="fill:none;stroke:{colour};stroke-width:2{dash}"/>'


def _svg(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" aria-label="{label}">'
    return head + "".join(parts) + "</svg>"


def _step(count: int) -> int:
    return next(one for one in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if count / one <= 16 or one == 1024)
