"""The command line: what it prints, what it says to bad input, and that nothing retrieved can steer the terminal."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from tests.kb_tools.charts import draw_charts
from typer.testing import CliRunner, Result

from kb_tools import Catalog, Passage
from kb_tools.terminal import plain
from router_graph.cli import app

HOSTILE = "\x1b[31mred\x1b[0m [bold]loud[/bold] \u202ebackwards\u202c \x9b2J cleared"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"  # a text file that is always there
POLYROUTE = Path(sys.executable).with_name("polyroute")


def run(*args: object, folder: Path | None = None, typed: str | None = None) -> Result:
    where = [] if folder is None else ["-C", str(folder)]
    return CliRunner().invoke(app, ["kb", *map(str, args), *where], input=typed)


def process(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [str(POLYROUTE), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]


def complaint(result: Result, code: int = 1) -> str:
    """The one sentence that a bad command ends with."""
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert "Traceback" not in result.output
    _, mark, sentence = lines[-1].partition("polyroute: ")  # a question that was answered may stand before it
    assert mark, lines[-1]
    return sentence


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    for folder in ("docs", "tables", "charts"):
        (root / folder).mkdir()
    (root / "docs" / "staff-leave.md").write_text("# Leave\n\nEverybody has 30 days of leave a year.\n")
    (root / "docs" / "expenses.txt").write_text("Taxi rides are paid back within a month.")
    (root / "docs" / "hostile.txt").write_bytes(HOSTILE.encode())
    people = "\n".join(f"city{n},{n}" for n in range(60))
    (root / "tables" / "cities.csv").write_text(f"city,people\nParis,2100000\n{people}\n")
    for number, picture in enumerate(draw_charts(4, seed=1)):
        (root / "charts" / f"chart{number}.png").write_bytes(picture)
    return root


@pytest.fixture(scope="module")
def folder(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    for name, source in (("handbook", "docs"), ("cities", "tables"), ("charts", "charts")):
        result = run("add", name, files / source, "--description", f"The {source} of a company.", folder=folder)
        assert result.exit_code == 0, result.output
    return folder


def test_add_reports_what_it_did_and_gives_the_next_command(files: Path, tmp_path: Path):
    folder = tmp_path / "a folder"
    result = run("add", "handbook", files / "docs", folder=folder)
    assert result.exit_code == 0
    assert result.stdout == "handbook: 3 added, 0 updated, 0 unchanged, 0 removed; 3 documents in all.\n"
    assert "--description" in result.stderr
    following = result.stderr.strip().splitlines()[-1].removeprefix("Next: ")
    again = CliRunner().invoke(app, shlex.split(following)[1:])
    assert again.exit_code == 0
    assert "expenses.txt" in again.stdout.splitlines()[0]


def test_add_again_takes_over_what_changed_and_what_is_gone(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("keep", "change", "drop"):
        (docs / f"{name}.txt").write_text(f"The text of {name}.")
    same = ("add", "notes", docs, "--description", "Notes.", "--cost", "0.5", "--json")
    first = json.loads(run(*same, folder=tmp_path / "kb").stdout)
    assert (first["added"], first["documents"]) == (3, 3)
    (docs / "change.txt").write_text("Another text.")
    (docs / "drop.txt").unlink()
    (docs / "new.txt").write_text("A new text.")
    second = json.loads(run(*same, folder=tmp_path / "kb").stdout)
    counts = {verb: second[verb] for verb in ("added", "updated", "unchanged", "removed", "documents")}
    assert counts == {"added": 1, "updated": 1, "unchanged": 1, "removed": 1, "documents": 3}


def test_unreadable_files_are_named_with_the_reason_and_the_rest_goes_in(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "fine.md").write_text("All is well.")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    (docs / "strange.xyz").write_text("?")
    result = run("add", "mixed", docs, "--json", folder=tmp_path / "kb")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["documents"] == 1
    assert [Path(one["path"]).name for one in report["unreadable"]] == ["broken.pdf"]
    assert [Path(one["path"]).name for one in report["skipped"]] == ["strange.xyz"]
    assert all(one["reason"] for one in report["unreadable"] + report["skipped"])
    assert "broken.pdf" in result.stderr


def test_files_that_stay_out_for_one_reason_are_one_line(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "fine.md").write_text("All is well.")
    for number in range(300):
        (docs / f"{number}.log").write_text("?")
    for name in ("Makefile", "a.csv", "b.csv", "c.csv"):
        (docs / name).write_text("a,b\n1,2\n")
    result = run("add", "notes", docs, "--modality", "text", folder=docs / "kb")
    assert result.exit_code == 0
    skipped = [line for line in result.stderr.splitlines() if line.startswith("Skipped")]
    assert skipped == [
        f"Skipped: {docs}/a.csv and 2 more: holds a table; add it to a knowledge base of modality table, not text",
        skipped[1],
    ]
    assert skipped[1].startswith("Skipped: 301 files of kinds that are not read (300 .log, 1 without a suffix); ")
    assert run("add", "notes", docs, folder=docs / "kb").stderr.count("Skipped") == 2  # of kb itself nothing is said


def test_the_description_that_is_made_counts_what_went_in(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "fine.md").write_text("All is well.")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 and then nothing")
    (docs / "table.csv").write_text("a,b\n1,2\n")
    assert run("add", "notes", docs, "--modality", "text", folder=tmp_path / "kb").exit_code == 1
    assert _description(tmp_path / "kb") == "1 file (1 md): fine."
    (docs / "more.md").write_text("More.")
    assert run("add", "notes", docs, "--description", "Mine.", folder=tmp_path / "kb").exit_code == 1
    assert run("add", "notes", docs, folder=tmp_path / "kb").exit_code == 1
    assert _description(tmp_path / "kb") == "Mine."


def _description(folder: Path) -> str:
    described: str = json.loads(run("show", "notes", "--json", folder=folder).stdout)["description"]
    return described


def test_a_path_that_is_gone_names_what_is_still_held_of_it(tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("a", "b"):
        (docs / f"{name}.txt").write_text(name)
    folder = tmp_path / "kb"
    assert run("add", "notes", docs, folder=folder).exit_code == 0
    (docs / "a.txt").unlink()
    assert "'notes' still holds 1 document of it" in complaint(run("add", "notes", docs / "a.txt", folder=folder))
    (docs / "b.txt").unlink()
    assert "'notes' still holds 2 documents of it" in complaint(run("add", "notes", docs, folder=folder))
    assert "still holds" not in complaint(run("add", "other", docs, folder=folder))
    (tmp_path / "c.txt").write_text("c")
    assert "1 added, 0 updated, 0 unchanged, 2 removed" in run("add", "notes", tmp_path, folder=folder).stdout


def test_the_first_embedding_on_a_machine_is_announced(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POLYROUTE_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("a cache that cannot be made, so that the test need not wait for the export")
    result = run("search", "handbook", "leave", "--mode", "lexical", folder=folder)
    assert (result.exit_code, result.stderr) == (0, "")
    (tmp_path / "note.txt").write_text("A note.")
    result = run("add", "other", tmp_path / "note.txt", folder=tmp_path / "kb")
    assert result.stderr.startswith("Preparing the MiniLM embedding, once on this machine: about 10 seconds.\n")


def test_a_passage_keeps_its_lines_and_says_its_title_once(tmp_path: Path):
    (tmp_path / "list.md").write_text("---\ntitle: Shopping\n---\n# Shopping\n\n- ink\n-   pens  \n" + "- more\n" * 9)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "a\nb", "text": "No title."}) + "\n")
    assert run("add", "notes", tmp_path, folder=tmp_path / "kb").exit_code == 0
    shown = run("search", "notes", "ink and pens", "-k", 1, folder=tmp_path / "kb").stdout.splitlines()
    assert shown[0].split()[:3] == ["1.", "Shopping", "list.md"]
    assert [line.strip() for line in shown[1:]] == ["- ink", "- pens", *["- more"] * 3, "- more …"]
    first, text = run("search", "notes", "no title", "-k", 1, folder=tmp_path / "kb").stdout.splitlines()
    assert first.split()[:3] == ["1.", "rows.jsonl", "a\\nb"]
    assert text.strip() == "No title."


def test_ragged_rows_are_refused_with_their_line_and_leave_no_empty_knowledge_base(tmp_path: Path):
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    result = run("add", "ragged", tmp_path / "ragged.csv", folder=tmp_path / "kb")
    assert "'ragged' was not made" in complaint(result)
    assert "line 3 has 3 cells" in result.stderr
    assert json.loads(run("list", "--json", folder=tmp_path / "kb").stdout) == []


def test_list_and_show_say_what_there_is(folder: Path):
    about = json.loads(run("list", "--json", folder=folder).stdout)
    assert [(one["name"], one["modality"]) for one in about] == [
        ("charts", "image"),
        ("cities", "table"),
        ("handbook", "text"),
    ]
    assert json.loads(run("show", "cities", "--json", folder=folder).stdout) == about[1]
    for command in (["list"], ["show", "handbook"]):
        assert "The docs of a company." in run(*command, folder=folder).stdout


def test_a_folder_that_is_not_there_yet_is_empty_and_stays_away(tmp_path: Path):
    result = run("list", folder=tmp_path / "none")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "polyroute kb add NAME PATH" in result.stderr
    assert not (tmp_path / "none").exists()


def test_search_shows_rank_score_finder_title_and_text(folder: Path):
    first, second = run("search", "handbook", "days of leave", "-k", 1, folder=folder).stdout.splitlines()[:2]
    assert first.split()[:3] == ["1.", "Leave", "staff-leave.md"]
    assert "dense #1, lexical #1" in first
    assert "30 days of leave" in second


def test_search_without_k_gives_all_of_a_small_knowledge_base(folder: Path):
    assert len(json.loads(run("search", "handbook", "anything", "--json", folder=folder).stdout)) == 3


def test_mode_and_filter_reach_the_search(folder: Path):
    hits = json.loads(run("search", "handbook", "taxi", "--mode", "lexical", "--json", folder=folder).stdout)
    assert [(hit["doc_id"], hit["found"]) for hit in hits] == [("expenses.txt", {"lexical": 1})]
    where = json.dumps({"file": "staff-leave.md"})
    hits = json.loads(run("search", "handbook", "taxi", "--where", where, "--json", folder=folder).stdout)
    assert [hit["doc_id"] for hit in hits] == ["staff-leave.md"]


def test_a_search_that_finds_nothing_says_so_on_stderr(folder: Path):
    result = run("search", "handbook", "xyzzy", "--mode", "lexical", "--json", folder=folder)
    assert json.loads(result.stdout) == []
    assert result.stderr.strip() == "Nothing was found in handbook."


def test_a_table_is_printed_as_a_table_and_says_how_much_is_missing(folder: Path):
    shown = run("search", "cities", "Paris", folder=folder).stdout
    assert "Paris" in shown
    assert "|" not in shown  # the Markdown of the hit has become lines
    assert "more rows" in shown


def test_an_image_finds_itself(folder: Path, files: Path):
    picture = next(iter(sorted((files / "charts").glob("*.png"))))
    hits = json.loads(run("search", "charts", "--image", picture, "-k", 1, "--json", folder=folder).stdout)
    assert Path(hits[0]["metadata"]["path"]).name == picture.name


def test_sql_counts_over_a_table_that_it_finds(folder: Path):
    tables = json.loads(run("sql", "cities", "SELECT name FROM _tables", "--json", folder=folder).stdout)
    statement = f'SELECT count(*) AS n, max(people) AS most FROM "{tables["rows"][0][0]}"'
    result = json.loads(run("sql", "cities", statement, "--json", folder=folder).stdout)
    assert (result["columns"], result["rows"]) == (["n", "most"], [[61, 2100000]])
    assert "2100000" in run("sql", "cities", statement, folder=folder).stdout


def test_sql_says_when_rows_were_cut(folder: Path):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT i FROM n"
    assert "Only the first 200 rows" in run("sql", "cities", endless, "--json", folder=folder).stderr


def test_check_is_quiet_about_healthy_knowledge_bases(folder: Path):
    assert json.loads(run("check", "--json", folder=folder).stdout) == {"charts": [], "cities": [], "handbook": []}
    result = run("check", "handbook", folder=folder)
    assert (result.exit_code, result.stdout) == (0, "handbook: healthy\n")


def test_remove_asks_first(files: Path, tmp_path: Path):
    run("add", "notes", files / "docs", folder=tmp_path)
    assert complaint(run("remove", "notes", folder=tmp_path, typed="n\n")).endswith("Nothing was removed.")
    assert "pass --yes" in complaint(run("remove", "notes", folder=tmp_path))
    assert run("show", "notes", folder=tmp_path).exit_code == 0
    assert json.loads(run("remove", "notes", "--yes", "--json", folder=tmp_path).stdout) == {"removed": "notes"}
    assert "No knowledge base 'notes'" in complaint(run("remove", "notes", "--yes", folder=tmp_path))


def test_retrieved_text_cannot_steer_the_terminal_and_json_keeps_it_as_it_was(folder: Path):
    shown = run("search", "handbook", "red loud backwards cleared", folder=folder).stdout
    assert "\\x1b[31mred\\x1b[0m [bold]loud[/bold] \\u202ebackwards\\u202c \\x9b2J" in shown
    assert plain(shown) == shown
    result = run("search", "handbook", "red loud backwards cleared", "--json", folder=folder)
    assert result.stdout.isascii()
    assert json.loads(result.stdout)[0]["text"] == HOSTILE


def test_file_names_cannot_steer_the_terminal(tmp_path: Path):
    (tmp_path / "\x1b[31mred.pdf").write_bytes(b"no pdf")
    result = run("add", "red", tmp_path, folder=tmp_path / "kb")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "\\x1b[31mred.pdf" in result.stderr


BAD: dict[str, tuple[Sequence[str], str]] = {
    "unknown": (["search", "handbok", "x"], "charts, cities, handbook. Did you mean 'handbook'?"),
    "empty query": (["search", "handbook", " "], "The query is empty"),
    "k of 0": (["search", "handbook", "x", "-k", "0"], "k is 0"),
    "k too large": (["search", "handbook", "x", "-k", "4"], "holds 3 documents; ask for 1 to 3"),
    "unknown filter": (["search", "handbook", "x", "--where", '{"a": {"$odd": 1}}'], "is no filter that Chroma knows"),
    "image for text": (["search", "handbook", "--image", __file__], "only a knowledge base of images"),
    "no such image": (["search", "charts", "--image", "/nowhere.png"], "cannot be read (No such file"),
    "sql on text": (["sql", "handbook", "SELECT 1"], "SQL needs a knowledge base of tables"),
    "writing sql": (["sql", "cities", "DROP TABLE _tables"], ""),
    "no such path": (["add", "handbook", "/nowhere"], "There is no file or folder '/nowhere'"),
    "unknown suffix": (["add", "handbook", __file__], "files ending in .py are not read"),
    "other modality": (["add", "handbook", str(CONSTRAINTS), "--modality", "table"], "leave --modality out"),
    "bad name": (["add", "no name!", str(CONSTRAINTS)], "is no name for a knowledge base"),
    "a url": (["add", "new", "https://a.example/b.md"], "'https://a.example/b.md' is a URL, and URLs are not fetched"),
    "no query": (["search", "handbook"], "The query is empty; ask for something."),
    "no picture": (["search", "charts"], "or pass --image"),
    "image that is none": (["search", "charts", "--image", __file__], f"{__file__}: These"),
    "no host": (["list", "-C", "http://"], "write it as http://host:port"),
}


@pytest.mark.parametrize(("command", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_mistake_ends_in_one_sentence(folder: Path, command: Sequence[str], sentence: str):
    assert sentence in complaint(run(*command, folder=None if "-C" in command else folder))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["search", "handbook", "x", "--where", "{"], "not JSON"),
        (["search", "handbook", "x", "--where", "[1]"], "JSON object"),
        (["search", "handbook", "x", "--mode", "psychic"], "psychic"),
        (["search", "handbook", "x", "-k", "many"], "'-k': it must be a valid integer."),
        (["search", "handbook", "x", "--mode", "psychic"], "'--mode': 'psychic' is not one of"),
        (["add", "new", str(CONSTRAINTS), "--cost", "-1"], "--cost: it is -1; the price of a search is 0 or more"),
        (["add", "new", str(CONSTRAINTS), "--cost", "nan"], "--cost: it is nan"),
        (["search"], "NAME"),
        (["fly"], "fly"),
    ],
)
def test_a_command_that_cannot_be_parsed_is_a_usage_error(folder: Path, command: Sequence[str], words: str):
    result = run(*command, folder=folder) if command != ["fly"] else run(*command)
    assert result.exit_code == 2
    assert words in result.stderr


def test_adding_again_takes_over_a_new_description_and_price(files: Path, tmp_path: Path):
    assert run("add", "handbook", files / "docs", "--description", "First.", folder=tmp_path).exit_code == 0
    again = run("add", "handbook", files / "docs", "--description", "Second.", "--cost", "0.5", folder=tmp_path)
    assert again.exit_code == 0
    shown = json.loads(run("show", "handbook", "--json", folder=tmp_path).stdout)
    assert (shown["description"], shown["cost_usd"]) == ("Second.", 0.5)


def test_files_of_another_kind_are_refused_and_change_nothing(files: Path, folder: Path):
    result = run("add", "handbook", files / "tables", folder=folder)
    assert complaint(result) == "Nothing of it could be taken in; 'handbook' holds 3 documents."
    assert "holds a table" in result.stderr


def test_an_empty_folder_is_refused_and_makes_nothing(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    assert "is empty" in complaint(run("add", "new", tmp_path / "docs", folder=tmp_path / "kb"))
    assert not (tmp_path / "kb").exists()


def test_a_collection_of_another_embedding_is_refused_but_listed_and_removable(files: Path, tmp_path: Path):
    with Catalog(tmp_path, embedding=DeterministicFakeEmbedding(size=4)) as catalog:
        catalog.create("foreign", description="Foreign.").add([Passage(id="a", text="a")])
    assert run("add", "ours", files / "docs", folder=tmp_path).exit_code == 0
    assert "was made with the embedding" in complaint(run("search", "foreign", "a", folder=tmp_path))
    listed = run("list", "--json", folder=tmp_path)
    assert listed.exit_code == 1
    assert [one["name"] for one in json.loads(listed.stdout)] == ["ours"]
    assert "was made with the embedding" in listed.stderr
    assert json.loads(run("check", "--json", folder=tmp_path).stdout)["ours"] == []
    assert run("remove", "foreign", "--yes", folder=tmp_path).exit_code == 0


def test_a_folder_of_a_newer_version_is_refused_untouched(files: Path, tmp_path: Path):
    run("add", "notes", files / "docs", folder=tmp_path)
    stamp = tmp_path / "polyroute.json"
    was = stamp.read_text()
    stamp.write_text(json.dumps({"format": 99, "written_by": "polyroute 9.0"}))
    for command in (["search", "notes", "x"], ["add", "notes", files / "docs"], ["remove", "notes", "--yes"]):
        said = complaint(run(*command, folder=tmp_path))
        assert "polyroute 9.0" in said
        assert "pip install -U polyroute" in said
    stamp.write_text(was)
    assert json.loads(run("check", "--json", folder=tmp_path).stdout) == {"notes": []}


def test_a_server_that_is_down_is_named_with_the_way_to_start_it():
    for command in (["list"], ["search", "a", "b"]):
        result = CliRunner().invoke(app, ["kb", *command, "-C", "http://127.0.0.1:9"])
        assert "http://127.0.0.1:9 does not answer" in complaint(result)
        assert "chroma run" in result.stderr


def test_a_second_writer_is_told_who_the_first_is(files: Path, tmp_path: Path):
    with Catalog(tmp_path / "kb") as catalog:
        catalog.create("busy", description="Being written.").add([Passage(id="a", text="a")])
        done = process("kb", "add", "notes", files / "docs", "-C", tmp_path / "kb")
        assert done.returncode == 1
        assert f"Process {os.getpid()}" in done.stderr
        assert process("kb", "show", "busy", "-C", tmp_path / "kb").returncode == 0


def test_a_disk_that_takes_no_more_is_one_sentence_and_loses_nothing(files: Path, tmp_path: Path):
    import resource

    folder = tmp_path / "kb"
    assert run("add", "notes", files / "docs", folder=folder).exit_code == 0
    much = tmp_path / "much.jsonl"
    much.write_text("".join(json.dumps({"id": str(n), "contents": f"Text {n}."}) + "\n" for n in range(600)))

    def full_disk() -> None:
        # The kernel refuses to let any file grow past this, as a full disk would.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    done = process("kb", "add", "much", much, "-C", folder, preexec_fn=full_disk)
    assert done.returncode == 1
    assert done.stderr.startswith("polyroute: ")
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(run("show", "notes", "--json", folder=folder).stdout)["documents"] == 3
    assert run("add", "much", much, folder=folder).exit_code == 0
    assert run("check", folder=folder).exit_code == 0


def _hears_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_keeps_what_was_added_and_frees_the_lock(tmp_path: Path):
    much = tmp_path / "much.jsonl"
    much.write_text("".join(json.dumps({"id": str(n), "contents": f"Text {n}."}) + "\n" for n in range(20_000)))
    command = [str(POLYROUTE), "kb", "add", "much", str(much), "-C", str(tmp_path / "kb")]
    # A suite that runs in the background ignores SIGINT, and its children would inherit that.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_hears_interrupts) as running:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _documents(tmp_path / "kb"):
            time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip() == "Interrupted; what was added is kept."
    assert _documents(tmp_path / "kb") > 0
    (tmp_path / "more.txt").write_text("More.")
    assert run("add", "more", tmp_path / "more.txt", folder=tmp_path / "kb").exit_code == 0


STOPPED = """
import os, signal, sys, time
from router_graph import cli

@cli.app.command()
def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        raise ERROR

sys.argv = ["polyroute", "work"]
cli.main()
"""
WHILE_IMPORTING = """
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
import router_graph.cli
"""


@pytest.mark.parametrize(
    "script",
    [
        STOPPED.replace("ERROR", ""),
        STOPPED.replace("ERROR", 'ImportError("an error of its own")'),
        WHILE_IMPORTING,
    ],
)
def test_ctrl_c_is_one_word_even_where_a_module_is_imported(script: str):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, preexec_fn=_hears_interrupts
    )
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def _documents(folder: Path) -> int:
    with Catalog(folder) as catalog:
        return catalog.open("much").count() if "much" in catalog.names() else 0


def test_the_installed_command_finds_its_folder_by_the_environment(folder: Path):
    environment = {**os.environ, "POLYROUTE_KB": str(folder)}
    done = process("kb", "search", "handbook", "days of leave", "-k", 1, "--json", env=environment)
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)[0]["doc_id"] == "staff-leave.md"


def test_version_and_a_reader_that_leaves_early_are_no_trouble(folder: Path):
    assert process("--version").stdout.startswith("polyroute 0.")
    command = f"{shlex.quote(str(POLYROUTE))} kb search handbook x -C {shlex.quote(str(folder))} | true"
    assert subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60).stderr == ""


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_shows_what_to_type(option: str):
    result = run("add", option)
    assert result.exit_code == 0
    assert "kb add [OPTIONS] NAME PATH..." in result.stdout


def test_help_is_cheap():
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom router_graph.cli import app\n"
        "assert CliRunner().invoke(app, ['kb', 'add', '--help']).exit_code == 0\n"
        "print(sorted({'chromadb', 'torch', 'numpy', 'langchain_core', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"
