"""The pictures of a report, as SVG inside the page: score against cost, and where the money went."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router_graph.evaluation.comparing import frontier

_WIDTH, _LEAST = 820, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 236, 16, 46
_TICKS = 5
_LINE = 14
"""Pixels between two labels."""
_Place = Callable[[float], float]
"""From a value to pixels."""


@dataclass(frozen=True, slots=True)
class Point:
    """One policy."""

    name: str
    x: float
    y: float
    low: float
    high: float
    style: str
    """A CSS class: policy, simple, control, bound or published."""


def scatter(points: Sequence[Point], *, x: str, y: str, front: bool = True) -> str:
    """Points with their intervals, and the front of what simple policies reach, a coin between two of them included.

    Labels stand at the right, beside their points' heights, so that none covers another.
    """
    if not points:
        return ""
    height = max(_LEAST, _TOP + _BOTTOM + _LINE * len(points))
    right = max(point.x for point in points) * 1.05 or 1.0
    top = min(1.0, max(max(point.high, point.y) for point in points) * 1.1) or 1.0

    def at(value: float) -> float:
        return _LEFT + value / right * (_WIDTH - _LEFT - _RIGHT)

    def up(value: float) -> float:
        return height - _BOTTOM - value / top * (height - _TOP - _BOTTOM)

    parts = [*_axes(right, top, height, at, up, x, y)]
    if front:
        hull = frontier([(point.x, point.y) for point in points if point.style == "simple"])
        if len(hull) > 1 or hull[0][1] > 0:
            path = " ".join(f"{at(a):.1f},{up(b):.1f}" for a, b in [*hull, (right, hull[-1][1])])
            parts.append(f'<polyline class="front" points="{path}"><title>simple policies, at best</title></polyline>')
    labels = _spread([up(point.y) for point in points], height - _BOTTOM)
    for point, beside in zip(points, labels, strict=True):
        across, along = at(point.x), up(point.y)
        name = html.escape(_visible(point.name)[:34])
        parts.append(
            f'<g class="{point.style}"><title>{name}: {100 * point.y:.1f} at {point.x:,.4g}</title>'
            f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{up(point.low):.1f}" y2="{up(point.high):.1f}"/>'
            f'<circle cx="{across:.1f}" cy="{along:.1f}" r="4.5"/>'
            f'<path d="M{across + 6:.1f} {along:.1f}L{_WIDTH - _RIGHT + 6} {beside:.1f}"/>'
            f'<text x="{_WIDTH - _RIGHT + 10}" y="{beside + 4:.1f}">{name}</text></g>'
        )
    return _svg(_WIDTH, height, f"{y} against {x}", parts)


def bars(rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A bar for each policy, divided by what was paid; the longest fills the width."""
    kept = {name: parts for name, parts in rows.items() if sum(parts.values()) > 0}
    if not kept:
        return ""
    keys = sorted({key for parts in kept.values() for key in parts})
    most = max(sum(parts.values()) for parts in kept.values())
    left, high, width = 190, 24, _WIDTH - 190 - 90
    shown = []
    for place, (name, parts) in enumerate(kept.items()):
        y, start = 8 + place * (high + 8), float(left)
        shown.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{html.escape(_visible(name))[:28]}</text>')
        for key in keys:
            size = parts.get(key, 0.0) / most * width
            if size > 0:
                told = f"{html.escape(_visible(key))}: {parts[key]:.6g} {unit}"
                shown.append(
                    f'<rect class="part{keys.index(key) % 8}" x="{start:.1f}" y="{y}" width="{max(size, 0.5):.1f}" '
                    f'height="{high}"><title>{told}</title></rect>'
                )
                start += size
        shown.append(f'<text x="{start + 6:.1f}" y="{y + 16}">{sum(parts.values()):.4g}</text>')
    below = 8 + len(kept) * (high + 8) + 14
    for place, key in enumerate(keys):
        x, y = left + (place % 3) * 185, below + (place // 3) * 18
        shown.append(f'<rect class="part{place % 8}" x="{x}" y="{y - 10}" width="11" height="11"/>')
        shown.append(f'<text x="{x + 16}" y="{y}">{html.escape(_visible(key))[:26]}</text>')
    return _svg(_WIDTH, below + math.ceil(len(keys) / 3) * 18, f"Where the money went, in {unit}", shown)


def _axes(right: float, top: float, height: float, at: _Place, up: _Place, x: str, y: str) -> Iterator[str]:
    for value in _ticks(top):
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{up(value) + 4:.1f}" text-anchor="end">{100 * value:.0f}</text>'
    for value in _ticks(right):
        yield f'<text x="{at(value):.1f}" y="{height - _BOTTOM + 18}" text-anchor="middle">{value:,.4g}</text>'
    middle, turned = (_LEFT + _WIDTH - _RIGHT) / 2, f"rotate(-90 14 {height / 2:.0f})"
    yield f'<text x="{middle:.0f}" y="{height - 8}" text-anchor="middle">{html.escape(x)}</text>'
    yield f'<text x="14" y="{height / 2:.0f}" text-anchor="middle" transform="{turned}">{html.escape(y)}</text>'


def _ticks(most: float) -> list[float]:
    step = 10 ** math.floor(math.log10(most / _TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if most / (step * factor) <= _TICKS + 1)
    return [step * place for place in range(math.floor(most / step) + 1)]


def _spread(heights: Sequence[float], lowest: float) -> list[float]:
    """Places for the labels in the order of their points, as near as they can be without one covering another; there
    is room for all of them."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = [0.0] * len(heights)
    last = _TOP - float(_LINE)
    for place in order:
        placed[place] = last = max(heights[place], last + _LINE)
    below = lowest + float(_LINE)
    for place in reversed(order):
        placed[place] = below = min(placed[place], below - _LINE)
    return placed


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg></div>"
    )


def _visible(text: str) -> str:
    return text if text.isprintable() else ascii(text)
