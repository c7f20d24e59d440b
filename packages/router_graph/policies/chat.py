"""A language model as the policy: prompted with the protocol, paid from the ledger, heard while it speaks."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal, Self, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tracers._streaming import _StreamingCallbackHandler  # as LangGraph's own handler of messages

from router_graph.errors import ModelError, RequestRejectedError, RouterError, SettingsError, UnknownPriceError
from router_graph.policies.policy import Act, Means, Policy
from router_graph.policies.version import versioned
from router_graph.pool import litellm_prices
from router_graph.pool.card import ModelCard
from router_graph.pool.chat_model import PoolChatModel
from router_graph.pool.params import refusal
from router_graph.pool.pool import ModelPool
from router_graph.pool.price import Price
from router_graph.pool.reply import whole_message
from router_graph.protocols.protocol import Protocol
from router_graph.view import View

TAG = "polyroute:policy"
"""On the policy's own calls, so that who streams LangGraph's messages can tell them from the other models'."""


class ChatPolicy(Policy):
    """A model of a pool decides.

    `streams` says whether its tokens are told as they come; if None, where somebody listens, as it takes several times
    the CPU. A stream that breaks off is asked again whole, as half a reply could be read as another decision. `seeded`
    sends the view's seed with each call; not every provider takes one. `enough_tokens` is the shortest reply that would
    do for an answer, where the budget pays for no longer one; four times as many do for a step. `params` go to the
    provider, in OpenAI's terms.

    The reply's `response_metadata["card"]` says which model served. Raises `UnknownModelError` and `SettingsError`.
    """

    decides_alone = False

    def __init__(
        self,
        pool: ModelPool,
        model: str,
        *,
        streams: bool | None = None,
        seeded: bool = False,
        enough_tokens: int = 64,
        **params: Any,
    ) -> None:
        card = pool.card(model)
        if reason := refusal(params):
            raise SettingsError(f"The policy {model!r} cannot be asked with these parameters: {reason}")
        sent = {"max_tokens": card.max_tokens, **card.sent, **params}
        self.name = self._model = model
        self._card = card
        self.version = versioned(card.id, sent, seeded)
        self._pool, self._params = pool, params
        self._streams, self._seeded, self._enough_tokens = streams, seeded, enough_tokens
        self._takes_stop = True

    @classmethod
    def of(
        cls,
        model: BaseChatModel | str,
        *,
        price: Price | Mapping[str, Any] | Literal["free"] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Self:
        """Any chat model of LangChain, or a LiteLLM id such as "openai/gpt-4o-mini", as a policy.

        `price` is in USD per million tokens, as in {"input": 0.15, "output": 0.6}, or "free" for a local model; where
        it is left out, LiteLLM's map has to know it. `options` are those of `ChatPolicy`. Raises `UnknownPriceError`.
        """
        model_id, known = _known(model)
        facts: dict[str, Any] = {"price": price} if price is not None else {}
        if known is not None:
            facts = {"price": known.price, "context": known.context, "vision": known.vision, **facts}
        card = ModelCard.model_validate(
            {
                "name": name or _name(model_id),
                "model": model_id,
                "transport": "litellm" if isinstance(model, str) else "chat_model",
                **facts,
            }
        )
        if card.price is None:
            raise UnknownPriceError(
                f"Nobody knows what {model_id!r} costs; give its price as in {{'input': 0.15, 'output': 0.6}}, in USD "
                "per million tokens, or as 'free', to ChatPolicy.of or in its card in the pool."
            )
        pool = ModelPool()
        pool.add(card, transport=None if isinstance(model, str) else model)
        return cls(pool, card.name, **options)

    @property
    def card(self) -> ModelCard:
        """The model that is asked, as its pool has it now; as it was, where it was taken out."""
        return self._pool.cards.get(self._model, self._card)

    async def act(self, view: View, protocol: Protocol, means: Means) -> Act:
        """Ask the model. Raises `RouterError` where it may not see what was found, or gives no whole reply."""
        self.check(means)
        messages, options = protocol.messages(view), self._options(view, protocol, means)
        try:
            return _act(await self._ask(messages, options, means), protocol, view)
        except RequestRejectedError as error:
            if "stop" not in options or "stop" not in str(error):
                raise
        self._takes_stop = False  # some models take no stop sequences; `Protocol.read` needs none
        without = {key: one for key, one in options.items() if key != "stop"}
        return _act(await self._ask(messages, without, means), protocol, view)

    def check(self, means: Means) -> None:
        """Raise `RouterError` where the model may not see what was found."""
        if reason := means.allowed(self.card):
            raise RouterError(f"The policy's model {self._model!r} was not asked, as {reason}.")

    def _options(self, view: View, protocol: Protocol, means: Means) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if tools := protocol.tools(view):
            options["tools"] = tools
        if protocol.stop and self._takes_stop:
            options["stop"] = list(protocol.stop)
        if self._seeded:
            options["seed"] = view.seed
        # A small budget that pays for a shorter reply than the card allows is no reason to ask nobody.
        options["enough_tokens"] = self._enough_tokens if means.purpose == "answer" else 4 * self._enough_tokens
        return options

    async def _ask(self, messages: list[BaseMessage], options: Mapping[str, Any], means: Means) -> AIMessage:
        until = None if means.deadline_s is None else time.monotonic() + means.deadline_s
        if not (_is_heard(means) if self._streams is None else self._streams):
            return await self._whole(messages, options, means, until)
        said: list[AIMessageChunk] = []
        try:
            return await self._heard(messages, options, means, said)
        except ModelError:
            if not said:
                raise
        reply = await self._whole(messages, options, means, until)
        if means.on_token is not None:
            if any(piece.text for piece in said):
                means.on_again()
            means.on_token(str(reply.text))
        return reply

    async def _heard(
        self, messages: list[BaseMessage], options: Mapping[str, Any], means: Means, said: list[AIMessageChunk]
    ) -> AIMessage:
        """The reply as it comes; `said` holds its pieces, also where it breaks off."""
        stream = self._chat_model(means, means.deadline_s).astream(messages, _CONFIG, **options)
        async with contextlib.aclosing(cast(AsyncGenerator[AIMessageChunk, None], stream)) as pieces:
            async for piece in pieces:
                said.append(piece)
                if piece.text and means.on_token is not None:
                    means.on_token(str(piece.text))
        return whole_message(said)

    async def _whole(
        self, messages: list[BaseMessage], options: Mapping[str, Any], means: Means, until: float | None
    ) -> AIMessage:
        """The reply at once: here a fallback may step in at any time."""
        left_s = None if until is None else max(0.0, until - time.monotonic())
        return await self._chat_model(means, left_s, disable_streaming=True).ainvoke(messages, _CONFIG, **options)

    def _chat_model(self, means: Means, deadline_s: float | None, **options: Any) -> PoolChatModel:
        if self._model in self._pool.cards and self._pool.rests(self._model):
            options["retries"] = 0  # nobody waits for a breaker in the middle of a run
        fallbacks = [
            one for one in self._pool.fallbacks.get(self._model, ()) if means.allowed(self._pool.card(one)) is None
        ]
        return self._pool.as_chat_model(
            self._model,
            fallbacks=tuple(fallbacks),
            ledger=means.ledger,
            purpose=means.purpose,
            deadline_s=deadline_s,
            params=self._params,
            **options,
        )


_CONFIG: RunnableConfig = {"tags": [TAG], "run_name": "policy"}


def _act(reply: AIMessage, protocol: Protocol, view: View) -> Act:
    """The reply as the model wrote it: LiteLLM, and some providers, take a leading `<think>` out of the text."""
    thought, text = reply.additional_kwargs.get("reasoning_content"), reply.content
    is_missing = isinstance(thought, str) and thought.strip() and isinstance(text, str) and "</think>" not in text
    if not is_missing or protocol.tools(view):
        return Act(reply)
    return Act(reply.model_copy(update={"content": f"<think>{thought}</think>\n{text}"}))


def _is_heard(means: Means) -> bool:
    """Whether anybody listens to tokens: the caller, or LangGraph's `stream_mode="messages"` around it."""
    if means.on_token is not None:
        return True
    callbacks = ensure_config().get("callbacks") or []
    handlers = callbacks if isinstance(callbacks, list) else callbacks.handlers
    return any(isinstance(one, _StreamingCallbackHandler) for one in handlers)


def _known(model: BaseChatModel | str) -> tuple[str, litellm_prices.Known | None]:
    """The model's id, and what LiteLLM's map knows of it."""
    if isinstance(model, str):
        return model, litellm_prices.known(model)
    told = model._get_ls_params()
    model_id = told.get("ls_model_name") or model._llm_type
    if getattr(model, "openai_api_base", None):
        return model_id, None  # a server of one's own, whatever it calls its models
    return model_id, litellm_prices.known(model_id, told.get("ls_provider"))


def _name(model_id: str) -> str:
    """The id as a card may be called."""
    return re.sub(r"[^A-Za-z0-9._@/-]", "-", model_id).lstrip("._@/-")[:64] or "model"
