"""What an OpenAI client asks, as the options of a chat model: unknown fields are refused, harmless ones left."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from mote_backend.errors import InputError, shown
from mote_backend.serving.openai_messages import messages_of

_HARMLESS = frozenset(
    "user metadata store service_tier safety_identifier prompt_cache_key prompt_cache_retention prediction".split()
)
"""What changes no reply: it is left out."""

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "functions": ([],),
}
"""What would change a reply, unless it has one of these values."""

_INSTEAD = {
    "n": "ask several times, the requests run as one batch",
    "frequency_penalty": "there is repetition_penalty",
    "presence_penalty": "there is repetition_penalty",
    "functions": "there is tools",
    "function_call": "there is tool_choice",
    "reasoning_effort": "what the template understands goes into chat_template_kwargs",
    "chat_template": "the server's own is used",
}

_RESERVED = frozenset(
    "conversation tools documents chat_template tokenize add_generation_prompt continue_final_message padding "
    "truncation max_length return_tensors return_dict return_assistant_tokens_mask tokenizer_kwargs messages".split()
)
"""What of a template's arguments the server sets."""

_Scalar = str | bool | int | float | None
_Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


def _several(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class StreamOptions(BaseModel):
    """What a stream tells besides the reply."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class Body(BaseModel):
    """The fields of a request that count. Units and meanings are those of `ChatTransformers`."""

    model_config = ConfigDict(extra="forbid")

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str = ""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    """The newer name of the same."""
    stop: Annotated[list[_Stop], Field(max_length=16), BeforeValidator(_several)] | None = None
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, _Scalar] | None = None
    """Such as {"enable_thinking": false}; what a template does not understand it leaves out."""
    return_token_ids: bool = False
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    mote_mask: str | dict[str, Any] | None = None
    """A name, an id, or the mask itself; null switches nothing."""


_SAMPLING = "temperature top_p top_k min_p repetition_penalty seed logprobs top_logprobs".split()
_SENT = "tools tool_choice parallel_tool_calls response_format chat_template_kwargs return_token_ids".split()


@dataclass(frozen=True)
class Asked:
    """One request."""

    model: str
    messages: Sequence[BaseMessage]
    options: Mapping[str, Any]
    """For the chat model's call; only what the client gave, so that the chat model's own values hold for the rest."""
    mask: str | Mapping[str, Any] | None
    """The field `mote_mask`."""
    names_mask: bool
    """Whether the request has that field: null in it switches nothing, whatever the model's own mask is."""
    stream: bool
    include_usage: bool
    return_token_ids: bool


def asked(given: Mapping[str, Any]) -> Asked:
    """What a request asks. InputError says what of it cannot be done."""
    kept = {key: value for key, value in given.items() if value is not None and key not in _HARMLESS}
    for key, neutral in _NEUTRAL.items():
        if key in kept and kept[key] in neutral:
            del kept[key]
    for key in kept:
        if key not in Body.model_fields:
            raise InputError(_unknown(key))
    try:
        body = Body.model_validate(kept)
    except ValidationError as error:
        raise InputError(_first(error)) from None
    return Asked(
        model=body.model,
        messages=messages_of(body.messages),
        options=_options(body),
        mask=body.mote_mask or None,
        names_mask="mote_mask" in given,
        stream=body.stream,
        include_usage=body.stream_options.include_usage,
        return_token_ids=body.return_token_ids,
    )


def _options(body: Body) -> dict[str, Any]:
    options = {key: value for key in (*_SAMPLING, *_SENT) if (value := getattr(body, key)) is not None}
    longest = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if longest is not None:
        options["max_tokens"] = longest
    if body.stop:
        options["stop"] = body.stop
    if taken := sorted(_RESERVED & set(body.chat_template_kwargs or ())):
        raise InputError(f"chat_template_kwargs cannot set {taken[0]!r}, which the server sets.")
    for tool in body.tools or ():
        function = tool.get("function")
        if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
            raise InputError('A tool is {"type": "function", "function": {"name": …, "parameters": …}}.')
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise InputError("A tool has no name; give its function one.")
        if not isinstance(function.get("parameters") or {}, Mapping):
            raise InputError("The parameters of a tool are no JSON schema; give an object.")
    if not body.tools:
        options.pop("tools", None)
        if body.tool_choice in (None, "none", "auto"):
            options.pop("tool_choice", None)
    return options


def _unknown(key: str) -> str:
    key = key[:60]
    if key in _INSTEAD:
        return f"{key} cannot be given: {_INSTEAD[key]}."
    near = difflib.get_close_matches(key, Body.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(Body.model_fields)}."
    return f"{key!r} is no known field, and leaving it out could change the reply; {hint}"


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "the request"
    told = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
    if first["type"] == "missing":
        return f"{name!r} is missing."
    return f"{name} is {shown(first['input'], 60)}: {told}."
