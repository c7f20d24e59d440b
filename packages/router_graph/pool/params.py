"""Which parameters of a call go to the provider, and which cannot, as they would pass the pool or the bill by."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_REFUSED: dict[str, tuple[str, frozenset[Any]]] = {
    **dict.fromkeys(("n", "best_of"), ("each of several replies is billed; ask several times", frozenset({1}))),
    **dict.fromkeys(
        ("max_completion_tokens", "max_output_tokens"), ("a reply is bounded, and reserved, by max_tokens", frozenset())
    ),
    **dict.fromkeys(("drop_params", "additional_drop_params"), ("max_tokens must not be dropped", frozenset({False}))),
    "prediction": ("what of it the model does not use is billed beyond max_tokens", frozenset()),
    **dict.fromkeys(("audio", "modalities"), ("the prices of cards are for text", frozenset())),
    **dict.fromkeys(
        ("mock_response", "mock_tool_calls", "mock_timeout"), ("the bill would hold what nobody was asked", frozenset())
    ),
    **dict.fromkeys(("stream", "stream_options"), ("the pool has `stream` and `astream`", frozenset())),
    **dict.fromkeys(("model", "messages", "custom_llm_provider", "deployment_id"), ("the pool sets it", frozenset())),
    **dict.fromkeys(("api_base", "base_url"), ("the card has api_base", frozenset())),
    "timeout": ("the card has timeout_s, and a call deadline_s", frozenset()),
    **dict.fromkeys(
        ("api_key", "api_token", "azure_ad_token", "aws_secret_access_key", "aws_session_token"),
        ("the card names the key's environment variable in api_key_env", frozenset()),
    ),
    **dict.fromkeys(
        ("num_retries", "max_retries", "fallbacks", "model_list", "models"),
        ("the pool has retries and fallbacks", frozenset()),
    ),
    "budget": ("a budget is kept by a ledger, as in ledger=Ledger(Budget(usd=1))", frozenset()),
    "service_tier": ("its prices are not the card's", frozenset({"default", "auto", "standard_only"})),
    "web_search_options": ("searches are billed apart from tokens", frozenset()),
}
"""Why a parameter is refused, and the values of it that change nothing."""


_OWN = ("ledger", "purpose", "fallbacks", "retries", "deadline_s", "wait_s", "enough_tokens", "max_tokens")
"""Options of a call that a parameter may be a misspelling of: sent on, it would be ignored, and a limit with it."""

_SECRET = re.compile(r"authorization|cookie|secret|password|(api|access|auth)[-_]?(key|token)", re.IGNORECASE)


def secret_in(params: Mapping[str, Any], path: str = "params") -> str | None:
    """Where in the parameters a secret seems to stand, if anywhere."""
    for name, value in params.items():
        here = f"{path}.{name}"
        if _SECRET.search(str(name)):
            return here
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, Mapping) and (found := secret_in(one, here)):
                return found
    return None


def refusal(params: Mapping[str, Any]) -> str | None:
    """Why these parameters cannot be sent, if they cannot."""
    for name, (reason, harmless) in _REFUSED.items():
        value = params.get(name)
        if value is not None and not (isinstance(value, int | str) and value in harmless):
            return f"{name} cannot be a parameter: {reason}."
    for name in params:
        if meant := _meant(name):
            return f"{name!r} is no known option; did you mean {meant!r}?"
    tools = params.get("tools")
    for tool in tools if isinstance(tools, Sequence) else ():
        if isinstance(tool, Mapping) and not _is_function(tool):
            kind = tool.get("type") or ", ".join(map(str, tool))
            return f"tools cannot hold {kind!r}: a tool of the provider's own is billed apart from tokens."
    beside = params.get("extra_body")
    if isinstance(beside, Mapping):  # the client puts its keys into the same body, over ours
        problem = "a reply is bounded by max_tokens outside of it." if "max_tokens" in beside else refusal(beside)
        if problem:
            return f"extra_body cannot be sent: {problem}"
    longest = params.get("max_tokens")
    if longest is not None and (not isinstance(longest, int) or isinstance(longest, bool) or longest < 1):
        return f"max_tokens is {longest!r}; it must be a whole number, 1 or more."
    return None


@lru_cache(maxsize=1024)
def _meant(name: str) -> str | None:
    """The option of ours that the parameter is a misspelling of."""
    near = () if name in (*_OWN, *_REFUSED) else difflib.get_close_matches(name, _OWN, n=1, cutoff=0.75)
    return near[0] if near else None


def _is_function(tool: Mapping[str, Any]) -> bool:
    return tool.get("type", "function") in ("function", "custom") and ("function" in tool or "name" in tool)
