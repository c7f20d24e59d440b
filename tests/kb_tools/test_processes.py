"""Several processes on one folder, crashes, a full disk, and a Chroma server: all real."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.kb_tools.conftest import ANIMALS

from kb_tools import Catalog, KnowledgeBase, Passage
from kb_tools.errors import KBLockedError, KBStorageError

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
    import sys
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from kb_tools import Catalog, Passage
    class Fake(DeterministicFakeEmbedding):
        fingerprint: str = "fake"
    catalog = Catalog(sys.argv[1], embedding=Fake(size=16))
    kb = catalog.create("notes", description="", exist_ok=True)
"""


def child(code: str, *arguments: object, **options: object) -> subprocess.Popen:
    program = textwrap.dedent(WRITER) + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        **options,
    )


@pytest.fixture
def fake():
    from langchain_core.embeddings import DeterministicFakeEmbedding

    class Fake(DeterministicFakeEmbedding):
        fingerprint: str = "fake"

    return Fake(size=16)


def test_the_second_writer_is_told_and_the_first_goes_on(tmp_path: Path, fake):
    holder = child(
        "kb.add([Passage(id='1', text='one')]); print('ready'); input(); kb.add([Passage(id='2', text='two')])",
        tmp_path,
        stdin=subprocess.PIPE,
    )
    assert holder.stdout.readline() == "ready\n"
    with Catalog(tmp_path, embedding=fake) as catalog:
        kb = catalog.open("notes")
        assert kb.count() == 1  # reading is free
        with pytest.raises(KBLockedError, match=rf"Process {holder.pid} .*is writing"):
            kb.add([Passage(id="3", text="three")])
        holder.communicate("go\n", timeout=20)
        assert holder.returncode == 0
        assert kb.add([Passage(id="3", text="three")]).added == 1
        assert {d.id for d in kb.documents()} == {"1", "2", "3"}
        assert kb.check() == []


def test_a_reader_sees_what_another_process_wrote_without_a_restart(tmp_path: Path, fake, monkeypatch):
    first = child("kb.add([Passage(id='old', text='old apples')])", tmp_path)
    assert first.wait(20) == 0
    with Catalog(tmp_path, embedding=fake) as catalog:
        kb = catalog.open("notes")
        assert kb.search("apples", k=1)[0].doc_id == "old"
        second = child("kb.add([Passage(id='new', text='new pears')]); kb.delete(['old'])", tmp_path)
        assert second.wait(20) == 0
        assert kb.search("pears", k=1)[0].doc_id == "new"
        assert kb.search("apples", k=1, mode="lexical") == []
        monkeypatch.setattr("kb_tools.search.hnsw.EXACT_BELOW", 0)
        assert kb.search_by_vector(fake.embed_query("new pears"), k=1)[0].doc_id == "new"


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, fake):
    code = """
        import itertools
        start = int(sys.argv[2])
        endless = (Passage(id=f"{start}-{n}", text=f"note {n} of run {start}") for n in itertools.count())
        done = [0]
        def acknowledged(n):
            done[0] += n
            print(done[0])
        kb.add(endless, on_batch=acknowledged)
    """
    acknowledged = {}
    for run in range(3):
        writer = child(code, tmp_path, run)
        for _ in range(run + 1):
            acknowledged[run] = int(writer.stdout.readline())
        time.sleep(0.05 * run)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    with Catalog(tmp_path, embedding=fake) as catalog:
        kb = catalog.open("notes")
        for run, count in acknowledged.items():
            assert len(kb.get([f"{run}-{n}" for n in range(count)])) == count
        assert kb.search("note 7 of run 1", k=1, mode="lexical")
        assert kb.add([Passage(id="after", text="the lock is free")]).added == 1
        assert kb.check() == []


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, fake):
    code = """
        import resource, signal
        kb.add([Passage(id='before', text='kept')])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
        try:
            kb.add(Passage(id=str(n), text='x' * 1500) for n in range(20_000))
        except Exception as error:
            print(type(error).__name__, error, flush=True)
    """
    writer = child(code, tmp_path)
    out, _ = writer.communicate(timeout=60)
    assert out.startswith("KBStorageError No space is left"), out
    with Catalog(tmp_path, embedding=fake) as catalog:
        kb = catalog.open("notes")
        assert kb.get(["before"]) == [Passage(id="before", text="kept")]
        assert kb.add([Passage(id="after", text="there is space again")]).added == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chroma = Path(sys.executable).with_name("chroma")
    log = (tmp_path_factory.mktemp("log") / "chroma.log").open("w")
    process = subprocess.Popen(
        [chroma, "run", "--path", tmp_path_factory.mktemp("server"), "--host", "127.0.0.1", "--port", str(port)],
        stdout=log, stderr=log, env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
    )  # fmt: skip
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def test_the_same_code_runs_against_a_server(server: str, minilm, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Catalog(server, embedding=minilm) as catalog, Catalog(server, embedding=minilm) as other:
        kb = catalog.create("animals", description="Short texts.")
        kb.add(ANIMALS)
        assert kb.search("silent flight", k=1)[0].doc_id == "owl"
        seen = other.open("animals")
        assert seen.get(["owl"]) == [ANIMALS[2]]
        seen.add([Passage(id="bat", title="Bat", text="Bats fly by echo.")])
        assert kb.search("echo", k=1)[0].doc_id == "bat"
        kb.delete(["owl"])
        assert seen.count() == 4
        assert kb.check() == []
        catalog.remove("animals")
        assert other.names() == []


def test_a_server_that_is_down_is_one_sentence(minilm):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        Catalog(f"http://127.0.0.1:{port}", embedding=minilm) as catalog,
        pytest.raises(KBStorageError, match=r"does not answer .*chroma run"),
    ):
        catalog.names()


def test_importing_is_cheap_and_silent():
    code = (
        "import sys, kb_tools; print([m for m in ('chromadb', 'torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_threads_share_a_knowledge_base(animals: KnowledgeBase):
    from concurrent.futures import ThreadPoolExecutor

    def work(n: int) -> list[str]:
        animals.add([Passage(id=f"note-{n}", text=f"note number {n}")])
        return [hit.doc_id for hit in animals.search("barks at strangers", k=1)]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(24))) == [["dog"]] * 24
    assert animals.count() == 28
    assert json.dumps(animals.check()) == "[]"


def test_onnxruntime_reports_to_nobody(tmp_path: Path, minilm):
    from kb_tools.embeddings.minilm import exported, model_folder

    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "POLYROUTE_CACHE": str(exported(model_folder()).parent)}
    code = "from kb_tools.embeddings.minilm import MiniLM; MiniLM().embed_query('x')"
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    # Where it reports, it keeps an id and a queue in the user's cache.
    assert list(tmp_path.iterdir()) == []
