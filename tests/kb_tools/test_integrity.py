"""Crashes at the worst moment, threads, several catalogs: what is found is what is there."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from kb_tools import Catalog, KBInputError, KnowledgeBase, Passage
from kb_tools.search import hnsw, snapshot

ROOT = Path(__file__).resolve().parents[2]


class WordVectors(Embeddings):
    """A vector that is the sum of its words' vectors: fast, and the same in every process."""

    fingerprint = "word-vectors"

    def embed_query(self, text: str) -> list[float]:
        seeds = [int.from_bytes(hashlib.md5(w.encode()).digest()[:4], "little") for w in text.lower().split()]
        return (1e-3 + sum((np.random.default_rng(s).normal(size=16) for s in seeds), np.zeros(16))).tolist()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def notes(folder: Path) -> tuple[Catalog, KnowledgeBase]:
    catalog = Catalog(folder, embedding=WordVectors())
    return catalog, catalog.create("notes", description="", exist_ok=True)


def elsewhere(folder: Path, code: str) -> int:
    """Run code on the notes in another process; its exit status."""
    program = f"""
import os, sys
from pathlib import Path
from kb_tools import Passage
import kb_tools.space
from tests.kb_tools.test_integrity import notes
catalog, kb = notes(Path(sys.argv[1]))
{textwrap.dedent(code)}
catalog.close()
"""
    return subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT).returncode


def found(kb: KnowledgeBase, query: str, mode: str = "lexical") -> list[str]:
    return [hit.doc_id for hit in kb.search(query, mode=mode)]


DIE = "lambda *a: os.kill(os.getpid(), 9)"


def test_a_crash_before_the_announcement_is_made_good_by_the_next_write(tmp_path: Path):
    setup = """
        kb.add([Passage(id=f"d{n}", text=f"base w{n}") for n in range(20)])
        kb._text.save(force=True)
    """
    assert elsewhere(tmp_path, setup) == 0
    crash = f"""
        kb.add([])
        kb._text.recover()
        kb_tools.space._announce = {DIE}
        kb.add([Passage(id="new", text="unicorn"), Passage(id="d1", text="giraffe")])
    """
    assert elsewhere(tmp_path, crash) == -signal.SIGKILL
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id="new", text="unicorn"), Passage(id="d1", text="giraffe")])
        assert found(kb, "unicorn") == ["new"]
        assert found(kb, "giraffe") == ["d1"]
        assert found(kb, "w1") == []
        assert kb.check() == []


def test_a_crash_while_a_document_shrinks_leaves_no_old_text(tmp_path: Path):
    setup = """kb.add([Passage(id="long", text=" ".join(f"alpha{n} beta" for n in range(900)))])"""
    assert elsewhere(tmp_path, setup) == 0
    crash = f"""
        kb_tools.space.Space._delete = {DIE}
        kb.add([Passage(id="long", text="short now")])
    """
    assert elsewhere(tmp_path, crash) == -signal.SIGKILL
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id="long", text="short now")])
        assert found(kb, "alpha500") == []
        assert kb.check() == []


def test_threads_that_write_lose_nothing_to_readers(tmp_path: Path):
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id=str(n), text=f"old{n}") for n in range(8)])
        threads = [
            threading.Thread(target=lambda n=n: [kb.add([Passage(id=str(n), text=f"new{n} v{v}")]) for v in range(5)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for n in range(8):
            assert found(kb, f"new{n}") == [str(n)]
            assert found(kb, f"old{n}") == []
        assert kb.check() == []


def test_a_second_catalog_of_a_reader_gets_vectors_and_texts_of_one_state(tmp_path: Path):
    elsewhere(tmp_path, "kb.add([Passage(id='a', text='apples red'), Passage(id='b', text='bicycle wheel')])")
    first, kb = notes(tmp_path)
    with first:
        assert found(kb, "apples red", "dense")[0] == "a"
        elsewhere(tmp_path, "kb.add([Passage(id='a', text='submarine'), Passage(id='b', text='apples red')])")
        second, again = notes(tmp_path)
        with second:
            assert found(again, "apples red", "dense")[0] == "b"
            assert found(kb, "apples red", "dense")[0] == "b"


def test_a_search_that_fails_in_the_middle_leaves_no_ghosts(tmp_path: Path, monkeypatch):
    import chromadb.errors

    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id=str(n), text=f"old{n} common") for n in range(8)])
        pages, failures = snapshot._pages, iter([True])

        def flaky(collection, where):
            for number, page in enumerate(pages(collection, where)):
                if number == 1 and next(failures, False):
                    raise chromadb.errors.InternalError("Error finding id")
                yield page

        monkeypatch.setattr(snapshot, "_PAGE", 3)
        monkeypatch.setattr(snapshot, "_pages", flaky)
        kb.add([Passage(id=str(n), text=f"new{n} common") for n in range(8)])
        assert int(kb._text.view().alive.sum()) == kb.count() == 8
        assert found(kb, "old1") == []


def test_a_closed_catalog_says_so_and_frees_the_lock(tmp_path: Path):
    catalog, kb = notes(tmp_path)
    kb.add([Passage(id="a", text="one")])
    catalog.close()
    for use in (lambda: kb.search("one"), lambda: kb.add([Passage(id="b", text="two")])):
        with pytest.raises(KBInputError, match="was closed; open it again"):
            use()
    assert elsewhere(tmp_path, "kb.add([Passage(id='b', text='two')])") == 0


def test_metadata_that_an_update_drops_matches_no_filter(tmp_path: Path):
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id="a", title="Zebra", text="stripes", metadata={"year": 2020, "title": "qux"})])
        assert found(kb, "zebra") == ["a"]
        kb.add([Passage(id="a", text="stripes", metadata={"month": 1})])
        assert kb.search("stripes", where={"year": 2020}) == []
        assert kb.search("stripes", where={"month": 1})[0].metadata == {"month": 1}


def test_one_document_of_many_near_units_does_not_crowd_out_the_rest(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(hnsw, "EXACT_BELOW", 0)
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id="long", text="common words " * 40_000)])
        kb.add([Passage(id=str(n), text=f"other{n}") for n in range(8)])
        assert len(kb.search("common words", 5, mode="dense")) == 5


def test_a_vector_of_another_length_is_refused(tmp_path: Path):
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id="a", text="one")])
        with pytest.raises(KBInputError, match="has 3 numbers; those of 'notes' have 16"):
            kb.search_by_vector([1.0, 2.0, 3.0])


def test_a_changed_description_is_seen_by_others(tmp_path: Path):
    catalog, kb = notes(tmp_path)
    with catalog:
        kb.add([Passage(id="a", text="one")])
    with Catalog(tmp_path, embedding=WordVectors()) as reader:
        kb = reader.open("notes")
        elsewhere(tmp_path, "kb.update(description='Better.', cost_usd=2.0)")
        assert (kb.describe().description, kb.describe().cost_usd) == ("Better.", 2.0)


@pytest.mark.parametrize("seed", [1, 4])
def test_after_any_history_a_search_is_that_of_a_fresh_knowledge_base(tmp_path: Path, seed: int):
    chance, there = random.Random(seed), {}
    catalog, kb = notes(tmp_path / "lived")
    for step in range(60):
        ids = [f"d#{n}" for n in chance.sample(range(12), chance.choice([1, 3]))]
        match chance.choice(["add", "add", "add", "delete", "reopen"]):
            case "add":
                for doc in ids:
                    length = chance.choice([1, 1, 300])
                    there[doc] = Passage(id=doc, title=f"t{step}", text=f"u{step} {doc} common " * length)
                kb.add([there[doc] for doc in ids])
            case "delete":
                kb.delete(ids)
                there = {doc: passage for doc, passage in there.items() if doc not in ids}
            case "reopen":
                catalog.close()
                catalog, kb = notes(tmp_path / "lived")
    with catalog, Catalog(tmp_path / "fresh", embedding=WordVectors()) as other:
        fresh = other.create("notes", description="")
        fresh.add(there.values())
        assert kb.check() == []
        for query in ("common", "u50 common", "d#3", "t40"):
            for mode in ("lexical", "dense", "hybrid"):
                assert [(h.doc_id, h.text, h.found) for h in kb.search(query, mode=mode)] == [
                    (h.doc_id, h.text, h.found) for h in fresh.search(query, mode=mode)
                ]
