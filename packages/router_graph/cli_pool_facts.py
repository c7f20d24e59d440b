"""What `polyroute pool` tells of cards, probes and spending, as data. Of a key it tells only its variable."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from router_graph.budget import PICO
from router_graph.ledger import Ledger
from router_graph.pool.card import TYPICAL, ModelCard
from router_graph.pool.probe import ProbeReport

_USUAL_KEYS = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY",),
    "xai": ("XAI_API_KEY",),
}
"""Where LiteLLM finds the keys of the providers that most people use."""
_NO_KEY = frozenset({"mote", "ollama", "ollama_chat", "lm_studio", "hosted_vllm", "vllm", "llamafile"})
_SECRET_NAME = re.compile(r"key|token$|secret|password|authorization|cookie", re.IGNORECASE)


def facts(card: ModelCard) -> dict[str, Any]:
    """What stands in the list."""
    price = card.payable
    variable, state = _key(card)
    return {
        "name": card.name,
        "id": card.id,
        "mask": card.sent.get("mote_mask"),
        "usd_per_million_in": price.input,
        "usd_per_million_out": price.output,
        "at_most": card.price is None,
        "price_source": price.source,
        "price_date": price.date,
        "context": card.context,
        "can": [word for word, can in (("tools", card.tools), ("vision", card.vision)) if can],
        "privacy": card.privacy,
        "key": {"variable": variable, "state": state},
        "measured": card.measured,
    }


def all_facts(card: ModelCard, fallbacks: Sequence[str]) -> dict[str, Any]:
    """The card, and what follows from it."""
    price, longest = card.payable, None
    if card.context:
        longest = price.worst_case(card.context, card.max_tokens) / PICO
    return {
        "card": card.model_copy(
            update={"api_base": _without_login(card.api_base), "params": _without_secrets(card.params)}
        ),
        "key": facts(card)["key"],
        "usd_of_typical_call": price.worst_case(*TYPICAL) / PICO,
        "usd_of_longest_call": longest,
        "fallbacks": list(fallbacks),
        "policy_reads": card.describe(),
    }


def report_facts(report: ProbeReport) -> dict[str, Any]:
    """A report as data."""
    return {
        "name": report.name,
        "right": report.right,
        "asked": report.asked,
        "tasks": len(report.results),
        "seconds": report.seconds,
        "summary": report.summary,
        "enough": report.is_enough,
        "results": report.results,
    }


def spent(ledger: Ledger) -> dict[str, Any]:
    """What a command took, as data."""
    amount = ledger.spent
    about = any(entry["estimated"] for entry in ledger.entries.values())
    return {"usd": amount.usd, "tokens": amount.tokens, "calls": amount.calls, "estimated": about}


def _key(card: ModelCard) -> tuple[str | None, str]:
    """The environment variable of the key, and whether it is set."""
    provider, slash, _ = card.id.partition("/")
    if card.api_key_env is not None:
        variables: tuple[str, ...] = (card.api_key_env,)
    elif card.transport != "litellm" or card.api_base is not None or (slash and provider in _NO_KEY):
        return None, "none needed"
    else:
        variables = _USUAL_KEYS.get(provider, ()) if slash else ()
    if not variables:
        return None, "unknown"
    found = next((variable for variable in variables if os.environ.get(variable)), None)
    return (variables[0], "not set") if found is None else (found, "set")


def _without_login(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "…" if parts.query else "", ""))


def _without_secrets(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _without_secrets(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_secrets(one, name) for one in value]
    return "…" if isinstance(value, str) and _SECRET_NAME.search(name) else value
