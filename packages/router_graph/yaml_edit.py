"""Changes of a YAML file that leave its comments, its order and its other values as they are."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_UNWRAPPED = 10**6
"""The width of a line: the user's own line breaks stay as they are."""
_DASHES = re.compile(r"^( *)-(?: |$)", re.MULTILINE)
"""Up to the first entry of a list; the group is how far it is indented."""


def edit(path: Path, change: Callable[[Any], None]) -> bool:
    """Change what the file holds, which `change` is given twice: with its comments, and plain.

    The file is replaced as a whole, and only by one that says just what was asked for; False where it would say
    anything else, and stays as it is. Raises `OSError`, and ruamel.yaml's errors for what is no YAML.
    """
    path = path.resolve()  # of a link, the file that it leads to
    text = path.read_text(encoding="utf-8")
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _UNWRAPPED
    yaml.explicit_start = text.startswith("---")
    dashes = _DASHES.search(text)
    offset = len(dashes[1]) if dashes else 2
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    wanted, content = _plain(text), yaml.load(text) or {}
    change(wanted)
    change(content)
    newline = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline=newline) as file:
            yaml.dump(content, file)
        is_same: bool = _plain(Path(draft).read_text(encoding="utf-8")) == wanted
        if is_same:
            Path(draft).chmod(path.stat().st_mode)
            Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return is_same


def _plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text) or {}
