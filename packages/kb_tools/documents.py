"""What a knowledge base holds: a `Passage`, a `Table` or an `Image`. Plain data; nothing here knows of storage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kb_tools.errors import KBInputError

Modality = Literal["text", "table", "image"]


class _Document(BaseModel):
    model_config = ConfigDict(
        extra="forbid", ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
    )

    id: str = Field(min_length=1)
    """Unique in its knowledge base; adding a document with a known id replaces the old one."""
    title: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """JSON values. Flat ones (text, numbers, booleans, lists of one of these) can be filtered on with `where`."""

    def digest(self) -> str:
        """SHA-256 of the whole document: equal digests mean that nothing has to be written."""
        return hashlib.sha256(self.model_dump_json(round_trip=True, ensure_ascii=True).encode()).hexdigest()


class Passage(_Document):
    """A piece of text."""

    kind: Literal["passage"] = "passage"
    text: str


class Table(_Document):
    """A table as it was written: text cells, and for each cell the ids of the documents that it links to."""

    kind: Literal["table"] = "table"
    section: str = ""
    caption: str = ""
    header: list[str] = Field(min_length=1)
    rows: list[list[str]]
    links: list[list[list[str]]] | None = None
    """Shape (rows, columns, any number): `links[r][c]` are document ids. None where the source has no links."""

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        width = len(self.header)
        for number, row in enumerate(self.rows):
            if len(row) != width:
                raise ValueError(f"row {number} of table {self.id!r} has {len(row)} cells, but the header has {width}")
        if self.links is not None and [len(row) for row in self.links] != [width] * len(self.rows):
            raise ValueError(f"links of table {self.id!r} must have the shape of its rows")
        return self


class Image(_Document):
    """A picture, by path or by its bytes, with the words that belong to it."""

    kind: Literal["image"] = "image"
    path: str | None = None
    data: bytes | None = None
    caption: str = ""
    alt: str = ""

    @model_validator(mode="after")
    def _has_pixels(self) -> Image:
        if self.path is None and self.data is None:
            raise ValueError(f"image {self.id!r} needs a path or its bytes as data")
        return self

    def read(self) -> bytes:
        """The bytes of the picture. Raises OSError where its path cannot be read."""
        return self.data if self.data is not None else Path(self.path or "").read_bytes()


Document = Annotated[Passage | Table | Image, Field(discriminator="kind")]

MODALITY_OF: dict[str, Modality] = {"passage": "text", "table": "table", "image": "image"}
"""Which knowledge base a kind of document belongs in."""


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as Markdown, a line a row; `|` and line breaks inside a cell are escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    return "\n".join([line(header), line(["---"] * len(header)), *(line(row) for row in rows)])


def check_text(what: str, text: object) -> None:
    """Raise `KBInputError` for what is no text, or text with broken bytes (lone surrogates), which cannot be stored."""
    if not isinstance(text, str):
        raise KBInputError(f"The {what} is {type(text).__name__}; it must be text.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise KBInputError(f"The {what} holds bytes that are not UTF-8; write it in UTF-8.") from None
