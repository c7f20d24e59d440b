"""Files and folders on the command line → the files to read, each with a lasting name."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kb_tools.errors import KBInputError
from kb_tools.loaders.formats import READABLE, is_readable, unread
from kb_tools.loaders.origin import brief
from kb_tools.loaders.pictures import sidecar_names

_KNOWLEDGE_BASES = "polyroute.json"
"""Marks a folder of knowledge bases, which is no material for one."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read, or a reason why it is not read."""

    path: Path
    source: str
    """Identifies the file: its absolute posix path. The given folder is resolved, links below it are not."""
    name: str
    """What the ids of its documents begin with: its path below the given folder, or its file name.

    Files of one call with equal names get the names of the folders above them in front, as few as tell them apart.
    """
    skipped: str | None = None
    """Why it is not a file to read."""
    unreadable: str | None = None
    """Why it could not even be looked at (a folder that may not be listed)."""

    @property
    def to_read(self) -> bool:
        """Whether this is a file to read."""
        return self.skipped is None and self.unreadable is None


def resolve(path: str | Path) -> Path:
    """The absolute path by which a given file or folder is known. Raises `KBInputError` if there is none."""
    try:
        given = Path(path).expanduser()
        there, is_folder = given.exists(), given.is_dir()
        # A link to a file keeps its own name, so that pointing it elsewhere updates its documents.
        resolved = given.resolve() if is_folder else given.parent.resolve() / given.name
    except (OSError, ValueError, RuntimeError) as error:
        raise KBInputError(f"{str(path)!r} cannot be used as a path: {brief(error)}.") from None
    if not there and _URL.match(str(path)):
        raise KBInputError(f"{str(path)!r} is a URL, and URLs are not fetched; download it and give the file.")
    if not there:
        raise KBInputError(f"There is no file or folder {str(path)!r}; check the path.")
    return resolved


def find_files(paths: Sequence[str | Path]) -> list[FoundFile]:
    """All files at `paths` and below, sorted by source; each once, even where two paths lead to it.

    Hidden files and folders, lock files of office programs, folders of knowledge bases below the given ones and the
    sidecars of images are passed over in silence.
    A file of an unknown suffix, and what is no regular file, is returned with the reason in `skipped`, unopened.

    Raises `KBInputError` for no path, one that does not exist, and a folder with nothing to read.
    """
    if not paths:
        raise KBInputError("No files were given; name at least one file or folder.")
    found: dict[str, FoundFile] = {}
    for path in paths:
        root = resolve(path)
        here = list(_walk(root)) if root.is_dir() else [_look(root, root.name)]
        here = _without_sidecars(here)
        if root.is_dir() and not any(file.to_read for file in here):
            raise KBInputError(_nothing(path, here))
        for file in here:
            # Where one given folder lies in another, the outer one gives the name, whatever their order.
            if file.source not in found or len(found[file.source].name) < len(file.name):
                found[file.source] = file
    files = _without_sidecars([found[source] for source in sorted(found)])
    if not any(file.to_read for file in files):
        raise KBInputError(f"{files[0].path} is skipped: {files[0].skipped}; nothing is left to read.")
    return _distinct(files)


def _walk(root: Path) -> Iterator[FoundFile]:
    failed: list[OSError] = []
    for folder, inner, names in os.walk(root, onerror=failed.append):
        at = Path(folder)
        for name in list(inner):
            if _passed_over(name) or (at / name / _KNOWLEDGE_BASES).exists():
                inner.remove(name)
            elif (at / name).is_symlink():  # os.walk does not enter it: it may lead back here
                yield _entry(at / name, root, skipped="it is a link to a folder; give that folder itself")
        for name in names:
            if not _passed_over(name):
                yield _look(at / name, (at / name).relative_to(root).as_posix())
    for error in failed:
        yield _entry(Path(error.filename), root, unreadable=f"the folder cannot be listed ({error.strerror})")


def _passed_over(name: str) -> bool:
    return name.startswith((".", "~$")) or name == "__MACOSX"


def _entry(path: Path, root: Path, *, skipped: str | None = None, unreadable: str | None = None) -> FoundFile:
    return FoundFile(path, path.as_posix(), path.relative_to(root).as_posix(), skipped, unreadable)


def _look(path: Path, name: str) -> FoundFile:
    source = path.as_posix()
    try:
        source.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(source).decode("utf-8", "replace")
        return FoundFile(Path(shown), shown, name, skipped="its name is not UTF-8; rename it")
    reason = None
    if not is_readable(path):
        reason = unread(path)
    elif not path.exists():
        reason = "it is a link to a file that is not there"
    elif not stat.S_ISREG(path.stat().st_mode):
        reason = "it is no regular file"
    return FoundFile(path, source, name, skipped=reason)


def _without_sidecars(files: list[FoundFile]) -> list[FoundFile]:
    """A `.json` or `.txt` that belongs to an image of the same list is read with it, not by itself."""
    sidecars = {path for file in files if file.to_read for path in sidecar_names(file.path)}
    return [file for file in files if file.path not in sidecars]


def _distinct(files: list[FoundFile]) -> list[FoundFile]:
    names = [file.name for file in files]
    while True:
        count = Counter(names)
        if len(count) == len(names):
            return [replace(file, name=name) for file, name in zip(files, names, strict=True)]
        for i, name in enumerate(names):
            if count[name] > 1:
                names[i] = _longer(files[i].source, name)


def _longer(source: str, name: str) -> str:
    """The name with one more of the folders above it; in the end that is the source, which is unique."""
    taken = len(PurePosixPath(name).parts) + 1
    return PurePosixPath(*PurePosixPath(source).parts[-taken:]).as_posix()


def _nothing(path: str | Path, here: list[FoundFile]) -> str:
    held = (
        "is empty"
        if not here
        else f"holds nothing that can be read ({here[0].path.name}: {here[0].skipped or here[0].unreadable})"
    )
    return f"Folder {str(path)!r} {held}; it should hold files of these kinds: {READABLE}."
