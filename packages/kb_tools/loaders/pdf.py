"""pdf → one `Passage` a page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kb_tools.documents import Passage
from kb_tools.loaders.origin import Origin, brief

if TYPE_CHECKING:
    from pypdf import PdfReader


def read_pdf(origin: Origin) -> Iterator[Passage]:
    """The pages, titled by the file's properties, else its name; a page without a text layer has the text "".

    Raises `UnreadableFileError` for a damaged or encrypted file and for one of which no page has a text layer (a scan);
    where single pages are damaged it is raised after the others were given.
    """
    with origin.path.open("rb") as file:
        reader, title, count = _open(origin, file)
        damaged: list[str] = []
        any_text = False
        pending: list[Passage] = []  # pages without text, held back until it is known that this is no scan
        for number in range(1, count + 1):
            try:
                text = _page(reader, number)
            except Exception as error:  # pypdf raises whatever it stumbles on in a damaged page
                damaged.append(f"{number} ({brief(error)})")
                continue
            if origin.on_bytes is not None:
                origin.on_bytes(origin.path.stat().st_size * number // count)
            any_text = any_text or bool(text.strip())
            pending.append(
                Passage(
                    id=f"{origin.name}#page={number}",
                    title=title or origin.path.stem,
                    text=text,
                    metadata=origin.metadata(page=number),
                )
            )
            if any_text:
                yield from pending
                pending = []
        if damaged:
            raise origin.unreadable(f"page {', '.join(damaged)} is damaged")
        if not any_text:
            raise origin.unreadable("no page has a text layer; if it is a scan, run text recognition (OCR) on it first")


def _open(origin: Origin, file: object) -> tuple[PdfReader, str, int]:
    import pypdf
    from pypdf.errors import DependencyError

    encrypted = origin.unreadable("it is encrypted; save a copy without a password")
    try:
        with _quiet():
            reader = pypdf.PdfReader(file)  # type: ignore[arg-type]
            # Many files are encrypted with the empty password: everyone may read them.
            if reader.is_encrypted and not reader.decrypt(""):
                raise encrypted
            title = _clean((reader.metadata.title if reader.metadata else None) or "").strip()
            return reader, title, len(reader.pages)
    except (DependencyError, type(encrypted)):
        raise encrypted from None
    except Exception as error:  # pypdf raises whatever it stumbles on in a damaged file
        raise origin.unreadable(f"the pdf file is damaged ({brief(error)})") from None


def _page(reader: PdfReader, number: int) -> str:
    with _quiet():
        return _clean(reader.pages[number - 1].extract_text())


def _clean(text: str) -> str:
    """Fonts with a wrong character map give halves of surrogate pairs: whole pairs are joined, halves replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def _quiet() -> Iterator[None]:
    """pypdf logs every flaw that it gets over; what it does not get over is raised."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
