"""Embeddings under a ledger: the same reserve and settle as for models, around any LangChain `Embeddings`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, TypeVar

from langchain_core.embeddings import Embeddings

from router_graph.budget import Amount
from router_graph.errors import ModelError
from router_graph.ledger import Ledger
from router_graph.pool import tokens
from router_graph.pool.failures import failure
from router_graph.pool.price import Price, Usage

T = TypeVar("T")

_PER_TEXT = 16
"""Special tokens around a text, at the most."""


class MeteredEmbeddings(Embeddings):
    """`embeddings`, whose calls are on the bill as `name` with the purpose "embedding".

    `price` is per million input tokens, or "free" as for a model on this machine. `ledger` is the account that pays; a
    function is asked anew for each call, as `Accounts.for_config` finds a thread's own. `wait_s` is how long to wait
    for the budget where only other calls under way stand in the way.

    LangChain's embeddings report no usage, so the tokens are counted here and marked as estimated. A call that fails
    is booked at its worst case where the provider may have worked for it, else at no money. Retries of the embeddings'
    own should be off: the ledger would not see them.

    Raises `BudgetExceededError` (nothing was sent) and `ModelError`.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        name: str,
        price: Price | Literal["free"],
        ledger: Ledger | Callable[[], Ledger] | None = None,
        wait_s: float = 0.0,
    ) -> None:
        self._embeddings = embeddings
        self._name = name
        self._price = Price.model_validate(price)
        self._ledger = ledger or Ledger()
        self._wait_s = wait_s

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        return self._metered(texts, lambda: self._embeddings.embed_documents(texts)) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        return self._metered([text], lambda: self._embeddings.embed_query(text))

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector for each text."""
        return await self._ametered(texts, lambda: self._embeddings.aembed_documents(texts)) if texts else []

    async def aembed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        return await self._ametered([text], lambda: self._embeddings.aembed_query(text))

    def _metered(self, texts: Sequence[str], call: Callable[[], T]) -> T:
        ledger = self._account()
        worst = self._worst(texts, ledger)
        key = ledger.reserve(worst, purpose="embedding", name=self._name, wait_s=self._wait_s)
        with self._booked(ledger, key, worst, texts):
            return call()

    async def _ametered(self, texts: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        ledger = self._account()
        worst = self._worst(texts, ledger)
        key = await ledger.areserve(worst, purpose="embedding", name=self._name, wait_s=self._wait_s)
        with self._booked(ledger, key, worst, texts):
            return await call()

    def _account(self) -> Ledger:
        return self._ledger if isinstance(self._ledger, Ledger) else self._ledger()

    def _worst(self, texts: Sequence[str], ledger: Ledger) -> Amount:
        most = sum(_PER_TEXT + len(text.encode(errors="surrogatepass")) for text in texts)
        # How long it takes nobody knows, but where no time is left none may begin.
        least_ms = 0 if ledger.budget.seconds is None else 1
        return Amount(self._price.worst_case(most, 0), most, 1, least_ms)

    @contextlib.contextmanager
    def _booked(self, ledger: Ledger, key: str, worst: Amount, texts: Sequence[str]) -> Iterator[None]:
        """Whatever ends the block, the reservation is settled."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            told = failure(error, self._name) if isinstance(error, Exception) else error
            is_billed = not isinstance(told, ModelError) or told.billed
            took = Amount(worst.picousd, worst.tokens, 1) if is_billed else Amount(calls=1)
            ledger.settle(key, took + _time_since(started), estimated=is_billed, error=type(told).__name__)
            if told is error:
                raise
            raise told from error
        usage = Usage(sum(tokens.estimate(text) for text in texts), estimated=True)
        took = Amount(self._price.cost(usage), usage.tokens, 1) + _time_since(started)
        ledger.settle(key, took, usage=usage.as_dict(), estimated=True)


def _time_since(started: float) -> Amount:
    return Amount(milliseconds=round(1000 * (time.perf_counter() - started)))
