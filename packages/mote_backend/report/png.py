"""The heat map of a table of experts as a PNG picture, for slides; needs matplotlib."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mote_backend.errors import InputError, MissingExtraError
from mote_backend.ftri.expert_table import ExpertTable
from mote_backend.mask import Expert


def save_heat_map(path: str | Path, table: ExpertTable, switched: Collection[Expert] = ()) -> None:
    """Layers × experts: red where the target uses an expert more, blue where less; switched experts are framed.

    MissingExtraError if matplotlib is not installed, InputError if the picture cannot be written.
    """
    check_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    cells = np.full((len(table.experts), max(table.experts)), np.nan)
    cells[table.layer, table.expert] = table.difference
    most = max(float(np.nanmax(np.abs(cells))), 1e-9)
    figure = Figure(figsize=(min(16, 3 + cells.shape[1] / 12), min(12, 2 + cells.shape[0] / 5)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(cells, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    for layer, expert in switched:
        axes.add_patch(Rectangle((expert - 0.5, layer - 0.5), 1, 1, fill=False, linewidth=1.5))
    axes.set(xlabel="expert", ylabel="layer")
    # A dollar sign in a name would start a formula.
    axes.set_title(f"{table.a} minus {table.b}".replace("$", r"\$"), fontsize=10, wrap=True)
    figure.colorbar(image, ax=axes, label="difference of rates")
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise InputError(f"The picture {path} cannot be written: {error.strerror or error}.") from None


def check_matplotlib() -> None:
    """Raise MissingExtraError if it is not installed: before what is to be shown is measured."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("A picture needs matplotlib; install it with `pip install matplotlib`.")
