"""The blocks of code and commands in a page of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "accelerate cat cd chroma cp curl echo export hf make mkdir pip polyroute psql python python3 sed torchrun trl . "
    ".venv/bin/pip .venv/bin/python .venv/bin/pre-commit"
).split()
"""What a line of a block without a language begins with where it is one of a shell."""
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.M | re.S,
)
_INDENTED = re.compile(r"(?:\A|\n)\n(?P<text>(?: {4}[^\n]*\n)+)(?=\n|\Z)")


@dataclass(frozen=True)
class Block:
    """One block, where it stands."""

    page: str
    """The page's path in the repository."""
    line: int
    """Of its first line, from 1."""
    language: str
    """"python", "shell", "yaml", "json", "text"; empty where nobody can tell."""
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """The README, what it leads to, and the site."""
    found = ["README.md", "CONTRIBUTING.md", "training/README.md", "examples/README.md"]
    return found + sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))


def blocks(page: str) -> Iterator[Block]:
    """Its blocks in their order."""
    source = (ROOT / page).read_text(encoding="utf-8")
    found = [
        (one.start("text"), one["language"], _dedented(one["text"], len(one["indent"])))
        for one in _FENCE.finditer(source)
    ]
    bare = _FENCE.sub(lambda one: re.sub(r"[^\n]", "-", one[0]), source)  # what is left, in the same lines
    found += [
        (one.start("text"), "", _dedented(one["text"], 4)) for one in _INDENTED.finditer(bare) if _is_shell(one["text"])
    ]
    for start, language, text in sorted(found):
        yield Block(page, source.count("\n", 0, start) + 1, _language(language, text), text)


def _language(given: str, text: str) -> str:
    known = {"bash": "shell", "sh": "shell", "console": "shell", "py": "python", "yml": "yaml", "": ""}.get(
        given, given
    )
    return known or ("shell" if _is_shell(text) else "")


def _is_shell(text: str) -> bool:
    first = next((line.split() for line in text.splitlines() if line.strip()), [""])
    words = [word for word in first if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    return bool(words) and words[0] in (*COMMANDS, "vllm")


def _dedented(text: str, by: int) -> str:
    return "".join(line[by:] if line[:by].isspace() else line for line in text.splitlines(keepends=True))
