"""docx → one `Passage` a file: its paragraphs, and its tables as Markdown, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kb_tools.documents import Passage, render_table
from kb_tools.loaders.archive import check_archive
from kb_tools.loaders.origin import Origin, brief

if TYPE_CHECKING:
    from docx.document import Document as WordDocument


def read_docx(origin: Origin) -> Iterator[Passage]:
    """The whole file, titled by its title paragraph, else its properties, else its first heading, else its name."""
    import docx

    check_archive(origin, "docx")
    try:
        document = docx.Document(str(origin.path))
        text = "\n\n".join(filter(None, _blocks(document)))
        title = _title(document)
    except Exception as error:  # python-docx raises whatever it stumbles on in a damaged file
        raise origin.unreadable(f"the docx file is damaged ({brief(error)})") from None
    yield Passage(id=origin.name, title=title or origin.path.stem, text=text, metadata=origin.metadata())


def _blocks(document: WordDocument) -> Iterator[str]:
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            rows = [[cell.text for cell in row.cells] for row in block.rows]
            if rows:
                yield render_table(rows[0], rows[1:])
        else:
            yield block.text.strip()


def _title(document: WordDocument) -> str:
    def first(style: str) -> str:
        texts = (p.text.strip() for p in document.paragraphs if p.style and (p.style.name or "").startswith(style))
        return next(filter(None, texts), "")

    return first("Title") or document.core_properties.title.strip() or first("Heading")
