"""The breaker opens after failures in a row, lets one call try, and never stays shut or open for ever."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.pool import Live


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(live: Live, times: int = 1, **how) -> None:
    for _ in range(times):
        assert live.begin() == 0
        live.failed_with(**{"ill": True, **how})


def test_three_failures_in_a_row_open_the_breaker_and_two_do_not(clock):
    live = Live(clock=clock)
    fail(live, 2)
    assert live.begin() == 0
    live.succeeded(0.1, 0.0)
    fail(live, 2)
    assert live.wait_s() == 0
    fail(live)
    assert live.wait_s() == live.begin() == 30
    assert (live.calls, live.failed) == (6, 5)


def test_after_its_rest_one_call_tries_and_the_others_wait_for_it(clock):
    live = Live(clock=clock)
    fail(live, 3)
    clock.now = 29.9
    assert live.begin() > 0
    clock.now = 30.0
    assert live.begin() == 0
    assert live.begin() > 0
    live.succeeded(0.1, 0.0)
    assert live.begin() == live.begin() == 0


def test_a_trial_that_fails_opens_the_breaker_again(clock):
    live = Live(clock=clock)
    fail(live, 3)
    clock.now = 30.0
    fail(live)
    assert live.wait_s() == 30


def test_a_trial_that_is_cancelled_leaves_the_trial_to_the_next(clock):
    live = Live(clock=clock)
    fail(live, 3)
    clock.now = 30.0
    assert live.begin() == 0
    live.gave_up()
    assert live.begin() == 0


@pytest.mark.parametrize("end", ["cancelled", "rejected"])
def test_a_call_from_before_the_trial_does_not_end_it(clock, end):
    live = Live(clock=clock)
    assert live.begin(1) == 0
    fail(live, 3)
    clock.now = 30.0
    assert live.begin(2) == 0
    if end == "cancelled":
        live.gave_up(1)
    else:
        live.failed_with(ill=False, call=1)
    assert live.begin(3) == 30
    live.gave_up(2)
    assert live.begin(3) == 0


def test_failures_that_are_the_requests_fault_do_not_open_it(clock):
    live = Live(clock=clock)
    fail(live, 10, ill=False)
    assert live.wait_s() == 0


def test_a_provider_that_asks_to_wait_is_left_alone_that_long(clock):
    live = Live(clock=clock)
    fail(live, retry_after_s=2.0)
    assert live.wait_s() == 2
    clock.now = 2.0
    assert live.begin() == 0


def test_of_many_threads_one_gets_the_trial(clock):
    live = Live(clock=clock)
    fail(live, 3)
    clock.now = 30.0
    gate, answers = threading.Barrier(16), []

    def knock():
        gate.wait()
        answers.append(live.begin())

    threads = [threading.Thread(target=knock) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [0] + [30] * 15


@given(st.lists(st.sampled_from(["fail", "mend", "cancel", "wait"]), max_size=40))
def test_after_any_history_and_a_rest_somebody_may_ask(history):
    clock = Clock()
    live = Live(clock=clock)
    for what in history:
        if what == "wait":
            clock.now += 10
        elif live.begin() == 0:
            {"fail": lambda: live.failed_with(ill=True), "mend": lambda: live.succeeded(1, 0)}.get(what, live.gave_up)()
    clock.now += 30
    assert live.begin() == 0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_averages_stay_between_the_least_and_the_most_and_follow_the_newest(seconds):
    live = Live()
    for one in seconds:
        live.begin()
        live.succeeded(one, one / 10)
    assert min(seconds) - 1e-9 <= live.seconds <= max(seconds) + 1e-9
    for _ in range(50):
        live.succeeded(7.0, 0.5)
    assert live.seconds == pytest.approx(7, abs=0.01)
    assert live.usd == pytest.approx(0.5, abs=0.01)
