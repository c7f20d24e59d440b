"""jsonl → a `Passage` or a `Table` a line, streamed.

The forms of a line:
    {"id", "contents"}             FlashRAG's corpus: the first line of several is the title
    {"id", "title", "text"}        a passage; `id` and `title` may be absent
    {"id", "title", "section", "caption", "header", "rows", "links"}   a table; `header` and `rows` must be there
Other keys become metadata. A line without an id gets one from its content, which stays the same where lines before
it come and go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from kb_tools.documents import Modality, Passage, Table
from kb_tools.loaders.origin import Origin, brief
from kb_tools.loaders.rows import cell_text, row_metadata

_FORMS = 'it needs "contents", "text", or "header" and "rows"'


def read_jsonl(origin: Origin) -> Iterator[Passage | Table]:
    """The documents, line by line. Raises `UnreadableFileError` at the first bad line, naming it."""
    done = 0
    with origin.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            done += len(line)
            if line.strip():
                document = _document(origin, number, _parse(origin, number, line))
                if origin.on_bytes is not None:
                    origin.on_bytes(done)
                yield document


def peek_modality(path: Path) -> Modality:
    """What the first line of a jsonl file holds. Raises `UnreadableFileError`."""
    origin = Origin(path, path.as_posix(), path.name)
    first = next(read_jsonl(origin), None)
    if first is None:
        raise origin.unreadable("it has no lines")
    return "table" if isinstance(first, Table) else "text"


def _parse(origin: Origin, number: int, line: bytes) -> dict[str, Any]:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON value")

    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        row = json.loads(text, parse_constant=refuse)
        if "\\u" in text:
            json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except UnicodeEncodeError:
        raise origin.unreadable(f"line {number} holds half of a surrogate pair, which is no character") from None
    except UnicodeDecodeError as error:
        raise origin.unreadable(f"line {number} is not UTF-8 (byte 0x{line[error.start]:02X})") from None
    except json.JSONDecodeError as error:  # it counts lines itself, and within a line there is only the first
        raise origin.unreadable(f"line {number} is no JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:
        raise origin.unreadable(f"line {number} is no JSON ({brief(error)})") from None
    if not isinstance(row, dict):
        raise origin.unreadable(f"line {number} is no object; {_FORMS}")
    return row


def _document(origin: Origin, number: int, row: dict[str, Any]) -> Passage | Table:
    try:
        fields = dict(row)
        title = _word(fields, "title")
        own = fields.pop("id", None)
        if isinstance(own, bool) or not isinstance(own, str | int | None) or own == "":
            raise ValueError(f'"id" is {own!r}; it must be text or a whole number')
        doc_id = str(own) if own is not None else f"{origin.name}#{_fingerprint(row)}"
        if "header" in fields and "rows" in fields:
            return _table(origin, doc_id, title, fields)
        return _passage(origin, doc_id, title, fields)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        reason = f"{where}: {problem['msg']}" if where else problem["msg"].removeprefix("Value error, ")
    except ValueError as error:
        reason = brief(error)
    raise origin.unreadable(f"line {number} is no document: {reason}")


def _table(origin: Origin, doc_id: str, title: str, fields: dict[str, Any]) -> Table:
    header, rows, links = fields.pop("header"), fields.pop("rows"), fields.pop("links", None)
    if not isinstance(header, list) or not isinstance(rows, list) or not all(isinstance(r, list) for r in rows):
        raise ValueError('"header" must be a list of cells and "rows" a list of such lists')
    return Table(
        id=doc_id,
        title=title,
        section=_word(fields, "section"),
        caption=_word(fields, "caption"),
        header=[cell_text(cell) for cell in header],
        rows=[[cell_text(cell) for cell in row] for row in rows],
        links=links,
        metadata=_metadata(origin, fields),
    )


def _passage(origin: Origin, doc_id: str, title: str, fields: dict[str, Any]) -> Passage:
    if "text" in fields:
        text = fields.pop("text")
        fields.pop("contents", None)  # FlashRAG's form with both says the same twice
    elif "contents" in fields:
        text = fields.pop("contents")
        if isinstance(text, str):
            title, text = _split(title, text)
    else:
        raise ValueError(f"it has the keys {', '.join(map(repr, fields)) or 'of no field'}; {_FORMS}")
    if not isinstance(text, str):
        raise ValueError('"text" or "contents" is no text')
    return Passage(id=doc_id, title=title, text=text, metadata=_metadata(origin, fields))


def _split(title: str, contents: str) -> tuple[str, str]:
    """FlashRAG writes the title, in quotes, on the first line."""
    first, _, rest = contents.partition("\n")
    name = first.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1]
    if not rest.strip() or (title and title != name):
        return title, contents
    return name, rest


def _word(fields: dict[str, Any], key: str) -> str:
    value = fields.pop(key, None)
    if isinstance(value, dict | list):
        raise ValueError(f"{key!r} is no text")
    return cell_text(value)


def _metadata(origin: Origin, fields: dict[str, Any]) -> dict[str, Any]:
    inner = fields.pop("metadata", None)
    if isinstance(inner, dict):
        fields |= inner
    elif inner is not None:
        fields["metadata"] = inner
    return origin.metadata(**row_metadata(fields))


def _fingerprint(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]
