"""Which files are found, under which name, and what they are taken to hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kb_tools.errors import KBInputError
from kb_tools.loaders import find_files, infer_modality


def write(root: Path, *names: str, text: str = "x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def names(*paths: Path) -> list[str]:
    return [file.name for file in find_files(paths) if file.to_read]


def test_files_below_a_folder_are_named_by_their_path_and_sorted(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a/z.txt", "a/deep/y.TXT")
    assert names(tmp_path) == ["a/deep/y.TXT", "a/z.txt", "b.md"]
    assert find_files([tmp_path])[2].source == (tmp_path / "b.md").resolve().as_posix()


def test_hidden_files_locks_and_sidecars_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a.md", ".b.md", ".git/c.md", "~$d.docx", "__MACOSX/e.md", "f.png", "f.png.json", "f.txt", "g.txt")
    found = find_files([tmp_path])
    assert [file.name for file in found] == ["a.md", "f.png", "g.txt"]
    assert all(file.to_read for file in found)


def test_a_hidden_folder_that_is_given_is_read(tmp_path: Path) -> None:
    assert names(write(tmp_path / ".notes", "a.md")) == ["a.md"]


def test_a_folder_of_knowledge_bases_is_passed_over_unless_it_is_the_given_one(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "kb/polyroute.json", "kb/b.md", "kb/deep/c.md")
    assert [file.name for file in find_files([tmp_path])] == ["a.md"]
    assert names(tmp_path / "kb") == ["b.md", "deep/c.md"]


def test_a_url_and_a_file_without_a_suffix_are_named_as_what_they_are(tmp_path: Path) -> None:
    for url in ("https://a.example/b.md", Path("https://a.example/b.md")):
        with pytest.raises(KBInputError, match="URLs are not fetched"):
            find_files([url])
    with pytest.raises(KBInputError, match="files without a suffix are not read"):
        find_files([write(tmp_path, "Makefile") / "Makefile"])


def test_an_unknown_suffix_is_returned_with_the_reason_and_not_opened(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe.xyz")  # opening it would never return
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    skipped = {file.name: file.skipped for file in find_files([tmp_path])}
    assert skipped.pop("a.md") is None
    assert set(skipped) == {"pipe.xyz", "pipe.txt", "gone.md"}
    assert ".xyz" in str(skipped["pipe.xyz"]) and "jsonl" in str(skipped["pipe.xyz"])
    assert "regular" in str(skipped["pipe.txt"]) and "link" in str(skipped["gone.md"])


def test_a_link_to_a_folder_is_reported_so_that_a_loop_ends(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["a.md"]
    assert "link to a folder" in str(find_files([tmp_path])[1].skipped)


@pytest.mark.skipif(not hasattr(os, "fsencode") or os.name == "nt", reason="file names are text here")
def test_a_name_that_is_no_text_is_reported_in_text(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("x")
    except OSError:
        pytest.skip("this file system takes no such name")
    (odd,) = [file for file in find_files([tmp_path]) if not file.to_read]
    assert "UTF-8" in str(odd.skipped)
    str(odd.path).encode()


def test_equal_names_of_two_roots_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    write(tmp_path, "one/docs/a.md", "two/docs/a.md", "two/docs/b.md")
    both = [tmp_path / "one/docs", tmp_path / "two/docs"]
    assert names(*both) == names(*both[::-1]) == ["one/docs/a.md", "two/docs/a.md", "b.md"]
    assert names(tmp_path / "one/docs/a.md", tmp_path / "two/docs/a.md") == ["one/docs/a.md", "two/docs/a.md"]


def test_a_lengthened_name_does_not_meet_another_one(tmp_path: Path) -> None:
    write(tmp_path, "r/b/x.md", "s/b/x.md", "b/x.md")
    found = names(tmp_path / "r", tmp_path / "s/b", tmp_path / "b")
    assert len(found) == len(set(found)) == 3


def test_a_file_that_two_paths_lead_to_comes_once_named_by_the_outer_one(tmp_path: Path) -> None:
    write(tmp_path, "sub/a.md")
    for paths in (
        [tmp_path, tmp_path / "sub", tmp_path / "sub/a.md"],
        [tmp_path / "sub/a.md", tmp_path / "sub", tmp_path],
    ):
        assert names(*paths) == ["sub/a.md"]


def test_a_folder_has_one_source_whatever_leads_to_it_and_a_linked_file_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "real/a.md")
    (tmp_path / "way").symlink_to(tmp_path / "real")
    (tmp_path / "current.md").symlink_to(tmp_path / "real/a.md")
    monkeypatch.chdir(tmp_path)
    for path in ("real", "./way", tmp_path / "real/../way", "way/a.md"):
        assert [file.source for file in find_files([path])] == [(tmp_path.resolve() / "real/a.md").as_posix()]
    assert find_files(["current.md"])[0].source == (tmp_path.resolve() / "current.md").as_posix()


def test_a_missing_path_an_empty_folder_and_no_path_are_one_sentence_each(tmp_path: Path) -> None:
    write(tmp_path, "full/a.md", "odd/a.xyz")
    (tmp_path / "empty").mkdir()
    cases = [
        ([], "No files"),
        ([tmp_path / "nowhere"], "There is no file"),
        ([tmp_path / "full", tmp_path / "empty"], "is empty"),
        ([tmp_path / "odd"], "a.xyz"),
        ([tmp_path / "odd/a.xyz"], ".xyz"),
        (["a\0b"], "path"),
        (["x" * 5000], "path"),
    ]
    for paths, part in cases:
        with pytest.raises(KBInputError) as caught:
            find_files(paths)
        message = str(caught.value)
        assert part in message and message.endswith(".") and not message.endswith("..") and "\n" not in message


def test_one_modality_is_inferred_and_jsonl_is_looked_into(tmp_path: Path) -> None:
    write(tmp_path, "text/a.md", "text/b.pdf", "skip/c.csv", "skip/d.zip", "image/e.webp", "image/e.txt")
    write(tmp_path, "text/c.jsonl", text='\n{"id": 1, "contents": "a"}\nbroken')
    write(tmp_path, "table/c.jsonl", text='{"header": ["a"], "rows": []}')
    assert infer_modality(find_files([tmp_path / "text"])) == "text"
    assert infer_modality(find_files([tmp_path / "skip", tmp_path / "table"])) == "table"
    assert infer_modality(find_files([tmp_path / "image"])) == "image"


def test_mixed_files_are_counted_and_the_option_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "b.txt", "c.csv")
    with pytest.raises(KBInputError, match=r"2 text, 1 table.*--modality"):
        infer_modality(find_files([tmp_path]))


def test_a_jsonl_that_does_not_say_what_it_holds_asks_for_the_option(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", text="broken")
    with pytest.raises(KBInputError, match=r"line 1.*--modality"):
        infer_modality(find_files([tmp_path]))
