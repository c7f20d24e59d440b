"""A knowledge base kept in step with files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from kb_tools import Catalog
from kb_tools.documents import Document, Modality
from kb_tools.errors import KBInputError, KBStorageError
from kb_tools.loaders import LoadReport, load


@dataclass
class Counts:
    added: int = 0
    updated: int = 0
    unchanged: int = 0


class Memory:
    """The least that is a knowledge base: documents in a dict, told of in batches of a hundred."""

    def __init__(self, modality: Modality = "text") -> None:
        self.modality: Modality = modality
        self.documents: dict[str, Document] = {}
        self.deleted: list[str] = []
        self.fail_at: str | None = None

    def add(
        self,
        documents: Iterable[Document],
        *,
        on_batch: Callable[[int], None] | None = None,
        on_share: Callable[[float], None] | None = None,
    ) -> Counts:
        counts = Counts()
        waiting = 0
        for document in documents:
            if document.id == self.fail_at:
                raise KBStorageError("The disk is full.")
            old = self.documents.get(document.id)
            if old is None:
                counts.added += 1
            elif old.digest() != document.digest():
                counts.updated += 1
            else:
                counts.unchanged += 1
            self.documents[document.id] = document
            waiting += 1
            if waiting == 100 and on_share and on_batch:
                on_share(0.5)
                on_share(1.0)
                on_batch(waiting)
                waiting = 0
        return counts

    def delete(self, ids: Sequence[str]) -> int:
        self.deleted += ids
        return sum(self.documents.pop(doc_id, None) is not None for doc_id in ids)

    def sources(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for document in self.documents.values():
            if "source" in document.metadata:
                found.setdefault(document.metadata["source"], []).append(document.id)
        return found


def write(root: Path, **texts: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        stem, _, suffix = name.rpartition("_")
        (root / f"{stem}.{suffix}").write_text(text)
    return root


def rows(*pairs: tuple[str, str]) -> str:
    return "".join(json.dumps({"id": doc_id, "text": text}) + "\n" for doc_id, text in pairs)


def counts(report: LoadReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.removed


def test_a_second_run_adds_what_changed_removes_what_is_gone_and_nothing_else(tmp_path: Path) -> None:
    kb = Memory()
    folder = write(tmp_path / "f", a_md="a", b_md="b", c_md="c")
    assert counts(load(kb, [folder])) == (3, 0, 0, 0)
    assert counts(load(kb, [folder])) == (0, 0, 3, 0)
    write(folder, b_md="new", d_md="d")
    (folder / "c.md").unlink()
    assert counts(load(kb, [folder])) == (1, 1, 1, 1)
    assert set(kb.documents) == {"a.md", "b.md", "d.md"} and kb.deleted == ["c.md"]


def test_one_path_need_not_be_in_a_list(tmp_path: Path) -> None:
    folder = write(tmp_path / "f", a_md="a")
    assert counts(load(Memory(), folder)) == counts(load(Memory(), str(folder))) == (1, 0, 0, 0)


def test_only_what_came_from_the_given_paths_is_removed(tmp_path: Path) -> None:
    from kb_tools.documents import Passage

    kb = Memory()
    kb.add([Passage(id="by hand", text="x"), Passage(id="web", text="x", metadata={"source": "https://a.example/x"})])
    one, near = write(tmp_path / "f", a_md="a", b_md="b"), write(tmp_path / "f2", c_md="c")
    load(kb, [one, near])
    (one / "a.md").unlink()
    (near / "c.md").unlink()
    assert counts(load(kb, [one])) == (0, 0, 1, 1)  # "f2" begins like "f" and is another folder
    assert set(kb.documents) == {"by hand", "web", "b.md", "c.md"}


def test_rows_that_left_a_given_file_are_removed(tmp_path: Path) -> None:
    kb = Memory()
    folder = write(tmp_path, a_jsonl=rows(("1", "x"), ("2", "y")), b_md="b")
    load(kb, [folder])
    write(folder, a_jsonl=rows(("2", "y")))
    assert counts(load(kb, [folder / "a.jsonl"])) == (0, 0, 1, 1)
    assert set(kb.documents) == {"2", "b.md"}


def test_what_cannot_be_read_is_reported_the_rest_goes_in_and_nothing_is_lost(tmp_path: Path) -> None:
    kb = Memory()
    folder = write(tmp_path, a_jsonl=rows(("1", "x"), ("2", "y"), ("3", "z")), b_md="b", c_md="c")
    load(kb, [folder])
    write(folder, a_jsonl=rows(("1", "new")) + "{broken\n" + rows(("3", "z")), d_md="d")
    (folder / "b.md").write_bytes(b"\xff\x00")
    report = load(kb, [folder])
    assert counts(report) == (1, 1, 1, 0)
    assert set(kb.documents) == {"1", "2", "3", "b.md", "c.md", "d.md"}
    assert [Path(path).name for path, _ in report.unreadable] == ["a.jsonl", "b.md"]
    assert "line 2" in report.unreadable[0][1] and "the 1 before the flaw went in" in report.unreadable[0][1]
    assert str(folder) not in report.unreadable[1][1]  # the path stands beside the reason


def test_a_folder_that_cannot_be_listed_keeps_its_documents(tmp_path: Path) -> None:
    kb = Memory()
    write(tmp_path / "f/locked", a_md="a")
    write(tmp_path / "f", b_md="b")
    load(kb, [tmp_path / "f"])
    (tmp_path / "f/locked").chmod(0)
    try:
        if next((tmp_path / "f/locked").iterdir(), None):
            pytest.skip("this user may list every folder")
    except PermissionError:
        pass
    try:
        report = load(kb, [tmp_path / "f"])
    finally:
        (tmp_path / "f/locked").chmod(0o755)
    assert set(kb.documents) == {"locked/a.md", "b.md"}
    assert "listed" in report.unreadable[0][1]


def test_what_does_not_belong_is_skipped_with_a_reason_each(tmp_path: Path) -> None:
    mixed = rows(("1", "x"), ("2", " "), ("1", "again")) + '{"id": "t", "header": ["a"], "rows": []}\n'
    folder = write(tmp_path, a_csv="a,b\n", b_xyz="?", c_jsonl=mixed, d_md="")
    kb = Memory()
    (folder / "d.md").write_text("\n")
    report = load(kb, [folder])
    assert set(kb.documents) == {"1"}
    reasons = [(Path(path).name, reason) for path, reason in report.skipped]
    assert reasons == [
        ("a.csv", "holds a table; add it to a knowledge base of modality table, not text"),
        ("b.xyz", reasons[1][1]),
        ("c.jsonl", "1 document without text: '2'"),
        ("c.jsonl", "1 document with an id that another document of this run has already: '1'"),
        ("c.jsonl", "1 document of modality table, not text: 't'"),
        ("d.md", "1 document without text: 'd.md'"),
    ]
    assert kb.documents["1"].model_dump()["text"] == "x"  # the first one stays


def test_a_text_that_was_taken_for_a_caption_is_named(tmp_path: Path) -> None:
    report = load(Memory(), [write(tmp_path, a_md="a", b_png="p", b_txt="words of their own", c_xyz="?")])
    assert "(b.txt was taken for its caption)" in report.skipped[0][1] and len(report.skipped) == 2


def test_reasons_of_many_documents_are_counted(tmp_path: Path) -> None:
    write(tmp_path, a_jsonl=rows(*((str(n), "") for n in range(1000)), ("x", "text")))
    assert load(Memory(), [tmp_path]).skipped[0][1] == "1000 documents without text: '0', '1', '2', …"


def test_an_id_of_a_file_outside_is_not_taken_over_in_silence(tmp_path: Path) -> None:
    kb = Memory()
    one, two = write(tmp_path / "one", a_md="one"), write(tmp_path / "two", a_md="two", b_md="b")
    load(kb, [one])
    report = load(kb, [two])
    assert counts(report) == (1, 0, 0, 0) and kb.documents["a.md"].metadata["source"] == (one / "a.md").as_posix()
    assert (one / "a.md").as_posix() in report.skipped[0][1] and "or rename the file" in report.skipped[0][1]
    # And the advice helps: both are in, under names of their own, and the old name is gone.
    assert counts(load(kb, [one, two])) == (2, 0, 1, 1)
    assert set(kb.documents) == {"one/a.md", "two/a.md", "b.md"}


def test_a_file_that_was_moved_gives_its_ids_on(tmp_path: Path) -> None:
    kb = Memory()
    old = write(tmp_path / "old", a_jsonl=rows(("1", "x"), ("2", "y")))
    load(kb, [old])
    (tmp_path / "new").mkdir()
    (old / "a.jsonl").rename(tmp_path / "new/b.jsonl")
    assert counts(load(kb, [tmp_path / "new"])) == (0, 2, 0, 0)
    assert set(kb.sources()) == {(tmp_path / "new/b.jsonl").as_posix()}


def test_a_row_that_moved_to_another_file_stays(tmp_path: Path) -> None:
    kb = Memory()
    write(tmp_path, a_jsonl=rows(("1", "x"), ("2", "y")), b_jsonl=rows(("3", "z")))
    load(kb, [tmp_path])
    write(tmp_path, a_jsonl=rows(("1", "x")), b_jsonl=rows(("3", "z"), ("2", "y")))
    assert counts(load(kb, [tmp_path])) == (0, 1, 2, 0)
    assert set(kb.documents) == {"1", "2", "3"}


def test_a_folder_below_a_known_one_gives_new_names_and_no_doubles(tmp_path: Path) -> None:
    kb = Memory()
    write(tmp_path / "f/sub", a_md="a")
    write(tmp_path / "f", b_md="b")
    load(kb, [tmp_path / "f"])
    assert counts(load(kb, [tmp_path / "f/sub"])) == (1, 0, 0, 1)
    assert set(kb.documents) == {"a.md", "b.md"}


def test_a_failing_knowledge_base_loses_nothing(tmp_path: Path) -> None:
    kb = Memory()
    folder = write(tmp_path, a_md="a", b_md="b", c_md="c")
    load(kb, [folder])
    (folder / "a.md").unlink()
    kb.fail_at = "c.md"
    with pytest.raises(KBStorageError, match="disk"):
        load(kb, [folder])
    assert set(kb.documents) == {"a.md", "b.md", "c.md"}


def test_an_emptied_folder_is_an_error_and_removes_nothing(tmp_path: Path) -> None:
    kb = Memory()
    folder = write(tmp_path / "f", a_md="a")
    load(kb, [folder])
    (folder / "a.md").unlink()
    with pytest.raises(KBInputError, match="is empty"):
        load(kb, [folder])
    assert set(kb.documents) == {"a.md"}


def test_documents_are_handed_over_one_by_one(tmp_path: Path) -> None:
    seen: list[str] = []

    class Lazy(Memory):
        def add(
            self,
            documents: Iterable[Document],
            *,
            on_batch: Callable[[int], None] | None = None,
            on_share: Callable[[float], None] | None = None,
        ) -> Counts:
            for document in documents:
                seen.append(document.id)
                if len(seen) == 1:
                    (tmp_path / "b.md").write_text("written after a.md was handed over")
                self.documents[document.id] = document
            return Counts(added=len(seen))

    kb = Lazy()
    load(kb, [write(tmp_path, a_md="a", b_md="b")])
    assert kb.documents["b.md"].model_dump()["text"].startswith("written after")


def test_progress_counts_bytes_up_to_all_of_them(tmp_path: Path) -> None:
    write(tmp_path, a_md="x" * 500, b_jsonl=rows(*((str(n), "y" * 1000) for n in range(300))), c_csv="skipped")
    told: list[tuple[int, int, str]] = []
    load(Memory(), [tmp_path], on_progress=lambda *args: told.append(args))
    total = sum((tmp_path / name).stat().st_size for name in ("a.md", "b.jsonl"))
    assert {all_ for _, all_, _ in told} == {total}
    assert told[0] == (0, total, "a.md") and told[-1] == (total, total, "b.jsonl")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert 4 <= len(told) <= 12  # within the long file too, and not for every line


def test_progress_moves_while_one_large_table_is_embedded(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "a.csv").write_text("city,people\n" + "".join(f"city{n},{n}\n" for n in range(400)))
    total = (tmp_path / "a.csv").stat().st_size
    told: list[int] = []
    kb = catalog.create("cities", description="Cities.", modality="table")
    load(kb, [tmp_path / "a.csv"], on_progress=lambda done, _, label: told.append(done))
    assert told == sorted(told) and told[-1] == total
    assert len({done for done in told if 0 < done < total}) >= 3


def test_an_assumed_encoding_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("größe\n1\n".encode("cp1252"))
    report = load(Memory("table"), [tmp_path])
    assert report.assumed == [(str(tmp_path / "a.csv"), "it is not UTF-8 and was read as cp1252")]


def test_a_text_that_is_not_utf8_goes_in_as_cp1252_and_that_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes("# Größe\n".encode("cp1252"))
    kb = Memory()
    report = load(kb, [tmp_path])
    assert report.assumed == [(str(tmp_path / "a.md"), "it is not UTF-8 and was read as cp1252")]
    assert kb.documents["a.md"].model_dump()["title"] == "Größe"


def test_a_real_knowledge_base_is_kept_in_step_and_searched(tmp_path: Path, catalog: Catalog) -> None:
    kb = catalog.create("notes", description="Notes.")
    folder = write(tmp_path / "f", cats_md="# Cats\nCats purr.", owls_html="<title>Owls</title><p>Owls fly at night.")
    write(folder, rows_jsonl=rows(("eel", "Eels migrate to the Sargasso Sea."), ("dog", "Dogs bark.")))
    assert counts(load(kb, [folder])) == (4, 0, 0, 0)
    assert counts(load(kb, [folder])) == (0, 0, 4, 0)
    (hit,) = kb.search("Which bird is awake at night?", k=1)
    assert (hit.doc_id, hit.title, hit.metadata["file"]) == ("owls.html", "Owls", "owls.html")
    write(folder, rows_jsonl=rows(("eel", "Eels are fish.")), bad_pdf="no pdf")
    (folder / "cats.md").unlink()
    report = load(kb, [folder])
    assert counts(report) == (0, 1, 1, 2) and "damaged" in report.unreadable[0][1]
    assert sorted(doc.id for doc in kb.documents()) == ["eel", "owls.html"]


def test_a_real_knowledge_base_takes_tables_and_pictures(tmp_path: Path, catalog: Catalog) -> None:
    from PIL import Image

    folder = write(tmp_path / "f", prices_csv="item;price\npen;2\nink;3\n", red_txt="A red square")
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    tables = catalog.create("tables", description="Prices.", modality="table")
    pictures = catalog.create("pictures", description="Pictures.", modality="image")
    assert counts(load(tables, [folder])) == counts(load(pictures, [folder])) == (1, 0, 0, 0)
    assert tables.search("price of ink", k=1)[0].doc_id == "prices.csv"
    assert pictures.search("a red square", k=1)[0].doc_id == "red.png"
    Image.new("RGB", (64, 64), "blue").save(folder / "red.png")
    assert counts(load(pictures, [folder])) == (0, 1, 0, 0)
