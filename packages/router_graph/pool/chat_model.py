"""A model of the pool as a LangChain chat model: for `create_agent`, chains, and any graph that takes one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ConfigDict, Field, model_validator

from router_graph.ledger import Ledger, Purpose
from router_graph.pool import portal, tokens
from router_graph.pool.pool import ModelPool
from router_graph.pool.reply import Reply

_STANDARD = {"timeout": "deadline_s", "max_retries": "retries"}
"""What LangChain calls options of ours."""
_IGNORED = frozenset({"api_key", "stream", "streaming", "stream_usage"})
"""What LangChain's other models take: here the cards name the keys, and who calls says whether it streams."""


class PoolChatModel(BaseChatModel):
    """Streams, calls tools, falls back and keeps to the budget as the pool does.

    `response_metadata` says who really served: `card` and `model_name`, with `usd`, `seconds` and `failures`. What is
    none of the fields below goes to the provider, in OpenAI's terms. All of them can be given anew with each call, or
    by `bind`. Raises what `ModelPool.ainvoke` raises.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    pool: ModelPool = Field(exclude=True, repr=False)
    model: str
    """The card to ask."""
    fallbacks: tuple[str, ...] | None = None
    """Whom to ask where it fails; the pool's own fallbacks if None."""
    ledger: Ledger | Callable[[], Ledger] | None = Field(default=None, exclude=True, repr=False)
    """The account that pays; a function is asked anew for each call, as `Accounts.for_config` finds a thread's own."""
    purpose: Purpose = "model"
    deadline_s: float | None = Field(default=None, alias="timeout")
    """Seconds for a whole call, with its queues and fallbacks."""
    retries: int | None = Field(default=None, alias="max_retries")
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    """More for the provider, in OpenAI's terms."""

    @model_validator(mode="before")
    @classmethod
    def _sort(cls, given: dict[str, Any]) -> dict[str, Any]:
        ours = {*cls.model_fields, *_STANDARD}
        params = {key: value for key, value in given.items() if key not in ours | _IGNORED}
        kept = {key: value for key, value in given.items() if key in ours}
        return {**kept, "params": {**params, **(given.get("params") or {})}}

    @property
    def _llm_type(self) -> str:
        return "polyroute-pool"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # LangChain keys its caches by these: two pools may call different models by one name.
        card = self.pool.cards.get(self.model)
        return {
            "model": self.model,
            "reached": None if card is None else [card.transport, card.id, card.api_base],
            "fallbacks": self.fallbacks,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            "params": self.params,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        told = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        told["ls_provider"] = "polyroute"
        return told

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens the text is."""
        return tokens.estimate(text)  # LangChain's own way downloads a tokenizer

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools; `tool_choice` is "auto", "any" or "required", "none", or a tool's name."""
        if tool_choice is not None and tool_choice is not False:
            kwargs["tool_choice"] = _choice(tool_choice)
        return super().bind(tools=[convert_to_openai_tool(tool, strict=strict) for tool in tools], **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """The model, made to answer in the form of `schema`: by a tool call, or by the provider's `response_format`.

        With "json_mode" the provider promises JSON but not the schema, which the messages have to tell.
        """
        told = {"kwargs": {"method": method, "strict": strict}, "schema": schema}  # for tracers
        if method == "function_calling":
            model = self.bind_tools(
                [schema], tool_choice="any", strict=strict, ls_structured_output_format=told, **kwargs
            )
        else:
            form = _form(schema, method, strict)
            model = self.bind(response_format=form, ls_structured_output_format=told, **kwargs)
        parser = _parser(schema, by_tool=method == "function_calling")
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        name, options = self._call(stop, kwargs)
        return _result(portal.run(self.pool.ainvoke(name, messages, **options)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        name, options = self._call(stop, kwargs)
        return _result(await self.pool.ainvoke(name, messages, **options))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        name, options = self._call(stop, kwargs)
        pieces = cast(Generator[AIMessageChunk], self.pool.stream(name, messages, **options))
        with contextlib.closing(pieces):
            for piece in pieces:
                chunk = ChatGenerationChunk(message=piece)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        name, options = self._call(stop, kwargs)
        pieces: AsyncGenerator[AIMessageChunk, None] = self.pool.astream(name, messages, **options)
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                chunk = ChatGenerationChunk(message=piece)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _call(self, stop: list[str] | None, kwargs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The card to ask, and the options of `ModelPool.ainvoke`."""
        now = {_STANDARD.get(key, key): value for key, value in kwargs.items() if key not in _IGNORED}
        fields = {
            "model": self.model,
            "ledger": self.ledger,
            "purpose": self.purpose,
            "fallbacks": self.fallbacks,
            "retries": self.retries,
            "deadline_s": self.deadline_s,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stop": stop or self.stop or None,
        }
        given = {key: value for key, value in fields.items() if value is not None}
        options = {**self.params, **given, **now.pop("params", {}), **now}
        ledger = options.pop("ledger", None)
        options["ledger"] = ledger if isinstance(ledger, Ledger) or ledger is None else ledger()
        return options.pop("model"), options


def _result(reply: Reply) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=reply.message)])


def _choice(choice: str | dict[str, Any] | bool) -> str | dict[str, Any]:
    if choice in (True, "any"):
        return "required"
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        return {"type": "function", "function": {"name": choice}}
    return choice if isinstance(choice, dict) else str(choice)


def _form(schema: dict[str, Any] | type, method: str, strict: bool | None) -> dict[str, Any]:
    if method == "json_mode":
        return {"type": "json_object"}
    form = convert_to_json_schema(schema, strict=strict)
    told = {"name": form.get("title", "answer"), "schema": form}
    if "description" in form:
        told["description"] = form["description"]
    return {"type": "json_schema", "json_schema": told if strict is None else {**told, "strict": strict}}


def _parser(schema: dict[str, Any] | type, *, by_tool: bool) -> BaseOutputParser[Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        tools = PydanticToolsParser(tools=[schema], first_tool_only=True)
        return tools if by_tool else PydanticOutputParser(pydantic_object=schema)
    name = convert_to_openai_tool(schema)["function"]["name"] if by_tool else ""
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True) if by_tool else JsonOutputParser()
