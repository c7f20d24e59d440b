"""Figures in a document, each section written by the command that measured it and never by hand."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from filelock import FileLock

from router_graph.errors import EvaluationError

_HEAD = """# Benchmarks

Each section is written by the command that stands in it (`polyroute eval … --write-docs`), and by nothing else.
"""
_WAIT_S = 30
"""For another process that writes into the same document."""


def check(path: Path) -> None:
    """Raise `EvaluationError` where the document cannot be written: before anything is asked for it."""
    if path.is_dir() or (path.exists() and not _may_write(path)):
        raise EvaluationError(f"The figures cannot be written into {path}; give a file that may be written.")


def put(path: Path, name: str, section: str) -> None:
    """Put a section into the document, in the place of the one of this name if there is one; the rest stays as it is.

    Raises `EvaluationError` where it cannot be written.
    """
    begin, end = f"<!-- eval: {name} -->", f"<!-- end: {name} -->"
    block = f"{begin}\n{section.strip()}\n{end}"
    check(path)
    path = path.resolve()  # a link stays one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(path), timeout=_WAIT_S):
            _put(path, begin, end, block)
    except (OSError, UnicodeDecodeError) as error:  # a lock's Timeout is an OSError
        raise EvaluationError(f"The figures cannot be written into {path} ({error}).") from None


def _put(path: Path, begin: str, end: str, block: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    known = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text = known.sub(lambda _: block, text) if known.search(text) else f"{text.rstrip()}\n\n{block}\n"
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    if path.exists():
        shutil.copymode(path, part)
    part.replace(path)


def _lock(path: Path) -> Path:
    """Apart from the document, which often lies in a repository."""
    mark = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"polyroute-{mark}.lock"


def _may_write(path: Path) -> bool:
    """By the file's mode too: root may write what is marked as not to be written."""
    return os.access(path, os.W_OK) and bool(path.stat().st_mode & stat.S_IWUSR)
