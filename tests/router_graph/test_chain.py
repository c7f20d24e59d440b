"""Who is asked next: the fallbacks in order, then after a pause the same again, a bounded number of times."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.errors import (
    AllModelsFailedError,
    AuthenticationError,
    BudgetExceededError,
    ModelRestingError,
    ModelServerError,
    RequestRejectedError,
    RouterError,
)
from router_graph.pool import Live
from router_graph.pool.chain import Chain, Deadline

BROKEN, KEYLESS, WRONG = ModelServerError("500"), AuthenticationError("no key"), RequestRejectedError("bad")
DEAR = BudgetExceededError("too dear")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("router_graph.pool.chain._PAUSE_S", 0.002)


def chain(*names: str, retries: int = 0, deadline_s: float | None = None, **live: Live) -> Chain:
    known = {name: live.get(name) or Live(failures=10**6) for name in names}
    return Chain(names, known, retries=retries, deadline=Deadline(deadline_s))


async def asked(one: Chain, outcomes: dict[str, RouterError]) -> tuple[list[str], RouterError]:
    """The names in the order in which they were asked, and the error in the end."""
    names = []
    with pytest.raises(RouterError) as raised:
        while True:
            names.append(await one.next())
            one.failed(names[-1], outcomes.get(names[-1], BROKEN))
    return names, raised.value


async def test_the_fallbacks_are_asked_in_order_and_then_all_again():
    names, error = await asked(chain("a", "b", "c", retries=2), {})
    assert names == list("abc") * 3
    assert isinstance(error, AllModelsFailedError)
    assert len(error.failures) == 9


async def test_who_cannot_do_better_is_not_asked_again():
    names, _ = await asked(chain("a", "b", "c", retries=2), {"a": KEYLESS, "b": DEAR})
    assert names == ["a", "b", "c", "c", "c"]


async def test_a_request_that_is_wrong_is_wrong_everywhere():
    names, error = await asked(chain("a", "b", retries=2), {"a": WRONG})
    assert (names, error) == (["a"], WRONG)


async def test_a_model_named_twice_is_asked_once_a_round():
    assert (await asked(chain("a", "b", "a"), {}))[0] == ["a", "b"]


async def test_the_error_of_one_model_is_its_own_and_of_budgets_a_budgets():
    assert (await asked(chain("a", retries=1), {}))[1] is BROKEN
    assert (await asked(chain("a", "b"), {"a": DEAR, "b": DEAR}))[1] is DEAR


async def test_a_resting_model_is_passed_over_and_waited_for_where_it_is_the_last_hope():
    live = Live(failures=1, open_s=0.05)
    live.begin()
    live.failed_with(ill=True)
    one = chain("a", "b", retries=1, a=live)
    assert await one.next() == "b"
    assert isinstance(one.failures[0][1], ModelRestingError)
    one.failed("b", KEYLESS)
    started = time.monotonic()
    assert await one.next() == "a"
    assert time.monotonic() - started >= 0.03


async def test_nobody_is_asked_once_the_deadline_is_over_and_no_pause_outlasts_it():
    one = chain("a", "b", deadline_s=0.01)
    assert await one.next() == "a"
    time.sleep(0.02)
    one.failed("a", BROKEN)
    with pytest.raises(ModelServerError):
        await one.next()

    live = Live(failures=1, open_s=5.0)
    live.begin()
    live.failed_with(ill=True)
    started = time.monotonic()
    with pytest.raises(ModelRestingError):
        await chain("a", retries=3, deadline_s=1.0, a=live).next()
    assert time.monotonic() - started < 0.5


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([BROKEN, KEYLESS, DEAR, WRONG])),
    st.integers(0, 3),
)
@settings(deadline=None, derandomize=True, database=None, max_examples=60)
async def test_a_chain_always_ends_after_at_most_its_rounds(names, outcomes, retries):
    order, _ = await asked(chain(*names, retries=retries), outcomes)
    assert max(order.count(name) for name in order) <= 1 + retries
    assert order[: len(set(names))] == list(dict.fromkeys(names))[: len(order)]
