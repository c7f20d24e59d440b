"""What is special about pictures: their pixels, their words, and what turns pixels into vectors."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from kb_tools.documents import Image
from kb_tools.errors import UnreadableFileError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What `decode` reads. A closed list: Pillow would hand EPS to an interpreter of PostScript."""

MAX_PIXELS = 64_000_000
"""A larger picture is refused before its pixels are unpacked: a small file can claim any size."""


@runtime_checkable
class ImageEmbedder(Protocol):
    """Pictures, and texts where the space holds them, as unit vectors: cosine is the dot product."""

    @property
    def name(self) -> str:
        """Implementation, version and model. A collection remembers it and refuses another."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Unit rows of shape (len(images), dimension). Raises UnreadableFileError for what is no picture."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Unit rows of shape (len(texts), dimension) in the space of the images; None: it holds no text."""


def decode(data: bytes) -> Pillow.Image:
    """The picture as RGB, upright (EXIF), on white where it is transparent; of an animation, the first frame.

    Raises UnreadableFileError for broken or foreign bytes and for more than `MAX_PIXELS` pixels.
    """
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height <= MAX_PIXELS:
                return _to_rgb(_upright(opened))
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise UnreadableFileError(f"The picture is too large to unpack safely ({error}); scale it down.") from error
    except UnidentifiedImageError as error:
        raise UnreadableFileError(
            f"These {len(data)} bytes are no picture in a known format; use one of {', '.join(FORMATS)}."
        ) from error
    except Exception as error:
        # Pillow's readers let through whatever broken bytes cause: OSError, SyntaxError, struct.error, IndexError...
        raise UnreadableFileError(
            f"The picture is broken or cut short ({error or type(error).__name__}); save or copy it again."
        ) from error
    raise UnreadableFileError(
        f"The picture claims {width} x {height} pixels, more than the {MAX_PIXELS:,} allowed; scale it down."
    )


def _upright(picture: Pillow.Image) -> Pillow.Image:
    picture.load()
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a camera's broken EXIF block is no reason to lose good pixels
        return picture


def _to_rgb(picture: Pillow.Image) -> Pillow.Image:
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        if layer.getchannel("A").getextrema() == (255, 255):
            return layer.convert("RGB")
        white = Pillow.new("RGBA", layer.size, "white")
        return Pillow.alpha_composite(white, layer).convert("RGB")
    if picture.mode.startswith(("I", "F")):
        return _wide_greys(picture).convert("RGB")
    return picture.convert("RGB")


def _wide_greys(picture: Pillow.Image) -> Pillow.Image:
    """8-bit greys of a picture with 16- or 32-bit ones; Pillow's own conversion cuts all above 255 to white."""
    levels = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    if picture.mode.startswith("I;16"):
        return Pillow.fromarray((levels / 257).astype(np.uint8))
    low, high = levels.min(), levels.max()
    return Pillow.fromarray(((levels - low) / max(high - low, 1e-12) * 255).astype(np.uint8))


def words(image: Image) -> str:
    """The text of a picture for the text index: title, caption, alt text, and new words of its file name.

    One line each, without those that are empty; "" where the picture has no words at all.
    """
    lines = [line for line in (image.title.strip(), image.caption.strip(), image.alt.strip()) if line]
    said = {word.casefold() for line in lines for word in re.findall(r"\w+", line)}
    fresh = [word for word in file_words(image.path or "") if word.casefold() not in said]
    return "\n".join([*lines, " ".join(fresh)] if fresh else lines)


_EXTENSIONS = re.compile(r"(?:\.(?:png|jpe?g|jfif|webp|gif|bmp|tiff?|avif|svg|heic))+$", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"[^\W\d_]+|\d+")


def file_words(path: str) -> list[str]:
    """The words in a file's name: `data/salesQ4_2023-a3f5b2c9d1.png` gives sales, Q4, 2023.

    The extension goes, and so do hash-like pieces: UUIDs, hexadecimal or random ids, numbers of 10 digits or more.
    """
    stem = _EXTENSIONS.sub("", unquote(re.split(r"[/\\]", path)[-1]))
    pieces = re.findall(r"[^\W_]+", _UUID.sub(" ", stem))
    return [word for piece in pieces if not _hash_like(piece) for word in _split(piece)]


def _hash_like(piece: str) -> bool:
    runs = _RUN.findall(piece)
    if piece.isdecimal():
        return len(piece) >= 10
    if len(runs) == 1:
        return False
    if len(piece) >= 8 and re.fullmatch(r"[0-9a-fA-F]+", piece) and len(runs) >= 4:
        return True
    # Random letters and digits change case and kind every other character; words don't.
    return len(piece) >= 16 and len(piece) / len(_split(piece)) < 2.5


def _split(piece: str) -> list[str]:
    """Cut at a change of case and between letters and digits, but keep short names whole: Q4, CO2, P99."""
    parts: list[str] = []
    for run in _RUN.findall(piece):
        if run[0].isdecimal():
            if parts and re.fullmatch(r"[A-Za-z]{1,3}", parts[-1]) and len(run) <= 3:
                parts[-1] += run
            else:
                parts.append(run)
            continue
        start = 0
        for i, (left, right) in enumerate(pairwise(run), start=1):
            ends_capitals = left.isupper() and right.isupper() and run[i + 1 : i + 2].islower()
            if (left.islower() and right.isupper()) or ends_capitals:
                parts.append(run[start:i])
                start = i
        parts.append(run[start:])
    return parts
