"""What `polyroute kb add` does around the loader: a description, a report, and the next command to paste."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kb_tools.documents import Modality
from kb_tools.errors import KBError, KBExistsError, KBInputError

if TYPE_CHECKING:
    from kb_tools.catalog import Catalog
    from kb_tools.knowledge_base import KnowledgeBase
    from kb_tools.loaders import FoundFile, LoadReport

DEFAULT_FOLDER = "polyroute-kb"
FOLDER_VARIABLE = "POLYROUTE_KB"

_NAMED = 5
_LISTED = 20


def find(paths: Sequence[str], folder: str, name: str) -> list[FoundFile]:
    """The files at the paths. Where there are none, the error says what the knowledge base still holds of them."""
    from kb_tools import loaders
    from kb_tools.catalog import Catalog

    try:
        return loaders.find_files(paths)
    except KBInputError as error:
        held = 0
        with contextlib.suppress(KBError), Catalog(folder) as catalog:
            if name in catalog.names():
                sources = catalog.open(name).sources().items()
                given = {Path(path).absolute().as_posix() for path in paths}
                held = sum(len(ids) for source, ids in sources if _is_below(source, given))
        if not held:
            raise
        raise KBInputError(
            f"{error} {name!r} still holds {counted(held, 'document')} of it; add the folder above to take them out."
        ) from None


def announce_embedding() -> None:
    """Say why the first embedding on a machine takes its time."""
    from kb_tools import terminal
    from kb_tools.embeddings.minilm import is_exported

    if not is_exported():
        terminal.note("Preparing the MiniLM embedding, once on this machine: about 10 seconds.")


def describe_what_went_in(kb: KnowledgeBase, files: Sequence[FoundFile]) -> None:
    """Make the description anew from those files that documents came from."""
    sources = kb.sources()
    read = [file for file in files if file.source in sources]
    if read and (description := describe_files(read)) != kb.description:
        kb.update(description=description)


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
        lines = list(_by_reason(files))
        for line in lines[:_LISTED]:
            terminal.note(f"{verb}: {line}")
        if len(lines) > _LISTED:
            terminal.note(f"{verb}: {len(lines) - _LISTED:,} more reasons; --json lists all.")


def print_next(name: str, files: Sequence[FoundFile], report: LoadReport, folder: str) -> None:
    """A search to paste, whose query is the name of a file that went in."""
    from kb_tools import terminal

    left_out = {path for path, _ in (*report.unreadable, *report.skipped)}
    example = next((file.path for file in files if str(file.path) not in left_out), files[0].path)
    command = ["polyroute", "kb", "search", name, _words(example)]
    if folder not in (DEFAULT_FOLDER, os.environ.get(FOLDER_VARIABLE)):
        command += ["-C", folder]
    terminal.note(f"Next: {shlex.join(command)}")


def _by_reason(files: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A line a reason, with the first file of it; all files of unknown kinds in one line."""
    from kb_tools.loaders.formats import READABLE, unread

    groups: dict[str, list[str]] = {}
    unknown: list[Path] = []
    for path, reason in files:
        if reason == unread(Path(path)):
            unknown.append(Path(path))
        else:
            groups.setdefault(reason, []).append(path)
    for reason, paths in groups.items():
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        yield f"{paths[0]}{more}: {reason}"
    if len(unknown) == 1:
        yield f"{unknown[0]}: {unread(unknown[0])}"
    elif unknown:
        kinds = Counter(path.suffix or "without a suffix" for path in unknown).most_common()
        shown = ", ".join(f"{number:,} {kind}" for kind, number in kinds[:_NAMED])
        rest = f" and {len(kinds) - _NAMED} more kinds" if len(kinds) > _NAMED else ""
        yield f"{counted(len(unknown), 'file')} of kinds that are not read ({shown}{rest}); readable are {READABLE}"


def _is_below(source: str, given: set[str]) -> bool:
    return source in given or any(parent.as_posix() in given for parent in PurePosixPath(source).parents)


def _words(path: Path) -> str:
    """A file name as a person would ask for it."""
    return " ".join(re.findall(r"[^\W_]+", path.stem)) or path.stem


def counted(number: int, noun: str) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
