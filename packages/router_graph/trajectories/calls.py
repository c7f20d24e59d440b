"""A call of a chat model, as LangChain tells it, put into the form of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from router_graph.state import plain
from router_graph.trajectories.records import Call, Message, Tokens

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "seed", "stop", "n")


def message_of(message: BaseMessage) -> Message:
    """The message, with its tool calls where it has some."""
    told = Message(role=message.type.removesuffix("MessageChunk").lower(), content=plain(message.content))
    if isinstance(message, AIMessage) and message.tool_calls:
        told["tool_calls"] = [_tool_call(one) for one in message.tool_calls]
    if (answered := getattr(message, "tool_call_id", None)) is not None:
        told["tool_call_id"] = str(answered)
    return told


def call_of(
    *,
    call_id: str,
    node: str,
    is_policy: bool,
    prompt: Sequence[Message],
    params: Mapping[str, Any],
    seconds: float,
    response: LLMResult | None,
    error: str,
) -> Call:
    """The call; `response` is None where it failed."""
    reply = _reply(response)
    facts = reply.response_metadata if reply is not None else {}
    usage = reply.usage_metadata if reply is not None else None
    return Call(
        call_id=call_id,
        node=node,
        is_policy=is_policy,
        model=str(
            facts.get("card") or facts.get("model_name") or params.get("ls_model_name") or params.get("model") or ""
        ),
        prompt=list(prompt),
        reply=str(reply.text) if reply is not None else "",
        tool_calls=[_tool_call(one) for one in reply.tool_calls] if reply is not None else [],
        input_tokens=usage["input_tokens"] if usage else 0,
        output_tokens=usage["output_tokens"] if usage else 0,
        seconds=seconds,
        error=error,
        sampling={key: plain(params[key]) for key in _SAMPLING if params.get(key) is not None},
        tokens=tokens_of(facts),
    )


def tokens_of(facts: Mapping[str, Any]) -> Tokens | None:
    """The ids that the sampler drew, from a reply's `response_metadata`; None where it does not tell them.

    `ChatTransformers` tells `prompt_token_ids`, `token_ids` and `token_logprobs`.
    """
    prompt, completion = facts.get("prompt_token_ids"), facts.get("token_ids")
    if not isinstance(prompt, list) or not isinstance(completion, list):
        return None
    logprobs = facts.get("token_logprobs")
    known = isinstance(logprobs, list) and len(logprobs) == len(completion)
    return Tokens(
        prompt_ids=prompt,
        completion_ids=completion,
        logprobs=logprobs if known else None,
        logprob_kind=facts.get("logprob_kind", "processed") if known else None,
        model=str(facts.get("model_fingerprint") or ""),
        tokenizer=str(facts.get("tokenizer_fingerprint") or ""),
    )


def policys_call(calls: Sequence[Call], step: Mapping[str, Any]) -> Call | None:
    """The call that the step's reply comes from; a shadow's policy may have asked at the same time.

    Where the model said something else than what stands in the step, as where another route was drawn, its tokens are
    left out: they are not what was done.
    """
    own = [call for call in calls if call["is_policy"]]
    for name in (step["decision"]["served"], step["decision"]["policy"]):
        own = [call for call in own if call["model"] == name] or own
    if same := [call for call in own if call["reply"] == step["reply"]]:
        return same[-1]
    return {**own[-1], "tokens": None} if own else None


def _reply(response: LLMResult | None) -> AIMessage | None:
    generation = response.generations[0][0] if response and response.generations and response.generations[0] else None
    message = generation.message if isinstance(generation, ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": call.get("id"), "name": call.get("name"), "args": plain(call.get("args"))}
