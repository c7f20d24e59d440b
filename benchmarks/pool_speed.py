"""What the pool costs on top of what it calls, as ratios in one run.

    python benchmarks/pool_speed.py

Each pair is measured call by call in turn, so that a slow moment of the machine hits both. The model is a server on
loopback that answers at once: beside a real model's 200 ms and more, nothing here would be seen.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from model_server import model_server

from router_graph.budget import Budget
from router_graph.ledger import Ledger
from router_graph.pool import LiteLLMTransport, ModelCard, ModelPool, Price, Request, Transport

QUESTION = "Which river flows through the capital of the country that won the cup in 1998?"
PRICE = Price(input=0.15, output=0.6)
SEED = 0
CALLS = 20
"""In a block."""


class AtOnce(Transport):
    """Replies from memory: what is left to measure is the pool."""

    async def complete(self, request: Request) -> AIMessage:
        usage = UsageMetadata(input_tokens=20, output_tokens=5, total_tokens=25)
        return AIMessage("The Seine.", usage_metadata=usage)

    async def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        yield AIMessageChunk("The Seine.")


async def in_turn(pair: dict[str, Callable[[], Awaitable[object]]], blocks: int) -> dict[str, list[float]]:
    """Milliseconds a call, the mean of each block of calls.

    Blocks and not single calls: what `acompletion` leaves to be done after it returned would be paid by the other.
    """
    times: dict[str, list[float]] = {name: [] for name in pair}
    for block in range(-2, blocks):  # two to warm up
        for name, call in pair.items():
            await asyncio.sleep(0.05)
            begun = time.perf_counter()
            for _ in range(CALLS):
                await call()
            if block >= 0:
                times[name].append(1e3 * (time.perf_counter() - begun) / CALLS)
    return times


def interval(statistic: Callable[[list[int]], float], n: int) -> tuple[float, float]:
    """A 95 % bootstrap interval; `statistic` is of chosen rows."""
    chance = random.Random(SEED)
    drawn = sorted(statistic(chance.choices(range(n), k=n)) for _ in range(500))
    return drawn[12], drawn[487]


def verdict(*, held: bool) -> str:
    return "held" if held else "MISSED"


async def over_its_transport() -> None:
    transport, card = AtOnce(), ModelCard(name="fast", price=PRICE, transport="memory")
    pool = ModelPool([card], transports={"memory": transport})
    request = Request(card, [HumanMessage(QUESTION)], {"max_tokens": 100})
    ledger, n = Ledger(Budget(usd=1e6, tokens=10**9)), 100
    times = await in_turn(
        {
            "pool": lambda: pool.ainvoke("fast", QUESTION, ledger=ledger, max_tokens=100),
            "transport": lambda: transport.complete(request),
        },
        n,
    )
    extra = [a - b for a, b in zip(times["pool"], times["transport"], strict=True)]
    low, high = interval(lambda rows: statistics.median(extra[i] for i in rows), n)
    print(
        f"  the pool takes {statistics.median(extra):.3f} ms more than its transport [{low:.3f}, {high:.3f}], "
        f"n = {n} blocks of {CALLS}, of 1 ms: {verdict(held=high <= 1)}"
    )
    sync = []
    for _ in range(1000):
        begun = time.perf_counter()
        await asyncio.to_thread(pool.invoke, "fast", QUESTION, ledger=ledger, max_tokens=100)
        sync.append(1e3 * (time.perf_counter() - begun))
    print(
        f"  called from sync code, with the way to its event loop and back: {statistics.median(sync):.3f} ms, n = 1000"
    )


async def through_litellm(url: str) -> None:
    await LiteLLMTransport().prepare()
    import litellm

    # A model that LiteLLM's map prices: an unknown one makes its own call slower still.
    card = ModelCard(name="fast", model="openai/gpt-4o-mini", api_base=url, price=PRICE)
    pool, ledger, n = ModelPool([card]), Ledger(Budget(usd=1e6)), 30
    plain: dict[str, Any] = {
        "model": card.model,
        "messages": [{"role": "user", "content": QUESTION}],
        "api_base": url,
        "api_key": "none",
        "max_tokens": 20,
    }

    async def streamed(pieces: Any) -> None:
        async for _ in pieces:
            pass

    async def litellm_streamed() -> None:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        await streamed(await litellm.acompletion(**plain, **options))

    pairs: dict[str, dict[str, Callable[[], Awaitable[object]]]] = {
        "a whole reply": {
            "pool": lambda: pool.ainvoke("fast", QUESTION, ledger=ledger, max_tokens=20),
            "acompletion": lambda: litellm.acompletion(**plain),
        },
        "a stream of 16 tokens": {
            "pool": lambda: streamed(pool.astream("fast", QUESTION, ledger=ledger, max_tokens=20)),
            "acompletion": litellm_streamed,
        },
    }
    for what, pair in pairs.items():
        times = await in_turn(pair, n)

        def ratio(rows: list[int], times: dict[str, list[float]] = times) -> float:
            pool, plain = ([times[name][i] for i in rows] for name in ("pool", "acompletion"))
            return statistics.median(pool) / statistics.median(plain)

        value, (low, high) = ratio(list(range(n))), interval(ratio, n)
        medians = ", ".join(f"{name} {statistics.median(t):.2f} ms" for name, t in times.items())
        print(
            f"  {what}: {medians}; ratio {value:.2f} [{low:.2f}, {high:.2f}], n = {n} blocks of {CALLS}, "
            f"of 1: {verdict(held=high <= 1)}"
        )


async def fallback(url: str) -> None:
    """From the failure to the fallback's reply, less what the fallback's own call takes."""
    for fault in ("500", "429", "401", "reset", "half", "wrongjson", "refused"):
        late = []
        for _ in range(40):
            broken_url = "http://127.0.0.1:9/v1" if fault == "refused" else url
            pool = ModelPool(
                [
                    ModelCard(name="broken", model=f"openai/a-{fault}", api_base=broken_url, price=PRICE),
                    ModelCard(name="good", model="openai/good", api_base=url, price=PRICE),
                ],
                fallbacks={"broken": ["good"]},
            )
            failed_s = 0.0
            transport = pool._members["broken"].transport
            assert isinstance(transport, LiteLLMTransport)
            complete = transport.complete

            async def timed(
                request: Request, complete: Callable[[Request], Awaitable[AIMessage]] = complete
            ) -> AIMessage:
                nonlocal failed_s
                begun = time.perf_counter()
                try:
                    return await complete(request)
                finally:
                    if request.card.name == "broken":
                        failed_s = time.perf_counter() - begun

            transport.complete = timed  # type: ignore[method-assign]
            begun = time.perf_counter()
            reply = await pool.ainvoke("broken", QUESTION, max_tokens=20)
            assert reply.model == "good"
            late.append(1e3 * (time.perf_counter() - begun - failed_s - reply.seconds))
        worst = max(late[1:])
        print(
            f"  after {fault}: p50 {statistics.median(late):.2f} ms, worst of {len(late) - 1} {worst:.2f} ms, "
            f"of 50 ms: {verdict(held=worst <= 50)}"
        )


def importing() -> None:
    heavy = ("litellm", "torch", "transformers", "chromadb", "openai")
    code = f"import sys, router_graph.pool; print(*[m for m in {heavy!r} if m in sys.modules])"
    times, loaded = [], ""
    for _ in range(3):
        begun = time.perf_counter()
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        times.append(time.perf_counter() - begun)
    print(
        f"  {statistics.median(times):.2f} s with the interpreter; loads {loaded or 'none'} of {', '.join(heavy)}:",
        end=" ",
    )
    print(verdict(held=not loaded))


def main() -> None:
    versions = ", ".join(f"{p} {version(p)}" for p in ("polyroute", "litellm", "openai", "langchain-core"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}")
    print("import router_graph.pool")
    importing()
    print("The pool over a transport that replies at once")
    asyncio.run(over_its_transport())
    with model_server() as url:
        print("The pool through LiteLLM, and LiteLLM's own acompletion")
        asyncio.run(through_litellm(url))
        print("Falling back")
        asyncio.run(fallback(url))


if __name__ == "__main__":
    sys.exit(main())
