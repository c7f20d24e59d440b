"""Which files can be read, by their suffix, and what each of them holds."""

from __future__ import annotations

from pathlib import PurePath

from kb_tools.documents import Modality

MODALITY_BY_SUFFIX: dict[str, Modality | None] = {
    ".csv": "table",
    ".docx": "text",
    ".htm": "text",
    ".html": "text",
    ".jpeg": "image",
    ".jpg": "image",
    ".jsonl": None,
    ".md": "text",
    ".parquet": "table",
    ".pdf": "text",
    ".png": "image",
    ".tsv": "table",
    ".txt": "text",
    ".webp": "image",
    ".xlsx": "table",
}
"""None where only the content of the file tells (jsonl holds passages or tables)."""

READABLE = ", ".join(suffix.removeprefix(".") for suffix in MODALITY_BY_SUFFIX)
"""The suffixes, for messages."""

HOLDS: dict[Modality, str] = {"text": "text", "table": "a table", "image": "an image"}
"""What a file of each modality holds, for messages."""


def unread(path: PurePath) -> str:
    """Why a file of an unknown kind is not read, as a clause."""
    which = f"files ending in {path.suffix}" if path.suffix else "files without a suffix"
    return f"{which} are not read; readable are {READABLE}"


def is_readable(path: PurePath) -> bool:
    """Whether a file of this name can be read."""
    return path.suffix.lower() in MODALITY_BY_SUFFIX


def modality_of(path: PurePath) -> Modality | None:
    """What a file of this name holds; None where only its content tells. Raises KeyError for an unknown suffix."""
    return MODALITY_BY_SUFFIX[path.suffix.lower()]
