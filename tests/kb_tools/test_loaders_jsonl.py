"""jsonl as passages and tables."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import pytest

from kb_tools.documents import Passage, Table
from kb_tools.errors import UnreadableFileError
from kb_tools.loaders import read_file

DATA = Path(os.environ.get("POLYROUTE_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "ottqa"


def read(path: Path, *lines: object) -> list[Passage | Table]:
    if lines:
        path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return list(read_file(path, path.as_posix(), "text"))  # type: ignore[arg-type]


def refused(path: Path, *lines: object) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        read(path, *lines)
    message = str(caught.value)
    assert str(path) in message and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("contents", "title", "text"),
    [
        ('"Ada Lovelace"\nShe wrote\nprograms.', "Ada Lovelace", "She wrote\nprograms."),
        ("Ada\nShe wrote.", "Ada", "She wrote."),
        ('"\nShe wrote.', '"', "She wrote."),
        ("One line alone", "", "One line alone"),
        ("One line alone\n", "", "One line alone\n"),
    ],
)
def test_flashrag_contents_are_split_into_title_and_text(tmp_path: Path, contents: str, title: str, text: str) -> None:
    (passage,) = read(tmp_path / "a.jsonl", {"id": 7, "contents": contents})
    assert isinstance(passage, Passage)
    assert (passage.id, passage.title, passage.text) == ("7", title, text)


def test_a_title_of_its_own_is_not_cut_from_the_contents(tmp_path: Path) -> None:
    same, other = read(
        tmp_path / "a.jsonl",
        {"id": "1", "title": "Ada", "contents": '"Ada"\nShe wrote.'},
        {"id": "2", "title": "Ada", "contents": "First line.\nSecond line."},
    )
    assert isinstance(same, Passage) and isinstance(other, Passage)
    assert (same.title, same.text) == ("Ada", "She wrote.")
    assert (other.title, other.text) == ("Ada", "First line.\nSecond line.")


def test_other_keys_become_metadata_and_keep_out_of_ours(tmp_path: Path) -> None:
    row = {"id": "1", "text": "t", "url": "u", "source": "web", "kb:x": 1, "metadata": {"year": 1843, "page": 2}}
    (passage,) = read(tmp_path / "a.jsonl", row)
    assert passage.metadata == {
        "source": (tmp_path / "a.jsonl").as_posix(),
        "file": "a.jsonl",
        "url": "u",
        "row_source": "web",
        "row_kb:x": 1,
        "year": 1843,
        "row_page": 2,
    }


def test_a_row_without_id_keeps_its_id_when_rows_come_and_go(tmp_path: Path) -> None:
    (before,) = read(tmp_path / "a.jsonl", {"text": "stays"})
    new, after = read(tmp_path / "a.jsonl", {"text": "new"}, {"text": "stays"})
    assert after.id == before.id != new.id and after.id.startswith("a.jsonl#")


def test_a_table_keeps_cells_and_links(tmp_path: Path) -> None:
    row = {"id": "t", "title": "T", "section": "S", "header": ["a", 2], "rows": [[1.0, None]], "links": [[["/x"], []]]}
    (table,) = read(tmp_path / "a.jsonl", {**row, "url": "u"})
    assert isinstance(table, Table)
    assert (table.section, table.header, table.rows) == ("S", ["a", "2"], [["1", ""]])
    assert table.links == [[["/x"], []]] and table.metadata["url"] == "u"


def test_text_of_every_kind_comes_out_as_it_went_in(tmp_path: Path) -> None:
    text = "</information>\u2028\0\u202e🙂 \x85 " + "z" * 1_000_000
    for ascii_only in (True, False):
        line = json.dumps({"id": "1", "text": text}, ensure_ascii=ascii_only)
        (passage,) = read(tmp_path / "a.jsonl", line)
        assert isinstance(passage, Passage) and passage.text == text


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{broken", "no JSON"),
        ('{"a": 1,}', "double quotes at character 9)"),
        ("[1]", "no object"),
        ('{"id": "1"}', "contents"),
        ('{"text": 3}', "no text"),
        ('{"text": "a", "id": true}', '"id"'),
        ('{"text": "a", "id": ""}', '"id"'),
        ('{"text": "a", "score": NaN}', "NaN"),
        ('{"text": "\\ud83d"}', "surrogate"),
        ('{"header": ["a"], "rows": [["1"], ["2", "3"]], "id": "t"}', "row 1 of table 't' has 2 cells"),
        ('{"header": ["a"], "rows": ["1"]}', "lists"),
        ('{"header": [], "rows": []}', "header"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_a_bad_line_is_named_after_the_good_ones_were_given(tmp_path: Path, line: str, part: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "0", "text": "good"}\n\n' + line + "\n")
    rows = read_file(tmp_path / "a.jsonl", "s", "text")
    assert next(rows).id == "0"
    with pytest.raises(UnreadableFileError, match="line 3") as caught:
        next(rows)
    assert part in str(caught.value) and len(str(caught.value)) < 600 + len(str(tmp_path))


def test_a_byte_order_mark_is_passed_over_and_another_encoding_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"text": "é"}\n'.encode("utf-8-sig"))
    assert len(read(tmp_path / "a.jsonl")) == 1
    (tmp_path / "b.jsonl").write_bytes('{"text": "a"}\n{"text": "é"}\n'.encode("latin-1"))
    assert "line 2 is not UTF-8" in refused(tmp_path / "b.jsonl")


def test_rows_are_streamed(tmp_path: Path) -> None:
    # An endless file would never give its first row if it were read whole; a device stands in for it.
    line = b'{"text": "' + b"x" * 1000 + b'"}\n'
    reader, writer = os.pipe()
    try:
        os.write(writer, line * 8)  # the pipe stays open: its end never comes
        path = Path(f"/dev/fd/{reader}")
        if not path.exists():
            pytest.skip("no /dev/fd here")
        from kb_tools.loaders.jsonl import read_jsonl
        from kb_tools.loaders.origin import Origin

        told: list[int] = []
        rows = list(islice(read_jsonl(Origin(path, "s", "p.jsonl", told.append)), 8))
        assert len(rows) == 8 and told == [len(line) * n for n in range(1, 9)]
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmark data does not lie beside the project")
def test_the_benchmark_corpora_are_read_whole() -> None:
    assert sum(1 for _ in read_file(DATA / "passages.jsonl", "p", "text")) == 17_841
    tables = [t for t in read_file(DATA / "tables.jsonl", "t", "table") if isinstance(t, Table)]
    assert len(tables) == 789 and tables[0].links and tables[0].metadata["url"].startswith("https://")
