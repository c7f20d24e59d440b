"""A router that is served: two knowledge bases, and models on the loopback provider."""

from __future__ import annotations

from pathlib import Path

from kb_tools import Catalog, Passage
from router_graph.settings_live import Router, load_router
from support.handbook import QUESTION, make_shelf
from support.model_server import ModelServer

ASK = [{"role": "user", "content": QUESTION}]
ANSWER = "30 [handbook:leave]"
ENDING = 'data: [DONE]\n\ndata: {"choices": []}\r\n\r\nevent: error\u2028data: [DONE]\x85end'
"""A text that would end a stream, if a client read it as one."""
CARDS = """
models:
- {name: fast, model: openai/good-n12, api_base: URL, price: {input: 1, output: 2}, max_tokens: 40}
- {name: slow, model: openai/b-slow1500, api_base: URL, price: {input: 1, output: 2}, max_tokens: 40}
- {name: stuck, model: openai/b-hang, api_base: URL, price: {input: 1, output: 2}, max_tokens: 40}
- {name: broken, model: openai/b-500, api_base: URL, price: {input: 1, output: 2}, max_tokens: 40}
"""
SETTINGS = """
knowledge: kb
pool: pool.yaml
policy: heuristic
checkpoints: threads.sqlite
runs: runs
turn: {usd: 0.05, max_steps: 5, exclude: ['kb:hostile']}
exclusions: [{knowledge_bases: [hostile], models: [broken]}]
"""


def open_router(folder: Path, provider: ModelServer, settings: str = SETTINGS) -> Router:
    """The router of a folder that is made here. Close it."""
    make_shelf(folder / "kb")
    with Catalog(folder / "kb") as catalog:
        streams = catalog.create("streams", description="How streams of events end.")
        streams.add([Passage(id="end", title="The end", text=f"A stream of events ends so: {ENDING}")])
    (folder / "pool.yaml").write_text(CARDS.replace("URL", provider.url))
    (folder / "router.yaml").write_text(settings)
    return load_router(folder / "router.yaml")
