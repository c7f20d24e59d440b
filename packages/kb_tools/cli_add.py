"""What `polyroute kb add` does around the loader: a description, a report, and the next command to paste."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kb_tools.documents import Modality
from kb_tools.errors import KBError, KBExistsError

if TYPE_CHECKING:
    from kb_tools.catalog import Catalog
    from kb_tools.knowledge_base import KnowledgeBase
    from kb_tools.loaders import FoundFile, LoadReport

DEFAULT_FOLDER = "polyroute-kb"
FOLDER_VARIABLE = "POLYROUTE_KB"

_NAMED = 5
_LISTED = 20


def describe_files(files: Sequence[FoundFile]) -> str:
    """A description for want of a better one: how many files of which kind, and the names of the first."""
    read = [file for file in files if file.to_read]
    kinds = Counter(file.path.suffix.lower().lstrip(".") for file in read)
    by_kind = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    names = list(dict.fromkeys(_words(file.path) for file in read))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{counted(len(read), 'file')} ({by_kind}): {', '.join(names[:_NAMED])}{more}."


def brought_up_to(
    kb: KnowledgeBase, *, modality: Modality | None, description: str | None, cost_usd: float | None
) -> KnowledgeBase:
    """The knowledge base with the description and price of the options. Raises `KBExistsError` for another modality."""
    if modality is not None and modality != kb.modality:
        raise KBExistsError(
            f"{kb.name!r} holds {kb.modality} and stays so; leave --modality out, or choose another name."
        )
    if (description, cost_usd) not in {(None, None), (kb.description, kb.cost_usd)}:
        kb.update(description=description, cost_usd=cost_usd)
    return kb


def remove_if_empty(catalog: Catalog, kb: KnowledgeBase) -> None:
    """Leave no empty knowledge base behind where nothing went in."""
    with contextlib.suppress(KBError):  # what broke the adding is the news, not what breaks here
        if not kb.count():
            catalog.remove(kb.name)


def print_report(name: str, report: LoadReport, size: int, *, as_json: bool) -> None:
    """The counts on stdout; files that did not go in on stderr, with the reason."""
    from kb_tools import terminal

    listed = {"Not read": report.unreadable, "Skipped": report.skipped, "Assumed": report.assumed}
    if as_json:
        fields = {"name": name, "documents": size, **report.model_dump()}
        for kind in ("unreadable", "skipped", "assumed"):
            fields[kind] = [{"path": path, "reason": reason} for path, reason in fields[kind]]
        terminal.print_json(fields)
    else:
        done = ", ".join(f"{getattr(report, verb):,} {verb}" for verb in ("added", "updated", "unchanged", "removed"))
        terminal.console().print(f"{name}: {done}; {counted(size, 'document')} in all.", soft_wrap=True)
    for verb, files in listed.items():
        for path, reason in files[:_LISTED]:
            terminal.note(f"{verb}: {path}: {reason}")
        if len(files) > _LISTED:
            terminal.note(f"{verb}: {len(files) - _LISTED:,} more; --json lists all.")


def print_next(name: str, files: Sequence[FoundFile], report: LoadReport, folder: str) -> None:
    """A search to paste, whose query is the name of a file that went in."""
    from kb_tools import terminal

    left_out = {path for path, _ in (*report.unreadable, *report.skipped)}
    example = next((file.path for file in files if str(file.path) not in left_out), files[0].path)
    command = ["polyroute", "kb", "search", name, _words(example)]
    if folder not in (DEFAULT_FOLDER, os.environ.get(FOLDER_VARIABLE)):
        command += ["-C", folder]
    terminal.note(f"Next: {shlex.join(command)}")


def _words(path: Path) -> str:
    """A file name as a person would ask for it."""
    return " ".join(re.findall(r"[^\W_]+", path.stem)) or path.stem


def counted(number: int, noun: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
