"""What is recorded answers the same request, and no other, as the provider did."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from router_graph.errors import CardError, ModelServerError, UnrecordedError
from router_graph.ledger import Ledger
from router_graph.pool import LiteLLMTransport, ModelPool
from router_graph.pool.reply import whole_message
from router_graph.pool.transports.record import RecordTransport
from router_graph.pool.transports.replay import Coverage, ReplayTransport
from support.model_server import ModelServer
from support.recordings import SAY, asked, card_of, record_many, saying, written

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    },
}


@pytest.fixture(scope="module")
def server():
    with ModelServer() as running:
        yield running


def facts(reply):
    """A reply without what no two calls share."""
    metadata = {key: value for key, value in reply.message.response_metadata.items() if key != "seconds"}
    return reply.message.model_copy(update={"id": None, "response_metadata": metadata}), reply.usage, reply.usd


CALLS = {
    "plain": ("good-n12", "What is it?", {}),
    "cached, thoughts": ("good-n40-cached-reasoning", "What is it?", {"temperature": 0, "stop": ["x"]}),
    "a tool": ("good-tool", [SystemMessage("Be brief."), HumanMessage("Look it up.")], {"tools": [TOOL], "seed": 1}),
    "cut off": ("good-n42", "What is it?", {"max_tokens": 7}),
}


@pytest.mark.parametrize("recorded", ["whole", "stream"])
@pytest.mark.parametrize("call", CALLS)
def test_a_recorded_call_replays_as_the_same_message_at_the_same_cost_however_it_is_made(
    server, tmp_path, call, recorded
):
    model, messages, params = CALLS[call]
    path = tmp_path / "new" / "replies.jsonl"
    card = card_of(f"openai/{model}", api_base=server.url)
    live = ModelPool([card], transports={"replay": RecordTransport(LiteLLMTransport(), path)})
    real, again = Ledger(), Ledger()
    if recorded == "whole":
        first = live.invoke("m", messages, ledger=real, **params)
    else:
        pieces = list(live.stream("m", messages, ledger=real, **params))
        assert len(pieces) > 2
    replayed = ModelPool([card], transports={"replay": ReplayTransport.load(path)})
    one = replayed.invoke("m", messages, ledger=again, **params)
    if recorded == "whole":
        assert facts(one) == facts(first)
    else:
        streamed = whole_message(pieces)
        assert (one.message.content, one.message.tool_calls) == (streamed.content, streamed.tool_calls)
        assert one.message.usage_metadata == streamed.usage_metadata
    assert (again.spent.picousd, again.spent.tokens) == (real.spent.picousd, real.spent.tokens)
    assert real.spent.picousd > 0 and not one.estimated
    assert facts(asyncio.run(replayed.ainvoke("m", messages, **params))) == facts(one)
    whole = whole_message(list(replayed.stream("m", messages, **params)))
    assert (whole.content, whole.tool_calls, whole.usage_metadata) == (
        one.message.content, one.message.tool_calls, one.message.usage_metadata
    )  # fmt: skip
    assert bool(whole.tool_calls) == (call == "a tool")


def test_anything_else_that_changes_a_reply_makes_another_request_and_names_of_messages_do_not(server, tmp_path):
    path = tmp_path / "replies.jsonl"
    card = card_of("openai/good-n5", api_base=server.url)
    live = ModelPool([card], transports={"replay": RecordTransport(LiteLLMTransport(), path)})
    told = [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[{"name": "look_up", "args": {"query": "x"}, "id": "1"}]),
        ToolMessage("nothing", tool_call_id="1"),
    ]
    live.invoke("m", told, temperature=0, tools=[TOOL])
    pool = ModelPool([card], transports={"replay": ReplayTransport.load(path)})
    same = [message.model_copy(update={"id": "new"}) for message in told]
    same[0] = HumanMessage("  look?")
    pool.invoke("m", same, temperature=0.0, tools=[TOOL], max_tokens=50, user="somebody")
    for messages, params in [
        (told, {"temperature": 1, "tools": [TOOL]}),
        (told, {"tools": [TOOL]}),
        (told, {"temperature": 0}),
        (told, {"temperature": 0, "tools": [TOOL], "seed": 3}),
        (told[:1], {"temperature": 0, "tools": [TOOL]}),
        ([SystemMessage("Be kind."), *told], {"temperature": 0, "tools": [TOOL]}),
        ([*told[:2], ToolMessage("all", tool_call_id="1")], {"temperature": 0, "tools": [TOOL]}),
        ([HumanMessage([{"type": "text", "text": "Look."}, {"type": "image", "url": "x"}]), *told[1:]],
         {"temperature": 0, "tools": [TOOL]}),
    ]:  # fmt: skip
        with pytest.raises(UnrecordedError, match="other messages or parameters"):
            pool.invoke("m", messages, **params)


def test_a_reply_that_was_cut_off_answers_only_under_its_own_limit(server, tmp_path):
    card = card_of("openai/good-n42", api_base=server.url)
    path = tmp_path / "replies.jsonl"
    live = ModelPool([card], transports={"replay": RecordTransport(LiteLLMTransport(), path)})
    cut, whole = live.invoke("m", "Why?", max_tokens=7), live.invoke("m", "Why?", max_tokens=90)
    pool = ModelPool([card], transports={"replay": ReplayTransport.load(path)})
    assert pool.invoke("m", "Why?", max_tokens=7).text == cut.text != whole.text
    assert pool.invoke("m", "Why?", max_tokens=42).text == whole.text
    with pytest.raises(UnrecordedError, match="42 tokens long, and max_tokens allows 41"):
        pool.invoke("m", "Why?", max_tokens=41)


async def test_failures_and_streams_that_are_left_early_are_not_recorded(server, tmp_path):
    path = tmp_path / "replies.jsonl"
    recorder = RecordTransport(LiteLLMTransport(), path)
    cards = [card_of(f"openai/bad-{how}", name=how, api_base=server.url) for how in ("503", "half", "n30")]
    pool = ModelPool(cards, transports={"replay": recorder}, retries=0)
    with pytest.raises(ModelServerError):
        await pool.ainvoke("503", "Why?")
    with pytest.raises(Exception, match="half"):
        _ = [piece async for piece in pool.astream("half", "Why?")]
    async with aclosing(pool.astream("n30", "Why?")) as stream:
        await anext(stream)
    assert path.read_bytes() == b""


def test_a_recording_holds_no_key_no_header_and_no_id(tmp_path):
    said = AIMessage("Yes.", id="1", response_metadata={"headers": {"authorization": "sesame"}, "model_name": "x-1"})
    recorder = saying(said, tmp_path / "r.jsonl")
    pool = ModelPool([card_of("x")], transports={"replay": recorder})
    pool.invoke("m", "Why?", extra_headers={"authorization": "sesame"})
    assert "sesame" not in (tmp_path / "r.jsonl").read_text()
    again = ModelPool([card_of("x")], transports={"replay": ReplayTransport.load(tmp_path / "r.jsonl")})
    message = again.invoke("m", "Why?").message
    assert message.response_metadata["model_name"] == "x-1"
    assert message.id != "1"  # a graph would take two replays for two versions of one message


def test_processes_and_threads_record_side_by_side_and_lose_no_line(tmp_path):
    path = tmp_path / "replies.jsonl"
    code = "import sys; from support.recordings import record_many; record_many(sys.argv[1], sys.argv[2], 40)"
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path), who], cwd=Path(__file__).parents[1])
        for who in ("p0", "p1")
    ]
    while not path.exists():
        assert children[0].poll() is None
        time.sleep(0.001)
    threads = [threading.Thread(target=record_many, args=(path, who, 40)) for who in ("t0", "t1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(30) for child in children] == [0, 0]
    questions = [f"{who} {i}" for who in ("p0", "p1", "t0", "t1") for i in range(40)]
    assert ReplayTransport.load(path).covers(["a/b"], questions) == {"a/b": Coverage(160, 160)}


def test_a_line_that_a_crash_cut_off_costs_only_itself(tmp_path, caplog):
    path = written(tmp_path / "replies.jsonl", {"question": "one", "responses": {"a/b": SAY}})
    with path.open("a") as file:
        file.write('{"question": "two", "respo')
    assert ReplayTransport.load(path).covers(["a/b"], ["one", "two"]) == {"a/b": Coverage(2, 1)}
    assert "line 2 is cut off" in caplog.text
    record_many(path, "q", 1)
    with pytest.raises(CardError, match=r"replies\.jsonl, line 2 is no JSON .*mend or remove"):
        ReplayTransport.load(path)
    path.write_text("\n".join(line for line in path.read_text().split("\n") if "two" not in line))
    assert ReplayTransport.load(path).covers(["a/b"], ["one", "q 0"]) == {"a/b": Coverage(2, 2)}


def test_a_reply_that_cannot_be_written_down_is_still_returned(tmp_path, caplog):
    said = AIMessage("Yes.", additional_kwargs={"parsed": object()})
    recorder = saying(said, tmp_path / "r.jsonl")
    assert asyncio.run(recorder.complete(asked("Why?"))).content == "Yes."
    assert "could not be recorded" in caplog.text and (tmp_path / "r.jsonl").read_bytes() == b""
