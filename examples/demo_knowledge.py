"""The demo's knowledge bases: made where they are missing, brought up to date where their sources have changed.

python examples/demo_knowledge.py [FOLDER]    # makes them, and asks nothing
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from demo_sources import files, model_prices, planet_tables, python_reference
from rich.console import Console
from rich.table import Table

from kb_tools import Catalog, Document, KBError, KnowledgeBase
from kb_tools.documents import Modality
from kb_tools.embeddings.minilm import exported, model_folder

FOLDER = Path(__file__).resolve().parents[1] / ".demo" / "kb"
"""Where they go, if nobody says."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a knowledge base is made of."""

    name: str
    modality: Modality
    description: str
    """What a policy reads when it decides whom to ask."""
    origin: str
    documents: Callable[[], Iterable[Document]]


SOURCES = [
    Source(
        "articles",
        "text",
        "Articles about planets, moons and spacecraft: storms, seas, volcanoes, who discovered what.",
        "examples/knowledge/articles",
        lambda: files("articles", "text"),
    ),
    Source(
        "tables",
        "table",
        "Figures to compare: planets (mass, density, gravity, temperature, year), moons (days of an orbit, who "
        "discovered them), missions of spacecraft (target, launched, arrived).",
        "examples/knowledge/tables",
        planet_tables,
    ),
    Source(
        "pictures",
        "image",
        "Charts and pictures.",
        "examples/knowledge/images",
        lambda: files("images", "image"),
    ),
    Source(
        "python",
        "text",
        "The Python language reference: statements, operators, expressions, special methods, exceptions, types.",
        "Python: pydoc_data.topics",
        python_reference,
    ),
    Source(
        "prices",
        "table",
        "Language models of Anthropic, Google, Mistral, OpenAI and other makers: price of input and output, context, "
        "and which model sees pictures or calls tools.",
        "LiteLLM: its map of prices",
        model_prices,
    ),
]


def opened(catalog: Catalog, *names: str) -> list[KnowledgeBase]:
    """The knowledge bases of these names; those that are not there are made, and nothing is shown."""
    there = catalog.names()
    sources = {source.name: source for source in SOURCES}
    return [catalog.open(name) if name in there else _refreshed(catalog, sources[name])[0] for name in names]


def build(catalog: Catalog, console: Console) -> list[KnowledgeBase]:
    """Make the knowledge bases, or bring them up to date, and show what they hold."""
    _prepare_embedding(console)
    shown = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("knowledge base", "holds", "documents", "made of", "written in"):
        shown.add_column(heading, justify="right" if heading == "documents" else "left")
    built = []
    for source in SOURCES:
        started = time.perf_counter()
        with console.status(f"Building {source.name}"):
            kb, changed = _refreshed(catalog, source)
        took = f"{time.perf_counter() - started:.1f} s" if changed else "unchanged"
        shown.add_row(f"[bold]{kb.name}[/]", kb.modality, str(kb.count()), source.origin, took)
        built.append(kb)
    console.print(shown)
    return sorted(built, key=lambda kb: kb.name)  # as a catalog lists them


def _refreshed(catalog: Catalog, source: Source) -> tuple[KnowledgeBase, int]:
    """The knowledge base of a source, and how many documents had to be written or removed."""
    kb = catalog.create(source.name, description=source.description, modality=source.modality, exist_ok=True)
    if kb.description != source.description:
        kb.update(description=source.description)
    documents = {one.id: one for one in source.documents()}
    gone = kb.delete([one.id for one in kb.documents() if one.id not in documents])
    report = kb.add(documents.values())
    return kb, gone + report.added + report.updated


def _prepare_embedding(console: Console) -> None:
    """Make the text embedding's file where it is not there yet; its weights came with a package."""
    started = time.perf_counter()
    with console.status("Exporting the MiniLM embedding to ONNX: 10 to 15 seconds, on the first run only"):
        exported(model_folder())
    if (took := time.perf_counter() - started) > 1:
        console.print(f"Exported the MiniLM embedding to ONNX in {took:.0f} s; the next run finds it there.")


if __name__ == "__main__":
    try:
        with Catalog(sys.argv[1] if sys.argv[1:] else FOLDER) as catalog:
            build(catalog, Console(highlight=False))
    except KBError as error:
        sys.exit(str(error))
