"""One call of a chat model, made ready for the engine: the prompt, the sampling, and how the reply is to be read."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from mote_backend.chat.completion import Completion, Piece, Request
from mote_backend.chat.messages import plain_messages
from mote_backend.chat.prompt import prompt_ids
from mote_backend.chat.reply import openai_logprobs, token_metadata, usage_of
from mote_backend.chat.sampling import Sampling
from mote_backend.errors import InputError, shown
from mote_backend.tools.calls import OPTIONS, MessageStream, ToolUse

if TYPE_CHECKING:
    from mote_backend.chat.engine import Engine
    from mote_backend.mask import ExpertMask

SAMPLING = frozenset("temperature top_p top_k min_p repetition_penalty max_tokens seed stop top_logprobs".split())
_OWN = frozenset("model timeout logprobs return_token_ids reply_prefix_ids chat_template chat_template_kwargs".split())
_KNOWN = SAMPLING | _OWN | OPTIONS
_ALIASES = {"max_completion_tokens": "max_tokens"}
_MANY_CHARACTERS = 100_000
IGNORED = frozenset("api_key max_retries stream streaming stream_usage ls_structured_output_format".split())
"""What LangChain's other models take and this one has no use for."""


def known_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call under our names; InputError for one that does not exist."""
    named = {_ALIASES.get(key, key): value for key, value in given.items() if key not in IGNORED}
    for key in named:
        if key not in _KNOWN:
            raise InputError(f"{key!r} is no option of a call; there are {', '.join(sorted(_KNOWN))}.")
    return named


def is_laborious(messages: Sequence[BaseMessage], given: Mapping[str, Any]) -> bool:
    """Whether a call takes long to make ready: text to tokenize, or a grammar to compile."""
    sizes = (len(one.content) if isinstance(one.content, str) else len(str(one.content)) for one in messages)
    return bool(given.get("response_format") or given.get("tools")) or sum(sizes) > _MANY_CHARACTERS


def _seconds(timeout: Any) -> float | None:
    """Of a whole call; none where it is not a number that a clock can wait."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0:
        raise InputError(
            f"timeout is {shown(timeout)}; it is a number of seconds, or None to wait as long as it takes."
        )
    return float(timeout) if timeout < threading.TIMEOUT_MAX else None


@dataclass(frozen=True)
class Call:
    """What is asked of the engine, and what its answer is to be told as."""

    engine: Engine
    request: Request
    use: ToolUse
    timeout_s: float | None
    metadata: Mapping[str, Any]
    """What the reply's `response_metadata` says besides what it was made of."""
    logprobs: bool
    return_token_ids: bool

    @classmethod
    def of(
        cls,
        engine: Engine,
        messages: Sequence[BaseMessage],
        options: Mapping[str, Any],
        mask: ExpertMask | None,
        metadata: Mapping[str, Any],
    ) -> Call:
        """`options` are those of the model with those of the call over them."""
        template = {"chat_template": options.get("chat_template")}
        template["template_kwargs"] = options.get("chat_template_kwargs")
        if not isinstance(template["template_kwargs"] or {}, Mapping):
            raise InputError(f"chat_template_kwargs is {shown(template['template_kwargs'])}; give names with values.")
        use = ToolUse.of(engine.tokenizer, options, end_ids=engine.end_ids, **template)
        plain = plain_messages(messages, arguments_as_text=use.arguments_as_text, short_ids=use.short_ids)
        prompt = prompt_ids(engine.tokenizer, plain, tools=use.tools, **template)
        prompt += tuple(options.get("reply_prefix_ids") or ())
        given = {key: value for key, value in options.items() if key in SAMPLING}
        sampling = Sampling.of(**{**given, "constraint": use.constraint})
        return cls(
            engine=engine,
            request=Request(prompt, sampling, mask, skip_special_tokens=use.form is None),
            use=use,
            timeout_s=_seconds(options.get("timeout")),
            metadata=metadata,
            logprobs=bool(options.get("logprobs") or sampling.top_logprobs),
            return_token_ids=bool(options.get("return_token_ids", True)),
        )

    def message(self, completion: Completion) -> AIMessage:
        """The whole reply."""
        message = self.use.message(completion.text)
        message.usage_metadata = usage_of(completion)
        message.response_metadata = self._told(completion, bool(message.tool_calls))
        return message

    def chunks(self, parts: Iterable[Piece | Completion]) -> Iterator[ChatGenerationChunk]:
        """The reply as it grows; the last chunk brings usage and metadata."""
        stream = self.use.stream()
        for part in parts:
            yield from self.more(stream, part)

    def more(self, stream: MessageStream, part: Piece | Completion) -> list[ChatGenerationChunk]:
        """What a part of the reply adds to the chunks of `use.stream()`."""
        if isinstance(part, Piece):
            return _shown(stream.feed(part.text))
        last = AIMessageChunk(
            content="",
            chunk_position="last",
            usage_metadata=usage_of(part),
            response_metadata=self._told(part, stream.calls > 0),
        )
        return [*_shown(stream.finish()), ChatGenerationChunk(message=last)]

    def _told(self, completion: Completion, calls: bool) -> dict[str, Any]:
        told = {**self.metadata, "finish_reason": "tool_calls" if calls else completion.finish_reason}
        if self.logprobs:
            told["logprobs"] = openai_logprobs(self.engine.tokenizer, completion)
        return told | (token_metadata(completion) if self.return_token_ids else {})


def _shown(chunk: AIMessageChunk) -> list[ChatGenerationChunk]:
    has = chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs
    return [ChatGenerationChunk(message=chunk)] if has else []
