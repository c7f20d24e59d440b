"""Slots are never lost nor doubled, and go to whoever came first, across tasks, threads and event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.pool.slots import Slots

visitors = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4), st.none() | st.integers(0, 12)), max_size=20)
"""Each comes at a step, stays for some, and may be cancelled after some."""


async def take_all(slots: Slots, size: int) -> None:
    for _ in range(size):
        await asyncio.wait_for(slots.take(), 0.2)
    assert slots._free == 0


@given(visitors, st.integers(1, 3))
@settings(deadline=None, derandomize=True, database=None, max_examples=300)
def test_a_cancellation_at_any_step_neither_loses_nor_doubles_a_slot(visits, size):
    slots, inside = Slots(size), 0

    async def visit(comes, stays):
        nonlocal inside
        for _ in range(comes):
            await asyncio.sleep(0)
        await slots.take()
        inside += 1
        assert inside <= size
        try:
            for _ in range(stays):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            slots.give_back()

    async def cancel(task, after):
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel()

    async def everything():
        tasks = [asyncio.ensure_future(visit(comes, stays)) for comes, stays, _ in visits]
        cancels = [cancel(task, visits[i][2]) for i, task in enumerate(tasks) if visits[i][2] is not None]
        await asyncio.gather(*cancels)
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in outcomes)
        assert inside == 0
        await take_all(slots, size)

    asyncio.run(everything())


async def test_who_comes_first_is_served_first_even_if_a_slot_is_free_just_then():
    slots, order = Slots(1), []

    async def visit(number):
        await slots.take()
        order.append(number)
        await asyncio.sleep(0)
        slots.give_back()

    await slots.take()
    tasks = [asyncio.ensure_future(visit(number)) for number in range(20)]
    await asyncio.sleep(0)
    slots.give_back()
    await visit("late")
    await asyncio.gather(*tasks)
    assert order == [*range(20), "late"]


def test_threads_with_loops_of_their_own_share_the_slots():
    slots, lock, seen = Slots(3), threading.Lock(), {"inside": 0, "peak": 0, "served": 0}

    async def visit():
        await slots.take()
        with lock:
            seen["inside"] += 1
            seen["peak"] = max(seen["peak"], seen["inside"])
        await asyncio.sleep(0.0005)
        with lock:
            seen["inside"] -= 1
            seen["served"] += 1
        slots.give_back()

    async def many():
        await asyncio.gather(*(visit() for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == {"inside": 0, "peak": 3, "served": 300}


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_closes_while_waiting_keeps_nobody_else_from_a_slot():
    slots, loop = Slots(1), asyncio.new_event_loop()
    asyncio.run(slots.take())
    tasks = [loop.create_task(slots.take()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()  # and nobody cancelled the tasks
    slots.give_back()
    asyncio.run(take_all(slots, 1))
    for task in tasks:
        task._log_destroy_pending = False
    del tasks, task
    gc.collect()
    slots.give_back()
    asyncio.run(take_all(slots, 1))


def test_a_loop_that_closes_between_its_turn_and_its_waking_passes_the_turn_on():
    slots, loop = Slots(1), asyncio.new_event_loop()
    asyncio.run(slots.take())
    task = loop.create_task(slots.take())
    loop.run_until_complete(asyncio.sleep(0))
    slots.give_back()  # to the task, whose loop never runs again
    loop.close()
    task._log_destroy_pending = False
    del task
    gc.collect()
    asyncio.run(take_all(slots, 1))


def test_ten_thousand_turns_take_less_than_a_second():
    slots = Slots(4)

    async def visit():
        await slots.take()
        slots.give_back()

    async def many():
        await asyncio.gather(*(visit() for _ in range(10_000)))

    started = time.perf_counter()
    asyncio.run(many())
    assert time.perf_counter() - started < 1
