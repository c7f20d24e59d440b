"""What a reader of a page has before its first block: files, and the names that its Python takes for granted."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.doc_blocks import ROOT
from support.model_server import ModelServer

MOONS = {
    "id": "q1",
    "question": "Who discovered the moon with an orbit of 15.95 days?",
    "golden_answers": ["Christiaan Huygens"],
    "metadata": {"gold_documents": ["moons.csv"]},
}
"""A line of a file of questions."""


@dataclass(frozen=True)
class Before:
    """Of one page."""

    folder: Path
    provider: ModelServer
    """A model provider on loopback: what the page calls openai."""
    shell: Callable[[str], object]
    ports: Mapping[str, int]
    """What the page calls a port → the one that is free."""


@contextmanager
def nothing(before: Before) -> Iterator[dict[str, Any]]:
    """A page that begins in an empty folder."""
    yield {}


@contextmanager
def examples(before: Before) -> Iterator[dict[str, Any]]:
    """A copy of the project's examples, and a folder of files."""
    shutil.copytree(ROOT / "examples", before.folder / "examples")
    shutil.copytree(ROOT / "examples" / "knowledge" / "articles", before.folder / "PATH" / "TO" / "YOUR" / "FILES")
    yield {}


@contextmanager
def after_demo(before: Before) -> Iterator[dict[str, Any]]:
    """The examples, and a recorded run, as `make demo` leaves them."""
    with examples(before):
        before.shell("polyroute kb add articles examples/knowledge/articles --description Planets. -C .demo/kb")
        before.shell('polyroute ask "Which planet has the Great Red Spot?" -C .demo/kb --record .demo/runs')
        yield {}


@contextmanager
def readme(before: Before) -> Iterator[dict[str, Any]]:
    """What the README's parts speak of: two knowledge bases, a pool, a model, a graph."""
    from langchain.agents import create_agent
    from langgraph.graph import StateGraph

    import router_graph as package
    from kb_tools import Catalog, Passage, Table
    from router_graph.pool import LiteLLMTransport, ModelCard, ModelPool, RecordTransport, ReplayTransport

    with examples(before):
        pass
    _write_questions(before.folder)
    pool_file = before.folder / "examples" / "pool.yaml"
    elsewhere = {"anthropic/claude-sonnet-4-5": "openai/gpt-4o", "http://localhost:8000/v1": before.provider.url}
    text = pool_file.read_text(encoding="utf-8")
    for there, here in elsewhere.items():
        text = text.replace(there, here)
    pool_file.write_text(text, encoding="utf-8")
    shutil.copy(pool_file, before.folder)
    for place in (".demo/kb", "polyroute-kb"):
        before.shell(f"polyroute kb add articles examples/knowledge/articles --description Planets. -C {place}")
        before.shell(f"polyroute kb add tables examples/knowledge/tables --description Figures. -C {place}")
    with Catalog(before.folder / "own") as catalog:
        handbook = catalog.create("handbook", description="The staff handbook.")
        handbook.add([Passage(id="leave", title="Leave", text="The Team plan has 30 days of leave a year.")])
        prices = catalog.create("prices", description="What plans cost.", modality="table")
        prices.add([Table(id="plans", title="Plans", header=["plan", "USD"], rows=[["Team", "12"], ["Free", "0"]])])
        cards = [ModelCard(name="fast", model="openai/gpt-4o-mini")]
        recording = ModelPool(
            cards, transports={"litellm": RecordTransport(LiteLLMTransport(), before.folder / "replies/replies.jsonl")}
        )
        recording.invoke("fast", "Hello")
        pool = ModelPool(cards)
        known = {name: getattr(package, name) for name in package.__all__}
        yield {
            **known,
            "create_agent": create_agent,
            "app": StateGraph(package.RouterState),
            "handbook": handbook,
            "prices": prices,
            "tables": prices,
            "pool": pool,
            "cards": cards,
            "model": pool.as_chat_model("fast"),
            "graph": package.create_router([handbook]),
            "RecordTransport": RecordTransport,
            "LiteLLMTransport": LiteLLMTransport,
            "ReplayTransport": ReplayTransport,
        }


@contextmanager
def logged(before: Before) -> Iterator[dict[str, Any]]:
    """A file of questions, knowledge bases to ask, and what `polyroute init` writes."""
    with examples(before):
        _write_questions(before.folder)
        before.shell("polyroute kb add tables examples/knowledge/tables --description Figures.")
        before.shell("polyroute init")
        yield {}


@contextmanager
def mote(before: Before) -> Iterator[dict[str, Any]]:
    """The prompts of the examples, in the folder where the commands run."""
    with examples(before):
        shutil.copytree(before.folder / "examples" / "mote", before.folder, dirs_exist_ok=True)
        (before.folder / "mask.json").write_text('{"off": [[2, 22]]}')
        shutil.copy(before.folder / "german.txt", before.folder / "target.txt")
        from mote_backend.ftri.prompts import PromptSet
        from mote_backend.judging.judge_model import LLMJudge
        from mote_backend.verdict.panels import Panel
        from router_graph.pool import ModelCard, ModelPool

        judge = ModelPool([ModelCard(name="fast", model="openai/gpt-4o-mini")]).as_chat_model("fast")
        yield {"Panel": Panel, "LLMJudge": LLMJudge, "PromptSet": PromptSet, "chat_model": judge}


@contextmanager
def served_by_vllm(before: Before) -> Iterator[dict[str, Any]]:
    """A server where the page says that vLLM's is."""
    with ModelServer(before.ports["8000"]):
        yield {"MODEL": "qwen3"}


def _write_questions(folder: Path) -> None:
    line = json.dumps(MOONS) + "\n"
    (folder / "questions.txt").write_text(MOONS["question"] + "\n")
    for name in ("questions", "mine", "others", "test"):
        (folder / f"{name}.jsonl").write_text(line.replace("q1", name))
    (folder / "many.jsonl").write_text("".join(line.replace("q1", f"many-{n}") for n in range(24)))


PAGES: dict[str, Callable[[Before], Any]] = {
    "README.md": readme,
    "examples/README.md": after_demo,
    "training/README.md": logged,
    "docs/mote.md": mote,
    "docs/mote_vllm.md": served_by_vllm,
}
"""Every other page begins with nothing."""


BETWEEN = {
    (
        "README.md",
        "polyroute runs list",
    ): "rm -rf runs; polyroute ask --file many.jsonl --record runs --explore 0.9 --out out.jsonl",
}
"""What a reader does before the block of a page that begins so: here, a log whose right answers are known."""


async def prepare() -> None:
    """Import LiteLLM once, so that no page pays for it."""
    from router_graph.pool import LiteLLMTransport

    await LiteLLMTransport().prepare()


def ready() -> None:
    """Before the first page."""
    asyncio.run(prepare())
