"""LiteLLM's price map, read from its package without importing it: what a model costs and what it can do.

A price that the map cannot settle for certain is None with a reason, never a guess: an unknown price refuses.
"""

from __future__ import annotations

import datetime
import difflib
import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from router_graph.pool.price import Price, Rates

_MAP = "model_prices_and_context_window_backup.json"

_METERED = frozenset({"chat", "completion", "responses", "embedding"})
"""The modes whose calls are billed by tokens of text."""

_LOCAL = frozenset({"ollama", "lemonade"})
"""Providers that run on the user's own machine, so that a price of 0 is a price."""

_OPTED_INTO = re.compile(
    r"_(priority|flex|batches|balanced|ultrafast|decisions)(_|$)"  # service tiers
    r"|_above_1hr|^explicit_cache_"  # long-lived caches
    r"|^(search_context|google_maps_grounding|code_interpreter|file_search|vector_store|computer_use)_"  # tools
    r"|audio"  # nothing here sends any
    r"|dbu"  # the same price in another currency
    r"|_cache_hit$"  # an older name of cache_read_input_token_cost, and always equal to it
)
"""Costs that a plain call of text does not meet."""

_AS_TEXT = {
    "input_cost_per_image_token": "input_cost_per_token",
    "output_cost_per_audio_token": "output_cost_per_token",
}
"""Costs of other tokens that a `Price` holds where they equal those of text. A model that speaks does so unasked."""

_READ = re.compile(
    r"(input_cost_per_token|output_cost_per_token|cache_read_input_token_cost|cache_creation_input_token_cost)"
    r"(_above_(\d+)(k?)_tokens)?|output_cost_per_reasoning_token|input_cost_per_request"
)
"""Costs that a `Price` holds."""

_ALWAYS_SEARCHES = re.compile(r"deep-research|/sonar|/preset/|[-/]search($|-)")


@dataclass(frozen=True, slots=True)
class Known:
    """What LiteLLM's map says of a model."""

    key: str
    """The entry's name in the map."""
    price: Price | None
    """None where the map has no price that is sure; `unpriced` says why."""
    unpriced: str | None
    """Why there is no price, as the end of a sentence; None where there is one."""
    context: int | None
    """The most input tokens."""
    max_output: int | None
    """The most output tokens."""
    tools: bool
    vision: bool
    mode: str | None
    """`chat`, `completion`, `responses`, `embedding`, or a kind of model that is not metered here."""


def known(model_id: str, provider: str | None = None) -> Known | None:
    """What the map says of `openai/gpt-4o-mini` or, with the provider apart, of `gpt-4o-mini`; None if nothing."""
    key = _key(model_id, provider)
    return None if key is None else _known(key)


def nearest(model_id: str, n: int = 3) -> list[str]:
    """Up to `n` ids of the map that look most like this one, for "did you mean"."""
    asked, provider = _tail(model_id), model_id.partition("/")[0]
    tails = _tails()
    # A name cut short, as without its date, is further from the whole in difflib's eyes than other models are.
    longer = sorted((tail for tail in tails if asked and tail.startswith(asked)), key=len)
    close = dict.fromkeys(longer[:n] + difflib.get_close_matches(asked, tails, n=n, cutoff=0.5))

    def fit(key: str) -> tuple[bool, int, str]:
        return not _is_provider(provider, _map()[key].get("litellm_provider")), len(key), key

    return [min(tails[tail], key=fit) for tail in list(close)[:n]]


@cache
def as_of() -> datetime.date | None:
    """The day on which this copy of the map was installed: its prices are of that day at the latest.

    The map carries no date of its own, and a wheel's files get the time of their installation.
    """
    path = _path()
    return None if path is None else datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).date()


@cache
def _source() -> str:
    return f"litellm {importlib.metadata.version('litellm')}"


@cache
def _path() -> Path | None:
    spec = importlib.util.find_spec("litellm")
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0]) / _MAP if places else None
    return path if path and path.is_file() else None


@cache
def _map() -> dict[str, dict[str, Any]]:
    path = _path()
    if path is None:
        return {}
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    entries.pop("sample_spec", None)
    return entries


def _key(model_id: str, provider: str | None) -> str | None:
    """The entry that LiteLLM bills: the name with its provider, else the bare name if it is that provider's."""
    if provider is not None and not model_id.startswith(f"{provider}/"):
        model_id = f"{provider}/{model_id}"
    if model_id in _map():
        # A bare name of a provider with entries of its own: LiteLLM finds the provider out and then reads those.
        full = f"{_family(_map()[model_id].get('litellm_provider'))}/{model_id}"
        return full if full in _map() else model_id
    prefix, _, rest = model_id.partition("/")
    if prefix == "bedrock":
        rest = re.sub(r"^(converse|invoke|converse_like)/", "", rest)
    return rest if rest in _map() and _is_provider(prefix, _map()[rest].get("litellm_provider")) else None


def _is_provider(asked: str, entry: str | None) -> bool:
    return asked in (entry, _family(entry))


def _family(provider: str | None) -> str | None:
    # LiteLLM splits these up, as in vertex_ai-anthropic_models and bedrock_converse.
    families = ("vertex_ai", "fireworks_ai", "bedrock", "cohere")
    return next((family for family in families if (provider or "").startswith(family)), provider)


@cache
def _known(key: str) -> Known:
    entry = _map()[key]
    doubt = _doubt(key, entry)
    return Known(
        key=key,
        price=None if doubt else _price(entry),
        unpriced=doubt,
        context=_whole(entry.get("max_input_tokens")),
        max_output=_whole(entry.get("max_output_tokens")),
        tools=entry.get("supports_function_calling") is True,
        vision=entry.get("supports_vision") is True,
        mode=entry.get("mode"),
    )


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None


def _doubt(key: str, entry: Mapping[str, Any]) -> str | None:
    """Why the price of this entry cannot be known beforehand, or None."""
    tiers = entry.get("tiered_pricing")
    embeds = entry.get("mode") == "embedding"
    if entry.get("mode") not in _METERED:
        return f"its mode is {entry.get('mode')!r}, which is not billed by tokens of text"
    if strange := _strange_cost(entry):
        return f"it has a price that tokens do not tell ({strange})"
    if not tiers and ("input_cost_per_token" not in entry or ("output_cost_per_token" not in entry and not embeds)):
        return "LiteLLM's map has no price per token for it"
    if tiers and not _tiers_are_whole(tiers):
        return "its tiers in LiteLLM's map leave a gap"
    if "off_peak_pricing" in entry:
        return "its price depends on the time of day"
    if entry.get("regional_endpoint_uplift_multiplier", 1) != 1:
        return "its price depends on the region that answers"
    if "model_router" in key or "model-router" in key:
        return "it passes calls on to models with prices of their own"
    if _ALWAYS_SEARCHES.search(key) and "input_cost_per_request" not in entry:
        return "it always searches the web, at a price per search"
    says_nothing = not tiers and not any(value for name, value in entry.items() if _READ.fullmatch(name))
    if says_nothing and entry.get("litellm_provider") not in _LOCAL:
        return "LiteLLM's map says 0, which for a hosted model can mean unknown"
    return None


def _strange_cost(entry: Mapping[str, Any]) -> str | None:
    """A cost that neither a `Price` holds nor the caller opts into; names that a later map adds are strange too."""
    for name, value in entry.items():
        if "cost" not in name or not value or _READ.fullmatch(name):
            continue
        if name in _AS_TEXT and value == entry.get(_AS_TEXT[name]):
            continue
        if name in _AS_TEXT or not _OPTED_INTO.search(name):
            return name
    return None


def _tiers_are_whole(tiers: list[Mapping[str, Any]]) -> bool:
    edge = 0
    for tier in tiers:
        if tier["range"][0] != edge or "input_cost_per_token" not in tier or "output_cost_per_token" not in tier:
            return False
        edge = tier["range"][1]
    return True


def _price(entry: Mapping[str, Any]) -> Price:
    base, *above = _slabs(entry)
    return Price(
        **base[1].model_dump(),
        per_call=float(entry.get("input_cost_per_request") or 0),
        tiers=dict(above),
        date=as_of(),
        source=_source(),
    )


def _slabs(entry: Mapping[str, Any]) -> list[tuple[int, Rates]]:
    """The rates from each number of input tokens on, the first from 0."""
    if tiers := entry.get("tiered_pricing"):
        return [(int(tier["range"][0]), _tier_rates(tier)) for tier in tiers]
    flat = Rates(
        input=_per_million(entry["input_cost_per_token"]),
        output=_per_million(entry.get("output_cost_per_token") or 0),
        cached=_cached(entry),
        cache_written=_optional(entry.get("cache_creation_input_token_cost")),
        reasoning=_optional(entry.get("output_cost_per_reasoning_token")),
    )
    slabs = [(0, flat)]
    for threshold, suffix in sorted(_thresholds(entry)):
        below = slabs[-1][1]
        into, out = entry.get(f"input_cost_per_token{suffix}"), entry.get(f"output_cost_per_token{suffix}")
        rates = Rates(
            input=below.input if into is None else _per_million(into),
            output=below.output if out is None else _per_million(out),
            cached=_optional(entry.get(f"cache_read_input_token_cost{suffix}")),
            cache_written=_optional(entry.get(f"cache_creation_input_token_cost{suffix}")),
        )
        # xAI's higher rates begin at the threshold and not above it.
        slabs.append((threshold - 1 if entry.get("litellm_provider") == "xai" else threshold, rates))
    return slabs


def _thresholds(entry: Mapping[str, Any]) -> set[tuple[int, str]]:
    found = (_READ.fullmatch(name) for name, value in entry.items() if value is not None)
    return {(int(m[3]) * (1000 if m[4] else 1), m[2]) for m in found if m and m[2]}


def _tier_rates(tier: Mapping[str, Any]) -> Rates:
    # All is said: such a tier takes nothing over from the one below it.
    into, out = tier["input_cost_per_token"], tier["output_cost_per_token"]
    return Rates(
        input=_per_million(into),
        output=_per_million(out),
        cached=_per_million(tier.get("cache_read_input_token_cost", into)),
        cache_written=_per_million(tier.get("cache_creation_input_token_cost", into)),
        reasoning=_per_million(tier.get("output_cost_per_reasoning_token", out)),
    )


def _cached(entry: Mapping[str, Any]) -> float | None:
    given = entry.get("cache_read_input_token_cost")
    # Fireworks bills cached input at half where it names no rate; LiteLLM's calculator knows that, its map does not.
    if given is None and entry.get("litellm_provider") == "fireworks_ai":
        return _per_million(entry["input_cost_per_token"]) / 2
    return _optional(given)


def _optional(per_token: float | None) -> float | None:
    return None if per_token is None else _per_million(per_token)


def _per_million(per_token: float) -> float:
    # By way of the decimal text, so that 1.5e-07 becomes 0.15 and not 0.15000000000000002.
    return float(Decimal(str(per_token)) * 10**6)


def _tail(model_id: str) -> str:
    """What a person would call the model: the name without provider or folder, in one spelling."""
    return re.sub(r"[^a-z0-9]+", "-", model_id.rpartition("/")[2].lower()).strip("-")


@cache
def _tails() -> dict[str, list[str]]:
    tails: dict[str, list[str]] = {}
    for key, entry in _map().items():
        if entry.get("mode") in _METERED:
            tails.setdefault(_tail(key), []).append(key)
    return tails
