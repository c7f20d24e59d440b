"""The rows of a table in a hit's text, and which of them a question is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from router_graph.evidence.order import extremes
from router_graph.evidence.words import rarity, words
from router_graph.state import Hit

TITLE_WORD = 0.3
"""What a word of the title counts in a row: all rows are about the title, and few of those that name it are meant."""
EXTREME_ROW = 0.7
"""What being the first or the largest adds, where the question asks for that; the best row by words has 1."""
_BAR = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")


@dataclass(frozen=True, slots=True)
class Rows:
    """A table as a hit shows it."""

    columns: list[str]
    cells: list[list[str]]
    """Shape (rows, columns)."""

    def scores(self, question: str, title: str) -> list[float]:
        """How much each row is asked for: by the rare words that it shares with the question, and by what the question
        says of its order ("the largest", "the first"). From 0; shape (rows,)."""
        wanted, known = set(words(question)), set(words(title))
        told = [set(words(" ".join(row))) for row in self.cells]
        worth = {
            word: rare * (TITLE_WORD if word in known else 1.0) for word, rare in rarity(sorted(wanted), told).items()
        }
        shared = [sum(worth[word] for word in sorted(wanted & row)) for row in told]
        best = max(shared, default=0.0) or 1.0
        ends = extremes(question, self.columns, self.cells)
        return [score / best + EXTREME_ROW * ends.get(n, 0.0) for n, score in enumerate(shared)]


def rows_of(hit: Hit) -> Rows | None:
    """The table in a hit's text, written as Markdown; None where there is none."""
    lines = [line.strip() for line in hit["text"].splitlines()]
    for number in range(1, len(lines)):
        if _RULE.fullmatch(lines[number]) and lines[number - 1].startswith("|"):
            columns = _cells(lines[number - 1])
            body = [_cells(line) for line in lines[number + 1 :] if line.startswith("|")]
            return Rows(columns, [row for row in body if len(row) == len(columns)])
    return None


def heading(hit: Hit) -> str:
    """What stands over a hit: its title, and its section where it has one."""
    return f"{hit['title']} {hit['metadata'].get('section', '')}"


def _cells(line: str) -> list[str]:
    inner: Sequence[str] = _BAR.split(line.removeprefix("|"))
    return [cell.strip().replace("\\|", "|") for cell in (inner[:-1] if line.endswith("|") else inner)]
