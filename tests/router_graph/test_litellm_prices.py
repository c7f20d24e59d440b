"""LiteLLM's map, read without LiteLLM, prices calls as LiteLLM does, or not at all."""

import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from router_graph.pool import litellm_prices
from router_graph.pool.litellm_prices import known, nearest
from router_graph.pool.price import Usage

PLAIN = Usage(1000, 500)
USAGES = [
    PLAIN,
    Usage(12_345, 678, cached=5000),
    Usage(12_345, 678, cached=1000, cache_written=4000),
    Usage(777, 900, reasoning=400),
]


def provider_of(entry):
    """The provider as LiteLLM's callers name it: of a family such as vertex_ai-anthropic_models, the family."""
    families = {"vertex_ai", "fireworks_ai", "bedrock"}
    head = entry["litellm_provider"].replace("bedrock_converse", "bedrock").partition("-")[0]
    return head if head in families else entry["litellm_provider"]


def priced(*modes):
    for key, entry in litellm_prices._map().items():
        found = known(key)
        if entry.get("mode") in modes and found is not None and found.price is not None:
            yield key, entry, found


def reaching_every_tier(price):
    for tier in price.tiers:
        yield Usage(tier, 99)
        yield Usage(tier + 1, 1234, cached=tier // 3, cache_written=tier // 5, reasoning=600)


@pytest.fixture(scope="module")
def litellm_cost():
    patch = pytest.MonkeyPatch()
    patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network for a newer map
    import litellm
    from litellm.types.utils import CompletionTokensDetailsWrapper, PromptTokensDetailsWrapper
    from litellm.types.utils import Usage as Reported

    def cost(key, provider, mode, usage):
        reported = Reported(
            prompt_tokens=usage.input,
            completion_tokens=usage.output,
            total_tokens=usage.tokens,
            prompt_tokens_details=PromptTokensDetailsWrapper(
                cached_tokens=usage.cached, cache_creation_tokens=usage.cache_written
            ),
            completion_tokens_details=CompletionTokensDetailsWrapper(
                reasoning_tokens=usage.reasoning, text_tokens=usage.output - usage.reasoning
            ),
        )
        kind = "embedding" if mode == "embedding" else "completion"
        return 1e12 * sum(
            litellm.cost_per_token(model=key, custom_llm_provider=provider, usage_object=reported, call_type=kind)
        )

    yield cost
    patch.undo()


def test_every_priced_model_costs_what_litellm_bills(litellm_cost):
    """All of them, at several usages and on both sides of every tier. Two differences are meant:

    - `input_cost_per_request`, Perplexity's fee per call, is in the map, and LiteLLM's calculator leaves it out;
    - Perplexity's cached rates are in the map, and the calculator ignores them, for it reads Perplexity's own sum.
    """
    compared, wrong = 0, []
    for key, entry, found in priced("chat", "completion", "responses", "embedding"):
        for usage in (*USAGES, *reaching_every_tier(found.price)):
            if entry["litellm_provider"] == "perplexity" and usage.cached:
                continue
            billed = litellm_cost(key, provider_of(entry), entry["mode"], usage)
            billed += 1e12 * entry.get("input_cost_per_request", 0)
            compared += 1
            # LiteLLM sums floats: half a picodollar of our rounding, and its own 1e-15 of the sum a few times over.
            if abs(billed - found.price.cost(usage)) > 0.5 + 1e-13 * billed:
                wrong.append((key, usage, billed, found.price.cost(usage)))
    assert not wrong
    assert compared > 10_000


def test_most_models_have_a_price_and_the_others_a_reason():
    chats = [key for key, entry in litellm_prices._map().items() if entry.get("mode") in ("chat", "responses")]
    reasons = Counter(known(key).unpriced for key in chats)
    assert reasons[None] > 0.85 * len(chats)
    assert all((known(key).price is None) == (known(key).unpriced is not None) for key in chats)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"cost_per_second": 0.01}, "cost_per_second"),
        ({"input_cost_per_character": 1e-8}, "input_cost_per_character"),
        ({"output_cost_per_image": 0.04}, "output_cost_per_image"),
        ({"output_cost_per_audio_token": 8e-5}, "output_cost_per_audio_token"),
        ({"input_cost_per_image_token": 8e-5}, "input_cost_per_image_token"),
        ({"some_cost_of_a_later_map": 0.1}, "some_cost_of_a_later_map"),
        ({"off_peak_pricing": {"input_cost_per_token": 1e-7}}, "time of day"),
        ({"regional_endpoint_uplift_multiplier": 1.1}, "region"),
        ({"input_cost_per_token": 0, "output_cost_per_token": 0}, "can mean unknown"),
        ({"output_cost_per_token": None, "tiered_pricing": [{"range": [5, 9]}]}, "leave a gap"),
        ({"mode": "image_generation"}, "image_generation"),
    ],
)
def test_a_price_that_tokens_of_text_do_not_settle_is_no_price(entry, reason):
    plain = {"mode": "chat", "litellm_provider": "openai", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
    assert litellm_prices._doubt("some-model", plain) is None
    assert reason in litellm_prices._doubt("some-model", plain | entry)


def test_a_model_that_always_searches_or_routes_on_has_no_price():
    for key in ("perplexity/sonar", "gpt-4o-search-preview", "azure/o3-deep-research", "azure_ai/model_router"):
        assert known(key).price is None
    assert known("deepinfra/NousResearch/Hermes-3-Llama-3.1-70B").price is not None


@pytest.mark.parametrize(
    ("model_id", "provider", "key"),
    [
        ("gpt-4o-mini", None, "gpt-4o-mini"),
        ("openai/gpt-4o-mini", None, "gpt-4o-mini"),
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("azure/gpt-4o-mini", None, "azure/gpt-4o-mini"),
        ("gpt-4o-mini", "azure", "azure/gpt-4o-mini"),
        ("anthropic/claude-haiku-4-5", None, "claude-haiku-4-5"),
        ("bedrock/anthropic.claude-haiku-4-5-20251001-v1:0", None, "anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("bedrock/converse/amazon.nova-lite-v1:0", None, "amazon.nova-lite-v1:0"),
        ("vertex_ai/gemini-2.5-flash", None, "gemini-2.5-flash"),
        ("gemini-3.5-flash-lite", None, "vertex_ai/gemini-3.5-flash-lite"),
        ("cohere/command-r-08-2024", None, "command-r-08-2024"),
        ("deepseek-chat", None, "deepseek/deepseek-chat"),
    ],
)
def test_an_id_finds_the_entry_that_litellm_bills(model_id, provider, key):
    assert known(model_id, provider).key == key


@pytest.mark.parametrize(
    ("model_id", "provider"),
    [("no-such-model", None), ("openrouter/gpt-4o-mini", None), ("claude-haiku-4-5", "openai"), ("", None), ("/", "x")],
)
def test_an_id_of_nobody_or_of_another_provider_finds_nothing(model_id, provider):
    assert known(model_id, provider) is None


def test_an_entry_says_what_the_model_can_do_and_what_it_costs():
    found = known("openai/gpt-4o-mini")
    assert (found.context, found.max_output, found.tools, found.vision, found.mode) == (
        128000,
        16384,
        True,
        True,
        "chat",
    )
    assert (found.price.input, found.price.output, found.price.cached) == (0.15, 0.6, 0.075)
    assert found.price.source.startswith("litellm ")
    embeds = known("text-embedding-3-small")
    assert (embeds.mode, embeds.price.input, embeds.price.output) == ("embedding", 0.02, 0)


def test_a_local_model_is_free_and_a_hosted_one_at_zero_is_unknown():
    assert known("ollama/llama3").price.cost(PLAIN) == 0
    assert known("sagemaker/meta-textgeneration-llama-2-7b").price is None


def test_the_date_of_a_price_is_not_after_today():
    assert known("gpt-4o-mini").price.date <= datetime.now(UTC).date()


def test_without_litellm_nothing_is_known(monkeypatch):
    monkeypatch.setattr(litellm_prices, "_map", dict)
    litellm_prices._tails.cache_clear()
    try:
        assert known("gpt-4o-mini") is None
        assert nearest("gpt-4o-mini") == []
    finally:
        litellm_prices._tails.cache_clear()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gpt-4o-minni", "gpt-4o-mini"),
        ("openai/gpt4o", "gpt-4o"),
        ("deepseek/deepsek-chat", "deepseek-chat"),
        ("Claude Haiku 4.5", "claude-haiku-4-5"),
        ("dashscope/qwen3-cder-plus", "dashscope/qwen3-coder-plus"),
        ("claude-opus-4-5-2025", "claude-opus-4-5-20251101"),
    ],
)
def test_a_slip_of_the_pen_finds_the_id_that_was_meant(typed, meant):
    start = time.perf_counter()
    found = nearest(typed)
    assert time.perf_counter() - start < 1
    assert found[0] == meant
    assert len(found) == len(set(found)) <= 3


def test_nothing_is_near_to_nonsense():
    assert nearest("zzzzzzzz") == nearest("") == []
