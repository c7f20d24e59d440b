"""png, jpg and webp → an `Image` each, with the words of its sidecar."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kb_tools.documents import Image
from kb_tools.loaders.decoding import decode_text
from kb_tools.loaders.formats import is_readable, modality_of
from kb_tools.loaders.origin import Origin, brief
from kb_tools.loaders.rows import row_metadata


def sidecar_names(path: Path) -> tuple[Path, ...]:
    """Where the words of an image may lie, the best first; nothing for a file that is no image.

    `chart.png.json` or `chart.json`: an object with any of `caption`, `alt`, `title`; its other keys become metadata.
    `chart.png.txt` or `chart.txt`: the caption, used where the object has none.
    """
    if not is_readable(path) or modality_of(path) != "image":
        return ()
    return tuple(
        beside
        for suffix in (".json", ".txt")
        for beside in (path.with_name(path.name + suffix), path.with_suffix(suffix))
    )


def read_image(origin: Origin) -> Iterator[Image]:
    """The one image of a file, decoded once to be sure that it can be."""
    data = origin.path.read_bytes()
    _verify(origin, data)
    words, metadata = _sidecar(origin)
    yield Image(
        id=origin.name,
        title=words.pop("title", "") or origin.path.stem,
        path=str(origin.path),
        # The fingerprint makes a repainted picture a changed document: the rest of it is only the path and words.
        metadata=origin.metadata(sha256=hashlib.sha256(data).hexdigest(), **metadata),
        **words,
    )


def _verify(origin: Origin, data: bytes) -> None:
    import io

    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns at its limit of pixels and refuses at twice that; a picture above the limit is refused here.
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            # The formats are named, so that no other parser of Pillow's ever sees the file.
            with Pillow.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as picture:
                picture.load()
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError):
        raise origin.unreadable(
            f"it has more than the {Pillow.MAX_IMAGE_PIXELS:,} pixels that are safe to unpack; scale it down"
        ) from None
    except UnidentifiedImageError:
        raise origin.unreadable("it is no png, jpeg or webp picture") from None
    except Exception as error:  # Pillow's plugins raise whatever they stumble on
        raise origin.unreadable(f"the picture is damaged ({brief(error)})") from None


def _sidecar(origin: Origin) -> tuple[dict[str, str], dict[str, Any]]:
    words: dict[str, str] = {}
    rest: dict[str, Any] = {}
    found = [path for path in sidecar_names(origin.path) if path.is_file()]
    for path in found:
        text, _ = decode_text(origin, path.read_bytes(), what=f"its sidecar {path.name}")
        if path.suffix == ".txt":
            words["caption"] = words.get("caption") or text.strip()
        elif not rest and not words:
            words, rest = _object(origin, path.name, text)
    return words, rest


def _object(origin: Origin, name: str, text: str) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise origin.unreadable(f"its sidecar {name} is no JSON ({brief(error)})") from None
    if not isinstance(value, dict):
        raise origin.unreadable(f"its sidecar {name} holds no object with caption, alt or title")
    words = {key: value.pop(key) for key in ("caption", "alt", "title") if value.get(key) is not None}
    for key, word in words.items():
        if not isinstance(word, str):
            raise origin.unreadable(f"{key!r} in its sidecar {name} is no text")
    return words, row_metadata(value)
