"""What the demo's knowledge bases are made of; all of it is on this machine already.

Python's own language reference as passages, LiteLLM's map of prices as tables, and the files of examples/knowledge.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from kb_tools import Document, Passage, Table
from kb_tools.documents import Modality
from kb_tools.loaders import find_files, read_file
from router_graph.pool.litellm_prices import known

FILES = Path(__file__).parent / "knowledge"
MAKERS = {
    "ai21": "AI21",
    "anthropic": "Anthropic",
    "dashscope": "Alibaba",
    "deepseek": "DeepSeek",
    "gemini": "Google",
    "mistral": "Mistral",
    "moonshot": "Moonshot",
    "openai": "OpenAI",
    "xai": "xAI",
    "zai": "Z.ai",
}
"""Who makes models and sells them; the map's other providers mostly sell the models of these."""
_SNAPSHOT = re.compile(r"\d{4}-\d\d(-\d\d)?|\d{6,8}|-\d{3,4}(-|$)|@|^ft:")
"""In the names of frozen versions, which would say each thing twice."""
_COLUMNS = [
    "model",
    "input price (USD per million tokens)",
    "output price (USD per million tokens)",
    "context (tokens)",
    "longest reply (tokens)",
    "sees pictures",
    "calls tools",
]


def files(folder: str, modality: Modality) -> Iterator[Document]:
    """The documents of a folder of examples/knowledge."""
    for found in find_files([FILES / folder]):
        if found.to_read:
            yield from read_file(found.path, found.source, modality, name=found.name)


def planet_tables() -> Iterator[Document]:
    """The tables about planets, each name linked to the articles about it, as in an encyclopedia."""
    articles = [one for one in files("articles", "text") if isinstance(one, Passage)]

    def about(name: str) -> list[str]:
        visits = re.compile(rf"(orbit|visit|moon of) {re.escape(name)}\b")
        return [one.id for one in articles if name in one.title or visits.search(one.text.partition(". ")[0])]

    for table in files("tables", "table"):
        if isinstance(table, Table):
            links = [[about(row[0]), *([] for _ in row[1:])] for row in table.rows]
            yield table.model_copy(update={"links": links})


def python_reference() -> Iterator[Passage]:
    """The sections of the language reference that `help("with")` and its like print, each once."""
    seen: set[tuple[str, str]] = set()
    ids: set[str] = set()
    for topic in sorted(topics, key=lambda name: (len(topics[name]), name)):  # the most special page of a section first
        for title, body in _sections(topics[topic]):
            if (title, body) in seen:
                continue
            seen.add((title, body))
            name = _slug(title)
            name = name if name not in ids else f"{topic}-{name}"
            ids.add(name)
            yield Passage(id=name, title=title, text=body, metadata={"topic": topic})


def model_prices() -> Iterator[Table]:
    """Of each maker, its chat models as LiteLLM's map knows them: those of a sure price, the dearest first."""
    found: dict[str, dict[str, list[str]]] = {maker: {} for maker in MAKERS}
    for key, entry in _price_map().items():
        maker, name = entry.get("litellm_provider"), key.rpartition("/")[2]
        facts = known(key) if maker in MAKERS and not _SNAPSHOT.search(name) else None
        if facts is None or facts.mode not in ("chat", "responses") or not facts.price or not facts.context:
            continue
        prices = [f"{facts.price.input:g}", f"{facts.price.output:g}"]
        sizes = [str(facts.context), str(facts.max_output or "")]
        found[maker][name] = [name, *prices, *sizes, *("yes" if able else "no" for able in (facts.vision, facts.tools))]
    for maker, models in found.items():
        rows = sorted(models.values(), key=lambda row: (-float(row[2]), row[0]))
        title = f"Language models of {MAKERS[maker]}, with their prices"
        if rows:
            yield Table(id=maker, title=title, header=_COLUMNS, rows=rows)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(title, body) of each section: a title stands over a line of `*`, `=`, `-`, `~`, `^` or `"`."""
    lines = text.splitlines()
    titles = [
        number - 1
        for number, line in enumerate(lines)
        if number and re.fullmatch(r"([*=\-~^\"])\1{2,}", line) and lines[number - 1][:1].strip()
    ]
    for start, end in zip(titles, [*titles[1:], len(lines)], strict=True):
        if body := _unwrapped("\n".join(lines[start + 2 : end]).strip()):
            yield lines[start].strip(), body


def _unwrapped(text: str) -> str:
    """Prose on one line a paragraph, so that a sentence is a sentence; what is indented stays as it is."""
    return re.sub(r"(?<=\S)\n(?=[^\s|+*\[\d-])", " ", re.sub(r"\n\n\n+", "\n\n", text))


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-").removeprefix("the-")


def _price_map() -> dict[str, dict[str, Any]]:
    spec = importlib.util.find_spec("litellm")  # found, not imported: that would take seconds
    if spec is None or spec.origin is None:
        return {}
    file = Path(spec.origin).with_name("model_prices_and_context_window_backup.json")
    return dict(json.loads(file.read_text(encoding="utf-8")))
