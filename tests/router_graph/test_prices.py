"""The price of a call: exact, tier by tier, and never above its worst case."""

import datetime
import pickle
import subprocess
import sys
import time
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel

from router_graph.errors import CardError
from router_graph.pool.price import Price, Rates, Usage

usd = st.one_of(st.just(0.0), st.floats(1e-6, 1000), st.sampled_from([0.0001, 0.075, 0.15, 2.5, 0.3e-6]))
maybe_usd = st.none() | usd
rates = st.builds(Rates, input=usd, output=usd, cached=maybe_usd, cache_written=maybe_usd, reasoning=maybe_usd)


@st.composite
def prices(draw) -> Price:
    tiers = draw(st.dictionaries(st.integers(1, 2000), rates, max_size=3))
    return Price(**draw(rates).model_dump(), per_call=draw(usd) / 1000, tiers=tiers)


@st.composite
def usages(draw, most_input: int = 3000, most_output: int = 3000) -> Usage:
    whole, out = draw(st.integers(0, most_input)), draw(st.integers(0, most_output))
    cached = draw(st.integers(0, whole))
    written = draw(st.integers(0, whole - cached))
    return Usage(whole, out, cached, written, draw(st.integers(0, out)))


def test_a_million_tokens_cost_their_rate():
    price = Price(input=0.15, output=0.6)
    assert price.cost(Usage(1_000_000, 0)) == 150_000_000_000
    assert price.cost(Usage(0, 1_000_000)) == 600_000_000_000
    assert Price(input=0.0001, output=0).cost(Usage(1, 0)) == 100


def test_each_kind_of_token_has_its_own_rate_and_is_counted_once():
    price = Price(input=1, output=10, cached=0.1, cache_written=1.25, reasoning=20, per_call=0.005)
    usage = Usage(input=1000, output=100, cached=600, cache_written=300, reasoning=40)
    assert price.cost(usage) == (100 * 100 + 600 * 10 + 300 * 125 + 60 * 1000 + 40 * 2000) * 10**4 + 5 * 10**9


def test_a_kind_without_a_rate_costs_as_its_whole():
    usage = Usage(input=1000, output=100, cached=600, cache_written=300, reasoning=40)
    assert Price(input=1, output=10).cost(usage) == Price(input=1, output=10).cost(Usage(1000, 100))


def test_a_cached_rate_of_zero_is_a_rate():
    assert Price(input=1, output=1, cached=0).cost(Usage(input=10, cached=10)) == 0


def test_half_a_picodollar_is_rounded_up_and_less_is_not():
    price = Price(input=0.0000005, output=0)  # half a picodollar a token
    assert [price.cost(Usage(n, 0)) for n in range(5)] == [0, 1, 1, 2, 2]
    assert Price(input=0.00000049, output=0).cost(Usage(1, 0)) == 0


@given(prices(), usages())
def test_a_cost_is_the_exact_decimal_sum_rounded_once(price, usage):
    tier = {"cached": price.cached, "cache_written": price.cache_written, "reasoning": price.reasoning}
    tier |= {"input": price.input, "output": price.output}
    for threshold in sorted(price.tiers):
        if usage.input > threshold:
            tier |= {name: rate for name, rate in price.tiers[threshold].model_dump().items() if rate is not None}

    def part(tokens, rate, otherwise):
        return tokens * Decimal(str(tier[otherwise] if tier[rate] is None else tier[rate])) * 10**6

    exact = Decimal(str(price.per_call)) * 10**12
    exact += part(usage.input - usage.cached - usage.cache_written, "input", "input")
    exact += part(usage.cached, "cached", "input") + part(usage.cache_written, "cache_written", "input")
    exact += part(usage.output - usage.reasoning, "output", "output") + part(usage.reasoning, "reasoning", "output")
    assert price.cost(usage) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def test_above_a_tier_the_whole_call_is_at_its_rates():
    price = Price(input=1, output=10, tiers={100: Rates(input=2, output=15), 200: Rates(input=3, output=20)})
    assert price.cost(Usage(100, 1)) == (100 * 1 + 10) * 10**6
    assert price.cost(Usage(101, 1)) == (101 * 2 + 15) * 10**6
    assert price.cost(Usage(201, 1)) == (201 * 3 + 20) * 10**6


def test_what_a_tier_leaves_out_it_keeps_from_below_and_else_takes_from_its_own_input_or_output():
    tier = Rates(input=2, output=20)
    below = Price(input=1, output=10, cached=0.5, reasoning=12, tiers={100: tier})
    assert below.cost(Usage(1000, 10, cached=1000, reasoning=10)) == (1000 * 5 + 10 * 120) * 10**5
    assert Price(input=1, output=10, tiers={100: tier}).cost(Usage(1000, 10, cached=1000, reasoning=10)) == 2200 * 10**6


@given(prices(), usages(), st.integers(0, 3000), st.integers(0, 3000))
def test_no_call_within_the_bounds_costs_more_than_the_worst_case(price, usage, more_input, more_output):
    assert price.cost(usage) <= price.worst_case(usage.input + more_input, usage.output + more_output)


@given(prices(), st.integers(0, 3000), st.integers(0, 3000))
def test_the_worst_case_is_the_cost_of_some_call_within_the_bounds(price, most_input, most_output):
    edges = {most_input, *(tier for tier in price.tiers if tier < most_input)}
    worst = max(
        price.cost(Usage(whole, most_output, cached * whole, written * whole, reasoned * most_output))
        for whole in edges
        for cached, written in ((0, 0), (1, 0), (0, 1))
        for reasoned in (0, 1)
    )
    assert price.worst_case(most_input, most_output) == worst


def test_a_changed_copy_and_a_pickled_price_cost_what_they_say():
    price = Price(input=1, output=1)
    price.cost(Usage(1, 1))
    assert price.model_copy(update={"input": 5.0}).cost(Usage(1, 0)) == 5 * 10**6
    assert pickle.loads(pickle.dumps(price)) == price  # noqa: S301
    tiered = Price(input=1, output=1, tiers={100: Rates(input=2, output=2)}, date=datetime.date(2026, 1, 2))
    assert Price.model_validate_json(tiered.model_dump_json()) == tiered


def test_a_cost_takes_microseconds():
    price, usage = Price(input=1, output=1, tiers={100: Rates(input=2, output=2)}), Usage(1000, 100, 10, 10, 10)
    start = time.perf_counter()
    for _ in range(10_000):
        price.cost(usage)
    assert time.perf_counter() - start < 0.5


def test_a_price_can_be_free_in_place_of_a_mapping():
    class Card(BaseModel):
        price: Price

    assert Card.model_validate({"price": "free"}).price.cost(Usage(10**9, 10**9)) == 0
    assert Card.model_validate({"price": {"input": 0.15, "output": 0.6}}).price == Price(input=0.15, output=0.6)


@pytest.mark.parametrize(
    ("given_price", "says"),
    [
        ("cheap", "a price is `free` or USD per million tokens"),
        (3, "a price is `free` or USD per million tokens"),
        ({"input": 1}, "the price: 'output' is missing."),
        ({"input": -1, "output": 1}, "greater than or equal to 0"),
        ({"input": float("inf"), "output": 1}, "finite number"),
        ({"input": float("nan"), "output": 1}, "input is nan"),
        ({"input": True, "output": 1}, "a price is a number of USD"),
        ({"input": 1, "output": 1, "inptu": 1}, "did you mean 'input'?"),
        ({"input": 1, "output": 1, "tiers": {0: {"input": 1, "output": 1}}}, "greater than 0"),
        ({"input": 1, "output": 1, "tiers": {9: {"input": 1}}}, "'tiers.9.output' is missing"),
    ],
)
def test_a_bad_price_is_refused_in_words(given_price, says):
    with pytest.raises(CardError) as error:
        Price.model_validate(given_price)
    assert says in str(error.value)


def test_usage_is_read_from_what_langchain_reports():
    reported = UsageMetadata(
        input_tokens=100,
        output_tokens=50,
        total_tokens=150,
        input_token_details={"cache_read": 60, "cache_creation": 30, "audio": 0},
        output_token_details={"reasoning": 20},
    )
    usage = Usage.of_metadata(reported)
    assert usage == Usage(input=100, output=50, cached=60, cache_written=30, reasoning=20)
    assert usage.tokens == 150
    assert Usage(**usage.as_dict()) == usage
    assert Usage.of_metadata({"input_tokens": 3, "output_tokens": 0}) == Usage(3, 0)


def test_a_five_minute_cache_write_counts_once_and_an_hour_long_one_is_not_reported():
    whole = {"input_tokens": 100, "output_tokens": 5}
    five = {"cache_creation": 0, "ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 0}
    assert Usage.of_metadata({**whole, "input_token_details": five}) == Usage(100, 5, cache_written=40)
    assert Usage.of_metadata({**whole, "input_token_details": {"ephemeral_1h_input_tokens": 40}}) is None


counts = st.one_of(st.integers(-5, 50), st.booleans(), st.none(), st.text(max_size=3), st.floats(allow_nan=True))
details = st.one_of(
    st.none(), st.text(max_size=3), st.dictionaries(st.sampled_from(["cache_read", "reasoning"]), counts)
)


@given(
    st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "input_tokens": counts,
            "output_tokens": counts,
            "input_token_details": details,
            "output_token_details": details,
        },
    )
)
def test_a_report_is_read_as_it_stands_or_not_at_all(reported):
    usage = Usage.of_metadata(reported)
    if usage is not None:
        assert (usage.input, usage.output) == (reported["input_tokens"], reported["output_tokens"])
        assert type(usage.input) is type(usage.output) is type(usage.cached) is type(usage.reasoning) is int
        assert 0 <= usage.cached <= usage.input
        assert 0 <= usage.reasoning <= usage.output


@pytest.mark.parametrize("bad", [-1, True, "3", None, 2.0])
def test_a_count_that_is_no_count_is_not_reported(bad):
    assert Usage.of_metadata({"input_tokens": bad, "output_tokens": 1}) is None
    assert Usage.of_metadata({"input_tokens": 9, "output_tokens": bad}) is None
    parts = {"input_tokens": 9, "output_tokens": 9}
    for kind, part in (("input", "cache_read"), ("input", "cache_creation"), ("output", "reasoning")):
        for wrong in (bad, 10):
            assert Usage.of_metadata({**parts, f"{kind}_token_details": {part: wrong}}) is None


def test_the_prices_load_neither_litellm_nor_torch():
    program = (
        "import sys, router_graph.pool.price, router_graph.pool.litellm_prices as map\n"
        "assert map.known('gpt-4o-mini').price\n"
        "assert not {'litellm', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
