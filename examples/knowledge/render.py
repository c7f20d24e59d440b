"""Draws the charts of `images/` from the tables, each with its words beside it: python examples/knowledge/render.py"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent


def read(name: str) -> list[dict[str, str]]:
    """The rows of a table, by the names of its columns."""
    with (HERE / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


PLANETS = read("planets")
NAMES = [row["planet"] for row in PLANETS]
COLOURS = ["#9a8f86", "#d9a441", "#3f7fbf", "#c1512f", "#b5814f", "#d8c078", "#7fc4c9", "#3a5fcd"]


def column(name: str) -> list[float]:
    """A column of planets.csv as numbers."""
    return [float(row[name]) for row in PLANETS]


def year_lengths(axes: Axes) -> None:
    """Bars on a logarithmic scale: from 88 days to 165 years."""
    days = column("year (Earth days)")
    axes.barh(NAMES, days, color=COLOURS)
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(30, 250_000), xlabel="Earth days, logarithmic")
    for place, value in enumerate(days):
        axes.text(value * 1.1, place, f"{value:,.0f}", va="center")


def planet_sizes(axes: Axes) -> None:
    """The planets side by side, as discs on one scale."""
    from matplotlib.patches import Circle

    edge = 0.0
    for name, width, colour in zip(NAMES, column("diameter (km)"), COLOURS, strict=True):
        axes.add_patch(Circle((edge + width / 2, 0), width / 2, color=colour))
        axes.text(edge + width / 2, -width / 2 - 6_000, name, rotation=90, ha="center", va="top")
        edge += width + 14_000
    axes.set(xlim=(-12_000, edge), ylim=(-130_000, 85_000), aspect="equal")
    axes.axis("off")


def densities(axes: Axes) -> None:
    """A bar a planet, and a line for water."""
    axes.bar(NAMES, column("density (kg/m3)"), color=COLOURS)
    axes.axhline(1_000, color="black", linewidth=1, linestyle="--")
    axes.text(len(NAMES) - 0.45, 1_060, "water", va="bottom")
    axes.set_xlim(-0.6, len(NAMES) + 0.3)
    axes.set_ylabel("kg/m³")
    axes.tick_params(axis="x", rotation=30)


def kepler(axes: Axes) -> None:
    """Year over distance: a straight line where both scales are logarithmic."""
    distance, days = column("distance from Sun (million km)"), column("year (Earth days)")
    axes.plot(distance, days, color="#888888", linewidth=1, zorder=1)
    axes.scatter(distance, days, color=COLOURS, s=60, zorder=2)
    for name, x, y in zip(NAMES, distance, days, strict=True):
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(8, -10))
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(40, 12_000),
        ylim=(40, 120_000),
        xlabel="million km from the Sun",
        ylabel="year, Earth days",
    )


def arrivals(axes: Axes) -> None:
    """One stacked bar a decade, by what the spacecraft did there."""
    missions = read("missions")
    decades = sorted({int(row["arrived"]) // 10 * 10 for row in missions})
    below = [0] * len(decades)
    for kind in ("flyby", "orbiter", "lander", "rover"):
        count = Counter(int(row["arrived"]) // 10 * 10 for row in missions if row["kind"] == kind)
        heights = [count[decade] for decade in decades]
        axes.bar([f"{decade}s" for decade in decades], heights, bottom=below, label=kind)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_ylabel("arrivals")
    axes.legend()


CHARTS: dict[str, tuple[Callable[[Axes], None], str, str, str]] = {
    "year-lengths": (
        year_lengths,
        "How long a year is on each planet",
        "The orbital period of the eight planets in Earth days.",
        "Horizontal bars on a logarithmic scale, from Mercury with 88 days to Neptune with 59,800.",
    ),
    "planet-sizes": (
        planet_sizes,
        "The planets on one scale",
        "The diameters of the eight planets compared.",
        "Eight discs side by side in order from the Sun; Jupiter is the largest, Mercury the smallest.",
    ),
    "densities": (
        densities,
        "How dense the planets are",
        "The mean density of the eight planets, compared with water.",
        "Bars with a dashed line for water at 1,000 kg/m³. Earth is the densest; Saturn alone is below the line.",
    ),
    "distance-and-year": (
        kepler,
        "The farther from the Sun, the longer the year",
        "Kepler's third law: the orbital period of the planets over their distance from the Sun.",
        "Eight dots on a straight line, both scales logarithmic, from Mercury at the lower left to Neptune.",
    ),
    "arrivals-by-decade": (
        arrivals,
        "Arrivals at other worlds, by decade",
        "How many of the missions in missions.csv arrived in each decade: flybys, orbiters, landers and rovers.",
        "Stacked bars from the 1960s to the 2020s; the flybys come first, the rovers last.",
    ),
}
"""File name → how to draw it, title, caption and alt text."""


def main() -> None:
    """Write every chart and its sidecar."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for name, (draw, title, caption, alt) in CHARTS.items():
        figure, axes = plt.subplots(figsize=(6.4, 4), dpi=90, layout="constrained")
        draw(axes)
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        target = HERE / "images" / f"{name}.png"
        figure.savefig(target, metadata={"Software": None})  # the same bytes, whatever the version says
        plt.close(figure)
        words = {"title": title, "caption": caption, "alt": alt}
        target.with_suffix(".json").write_text(json.dumps(words, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
