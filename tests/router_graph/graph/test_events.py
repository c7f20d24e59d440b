"""Streaming: one versioned event schema, the same from sync and async runs."""

from __future__ import annotations

import typing

from router_graph import Answer, RouteToKB, create_router, events
from support.routing import Script, Shelf

KINDS = {
    "turn": events.TurnBegan,
    "step": events.StepBegan,
    "token": events.Token,
    "decision": events.Decided,
    "observation": events.Observed,
    "answer": events.Answered,
    "problem": events.Problem,
}
GRAPH = create_router(
    [Shelf("a"), Shelf("b")], policy=Script([RouteToKB("a", "x"), RouteToKB("c", "x")], Answer("Done."))
)


async def test_sync_and_async_runs_tell_the_same_events_in_the_schema():
    sync = list(GRAPH.stream({"question": "?!"}, stream_mode="custom"))
    asynchronous = [part async for part in GRAPH.astream({"question": "?!"}, stream_mode="custom")]
    kinds = [event["type"] for event in sync]
    assert kinds == [event["type"] for event in asynchronous]
    assert kinds == ["turn", "step", "decision", "observation", "observation", "step", "decision", "answer"]
    for event in sync:
        assert event["v"] == events.VERSION == 1
        assert set(event) == set(typing.get_type_hints(KINDS[event["type"]]))


def test_every_event_names_its_turn_and_the_answer_is_the_last():
    told = list(GRAPH.stream({"question": "?!"}, stream_mode="custom"))
    assert len({event["turn"] for event in told}) == 1
    assert told[-1]["answer"] == "Done." and told[-1]["steps"] == 2
