"""Which parameters of a call go to the provider, and which cannot, as they would pass the pool or the bill by."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

_REFUSED: dict[str, tuple[str, frozenset[Any]]] = {
    **dict.fromkeys(("n", "best_of"), ("each of several replies is billed; ask several times", frozenset({1}))),
    "max_completion_tokens": ("a reply is bounded, and reserved, by max_tokens", frozenset()),
    **dict.fromkeys(("stream", "stream_options"), ("the pool has `stream` and `astream`", frozenset())),
    **dict.fromkeys(("model", "messages", "custom_llm_provider"), ("the pool sets it", frozenset())),
    **dict.fromkeys(("api_base", "base_url"), ("the card has api_base", frozenset())),
    "timeout": ("the card has timeout_s, and a call deadline_s", frozenset()),
    **dict.fromkeys(
        ("api_key", "api_token", "azure_ad_token", "aws_secret_access_key", "aws_session_token"),
        ("the card names the key's environment variable in api_key_env", frozenset()),
    ),
    **dict.fromkeys(
        ("num_retries", "max_retries", "fallbacks", "model_list"), ("the pool has retries and fallbacks", frozenset())
    ),
    "budget": ("a budget is kept by a ledger, as in ledger=Ledger(Budget(usd=1))", frozenset()),
    "service_tier": ("its prices are not the card's", frozenset({"default", "auto", "standard_only"})),
    "web_search_options": ("searches are billed apart from tokens", frozenset()),
}
"""Why a parameter is refused, and the values of it that change nothing."""


_OWN = ("ledger", "purpose", "fallbacks", "retries", "deadline_s", "wait_s", "max_tokens")
"""Options of a call that a parameter may be a misspelling of: sent on, it would be ignored, and a limit with it."""

_SECRET = re.compile(r"authorization|api[-_]?(key|token)|secret|password", re.IGNORECASE)


def secret_in(params: Mapping[str, Any], path: str = "params") -> str | None:
    """Where in the parameters a secret seems to stand, if anywhere."""
    for name, value in params.items():
        here = f"{path}.{name}"
        if _SECRET.search(str(name)):
            return here
        if isinstance(value, Mapping) and (found := secret_in(value, here)):
            return found
    return None


def refusal(params: Mapping[str, Any]) -> str | None:
    """Why these parameters cannot be sent, if they cannot."""
    for name, (reason, harmless) in _REFUSED.items():
        value = params.get(name)
        if value is not None and not (isinstance(value, int | str) and value in harmless):
            return f"{name} cannot be a parameter: {reason}."
    for name in params:
        near = difflib.get_close_matches(name, _OWN, n=1, cutoff=0.75)
        if near and name not in (*_OWN, *_REFUSED):
            return f"{name!r} is no known option; did you mean {near[0]!r}?"
    longest = params.get("max_tokens")
    if longest is not None and (not isinstance(longest, int) or isinstance(longest, bool) or longest < 1):
        return f"max_tokens is {longest!r}; it must be a whole number, 1 or more."
    return None
