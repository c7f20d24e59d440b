"""The OpenAI-compatible endpoint on loopback, run by a real uvicorn in a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook
from mote_backend.serving.server import app
from support.tiny_engine import byte_tokenizer, tiny_model

QUIET = ExpertMask(off=frozenset({(0, 1), (0, 4), (1, 2), (1, 6)}), name="quiet")
LOUD = ExpertMask(on=frozenset({(0, 3), (1, 5)}), name="loud")


def tiny_chat_mote(**given: Any) -> ChatMoTE:
    """Random weights; deterministic at temperature 0."""
    book = MaskBook([QUIET, LOUD], only_named=given.pop("only_named", False))
    model = (tiny_model(), byte_tokenizer(**given.pop("tokenizer", {})))
    return ChatMoTE(**{"model": model, "mask_book": book, "max_tokens": 12, **given})


@contextlib.contextmanager
def serving(models: Mapping[str, ChatMoTE], **options: Any) -> Iterator[str]:
    """The address of the running server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app(models, **options), log_level="warning", timeout_graceful_shutdown=2)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
