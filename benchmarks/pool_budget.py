"""64 parallel calls under a budget that cannot pay for all: is it kept, and how much of it is used?

    python benchmarks/pool_budget.py

The bill is held against what the server metered. Beside the ledger that waits for settlements stand one that refuses at
once where its reservations do not fit, and LiteLLM's own `max_budget`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version

from langchain_core.messages import HumanMessage
from model_server import meter, model_server

from router_graph.budget import PICO, Budget
from router_graph.errors import BudgetExceededError
from router_graph.ledger import Ledger
from router_graph.pool import LiteLLMTransport, ModelCard, ModelPool, Price, Usage, tokens

CALLS = 64
MODEL = "gpt-4o-mini-n42-slow30"
"""Says 42 of the 128 tokens that it may, after 30 ms."""
MAX_TOKENS = 128
ENOUGH = 64
QUESTION = "Which river flows through the capital of the country that won the cup in 1998, and where does it rise?"
PRICE = Price(input=0.15, output=0.6)


@dataclass
class Outcome:
    budget: int
    metered: int
    """What the server billed, in picodollars."""
    booked: int
    highest: int
    """The most that was ever spent and reserved at once."""
    served: int

    def line(self, name: str) -> str:
        over = self.metered > self.budget
        used = self.metered / self.budget
        verdict = "OVERSPENT" if over else ("held" if used >= 0.9 else "MISSED")
        booked = "" if self.booked < 0 else f", bill {'=' if self.booked == self.metered else '!='} meter"
        return f"  {name}: {self.served} of {CALLS} served, {used:.1%} of the budget used{booked}: {verdict}"


def billed(url: str, since: int) -> tuple[int, int]:
    rows = [row for row in meter(url)[since:] if row["status"] == 200]
    costs = [PRICE.cost(Usage(row["prompt"], row["completion"], row["cached"])) for row in rows]
    return sum(costs), len(rows)


async def with_pool(url: str, budget: int, wait_s: float, enough_tokens: int | None = None) -> Outcome:
    highest = 0
    card = ModelCard(name="fast", model=f"openai/{MODEL}", api_base=url, price=PRICE, concurrency=64)
    pool, since = ModelPool([card]), len(meter(url))

    def watch(*_: object) -> None:
        nonlocal highest
        highest = max(highest, (ledger._spent + ledger._reserved).picousd)

    ledger = Ledger(Budget(usd=budget / PICO), on_change=watch)

    async def ask() -> None:
        with contextlib.suppress(BudgetExceededError):
            await pool.ainvoke(
                "fast", QUESTION, ledger=ledger, max_tokens=MAX_TOKENS, wait_s=wait_s, enough_tokens=enough_tokens
            )

    await asyncio.gather(*(ask() for _ in range(CALLS)))
    watch()
    metered, served = billed(url, since)
    assert ledger.reserved.picousd == 0
    return Outcome(budget, metered, ledger.spent.picousd, highest, served)


async def with_litellm(url: str, budget: int) -> Outcome:
    import litellm

    litellm.max_budget, litellm._current_cost = budget / PICO, 0.0
    litellm.register_model({f"openai/{MODEL}": {"input_cost_per_token": 0.15e-6, "output_cost_per_token": 0.6e-6}})
    since = len(meter(url))

    async def ask() -> None:
        with contextlib.suppress(litellm.BudgetExceededError):
            await litellm.acompletion(
                model=f"openai/{MODEL}",
                messages=[{"role": "user", "content": QUESTION}],
                api_base=url,
                api_key="none",
                max_tokens=MAX_TOKENS,
            )

    await asyncio.gather(*(ask() for _ in range(CALLS)))
    await asyncio.sleep(1)  # its callbacks come after the reply
    litellm.max_budget = 0.0
    metered, served = billed(url, since)
    return Outcome(budget, metered, -1, 0, served)


async def measure(url: str) -> None:
    await LiteLLMTransport().prepare()
    one = PRICE.cost(Usage(await prompt_tokens(url), 42))
    worst = PRICE.worst_case(tokens.most([HumanMessage(QUESTION)], {}, image_tokens=0), MAX_TOKENS)
    for share in (0.75, 0.5, 0.25):
        budget = int(share * CALLS * one)
        print(
            f"A budget of {budget / PICO:.6f} USD, for {share * CALLS:.0f} of the calls; "
            f"the worst case of one is {worst / budget:.1%} of it"
        )
        ledger = await with_pool(url, budget, 60.0)
        print(ledger.line("the ledger"))
        print(f"    spent and reserved at the most: {ledger.highest / budget:.1%}")
        print(
            (await with_pool(url, budget, 60.0, enough_tokens=ENOUGH)).line(f"and a reply of {ENOUGH} tokens would do")
        )
        print((await with_pool(url, budget, 0.0)).line("refusing at once"))
        print((await with_litellm(url, budget)).line("LiteLLM's max_budget"))


async def prompt_tokens(url: str) -> int:
    card = ModelCard(name="fast", model=f"openai/{MODEL}", api_base=url, price=PRICE)
    reply = await ModelPool([card]).ainvoke("fast", QUESTION, max_tokens=MAX_TOKENS)
    assert reply.usage is not None
    return reply.usage.input


def main() -> None:
    versions = ", ".join(f"{p} {version(p)}" for p in ("polyroute", "litellm"))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}; {CALLS} calls at once")
    with model_server() as url:
        asyncio.run(measure(url))


if __name__ == "__main__":
    sys.exit(main())
