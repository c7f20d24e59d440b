"""Pictures of a question: data URLs in, so that a server reads no file and fetches no address for a stranger."""

from __future__ import annotations

import base64
import binascii
import io
import re
from pathlib import Path

from router_graph.errors import QuestionError

_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
MOST_BYTES = 20 * 2**20
"""Of one picture."""


def image_url(path: str | Path) -> str:
    """The picture of a file as a data URL. Raises `QuestionError`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise QuestionError(
            f"The image {str(path)!r} cannot be read ({error.strerror}); give a picture's path."
        ) from None
    kind = _kind(data)
    if kind is None:
        raise QuestionError(f"The image {str(path)!r} is no picture that can be read; give a PNG, JPEG, WebP or GIF.")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def image_bytes(url: str) -> bytes:
    """The bytes of a data URL. Raises `QuestionError`."""
    found = _URL.match(url)
    if found is None:
        raise QuestionError(
            f"An image of the question is {url[:40]!r}; it must be a URL of the form data:image/png;base64,…"
        )
    try:
        return base64.b64decode(url[found.end() :], validate=True)
    except binascii.Error:
        raise QuestionError("An image of the question is damaged: its base64 cannot be read.") from None


def check_image(url: str) -> None:
    """Raise `QuestionError` for what is no picture."""
    data = image_bytes(url)
    if len(data) > MOST_BYTES:
        raise QuestionError(f"An image of the question has {len(data):,} bytes; at most {MOST_BYTES:,} are taken.")
    if _kind(data) is None:
        raise QuestionError("An image of the question is no picture that can be read; give a PNG, JPEG, WebP or GIF.")


def _kind(data: bytes) -> str | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
            return (picture.format or "").lower() or None
    except Exception:  # Pillow's decoders raise anything for bytes that are no picture
        return None
