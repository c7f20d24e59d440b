"""200 questions at once: how near the graph comes to the ideal rate (latency × calls ÷ calls side by side), and whether
its memory stays flat.

    python benchmarks/graph_load.py

The model is a server on loopback, in a process of its own, that takes 50 ms a call. Run it where nothing else runs:
with 8 calls side by side, the ideal leaves 6.25 ms for all the work of a call. LiteLLM alone stands beside; and the
graph over a client that does nothing but post JSON, which shows what of it is the graph's.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from model_server import model_server
from pool_speed import verdict

from router_graph import Answer, Choice, ChoicePolicy, RouteToLLM, View, create_router
from router_graph.pool import LiteLLMTransport, ModelCard, ModelPool

QUESTION = "Which river flows through the capital of the country that won the cup in 1998?"
QUESTIONS = 200
CALLS = 4
"""Of the model, for each question."""
LATENCY_S = 0.05
CONCURRENCIES = (8, 16, 32)
"""Calls side by side, as the model's card allows; 8 is what it says where nothing is said."""
REPEATS = 3
MODEL = f"gpt-4o-mini-slow{round(1000 * LATENCY_S)}"


class Asks(ChoicePolicy):
    """Asks the model a question at each step, another one each time, and answers with what it said last."""

    name = "asks"

    def choose(self, view: View) -> Choice:
        if len(view.steps) == CALLS or view.must_answer:
            said = [observation["text"] for _, _, observation in view.routes() if observation["status"] == "ok"]
            return Choice("It is there.", (Answer(said[-1] if said else "Nothing."),))
        return Choice("Ask on.", (RouteToLLM("model", f"{view.question} Part {len(view.steps)}"),))


class Posting(BaseChatModel):
    """The least that a client of an OpenAI-compatible server can be."""

    url: str
    client: Any

    @property
    def _llm_type(self) -> str:
        return "posting"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("It is asked in an event loop only.")

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        sent = {"model": MODEL, "messages": convert_to_openai_messages(messages), "max_tokens": 1024}
        reply = (await self.client.post(f"{self.url}/chat/completions", json=sent)).json()
        usage = reply["usage"]
        message = AIMessage(
            reply["choices"][0]["message"]["content"],
            usage_metadata={
                "input_tokens": usage["prompt_tokens"],
                "output_tokens": usage["completion_tokens"],
                "total_tokens": usage["total_tokens"],
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


async def at_once(url: str) -> None:
    await LiteLLMTransport().prepare()
    print(f"  a scripted policy, which asks one model through LiteLLM {CALLS} times one after the other, and answers")
    print("  beside it LiteLLM's acompletion alone, as often, with a semaphore")
    for concurrency in CONCURRENCIES:
        ideal_s = QUESTIONS * CALLS * LATENCY_S / concurrency
        took: dict[str, list[tuple[float, float]]] = {
            "graph": [],
            "LiteLLM alone": [],
            "graph over a plain client": [],
        }
        for _ in range(REPEATS):
            for name in took:
                router = _asking(url, concurrency, is_plain=name == "graph over a plain client")
                await batch(router, concurrency)  # connections
                cpu, begun = time.process_time(), time.perf_counter()
                if name != "LiteLLM alone":
                    results = await batch(router, QUESTIONS)
                    assert all(len(one["ledger"]) == CALLS and one["stop_reason"] == "answered" for one in results)
                else:
                    await alone(url, concurrency)
                wall = time.perf_counter() - begun
                took[name].append((wall, 1e3 * (time.process_time() - cpu) / (QUESTIONS * CALLS)))
        for name, pairs in took.items():
            walls, cpus = zip(*pairs, strict=True)
            is_ours = name != "LiteLLM alone"
            told = f", of 80 %: {verdict(held=ideal_s / statistics.median(walls) >= 0.8)}" if is_ours else ""
            print(
                f"  {concurrency:3} calls side by side, {name:25}: {QUESTIONS} questions in "
                f"{statistics.median(walls):.2f} s [{min(walls):.2f}, {max(walls):.2f}], ideal {ideal_s:.2f} s: "
                f"{ideal_s / statistics.median(walls):.0%} of the ideal rate, "
                f"{statistics.median(cpus):.1f} ms of our CPU a call; n = {REPEATS}{told}"
            )


async def alone(url: str, concurrency: int) -> None:
    """The calls of a batch without graph, pool or ledger."""
    import litellm

    slots = asyncio.Semaphore(concurrency)

    async def ask(number: int) -> None:
        for part in range(CALLS):
            async with slots:
                await litellm.acompletion(
                    model=f"openai/{MODEL}",
                    messages=[{"role": "user", "content": f"{QUESTION} ({number}) Part {part}"}],
                    api_base=url,
                    api_key="none",
                    max_tokens=1024,
                )

    await asyncio.gather(*map(ask, range(QUESTIONS)))


def _asking(url: str, concurrency: int, *, is_plain: bool = False) -> Any:
    limits = httpx.Limits(max_connections=concurrency)
    plain = Posting(url=url, client=httpx.AsyncClient(limits=limits, timeout=60)) if is_plain else None
    card = ModelCard(
        name="model",
        model=f"openai/{MODEL}",
        transport="litellm" if plain is None else "plain",
        api_base=url,
        price={"input": 0.15, "output": 0.6},
        concurrency=concurrency,
        timeout_s=60,
    )
    transports = {} if plain is None else {"plain": plain}
    return create_router([], pool=ModelPool([card], transports=transports), policy=Asks())


async def batch(router: Any, questions: int) -> list[dict[str, Any]]:
    return await asyncio.gather(*(router.ainvoke({"question": f"{QUESTION} ({n})"}) for n in range(questions)))


async def memory(url: str) -> None:
    router = _asking(url, 32)
    sizes = []
    for times in (1, 1, 2, 4):
        for _ in range(times):
            await batch(router, QUESTIONS)
        gc.collect()
        sizes.append(rss_mib())
    first, *later = sizes[1:]
    told = ", ".join(f"{size:.1f}" for size in sizes)
    print(
        f"  RSS after 1, 2, 4 and 8 batches of {QUESTIONS} questions: {told} MiB; "
        f"{(later[-1] - first) * 1024 / (6 * QUESTIONS):.2f} KiB a question between 2 and 8: "
        f"{verdict(held=later[-1] <= 1.03 * first)}"
    )


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    versions = ", ".join(f"{one} {version(one)}" for one in ("polyroute", "langgraph", "litellm", "openai"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {versions}")
    with model_server() as url:
        print(f"{QUESTIONS} questions at once; each call of the model takes {1e3 * LATENCY_S:.0f} ms")
        asyncio.run(at_once(url))
        print("Memory")
        asyncio.run(memory(url))


if __name__ == "__main__":
    sys.exit(main())
