"""Bytes → text, strictly: a guess is made only where it is asked for, and then it is named."""

from __future__ import annotations

import codecs

from kb_tools.loaders.origin import Origin

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode_text(origin: Origin, data: bytes, *, what: str = "it", guess: str | None = None) -> tuple[str, str | None]:
    """The text, and the encoding if that was a guess.

    UTF-8, or what a byte order mark says; else `guess`, where one is given. Raises `UnreadableFileError`.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if guess is None or encoding != "utf-8" or b"\0" in data:
            raise origin.unreadable(_not_text(what, data, error)) from None
        try:
            return data.decode(guess), guess
        except UnicodeDecodeError:
            raise origin.unreadable(_not_text(what, data, error)) from None
    if encoding == "utf-8" and text.count("\0") * 3 > len(text):
        raise origin.unreadable(f"{what} is binary, or UTF-16 without a byte order mark; save it as UTF-8")
    return text, None


def _not_text(what: str, data: bytes, error: UnicodeDecodeError) -> str:
    line = data.count(b"\n", 0, error.start) + 1
    return f"{what} is not {error.encoding.upper()} (byte 0x{data[error.start]:02X} in line {line}); save it as UTF-8"
