"""One call of one model: from the reservation in the ledger, through the queue, to the settlement."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage

from router_graph.budget import Amount, picodollars
from router_graph.errors import BudgetExceededError, LedgerError, ModelError, ModelTimeoutError, ReplyTooLongError
from router_graph.ledger import Ledger, Purpose
from router_graph.pool import portal, tokens
from router_graph.pool.chain import Deadline, resting
from router_graph.pool.live import Live
from router_graph.pool.price import Usage
from router_graph.pool.slots import Slots
from router_graph.pool.transport import COST, Request, Transport

_CHARACTERS_PER_TOKEN, _SLACK = 64, 10_000
"""No text has tokens that long; a longer reply was not held to `max_tokens`."""


class Attempt:
    """`async with` around a call. Whatever ends it, the reservation is settled or released, once.

    What was reserved is the worst case of the request. What is booked is the usage that the provider reported, at the
    card's price, or where the card has none what the reply says that it cost; else
    what we counted, for a whole reply, up to the worst case; else the worst case, where the provider may have worked
    for nothing that we saw (cancelled, timed out, cut off); else no money, where it refused.
    """

    _is_sent = False

    def __init__(
        self,
        request: Request,
        *,
        transport: Transport,
        live: Live,
        slots: Slots,
        ledger: Ledger,
        purpose: Purpose,
        wait_s: float,
        deadline: Deadline,
        enough: int | None = None,
    ) -> None:
        self.request = request
        self.usage: Usage | None = None
        """What the provider reported; else, once it is settled, what we counted."""
        self.seconds = 0.0
        """How long the model took. The reader of a stream may take longer."""
        self.booked = Amount()
        self.estimated = False
        self._transport, self._live, self._slots, self._ledger = transport, live, slots, ledger
        self._purpose: Purpose = purpose
        self._wait_s, self._deadline, self._enough = wait_s, deadline, enough
        self._price = request.card.payable
        self._key, self._worst = "", Amount()
        self._most_in = tokens.most(request.messages, request.params, image_tokens=request.card.image_tokens)
        self._most_out = request.max_tokens
        self._told: float | None = None
        """USD, as the reply of a card without a price says."""
        self._said: list[str] = []
        self._length = 0

    @property
    def name(self) -> str:
        """The card's."""
        return self.request.card.name

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._deadline.left_s(at_most=1e9)):
                await self._transport.prepare(self.request.card)
        except TimeoutError:
            raise self._too_late() from None
        self._key = await self._reserve()
        try:
            await self._take_slot()
        except BaseException as error:
            try:
                self._ledger.release(self._key, error=type(error).__name__)
            except LedgerError:
                if isinstance(error, Exception):
                    raise  # but a cancellation must stay one, as in `_end`
            raise
        self._is_sent = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def __del__(self) -> None:
        # Python may drop a stream that was never closed, with its event loop or at the end of one, and run nothing of
        # what is left in it.
        if self._is_sent:
            portal.later(self._end_dropped)

    async def message(self) -> AIMessage:
        """The whole reply. Raises `ModelError`."""
        limit_s, started = self._timeout_s(), time.perf_counter()
        try:
            async with asyncio.timeout(limit_s):
                message = await self._transport.complete(self.request)
        except TimeoutError:
            raise self._too_slow(limit_s) from None
        finally:
            self.seconds = time.perf_counter() - started
        self.usage = Usage.of_metadata(message.usage_metadata)
        self._note_cost(message)
        self._hear(tokens.text_of(message))
        return message

    async def pieces(self) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply as it comes, the usage left out. Raises `ModelError`."""
        limit_s, usage = self._timeout_s(), cast(UsageMetadata | None, None)  # until the end, a part of the usage
        async with contextlib.aclosing(self._transport.stream(self.request)) as stream:
            while True:
                started = time.perf_counter()
                try:
                    async with asyncio.timeout(limit_s - self.seconds):
                        piece = await anext(stream)
                except StopAsyncIteration:
                    self.usage = Usage.of_metadata(usage)
                    return
                except TimeoutError:
                    raise self._too_slow(limit_s) from None
                finally:
                    self.seconds += time.perf_counter() - started
                if piece.usage_metadata:
                    usage = add_usage(usage, piece.usage_metadata)
                    piece = piece.model_copy(update={"usage_metadata": None})
                self._note_cost(piece)
                self._hear(tokens.text_of(piece))
                yield piece

    def _note_cost(self, reply: AIMessage) -> None:
        if self.request.card.price is None:
            self._told = reply.response_metadata.get(COST, self._told)

    def _timeout_s(self) -> float:
        """How long the model may take: its card's limit, the deadline's or the budget's, whichever is first."""
        limit_s = self.request.card.timeout_s
        if self._worst.milliseconds:
            limit_s = min(limit_s, self._worst.milliseconds / 1000)
        return self._deadline.left_s(at_most=limit_s)

    def _too_slow(self, limit_s: float) -> ModelTimeoutError:
        budgeted = 0 < self._worst.milliseconds < 1000 * self.request.card.timeout_s
        why = ", all that the budget had left for it" if budgeted else ""
        return ModelTimeoutError(f"{self.name!r} did not finish within {limit_s:.3g} s{why}.", billed=True)

    def _too_late(self) -> ModelTimeoutError:
        return ModelTimeoutError(f"The deadline passed before {self.name!r} could be asked.")

    def _hear(self, text: str) -> None:
        self._said.append(text)
        self._length += len(text)
        if self._length > _CHARACTERS_PER_TOKEN * self._most_out + _SLACK:
            raise ReplyTooLongError(
                f"{self.name!r} said {self._length:,} characters and more where {self._most_out} tokens were "
                "allowed; the rest was not read.",
                billed=True,
            )

    async def _reserve(self) -> str:
        """The key of the reservation. Raises `BudgetExceededError`."""
        while True:
            self._worst = self._worst_case()
            try:
                return await self._ledger.areserve(
                    self._worst, purpose=self._purpose, name=self.name, wait_s=self._deadline.left_s(self._wait_s)
                )
            except BudgetExceededError:
                # Of time it can do with less, because it is held to it; of tokens, as far as the caller said.
                self._shorten()
                if self._worst_case() == self._worst:
                    raise

    def _worst_case(self) -> Amount:
        money = self._price.worst_case(self._most_in, self._most_out)
        tokens, unspent = self._most_in + self._most_out, self._unspent("milliseconds")
        time_ms = round(1000 * self.request.card.timeout_s)
        return Amount(money, tokens, 1, 0 if unspent is None else max(1, min(time_ms, unspent)))

    def _shorten(self) -> None:
        """Allow the reply only as many tokens as what is left pays for, if the caller said that they would do."""
        longest, money, left = self._most_out, self._unspent("picousd"), self._unspent("tokens")
        if money is not None:
            costs = range(longest + 1)
            longest = bisect.bisect(costs, money, key=lambda said: self._price.worst_case(self._most_in, said)) - 1
        if left is not None:
            longest = min(longest, left - self._most_in)
        if self._enough is not None and self._enough <= longest < self._most_out:
            self._most_out = longest
            self.request = replace(self.request, params={**self.request.params, "max_tokens": longest})

    def _unspent(self, field: Literal["picousd", "tokens", "milliseconds"]) -> int | None:
        """What of the budget no call has spent; others may hold some of it. None is no limit."""
        limit = self._ledger.budget.limits(for_answer=self._purpose == "answer")[field]
        spent: int = getattr(self._ledger.spent, field)
        return None if limit is None else limit - spent

    async def _take_slot(self) -> None:
        try:
            async with asyncio.timeout(self._deadline.left_s(at_most=1e9)):
                await self._slots.take()
        except TimeoutError:
            raise ModelTimeoutError(f"{self.name!r} was busy with other calls until the deadline.") from None
        if self._deadline.is_over:
            self._slots.give_back()
            raise self._too_late()
        if (wait_s := self._live.begin(id(self))) > 0:  # it failed for others meanwhile
            self._slots.give_back()
            raise resting(self.name, wait_s)

    def _end(self, error: BaseException | None) -> None:
        self._is_sent = False
        try:
            self._settle(error)
        except LedgerError:
            # The account was closed, or cannot be written, and has or will have the worst case on its books. A
            # cancellation must stay one.
            if error is None or isinstance(error, Exception):
                raise
        finally:
            self._slots.give_back()
            if error is None:
                self._live.succeeded(self.seconds, self.booked.usd)
            elif isinstance(error, ModelError):
                self._live.failed_with(ill=error.again, retry_after_s=error.retry_after_s, call=id(self))
            else:
                self._live.gave_up(id(self))

    def _end_dropped(self) -> None:
        self._end(GeneratorExit())

    def _settle(self, error: BaseException | None) -> None:
        usage, estimated = self.usage, self.request.card.price is None and self._told is None
        if usage is None and error is None:
            usage = self._counted()
        estimated = estimated or (usage is not None and usage.estimated)
        if usage is not None:
            money = self._price.cost(usage) if self._told is None else picodollars(self._told)
            took = Amount(money, usage.tokens, 1)
        elif isinstance(error, ModelError) and not error.billed:
            took = Amount(calls=1)
        else:
            took, estimated = Amount(self._worst.picousd, self._worst.tokens, 1), True
            if isinstance(error, ReplyTooLongError):
                heard = self._counted(held=False)
                took = Amount(max(took.picousd, self._price.cost(heard)), max(took.tokens, heard.tokens), 1)
        self.usage, self.booked, self.estimated = usage, took + Amount(milliseconds=self._took_ms()), estimated
        self._ledger.settle(
            self._key,
            self.booked,
            usage=None if usage is None else usage.as_dict(),
            estimated=estimated,
            error=None if error is None else type(error).__name__,
        )

    def _took_ms(self) -> int:
        # Past the reserved time we have hung up: what the event loop took to notice is not the model's time.
        took = round(1000 * self.seconds)
        return min(took, self._worst.milliseconds) if self._worst.milliseconds else took

    def _counted(self, *, held: bool = True) -> Usage:
        """What we count ourselves. The model's own tokenizer may count less, never more than it was `held` to."""

        def count(text: str) -> int:
            return self._transport.count(self.request.card, text)

        read, said = tokens.about(self.request.messages, self.request.params, count), count("".join(self._said))
        return Usage(min(read, self._most_in), min(said, self._most_out) if held else said, estimated=True)
