"""docx and xlsx are zip archives: what can be told before a parser is let loose on one."""

from __future__ import annotations

import zipfile

from kb_tools.loaders.origin import Origin

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SAFE_BYTES = 256 * 2**20
_SAFE_RATIO = 100
"""A bomb is large and far better packed than any real document: XML of offices packs 5 to 20 times."""


def check_archive(origin: Origin, kind: str) -> None:
    """Raise `UnreadableFileError` for what is no sound archive, is encrypted, or would unpack to a flood."""
    with origin.path.open("rb") as file:
        if file.read(len(_OLE)) == _OLE:
            raise origin.unreadable(f"it is encrypted or of an old format; save it as {kind} without a password")
    try:
        with zipfile.ZipFile(origin.path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        raise origin.unreadable(f"it is no {kind} file, or a damaged one") from None
    unpacked = sum(part.file_size for part in parts)
    if unpacked > _SAFE_BYTES and unpacked > _SAFE_RATIO * origin.path.stat().st_size:
        raise origin.unreadable(f"it would unpack to {unpacked:,} bytes, more than a real {kind} file does")
