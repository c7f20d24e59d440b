"""Charts drawn by matplotlib without a display, and what befalls them; the same arguments give the same bytes."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from PIL import Image, ImageEnhance

from kb_tools.images import decode

Kind = Literal["bar", "line", "pie", "scatter"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_TOPICS = ["Sales", "Rainfall", "Births", "Exports", "Visitors", "Energy use", "Wheat prices", "Patents"]
_PLACES = ["Norway", "Peru", "Kenya", "Japan", "Quebec", "Sicily", "Oslo", "Lima", "Nairobi", "Kyoto"]
_COLOURS = ["tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"]


def render_chart(
    kind: Kind, values: Sequence[float], *, title: str, colour: str, labels: Sequence[str] | None = None
) -> bytes:
    """A chart of `values` as PNG, 640 x 480 pixels. A pie takes `values` ≥ 0 and shades `colour` by wedge."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title)
    names = list(labels) if labels is not None else [chr(ord("A") + i) for i in range(len(values))]
    if kind == "bar":
        axes.bar(names, values, color=colour)
    elif kind == "line":
        axes.plot(range(len(values)), values, color=colour, marker="o")
    elif kind == "scatter":
        axes.scatter(range(len(values)), values, color=colour)
    else:
        red, green, blue = to_rgb(colour)
        tints = [0.7 * i / max(1, len(values) - 1) for i in range(len(values))]
        wedges = [(red + (1 - red) * t, green + (1 - green) * t, blue + (1 - blue) * t) for t in tints]
        axes.pie(values, labels=names, colors=wedges)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def draw_charts(count: int, *, seed: int) -> list[bytes]:
    """`count` different charts, all kinds in turn; few colours, so that colour alone tells little."""
    rng = random.Random(seed)
    charts = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        size = rng.randint(5, 8)
        values = [round(rng.uniform(5, 100), 1) for _ in range(size)]
        title = f"{rng.choice(_TOPICS)} in {rng.choice(_PLACES)}, {rng.randint(1990, 2024)}"
        charts.append(render_chart(kind, values, title=title, colour=rng.choice(_COLOURS)))
    return charts


def alterations(seed: int, *, harsh: bool = False) -> dict[str, Callable[[bytes], bytes]]:
    """What happens to a picture on its way through documents and web pages; chance (where, which way) by `seed`.

    Rescaled to 60 % (harsh: 15 %), JPEG of quality 30 (5), cropped by 5 % of each side (12 %), darker or brighter by
    30 % (60 % or 80 %), greyscale (with half the contrast), rotated by 2 degrees (5).
    """
    rng = random.Random(seed)

    def rescale(picture: Image.Image) -> bytes:
        part = 15 if harsh else 60
        return _saved(picture.resize((picture.width * part // 100, picture.height * part // 100)))

    def recompress(picture: Image.Image) -> bytes:
        return _saved(picture, "JPEG", quality=5 if harsh else 30)

    def crop(picture: Image.Image) -> bytes:
        part = 88 if harsh else 95
        width, height = picture.width * part // 100, picture.height * part // 100
        left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
        return _saved(picture.crop((left, top, left + width, top + height)))

    def brightness(picture: Image.Image) -> bytes:
        return _saved(ImageEnhance.Brightness(picture).enhance(rng.choice([0.4, 1.8] if harsh else [0.7, 1.3])))

    def greyscale(picture: Image.Image) -> bytes:
        return _saved(ImageEnhance.Contrast(picture.convert("L")).enhance(0.5 if harsh else 1))

    def rotate(picture: Image.Image) -> bytes:
        angle = rng.choice([-5, 5] if harsh else [-2, 2])
        return _saved(picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor="white"))

    steps = [rescale, recompress, crop, brightness, greyscale, rotate]
    return {step.__name__: lambda data, step=step: step(decode(data)) for step in steps}


def _saved(picture: Image.Image, format: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=format, **options)
    return out.getvalue()
