"""What an OpenAI client asks: the fields that count, those that are left, and those that are refused."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from router_graph.context import RouterContext
from router_graph.errors import QuestionError
from router_graph.serving.extra import LARGEST, Extra
from router_graph.serving.messages import Message, Said, said_in

IGNORED = frozenset(
    "temperature top_p top_k min_p frequency_penalty presence_penalty repetition_penalty reasoning_effort "
    "verbosity store service_tier safety_identifier prompt_cache_key prompt_cache_retention prediction "
    "parallel_tool_calls".split()
)
"""Left out: how the models of the pool are asked, their cards say, and the rest changes no reply."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""What would change a reply, unless it has one of these values."""

_WHY = {
    "n": "a question has one answer; ask again for another",
    "tools": "the router asks its own sources, and calls no tools of a client",
    "functions": "the router asks its own sources, and calls no functions of a client",
    "logprobs": "an answer that several models took part in has none",
    "top_logprobs": "an answer that several models took part in has none",
    "logit_bias": "an answer that several models take part in has no tokens of its own",
    "response_format": "an answer is text",
    "modalities": "an answer is text",
    "audio": "an answer is text",
    "web_search_options": "the router asks its own sources",
}
_Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Short = Annotated[str, StringConstraints(max_length=512)]


def _several(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class StreamOptions(BaseModel):
    """What a stream tells besides the reply."""

    model_config = ConfigDict(strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False
    """Of no effect."""


class Body(BaseModel):
    """The fields of a request that count."""

    model_config = ConfigDict(extra="forbid", strict=True)

    messages: list[Message] = Field(min_length=1, max_length=10_000)
    """The last one, of the user, is the question."""
    model: str = "router"
    """`router`, or `router/POLICY`."""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(default=None, ge=1, le=LARGEST)
    """The answer is cut behind so many words and marks; what the router may take is in `polyroute`."""
    max_completion_tokens: int | None = Field(default=None, ge=1, le=LARGEST)
    """The newer name of the same."""
    stop: Annotated[list[_Stop], Field(max_length=16), BeforeValidator(_several)] = []
    """The answer is cut before the first of these."""
    seed: int | None = Field(default=None, ge=-LARGEST, le=LARGEST)
    """The same as `seed` in `polyroute`."""
    user: _Short | None = None
    """Goes into the record of the run."""
    metadata: Annotated[dict[_Short, _Short], Field(max_length=64)] | None = None
    """Goes into the record of the run."""
    polyroute: Extra = Extra()


@dataclass(frozen=True)
class Asked:
    """One request."""

    model: str
    said: Said
    extra: Extra
    context: RouterContext
    stream: bool
    include_usage: bool
    most: int | None
    """Words and marks that the answer may have."""
    stops: tuple[str, ...]
    about: Mapping[str, Any]
    """What goes into the record of the run."""


def asked(given: Mapping[str, Any]) -> Asked:
    """What a request asks. Raises `QuestionError` and `SettingsError`, which say what of it cannot be done."""
    body = _body(given)
    context = body.polyroute.context()
    if body.seed is not None and "seed" not in body.polyroute.model_fields_set:
        context = RouterContext(**{**context.model_dump(exclude_unset=True), "seed": body.seed})
    most = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    about = {"client_user": body.user, "client_metadata": body.metadata}
    return Asked(
        model=body.model,
        said=said_in(body.messages),
        extra=body.polyroute,
        context=context,
        stream=body.stream,
        include_usage=body.stream and body.stream_options.include_usage,
        most=most,
        stops=tuple(body.stop),
        about={key: value for key, value in about.items() if value},
    )


def _body(given: Mapping[str, Any]) -> Body:
    kept = {key: value for key, value in given.items() if value is not None and key not in IGNORED}
    for key, neutral in NEUTRAL.items():
        if any(kept.get(key) == one and type(kept[key]) is type(one) for one in neutral):
            del kept[key]
    for key in kept:
        if key not in Body.model_fields:
            raise QuestionError(_refusal(key))
    if isinstance(extra := kept.get("polyroute"), dict) and (long := next((key for key in extra if len(key) > 60), "")):
        raise QuestionError(f"polyroute: {long[:60]!r}… is no known key.")
    try:
        return Body.model_validate(kept)
    except ValidationError as error:
        raise QuestionError(_first(error)) from None


def _refusal(key: str) -> str:
    key = key[:60]
    if key in _WHY:
        return f"{key} cannot be given: {_WHY[key]}."
    if key in NEUTRAL:
        return f"{key} cannot be given; leave it out."
    near = difflib.get_close_matches(key, [*Body.model_fields, *IGNORED, *RouterContext.model_fields], n=1)
    if near and near[0] in RouterContext.model_fields:
        return f"{key!r} is no known field; a limit of the router stands in polyroute, as in {{'polyroute': {{…}}}}."
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(Body.model_fields)}."
    return f"{key!r} is no known field, and leaving it out could change the reply; {hint}"


def _first(error: ValidationError) -> str:
    # Of the forms that a value may have, the one that was meant is the one that was understood furthest.
    first = max(error.errors(include_url=False, include_context=False), key=lambda one: len(one["loc"]))
    name = ".".join(str(part) for part in first["loc"])[:120] or "the request"
    if first["type"] == "missing":
        return f"{name!r} is missing."
    given = repr(first["input"])
    shown = given if len(given) <= 60 else f"{given[:57]}..."
    if first["type"] == "model_type":
        return f"{name} is {shown}: it must hold keys and values."
    problem = f"{first['msg'][:1].lower()}{first['msg'][1:]}".rstrip(".")
    return f"{name} is {shown}: {problem}."
