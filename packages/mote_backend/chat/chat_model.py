"""Any causal language model of transformers as a LangChain chat model."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.runnables.configurable import RunnableConfigurableFields
from langchain_core.runnables.utils import AnyConfigurableField
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, ValidationError, model_validator

from mote_backend.chat.call import IGNORED, Call, is_laborious, known_options
from mote_backend.errors import InputError, shown
from mote_backend.validation import refusal

if TYPE_CHECKING:
    from mote_backend.chat.engine import Engine
    from mote_backend.chat.loading import Source
    from mote_backend.chat.scoring import Scored
    from mote_backend.chat.with_options import BoundChat, ConfigurableChat
    from mote_backend.mask import ExpertMask

_PER_CALL = (
    "temperature top_p top_k min_p repetition_penalty max_tokens seed stop timeout logprobs top_logprobs "
    "return_token_ids chat_template chat_template_kwargs"
).split()


_KEYS: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


class Loaded:
    """A model that its user loaded, and the engines that run it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.key = _KEYS.setdefault(model, uuid.uuid4().hex)
        """Tells the model from others of its name, for caches of replies."""
        self._engines: dict[int, Engine] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Loaded:
        return self  # a copy of a chat model speaks with the same model

    def engine(self, max_batch: int) -> Engine:
        """The engine of this model, shared with all who hold the model."""
        from mote_backend.chat.loading import engine_on

        if max_batch not in self._engines:
            self._engines[max_batch] = engine_on(self.model, self.tokenizer, max_batch)
        return self._engines[max_batch]


class ChatTransformers(BaseChatModel):
    """Calls that come at about the same time run as one batch, also from `batch`, `abatch` and several tasks.

    `model` is a folder, a name on the hub, or a pair (model, tokenizer) in memory. It is loaded with the first call,
    once for all chat models of this process that load it alike; `mote_backend.chat.loading.unload` gives the memory
    back.
    The conversation goes through the model's chat template; where that has no system role, the system message stands
    before the first user's, in one message with it. Text that spells a control token stays text.

    `response_metadata` tells `model_name`, `model_provider`, `finish_reason` ("stop", "length" or "tool_calls"),
    `logprobs` in OpenAI's shape where asked for, and for training `prompt_token_ids`, `token_ids` and `token_logprobs`:
    the tokens as they were sampled, with the one that ended the reply, and the log-probability of each among those that
    could be sampled. In a stream it comes with the last chunk.

    All fields down to `chat_template_kwargs` can be given anew with each call, or by `bind`; and `reply_prefix_ids`,
    the tokens that the reply has begun with, which then count as the prompt's. Raises what `mote_backend.errors` lists,
    and TimeoutError.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True, extra="forbid")

    model: str
    temperature: float = 0.0
    """0 takes the most likely token."""
    max_tokens: int | None = 1024
    """Most tokens of a reply; None: what the context has room for."""
    top_p: float = 1.0
    top_k: int = 0
    """0: all tokens."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    """Equal seeds give equal replies, whatever runs beside them."""
    stop: list[str] | None = None
    """Texts before which the reply ends."""
    timeout: float | None = None
    """Seconds for a whole call, with its time in the queue."""
    logprobs: bool = False
    top_logprobs: int = 0
    """How many of the likeliest tokens `logprobs` tells at each place."""
    return_token_ids: bool = True
    """Whether `response_metadata` has the token ids and their log-probabilities."""
    chat_template: str | None = None
    """A Jinja template in place of the model's own."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """What the template understands, such as {"enable_thinking": False}."""

    dtype: str = "auto"
    """A torch dtype such as "bfloat16"; "auto": the checkpoint's own."""
    device: str | None = None
    """Such as "cpu" or "cuda:1"; "auto": spread over all there is; None: a GPU if there is one."""
    trust_remote_code: bool = False
    """Whether code that comes with the model may run."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    max_batch: int = Field(default=32, ge=1)
    """Most calls that run together."""
    loaded: Loaded | None = Field(default=None, exclude=True, repr=False)
    """The model in memory, where `model` was a pair."""

    def __init__(self, **given: Any) -> None:
        """InputError for a field that does not exist or has a bad value."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise refusal(error) from None

    @model_validator(mode="before")
    @classmethod
    def _unpack(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given = {key: value for key, value in given.items() if key not in IGNORED}
        if isinstance(given.get("model"), str | None):
            return given
        try:
            model, tokenizer = given["model"]
        except (TypeError, ValueError):
            raise InputError("model is a folder, a name on the hub, or a pair (model, tokenizer).") from None
        name = getattr(model, "name_or_path", "") or type(model).__name__
        return {**given, "model": name, "loaded": Loaded(model, tokenizer)}

    @property
    def _llm_type(self) -> str:
        return "mote-transformers"

    @property
    def _provider(self) -> str:
        return "transformers"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        # LangChain keys its caches by these.
        names = ["model", *_PER_CALL, "dtype", "revision"]
        told = {name: getattr(self, name) for name in names if name != "timeout"}
        return told if self.loaded is None else {**told, "loaded": self.loaded.key}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        told = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        told["ls_provider"] = self._provider
        return told

    def get_token_ids(self, text: str) -> list[int]:
        """The model's own tokens of a text."""
        return [int(one) for one in self.engine().tokenizer(text, add_special_tokens=False)["input_ids"]]

    def score(
        self,
        messages: LanguageModelInput,
        continuations: Sequence[str],
        *,
        reply_prefix_ids: Sequence[int] = (),
        temperature: float | None = None,
        **options: Any,
    ) -> list[Scored]:
        """How likely the reply is to go on with each of the texts, after `reply_prefix_ids` if it has begun with them.

        One forward reads the prompt, one more all the texts together. `temperature` is the model's own if None; where
        it is 0 the logits are taken as they are. `options` are those of a call. Raises InputError, also for a text
        that is empty, and ContextLengthError.
        """
        from mote_backend.chat.scoring import score

        given = {**options, "reply_prefix_ids": reply_prefix_ids}
        call = self._call(self._convert_input(messages).to_messages(), None, given)
        engine, mask = call.engine, call.request.mask
        ids = [_ids(engine.tokenizer, one) for one in ([] if isinstance(continuations, str) else continuations)]
        scale = self.temperature if temperature is None else temperature
        steering = engine.steering if mask else None
        prompt = call.request.prompt_ids
        return score(engine.model, prompt, ids, temperature=scale, steering=steering, mask=mask)

    async def ascore(self, messages: LanguageModelInput, continuations: Sequence[str], **options: Any) -> list[Scored]:
        """`score`, in another thread."""
        return await asyncio.to_thread(self.score, messages, continuations, **options)

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens, without those that have a meaning of their own."""
        tokenizer = self.engine().tokenizer
        return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def engine(self, model: str | None = None) -> Engine:
        """The engine that runs the model, or another model that is loaded alike."""
        from mote_backend.chat.loading import engine_of

        if self.loaded is not None and model in (None, self.model):
            return self.loaded.engine(self.max_batch)
        return engine_of(self._source(model or self.model), self.max_batch)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools; `tool_choice` is "auto", "any" or "required", "none", or a tool's name."""
        from mote_backend.chat.bound_tools import bind_tools

        return bind_tools(
            self, tools, tool_choice=tool_choice, strict=strict, parallel_tool_calls=parallel_tool_calls, **kwargs
        )

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """The model, held to the form of `schema` while it decodes: as text, or as a tool call."""
        from mote_backend.chat.bound_tools import with_structured_output

        return with_structured_output(self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs)

    def bind(self, **kwargs: Any) -> BoundChat:  # type: ignore[override]  # LangChain's differs in its types only
        """The model with these options in each call; they stay when tools or a schema are added."""
        from mote_backend.chat.with_options import BoundChat

        return BoundChat(bound=self, kwargs=kwargs)

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> ConfigurableChat:
        """The model with these fields taken from the `configurable` of each call's config, with tools or without."""
        from mote_backend.chat.with_options import ConfigurableChat

        made = super().configurable_fields(**kwargs)  # which checks the names
        assert isinstance(made, RunnableConfigurableFields)
        return ConfigurableChat(default=made.default, fields=made.fields)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """All inputs at once, in batches of `max_batch`, unless the config has a `max_concurrency`."""
        if not inputs:
            return []
        most = min(len(inputs), 2 * self.max_batch)  # the threads only wait; the next batch gathers meanwhile
        configs: list[RunnableConfig] = [
            one if one.get("max_concurrency") else {**one, "max_concurrency": most}
            for one in get_config_list(config, len(inputs))
        ]
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        message = call.message(call.engine.complete(call.request, call.timeout_s))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = await self._acall(messages, stop, kwargs)
        message = call.message(await call.engine.acomplete(call.request, call.timeout_s))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        with contextlib.closing(call.engine.stream(call.request, call.timeout_s)) as parts:
            for chunk in call.chunks(parts):
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
        call = await self._acall(messages, stop, kwargs)
        stream = call.use.stream()
        async with contextlib.aclosing(call.engine.astream(call.request, call.timeout_s)) as parts:
            async for part in parts:
                for chunk in call.more(stream, part):
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def _call(self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> Call:
        mask, rest = self._mask(kwargs)
        now = known_options(rest)
        options = {name: getattr(self, name) for name in _PER_CALL} | now
        options["stop"] = stop or options["stop"] or ()
        name = options.pop("model", None) or self.model
        if not isinstance(name, str):
            raise InputError(f"model is {shown(name)}; a call names a folder, or a model on the hub.")
        metadata = {"model_name": name, "model_provider": self._provider, **self._mask_metadata(mask)}
        return Call.of(self.engine(name), messages, options, mask, metadata)

    async def _acall(self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> Call:
        name = kwargs.get("model") or self.model
        loads = isinstance(name, str) and self.loaded is None and not self._is_loaded(name)
        # What takes long must not hold up the other calls of the event loop.
        if loads or is_laborious(messages, kwargs):
            return await asyncio.to_thread(self._ready, messages, stop, kwargs)
        return self._call(messages, stop, kwargs)

    def _ready(self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> Call:
        call = self._call(messages, stop, kwargs)
        call.engine.prepare(call.request)
        return call

    def _source(self, model: str) -> Source:
        from mote_backend.chat.loading import Source

        return Source(
            model,
            dtype=self.dtype,
            device=self.device,
            trust_remote_code=self.trust_remote_code,
            revision=self.revision,
        )

    def _is_loaded(self, model: str) -> bool:
        from mote_backend.chat.loading import is_loaded

        return is_loaded(self._source(model))

    def _mask(self, kwargs: Mapping[str, Any]) -> tuple[ExpertMask | None, Mapping[str, Any]]:
        """The mask of a call, and the options that are left."""
        return None, kwargs

    def _mask_metadata(self, mask: ExpertMask | None) -> dict[str, Any]:
        return {}


def _ids(tokenizer: Any, text: str) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"A text to be scored holds bytes that are not UTF-8: {shown(text)}.") from None
    return [int(one) for one in tokenizer(text, add_special_tokens=False)["input_ids"]]
