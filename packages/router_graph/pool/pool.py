"""The pool: named models, asked one way, with fallbacks, queues and time limits, each call under a ledger."""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.messages.utils import MessageLikeRepresentation

from router_graph.errors import BudgetExceededError, CardError, ModelError, RequestRejectedError, UnknownModelError
from router_graph.ledger import Ledger, Purpose
from router_graph.pool import portal, tokens
from router_graph.pool.attempt import Attempt
from router_graph.pool.cache import AnswerCache
from router_graph.pool.card import ModelCard
from router_graph.pool.chain import Chain, Deadline
from router_graph.pool.live import Live
from router_graph.pool.params import refusal
from router_graph.pool.price import Price
from router_graph.pool.reply import Reply, last_piece, only_piece, whole_message
from router_graph.pool.slots import Slots
from router_graph.pool.transport import Request, Transport
from router_graph.pool.transports.chat_model import ChatModelTransport
from router_graph.pool.transports.litellm import LiteLLMTransport

if TYPE_CHECKING:
    from langchain_core.caches import BaseCache

    from router_graph.pool.chat_model import PoolChatModel

Messages = str | BaseMessage | Sequence[MessageLikeRepresentation]
"""What a model is asked: a question, or messages in any form that LangChain knows."""


class ModelPool:
    """Several models under one roof. Safe to use from several threads and event loops at once.

    `transports` are those that cards name; "litellm" is there, and may be another one, as a `RecordTransport` around it
    or a `ReplayTransport` in its place. `fallbacks` are the models to ask where one fails, by
    name. `retries` is how often the whole chain is asked again after a pause. `cache` is any LangChain cache: a request
    that it holds, equal in everything that matters, is answered from it for nothing. After `failures` failures in a row
    a model rests for `rest_s` seconds.

    Raises `CardError`, `UnknownPriceError`, and `UnknownModelError` for a fallback that is no card.
    """

    def __init__(
        self,
        cards: Iterable[ModelCard] = (),
        *,
        transports: Mapping[str, Transport | BaseChatModel] | None = None,
        fallbacks: Mapping[str, Sequence[str] | str] | None = None,
        retries: int = 1,
        cache: BaseCache | None = None,
        failures: int = 3,
        rest_s: float = 30.0,
    ) -> None:
        if retries < 0 or failures < 1 or rest_s < 0:
            raise CardError(
                f"A pool needs retries of 0 or more, failures of 1 or more and rest_s of 0 or more, and not "
                f"retries={retries}, failures={failures}, rest_s={rest_s:g}."
            )
        self._transports: dict[str, Transport] = {"litellm": LiteLLMTransport()}
        self._transports |= {name: _as_transport(one) for name, one in (transports or {}).items()}
        self._members: dict[str, _Member] = {}
        self._fallbacks: dict[str, tuple[str, ...]] = {}
        self._retries = retries
        self._cache = None if cache is None else AnswerCache(cache)
        self._failures, self._rest_s = failures, rest_s
        self._changing = threading.RLock()
        for card in cards:
            self.add(card)
        for name, others in (fallbacks or {}).items():
            self.fall_back(name, others)

    @property
    def cards(self) -> dict[str, ModelCard]:
        """All cards by name, with what LiteLLM's map knows of them."""
        return {name: member.card for name, member in self._members.items()}

    @property
    def fallbacks(self) -> dict[str, tuple[str, ...]]:
        """Whom each model falls back to."""
        return dict(self._fallbacks)

    def card(self, name: str) -> ModelCard:
        """The card of this name. Raises `UnknownModelError`."""
        return self._member(name).card

    def live(self, name: str) -> Live:
        """What was measured of the model's calls in this process. Raises `UnknownModelError`."""
        return self._member(name).live

    def rests(self, name: str) -> bool:
        """Whether the model and all its fallbacks rest, so that a call would have to wait for them.

        Raises `UnknownModelError`.
        """
        return all(self._member(one).live.wait_s() > 0 for one in (name, *self._fallbacks.get(name, ())))

    def add(self, card: ModelCard, *, transport: Transport | BaseChatModel | None = None) -> ModelCard:
        """Take a model in, and return its card with what LiteLLM's map knows of it.

        `transport` is how it is reached, where that is not the transport that its card names. Raises `CardError` where
        the name is taken or the transport unknown, `UnknownPriceError` where nobody knows the price.
        """
        if transport is None and card.transport not in self._transports:
            known = ", ".join(sorted(self._transports))
            raise CardError(f"The card {card.name!r} names the transport {card.transport!r}; the pool has {known}.")
        completed = card.completed() if transport is None else card
        _ = completed.payable
        reached = self._transports[card.transport] if transport is None else _as_transport(transport)
        live = Live(failures=self._failures, open_s=self._rest_s)
        with self._changing:
            if card.name in self._members:
                raise CardError(f"Two cards are called {card.name!r}; give one another name.")
            self._members = {**self._members, card.name: _Member(completed, reached, live, Slots(card.concurrency))}
        return completed

    def remove(self, name: str) -> None:
        """Take a model out, from all fallbacks too; calls under way end as they would. Raises `UnknownModelError`."""
        with self._changing:
            self._member(name)
            self._members = {other: member for other, member in self._members.items() if other != name}
            self._fallbacks = {
                one: tuple(other for other in others if other != name)
                for one, others in self._fallbacks.items()
                if one != name
            }

    def reprice(self, name: str, price: Price | Mapping[str, Any] | Literal["free"]) -> None:
        """Give a model another price, for every call that begins from now on.

        Raises `UnknownModelError`, and `CardError` for what is no price.
        """
        with self._changing:
            member = self._member(name)
            fields = {field: getattr(member.card, field) for field in ModelCard.model_fields}
            card = ModelCard.model_validate({**fields, "price": price, "ceiling": None})
            self._members = {**self._members, name: replace(member, card=card)}

    def redescribe(self, name: str, strengths: str) -> None:
        """Say otherwise what a model is good at. Raises `UnknownModelError`."""
        with self._changing:
            member = self._member(name)
            card = member.card.model_copy(update={"strengths": strengths})
            self._members = {**self._members, name: replace(member, card=card)}

    def fall_back(self, name: str, others: Sequence[str] | str) -> None:
        """Ask these models in this order where the first fails. Raises `UnknownModelError`."""
        with self._changing:
            names = _names(others)
            for one in (name, *names):
                self._member(one)
            self._fallbacks = {**self._fallbacks, name: names}

    def describe(self, names: Iterable[str] | None = None) -> str:
        """The cards as a policy reads them, a line each, with the numbers that hold now. Raises `UnknownModelError`."""
        members = [self._member(name) for name in (self._members if names is None else names)]
        return "\n".join(member.card.describe(member.live) for member in members)

    def invoke(self, name: str, messages: Messages, **options: Any) -> Reply:
        """`ainvoke` for code that is not async."""
        return portal.run(self.ainvoke(name, messages, **options))

    async def ainvoke(
        self,
        name: str,
        messages: Messages,
        *,
        ledger: Ledger | Callable[[], Ledger] | None = None,
        purpose: Purpose = "model",
        fallbacks: Sequence[str] | None = None,
        retries: int | None = None,
        deadline_s: float | None = None,
        wait_s: float | None = None,
        enough_tokens: int | None = None,
        **params: Any,
    ) -> Reply:
        """Ask a model, or where it fails its fallbacks; `params` go to the provider in OpenAI's terms.

        `deadline_s` is for the whole call, with queues and repetitions; `wait_s` is how long to wait for the budget
        where only other calls under way stand in the way (the card's `timeout_s` if left out). `enough_tokens` is the
        shortest `max_tokens` that would do: where the budget does not pay for the whole, the call is sent with what it
        pays for instead of being refused.

        Raises `UnknownModelError`, `BudgetExceededError` (nothing was sent), and `ModelError`; of these
        `RequestRejectedError` also for what could not be sent.
        """
        call = self._call(
            name, messages, ledger, purpose, fallbacks, retries, deadline_s, wait_s, enough_tokens, params
        )
        if (hit := await self._remembered(call)) is not None:
            return hit
        while True:
            attempt = await self._next(call)
            try:
                async with attempt:
                    message = await attempt.message()
            except (ModelError, BudgetExceededError) as error:
                call.chain.failed(attempt.name, error)
                continue
            return await self._finished(call, attempt, message)

    def stream(self, name: str, messages: Messages, **options: Any) -> Iterator[AIMessageChunk]:
        """`astream` for code that is not async."""
        return portal.iterate(self.astream(name, messages, **options))

    async def astream(
        self,
        name: str,
        messages: Messages,
        *,
        ledger: Ledger | Callable[[], Ledger] | None = None,
        purpose: Purpose = "model",
        fallbacks: Sequence[str] | None = None,
        retries: int | None = None,
        deadline_s: float | None = None,
        wait_s: float | None = None,
        enough_tokens: int | None = None,
        **params: Any,
    ) -> AsyncGenerator[AIMessageChunk, None]:
        """`ainvoke` in pieces; the last piece says who served and what it took.

        Falls back only until the first piece is out: half an answer is not taken back. A reader that stops early
        hangs up, and the worst case is booked, as providers differ in what they charge then.
        """
        call = self._call(
            name, messages, ledger, purpose, fallbacks, retries, deadline_s, wait_s, enough_tokens, params
        )
        if (hit := await self._remembered(call)) is not None:
            yield only_piece(hit.message)
            return
        while True:
            attempt = await self._next(call)
            said: list[AIMessageChunk] = []
            try:
                async with attempt, contextlib.aclosing(attempt.pieces()) as pieces:
                    async for piece in pieces:
                        said.append(piece)
                        yield piece
            except (ModelError, BudgetExceededError) as error:
                if said:
                    raise
                call.chain.failed(attempt.name, error)
                continue
            reply = await self._finished(call, attempt, whole_message(said))
            yield last_piece(reply.message, said)
            return

    def as_chat_model(self, name: str, **options: Any) -> PoolChatModel:
        """The model, with its fallbacks, as a LangChain chat model; `PoolChatModel` has the options."""
        from router_graph.pool.chat_model import PoolChatModel

        self._member(name)
        return PoolChatModel(pool=self, model=name, **options)

    def _member(self, name: str) -> _Member:
        if not isinstance(name, str):
            raise UnknownModelError(f"A model is asked by its name, and not by {name!r}.")
        member = self._members.get(name)
        if member is None:
            near = difflib.get_close_matches(name, self._members, n=3, cutoff=0.5)
            known = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {', '.join(self._members)}."
            raise UnknownModelError(f"The pool has no model {name!r}; {known if self._members else 'it is empty.'}")
        return member

    def _call(
        self,
        name: str,
        messages: Messages,
        ledger: Ledger | Callable[[], Ledger] | None,
        purpose: Purpose,
        fallbacks: Sequence[str] | None,
        retries: int | None,
        deadline_s: float | None,
        wait_s: float | None,
        enough_tokens: int | None,
        params: Mapping[str, Any],
    ) -> _Call:
        if reason := refusal(params):
            raise RequestRejectedError(f"{name!r} was not asked, as {reason}")
        for option, value in (("retries", retries), ("deadline_s", deadline_s), ("wait_s", wait_s)):
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise RequestRejectedError(f"{option} is {value!r}; it must be a number, 0 or more.")
        if enough_tokens is not None and (type(enough_tokens) is not int or enough_tokens < 1):
            raise RequestRejectedError(f"enough_tokens is {enough_tokens!r}; it must be a whole number, 1 or more.")
        if purpose not in get_args(Purpose):
            raise RequestRejectedError(f"{purpose!r} is no purpose; known are {', '.join(get_args(Purpose))}.")
        asked = _as_messages(messages)
        if kind := tokens.unbounded(asked):
            raise RequestRejectedError(
                f"{name!r} was not asked, as nobody can tell what a block of type {kind!r} costs; send text or images."
            )
        names = [name, *(self._fallbacks.get(name, ()) if fallbacks is None else _names(fallbacks))]
        members = {one: self._member(one) for one in names}
        deadline = Deadline(deadline_s)
        chain = Chain(
            names,
            {one: member.live for one, member in members.items()},
            retries=self._retries if retries is None else retries,
            deadline=deadline,
        )
        account = ledger() if callable(ledger) else ledger or Ledger()
        return _Call(asked, params, account, purpose, wait_s, enough_tokens, members, deadline, chain)

    async def _next(self, call: _Call) -> Attempt:
        member = call.members[await call.chain.next()]
        return Attempt(
            member.request(call),
            transport=member.transport,
            live=member.live,
            slots=member.slots,
            ledger=call.ledger,
            purpose=call.purpose,
            wait_s=member.card.timeout_s if call.wait_s is None else call.wait_s,
            deadline=call.deadline,
            enough=call.enough_tokens,
        )

    async def _remembered(self, call: _Call) -> Reply | None:
        if self._cache is None:
            return None
        member = call.members[call.chain.first]
        message = await self._cache.get(member.request(call))
        return None if message is None else Reply.from_cache(message, member.card.name)

    async def _finished(self, call: _Call, attempt: Attempt, message: AIMessage) -> Reply:
        reply = Reply.of(message, attempt, call.chain.failures)
        if self._cache is not None:
            await self._cache.put(attempt.request, reply.message)
        return reply


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked, and under which conditions."""

    messages: list[BaseMessage]
    params: Mapping[str, Any]
    ledger: Ledger
    purpose: Purpose
    wait_s: float | None
    enough_tokens: int | None
    members: Mapping[str, _Member]
    """As they were when it was asked: who leaves the pool, or is repriced, ends this call unchanged."""
    deadline: Deadline
    chain: Chain


@dataclass(frozen=True, slots=True)
class _Member:
    """One model in the pool."""

    card: ModelCard
    transport: Transport
    live: Live
    slots: Slots

    def request(self, call: _Call) -> Request:
        params = {**self.card.sent, **{key: value for key, value in call.params.items() if value is not None}}
        params.setdefault("max_tokens", self.card.max_tokens)
        return Request(self.card, call.messages, params)


def _names(given: Sequence[str] | str) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _as_transport(one: Transport | BaseChatModel) -> Transport:
    if isinstance(one, BaseChatModel):
        return ChatModelTransport(one)
    if not isinstance(one, Transport):
        raise CardError(f"A transport is a Transport or a LangChain chat model, and not {one!r}.")
    return one


def _as_messages(messages: Messages) -> list[BaseMessage]:
    """Raises `RequestRejectedError`."""
    if isinstance(messages, str):
        return [HumanMessage(messages)]
    if isinstance(messages, BaseMessage):
        return [messages]
    try:
        given = convert_to_messages(messages)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise RequestRejectedError(f"The messages have no form that LangChain knows: {reason[:200]}") from error
    if not given:
        raise RequestRejectedError("There are no messages; a model is asked with at least one.")
    return given
