"""LiteLLM as a transport and nothing else: one request out, one reply back.

Its retries, router, cache, budgets and callbacks are process-global: what another library sets would act on our calls.
So we call the function inside LiteLLM's wrapper, with a logging object that tells nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import cache
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, convert_to_openai_messages

from router_graph.errors import (
    AuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    RequestRejectedError,
)
from router_graph.pool.card import ModelCard
from router_graph.pool.failures import failure, tells_secret
from router_graph.pool.local_model import PROVIDER
from router_graph.pool.transport import Request, Transport
from router_graph.pool.transports.litellm_reply import check_end, cost_of, message_of, piece_of, usage_of

_ASYNC_HANDLERS = (
    "async_success_handler",
    "async_failure_handler",
    "dispatch_success_handlers",
    "dispatch_failure_handlers",
)
_NO_KEY = "none"
"""What a server of the user's own gets where it has no key: clients insist on something."""


class LiteLLMTransport(Transport):
    """Every provider that LiteLLM knows. Importing LiteLLM takes seconds, so it is put off to the first call."""

    async def prepare(self, card: ModelCard | None = None) -> None:
        """Import LiteLLM, beside the event loop."""
        if not _is_loaded():
            await asyncio.to_thread(_load)

    async def complete(self, request: Request) -> AIMessage:
        """The whole reply."""
        errand, before = _Errand(request, stream=False), sys.exception()
        try:
            return message_of(await errand.send(self.arguments(request)), request.card)
        except Exception as error:
            raise errand.failure(error, before) from errand.cause(error)

    async def stream(self, request: Request) -> AsyncGenerator[AIMessageChunk, None]:
        """The reply in pieces."""
        errand, before = _Errand(request, stream=True), sys.exception()
        try:
            response = await errand.send(self.arguments(request))
            said, usage = False, None
            try:
                async for piece in response:
                    usage = getattr(piece, "usage", None) or usage
                    chunk = piece_of(piece)
                    if chunk is not None:
                        said = said or bool(chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs)
                        yield chunk
                    if getattr(response, "sent_stream_usage", False):
                        break  # the provider has ended; to go on makes LiteLLM add the whole stream up once more
            finally:
                with contextlib.suppress(Exception):
                    await response.aclose()
            # LiteLLM makes a usage up where the provider gave none; the pieces as they came tell.
            reported = [one for piece in getattr(response, "chunks", ()) if (one := getattr(piece, "usage", None))]
            check_end(response, request.card, said=said, reported=bool(reported))
            # Of a custom provider's stream LiteLLM passes no usage on.
            told = usage or reported[-1] if reported else None
            yield AIMessageChunk(content="", usage_metadata=usage_of(told), response_metadata=cost_of(told))
        except Exception as error:
            raise errand.failure(error, before) from errand.cause(error)

    def count(self, card: ModelCard, text: str) -> int:
        """About how many tokens the text is, by the tokenizer that LiteLLM has for the model."""
        return int(_litellm().token_counter(model=card.id, text=text)) if text else 0

    def arguments(self, request: Request) -> dict[str, Any]:
        """What goes to the provider besides the messages."""
        return dict(request.params)


class _Errand:
    """One request on its way: whether it was sent decides what a failure may have cost."""

    def __init__(self, request: Request, *, stream: bool) -> None:
        self._request, self._card, self._stream = request, request.card, stream
        self._logging: Any = None

    async def send(self, arguments: Mapping[str, Any]) -> Any:
        """LiteLLM's response. Raises `ModelError` where LiteLLM would ask another model than this."""
        _check_settings(self._card)
        messages = convert_to_openai_messages(list(self._request.messages))
        self._logging = _silent(self._card.id, messages, stream=self._stream)
        return await _acompletion()(
            model=self._card.id,
            messages=messages,
            timeout=self._card.timeout_s,
            num_retries=0,
            max_retries=0,
            litellm_logging_obj=self._logging,
            _skip_mcp_handler=True,  # else any call with tools wants the `mcp` package
            **({"stream": True, "stream_options": {"include_usage": True}} if self._stream else {}),
            **_reached(self._card),
            **arguments,
        )

    def failure(self, error: Exception, before: BaseException | None) -> ModelError:
        """What went wrong; `before` is what the caller was handling when the request began."""
        sent = bool(self._logging and self._logging.sent)
        missing = [] if isinstance(error, ModelError) else _missing_keys(self._card)
        found = failure(
            error,
            self._card.name,
            model=self._card.id,
            key_variable=self._card.api_key_env or next(iter(missing), None),
            sent=sent,
            before=before,
        )
        wants_key = isinstance(found, AuthenticationError | ModelConnectionError)
        if missing and (wants_key or (not sent and isinstance(found, RequestRejectedError))):
            joint = " or " if all(variable.endswith("_API_KEY") for variable in missing) else " and "
            return AuthenticationError(
                f"{self._card.name!r} needs a key; set the environment variable {joint.join(missing)}."
            )
        if not sent and isinstance(found, RequestRejectedError) and not _has_provider(self._card):
            if self._card.id.startswith(PROVIDER):
                return ModelNotFoundError(
                    f"Nobody has said what {self._card.id!r}, the model of {self._card.name!r}, is; give its folder "
                    "under `mote:` in the pool file."
                )
            return ModelNotFoundError(
                f"LiteLLM knows no provider for {self._card.id!r}, the model of {self._card.name!r}; put the provider "
                "first, as in openai/gpt-4o-mini."
            )
        return found

    def cause(self, error: Exception) -> Exception | None:
        """The error as the cause of ours, unless a traceback would show a key that the provider echoed."""
        return None if tells_secret(error, self._card.api_key_env) else error


def _reached(card: ModelCard) -> dict[str, str]:
    """Where the model is and with which key. Raises `AuthenticationError`."""
    reached = {} if card.api_base is None else {"api_base": card.api_base, "api_key": _NO_KEY}
    if card.api_key_env is not None:
        key = os.environ.get(card.api_key_env)
        if not key:
            raise AuthenticationError(f"{card.name!r} needs a key; set the environment variable {card.api_key_env}.")
        reached["api_key"] = key
    return reached


def _missing_keys(card: ModelCard) -> Sequence[str]:
    if card.api_base is not None or card.api_key_env is not None:
        return ()
    with contextlib.suppress(Exception):
        return list(_litellm().validate_environment(model=card.id)["missing_keys"])
    return ()


def _check_settings(card: ModelCard) -> None:
    """Raises `RequestRejectedError` for settings that no argument overrides, and that would send a call elsewhere."""
    if _litellm().model_fallbacks is not None:
        setting = "model_fallbacks"  # it goes on to other models, with retries, past the ledger
    elif card.id in (_litellm().model_alias_map or {}):
        setting = "model_alias_map"
    else:
        return
    raise RequestRejectedError(
        f"{card.name!r} was not asked, as litellm.{setting} is set in this process and would send the call to another "
        "model; unset it, and give the pool `fallbacks`."
    )


def _has_provider(card: ModelCard) -> bool:
    try:
        _litellm().get_llm_provider(model=card.id, api_base=card.api_base)
    except Exception:
        return False
    return True


def _is_loaded() -> bool:
    return _acompletion.cache_info().currsize > 0


def _load() -> None:
    _acompletion()
    if _litellm().model_fallbacks is not None:
        return  # which would send even a rehearsal elsewhere
    # The first call would import for another half second, on the model's time: rehearse it, with a made-up reply that
    # is sent nowhere.
    model, messages = "openai/gpt-4o-mini", [{"role": "user", "content": "Hello"}]
    logging = _silent(model, messages, stream=False)
    with contextlib.suppress(Exception):
        importlib.import_module("openai.resources.chat")
        asyncio.run(_acompletion()(model=model, messages=messages, mock_response="Hi", litellm_logging_obj=logging))


@cache
def _litellm() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the network for prices
    import litellm

    litellm.suppress_debug_info = True  # else it prints on every error
    # Else counting the tokens of a Llama or Command R asks Hugging Face for a tokenizer, for 20 s where it cannot.
    litellm.disable_hf_tokenizer_download = True
    return litellm


@cache
def _acompletion() -> Callable[..., Any]:
    function: Callable[..., Any] = _litellm().main.acompletion
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _silent(model: str, messages: Sequence[Any], *, stream: bool) -> Any:
    return _silent_logging()(
        model=model,
        messages=messages,
        stream=stream,
        call_type="acompletion",
        start_time=datetime.datetime.now(),
        litellm_call_id=str(uuid.uuid4()),
        function_id="",
    )


@cache
def _silent_logging() -> Callable[..., Any]:
    _litellm()
    from litellm.litellm_core_utils.litellm_logging import Logging

    def nothing(*_: object, **__: object) -> None:
        pass

    def note(self: Any, *_: object, **__: object) -> None:
        self.sent = True

    async def nothing_async(*_: object, **__: object) -> None:
        pass

    handlers: Mapping[str, object] = {
        "sent": False,
        "pre_call": note,
        **dict.fromkeys(("post_call", "success_handler", "failure_handler"), nothing),
        **dict.fromkeys(_ASYNC_HANDLERS, nothing_async),
    }
    return type("SilentLogging", (Logging,), dict(handlers))
