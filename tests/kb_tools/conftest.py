"""Knowledge bases on a real Chroma folder and with the real embedding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kb_tools import Catalog, KnowledgeBase, Passage
from kb_tools.embeddings.minilm import MiniLM

ANIMALS = [
    Passage(id="cat", title="Cat", text="The cat is a small domesticated carnivore that purrs.", metadata={"legs": 4}),
    Passage(id="dog", title="Dog", text="The dog descends from wolves and barks at strangers.", metadata={"legs": 4}),
    Passage(id="owl", title="Owl", text="Owls are nocturnal birds of prey with silent flight.", metadata={"legs": 2}),
    Passage(id="eel", title="Eel", text="Eels are long fish that migrate to the Sargasso Sea.", metadata={"legs": 0}),
]


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    return MiniLM(threads=1)


@pytest.fixture
def catalog(tmp_path: Path, minilm: MiniLM) -> Iterator[Catalog]:
    with Catalog(tmp_path / "kb", embedding=minilm) as catalog:
        yield catalog


@pytest.fixture
def animals(catalog: Catalog) -> KnowledgeBase:
    kb = catalog.create("animals", description="Short texts about animals.")
    kb.add(ANIMALS)
    return kb
