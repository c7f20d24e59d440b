"""A folder of knowledge bases: names, refusals, and what survives a process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from tests.kb_tools.conftest import ANIMALS

from kb_tools import Catalog, KnowledgeBase, Passage
from kb_tools.errors import (
    EmbeddingMismatchError,
    KBExistsError,
    KBFormatError,
    KBInputError,
    UnknownKBError,
)


def test_opening_a_catalog_creates_nothing(tmp_path: Path):
    with Catalog(tmp_path / "nothing") as catalog:
        assert catalog.names() == []
        with pytest.raises(UnknownKBError, match="there are none yet"):
            catalog.open("animals")
    assert not (tmp_path / "nothing").exists()


def test_a_knowledge_base_is_the_same_after_reopening(tmp_path: Path, minilm):
    with Catalog(tmp_path / "kb", embedding=minilm) as catalog:
        kb = catalog.create("animals", description="Short texts.", cost_usd=0.001)
        kb.add(ANIMALS)
        described, found = kb.describe(), kb.search("silent flight", k=4)
    with Catalog(tmp_path / "kb", embedding=minilm) as catalog:
        kb = catalog.open("animals")
        assert kb.describe() == described
        assert kb.search("silent flight", k=4) == found
        assert kb.get([a.id for a in ANIMALS]) == ANIMALS


def test_what_is_derived_can_be_thrown_away_or_torn(tmp_path: Path, minilm, monkeypatch):
    from kb_tools.search import snapshot

    monkeypatch.setattr(snapshot, "_SAVE_AFTER", 1)
    with Catalog(tmp_path / "kb", embedding=minilm) as catalog:
        kb = catalog.create("animals", description="")
        kb.add(ANIMALS)
        found = kb.search("silent flight", k=4)
    derived = list((tmp_path / "kb" / "derived").rglob("*.np[yz]"))
    assert len(derived) == 2
    for file in derived:
        file.write_bytes(file.read_bytes()[:100])
    with Catalog(tmp_path / "kb", embedding=minilm) as catalog:
        assert catalog.open("animals").search("silent flight", k=4) == found
    shutil.rmtree(tmp_path / "kb" / "derived")
    with Catalog(tmp_path / "kb", embedding=minilm) as catalog:
        assert catalog.open("animals").search("silent flight", k=4) == found


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(animals: KnowledgeBase, catalog: Catalog):
    with pytest.raises(UnknownKBError, match=r"there are animals. Did you mean 'animals'\?"):
        catalog.open("animal")
    with pytest.raises(UnknownKBError, match="there are animals"):
        catalog.remove("plants")


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 64, "../up", "kb.visual"])
def test_a_name_that_is_no_name_is_refused(catalog: Catalog, name):
    with pytest.raises(KBInputError, match="is no name for a knowledge base"):
        catalog.create(name, description="")


def test_a_taken_name_is_refused_unless_it_is_meant(animals: KnowledgeBase, catalog: Catalog):
    with pytest.raises(KBExistsError, match="already"):
        catalog.create("animals", description="")
    assert catalog.create("animals", description="", exist_ok=True).count() == 4
    with pytest.raises(KBExistsError, match="of modality 'text'"):
        catalog.create("animals", description="", modality="table", exist_ok=True)


def test_another_embedding_is_refused_with_the_way_out(animals: KnowledgeBase, catalog: Catalog, tmp_path: Path):
    sentence = r"made with the embedding 'all-MiniLM-L6-v2/int8/2'.*rebuild"
    with (
        Catalog(tmp_path / "kb", embedding=DeterministicFakeEmbedding(size=8)) as other,
        pytest.raises(EmbeddingMismatchError, match=sentence),
    ):
        other.open("animals")
    assert animals.count() == 4


def test_a_folder_of_a_newer_version_is_refused_and_left_alone(
    animals: KnowledgeBase, catalog: Catalog, tmp_path: Path, minilm
):
    catalog.close()
    stamp = tmp_path / "kb" / "polyroute.json"
    stamp.write_text(json.dumps({"format": 99, "written_by": "polyroute 9.9"}))
    with Catalog(tmp_path / "kb", embedding=minilm) as newer:
        with pytest.raises(KBFormatError, match=r"polyroute 9.9 in format 99.*upgrade"):
            newer.open("animals")
        with pytest.raises(KBFormatError):
            newer.create("more", description="")
    stamp.unlink()
    with Catalog(tmp_path / "kb", embedding=minilm) as again:
        assert again.open("animals").count() == 4


def test_a_removed_knowledge_base_is_gone_with_what_was_derived(
    animals: KnowledgeBase, catalog: Catalog, tmp_path: Path
):
    animals.search("x", k=1)
    catalog.remove("animals")
    assert catalog.names() == []
    assert not list((tmp_path / "kb").rglob("*.npy"))
    again = catalog.create("animals", description="new")
    again.add([Passage(id="new", text="a new beginning")])
    assert [h.doc_id for h in again.search("beginning", k=1)] == ["new"]


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("", "The location is empty"),
        ("ftp://x", "is no location"),
        ("HTTP://127.0.0.1:1", "is no location"),
        ("127.0.0.1:8000", "write http://127.0.0.1:8000"),
        (__file__, "is a file; give a folder"),
    ],
)
def test_a_location_that_is_none_is_refused(location, sentence):
    with pytest.raises(KBInputError, match=sentence):
        Catalog(location)


def test_a_description_that_cannot_be_stored_is_refused(catalog: Catalog, animals: KnowledgeBase):
    with pytest.raises(KBInputError, match="not UTF-8"):
        catalog.create("broken", description="\udce9")
    with pytest.raises(KBInputError, match="NoneType; it must be text"):
        catalog.create("broken", description=None)  # type: ignore[arg-type]
    with pytest.raises(KBInputError, match="not UTF-8"):
        animals.update(description="\udce9")
