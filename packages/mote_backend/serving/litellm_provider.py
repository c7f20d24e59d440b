"""Chat models as LiteLLM's provider `mote`: `litellm.completion("mote/NAME", messages, mote_mask="MASK")`.

    register({"olmoe": ChatMoTE(model="allenai/OLMoE-1B-7B-0125-Instruct")})

`mote_mask` may stand in `extra_body` too, and "mote/NAME:MASK" names a mask of the model's book. Concurrent calls share
a batch. LiteLLM is imported with `register`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk

from mote_backend.errors import ContextLengthError, MissingExtraError, MoTEError
from mote_backend.serving.openai_reply import finish_reason, message_json, tool_call_delta, usage_json
from mote_backend.serving.openai_request import Asked, asked
from mote_backend.serving.served_models import ServedModels

if TYPE_CHECKING:
    from mote_backend.chat.chat_mote import ChatMoTE

PROVIDER = "mote"

_LOCK = threading.Lock()
_MODELS: dict[str, ChatMoTE] = {}
_LITELLMS_OWN = frozenset({"stream", "stream_options", "max_retries", "extra_body", "extra_headers"})


class MoTECallError(Exception):
    """A call that was refused, with the status that LiteLLM tells clients."""

    def __init__(self, message: str, status_code: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = code
        """As the server's answers have it, such as "mask_not_allowed"."""


def register(models: Mapping[str, ChatMoTE]) -> None:
    """Make models callable as "mote/NAME"; of two with one name the later counts. Other providers stay as they are."""
    ServedModels(models)  # refuses what is no name
    litellm = _litellm()
    with _LOCK:
        _MODELS.update(models)
        if not any(item["provider"] == PROVIDER for item in litellm.custom_provider_map):
            others = list(litellm.custom_provider_map)
            litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": _handler()}]
        # Else only LiteLLM's outermost wrapper does so, which some callers leave out.
        sys.modules["litellm.utils"].custom_llm_setup()


def unregister(*names: str) -> None:
    """Forget these models, or all."""
    with _LOCK:
        for name in names or tuple(_MODELS):
            _MODELS.pop(name, None)


def _litellm() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the network for prices
    try:
        import litellm
        import litellm.utils
    except ImportError as error:
        raise MissingExtraError("The provider needs LiteLLM: pip install litellm.") from error
    return litellm


@cache
def _handler() -> Any:
    """LiteLLM's handler; its class can only be written once LiteLLM is there."""
    from litellm.llms.custom_llm import CustomLLM

    class MoTEProvider(CustomLLM):
        def completion(self, *_: Any, **call: Any) -> Any:
            chat_model, asked, options = _prepared(call)
            with _telling(call):
                result = chat_model._generate(list(asked.messages), **options)
            return _response(call, cast(AIMessage, result.generations[0].message))

        async def acompletion(self, *_: Any, **call: Any) -> Any:
            chat_model, asked, options = _prepared(call)
            with _telling(call):
                result = await chat_model._agenerate(list(asked.messages), **options)
            return _response(call, cast(AIMessage, result.generations[0].message))

        def streaming(self, *_: Any, **call: Any) -> Iterator[Any]:
            chat_model, asked, options = _prepared(call)
            ends = _Ends()
            chunks = closing(cast(Any, chat_model._stream(list(asked.messages), **options)))
            with _telling(call), chunks as stream:
                for chunk in stream:
                    yield from ends.pieces(chunk.message)

        async def astreaming(self, *_: Any, **call: Any) -> Any:
            chat_model, asked, options = _prepared(call)
            ends = _Ends()
            chunks = aclosing(cast(Any, chat_model._astream(list(asked.messages), **options)))
            with _telling(call):
                async with chunks as stream:
                    async for chunk in stream:
                        for piece in ends.pieces(chunk.message):
                            yield piece

    return MoTEProvider()


def _prepared(call: Mapping[str, Any]) -> tuple[ChatMoTE, Asked, dict[str, Any]]:
    """The model that is meant, what it is asked, and with which options."""
    given = {**call["optional_params"], **(call["optional_params"].get("extra_body") or {})}
    fields = {key: value for key, value in given.items() if key not in _LITELLMS_OWN}
    with _LOCK:
        known = dict(_MODELS)
    with _telling(call):
        wanted = asked({**fields, "messages": call["messages"]})
        choice = ServedModels(known).choose(call["model"], wanted.mask, names_mask=wanted.names_mask)
    options = {**wanted.options, "mote_mask": choice.mask, "return_token_ids": wanted.return_token_ids}
    if isinstance(timeout := call.get("timeout"), int | float):
        options["timeout"] = float(timeout)
    # What was refused until now was not sent; what fails from now on may have cost something.
    call["logging_obj"].pre_call(input=call["messages"], api_key="", additional_args={})
    return choice.chat_model, wanted, options


@contextmanager
def _telling(call: Mapping[str, Any]) -> Iterator[None]:
    """What goes wrong here, in the exceptions that LiteLLM and its users know."""
    from mote_backend.serving.errors import code_of, status_of

    try:
        yield
    except ContextLengthError as error:
        raise _litellm().ContextWindowExceededError(str(error), call["model"], PROVIDER) from error
    except (MoTEError, TimeoutError) as error:
        raise MoTECallError(str(error), status_of(error), code_of(error)) from error


def _response(call: Mapping[str, Any], message: AIMessage) -> Any:
    litellm, response = _litellm(), call["model_response"]
    choice = response.choices[0]
    choice.message = litellm.Message(**message_json(message))
    choice.finish_reason = finish_reason(message)
    if logprobs := message.response_metadata.get("logprobs"):
        choice.logprobs = litellm.types.utils.ChoiceLogprobs(**logprobs)
    response.created = int(time.time())
    response.model = call["model"]
    response.usage = litellm.Usage(**usage_json(message))
    response.mote = message.response_metadata.get("mote")
    return response


class _Ends:
    """LiteLLM's pieces of one stream, and what its last must tell."""

    def __init__(self) -> None:
        self._called = False

    def pieces(self, chunk: AIMessageChunk) -> Iterator[dict[str, Any]]:
        self._called = self._called or bool(chunk.tool_call_chunks)
        last = chunk.chunk_position == "last"
        for one in chunk.tool_call_chunks:
            yield self._piece(tool_use=tool_call_delta(cast(Any, one)))
        if not last:
            if chunk.text:
                yield self._piece(text=str(chunk.text))
            return
        yield self._piece(
            text=str(chunk.text),
            is_finished=True,
            finish_reason=finish_reason(chunk, called=self._called),
            usage=usage_json(chunk),
        )

    @staticmethod
    def _piece(**fields: Any) -> dict[str, Any]:
        empty = {"text": "", "tool_use": None, "is_finished": False, "finish_reason": "", "usage": None, "index": 0}
        return empty | fields
