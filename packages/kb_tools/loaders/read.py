"""One file → its documents, by the reader for its suffix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kb_tools.documents import Image, Modality, Passage, Table
from kb_tools.errors import KBInputError
from kb_tools.loaders.delimited import read_csv, read_tsv
from kb_tools.loaders.excel import read_xlsx
from kb_tools.loaders.formats import HOLDS, is_readable, modality_of, unread
from kb_tools.loaders.jsonl import read_jsonl
from kb_tools.loaders.origin import Origin, brief
from kb_tools.loaders.parquet import read_parquet
from kb_tools.loaders.pdf import read_pdf
from kb_tools.loaders.pictures import read_image
from kb_tools.loaders.plain import read_markdown, read_plain
from kb_tools.loaders.web import read_html
from kb_tools.loaders.word import read_docx

_READERS: dict[str, Callable[[Origin], Iterator[Passage | Table | Image]]] = {
    ".csv": read_csv,
    ".docx": read_docx,
    ".htm": read_html,
    ".html": read_html,
    ".jpeg": read_image,
    ".jpg": read_image,
    ".jsonl": read_jsonl,
    ".md": read_markdown,
    ".parquet": read_parquet,
    ".pdf": read_pdf,
    ".png": read_image,
    ".tsv": read_tsv,
    ".txt": read_plain,
    ".webp": read_image,
    ".xlsx": read_xlsx,
}


def read_file(
    path: str | Path,
    source: str,
    modality: Modality,
    *,
    name: str | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[Passage | Table | Image]:
    """The documents of one file, in their order.

    Their ids begin with `name` (without one, the file name), then `#page=3` or `#sheet=Prices` where a file gives
    several; lines of jsonl have their own. Metadata has `source` and `file`, and `page` or `sheet`. A jsonl file may
    mix modalities and is given whole. `on_bytes` is called with the bytes read so far, by readers that stream (jsonl).

    Raises `KBInputError` at once for a suffix that is not read or does not hold `modality`; the iterator raises
    `UnreadableFileError`, after the documents before the flaw, and `MissingExtraError`.
    """
    path = Path(path)
    if not is_readable(path):
        raise KBInputError(f"{path} cannot be read: {unread(path)}.")
    if refused := refusal(path, modality):
        raise KBInputError(f"{path} {refused}.")
    origin = Origin(path, source, name or path.name, on_bytes)
    return _documents(origin, _READERS[path.suffix.lower()])


def refusal(path: Path, modality: Modality) -> str | None:
    """Why a file of this name does not belong into a knowledge base of `modality`, or None."""
    held = modality_of(path)
    if held is None and modality != "image":
        return None
    if held == modality:
        return None
    what = "text or tables" if held is None else HOLDS[held]
    where = "text or table" if held is None else held
    return f"holds {what}; add it to a knowledge base of modality {where}, not {modality}"


def _documents(
    origin: Origin, reader: Callable[[Origin], Iterator[Passage | Table | Image]]
) -> Iterator[Passage | Table | Image]:
    try:
        if origin.path.stat().st_size == 0:
            raise origin.unreadable("it is empty (0 bytes)")
        yield from reader(origin)
    except OSError as error:
        raise origin.unreadable(error.strerror or brief(error)) from None
