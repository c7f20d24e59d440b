"""Whatever tears a call off, its bill is closed and nothing hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from router_graph.errors import RouterError
from router_graph.ledger import Ledger
from router_graph.pool import ChatModelTransport, ModelCard, portal
from support.served_pool import pool_of

SCRIPT = """
import asyncio, gc, sys
sys.path.insert(0, "tests")
from support.model_server import ModelServer
from router_graph.accounts import Accounts
from router_graph.pool import ModelCard, ModelPool

server = ModelServer().__enter__()
card = ModelCard(name="a", model="openai/a-pace5-n500", api_base=server.url, price="free", max_tokens=500)
pool = ModelPool([card])
ledger = Accounts(sys.argv[1]).open("run")
"""


def run_script(tmp_path, body: str) -> subprocess.CompletedProcess:
    code = SCRIPT + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_process_ends_although_a_stream_was_left_open(tmp_path):
    done = run_script(tmp_path, 'stream = pool.stream("a", "hi", ledger=ledger)\nnext(stream)\nprint("over")')
    assert (done.returncode, done.stdout.strip()) == (0, "over"), done.stderr


def test_ctrl_c_cancels_the_call_and_books_it(tmp_path):
    done = run_script(
        tmp_path,
        """
        import os, signal, threading
        pool.invoke("a", "hi", max_tokens=2)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            pool.invoke("a", "hi", ledger=ledger) and list(pool.stream("a", "hi", ledger=ledger))
        except KeyboardInterrupt:
            pass
        print([entry["state"] for entry in ledger.entries.values()])
        """,
    )
    assert "reserved" not in done.stdout, done.stderr
    assert "settled" in done.stdout, done.stderr


def test_an_interrupted_call_has_cleaned_up_before_the_interrupt_goes_on():
    cleaned = []

    async def work():
        try:
            await asyncio.sleep(20)
        finally:
            await asyncio.sleep(0.2)
            cleaned.append(True)

    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        portal.run(work())
    assert cleaned


def test_a_stream_that_the_pools_own_thread_collects_as_garbage_is_closed_and_holds_nothing_up(server):
    pool, ledger = pool_of(server, "a-pace5-n20"), Ledger()
    holder = {"stream": pool.stream("a-pace5-n20", "hi", ledger=ledger)}
    next(holder["stream"])
    portal.later(holder.clear)
    assert pool.invoke("a-pace5-n20", "hi").text
    end = time.monotonic() + 3
    while ledger.reserved.calls and time.monotonic() < end:
        time.sleep(0.005)
    assert [entry["state"] for entry in ledger.entries.values()] == ["settled"]


def test_a_stream_whose_loop_was_closed_under_it_is_booked(server):
    pool, ledger = pool_of(server, "a-pace5-n20", cards={"concurrency": 1}), Ledger()
    loop = asyncio.new_event_loop()
    stream = pool.astream("a-pace5-n20", "hi", ledger=ledger)

    async def first(stream):
        return await anext(stream)

    loop.run_until_complete(first(stream))
    loop.close()  # without `shutdown_asyncgens`
    assert ledger.reserved.calls == 1
    del stream
    end = time.monotonic() + 3
    while ledger.reserved.calls and time.monotonic() < end:
        time.sleep(0.005)
    (entry,) = ledger.entries.values()
    assert (entry["state"], entry["estimated"], entry["spent"]["picousd"]) == (
        "settled",
        True,
        entry["reserved"]["picousd"],
    )
    assert pool.invoke("a-pace5-n20", "hi").text, "its slot is free again"


def test_a_sync_call_inside_the_pools_own_loop_is_refused_and_not_a_deadlock(server):
    pool = pool_of(server, "a")

    class Asks(GenericFakeChatModel):
        async def _agenerate(self, *args, **kwargs):
            pool.invoke("a", "hi")

    pool.add(ModelCard(name="asks", price="free"), transport=ChatModelTransport(Asks(messages=iter([AIMessage("x")]))))
    with pytest.raises(RouterError, match="async"):
        pool.invoke("asks", "hi", retries=0)
