"""The provider that other tests judge by: it bills what it served, and each failure does what its name says."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from support import model_server
from support.model_replies import HUGE, count
from support.model_server import ModelServer

CHAT = "/chat/completions"
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["query", "limit"],
        },
    },
}


@pytest.fixture
def server():
    with ModelServer() as running:
        yield running


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=5, trust_env=False) as open_client:
        yield open_client


def body(model, **more):
    return {"model": model, "messages": [{"role": "user", "content": "one two three four five six seven"}], **more}


def events(reply):
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def streamed_text(chunks):
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def billed(row):
    return row.status, row.prompt, row.completion, row.finished


def test_a_good_reply_reports_what_the_meter_bills_and_repeats_itself(server, client):
    first, again = (client.post(CHAT, json=body("good-n42-cached-reasoning", user="k")).json() for _ in range(2))
    assert first["choices"] == again["choices"]
    assert count(first["choices"][0]["message"]["content"]) == 21
    assert first["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 42,
        "total_tokens": 52,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 21},
    }
    row = server.meter[0]
    assert (row.key, row.cached, row.reasoning, *billed(row)) == ("k", 6, 21, 200, 10, 42, True)
    client.post(CHAT, json=body("good", user="k"), headers={"x-request-key": "header"})
    client.post(CHAT, json=body("good"))
    assert [row.key for row in server.meter[2:]] == ["header", "3"]
    assert client.get(server.url.removesuffix("/v1") + "/meter").json()[0]["completion"] == 42
    assert server.seen[3].body == body("good")


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("words", ["n42", "n42-reasoning", "n42-tool", "huge"])
def test_no_reply_is_longer_than_its_limit_unless_the_model_is_long(server, client, field, stream, words):
    client.post(CHAT, json=body(f"a-{words}", stream=stream, tools=[TOOL], **{field: 5}))
    client.post(CHAT, json=body(f"a-{words}-long", stream=stream, **{field: 4}))
    assert [row.completion for row in server.meter] == [5, 6]


def test_a_stream_says_the_same_as_a_whole_reply_with_one_chunk_for_each_token(server, client):
    whole = client.post(CHAT, json=body("good-n9")).json()
    chunks = events(client.post(CHAT, json=body("good-n9", stream=True, stream_options={"include_usage": True})))
    assert streamed_text(chunks) == whole["choices"][0]["message"]["content"]
    assert sum(bool(c["choices"] and c["choices"][0]["delta"].get("content")) for c in chunks) == 9
    assert chunks[-1]["usage"] == whole["usage"]
    silent = events(client.post(CHAT, json=body("good-n9", stream=True)))
    assert not any("usage" in chunk for chunk in silent)
    assert [billed(row) for row in server.meter] == [(200, 10, 9, True)] * 3


def test_a_tool_is_called_with_arguments_that_fit_its_schema_and_its_result_is_answered_in_words(client):
    for how in ({"model": "a-tool"}, {"model": "a", "tool_choice": "required"}):
        asked = body("a", tools=[TOOL]) | how
        call = client.post(CHAT, json=asked).json()["choices"][0]["message"]["tool_calls"][0]
        assert call["function"]["name"] == "look_up"
        arguments = json.loads(call["function"]["arguments"])
        assert isinstance(arguments.pop("query"), str)
        assert arguments == {"limit": 1}
        deltas = [c["choices"][0]["delta"] for c in events(client.post(CHAT, json=asked | {"stream": True}))]
        pieces = [d["tool_calls"][0]["function"] for d in deltas if "tool_calls" in d]
        assert "".join(piece["arguments"] for piece in pieces) == call["function"]["arguments"]
        asked["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "found it"},
        ]
        assert client.post(CHAT, json=asked).json()["choices"][0]["message"]["content"]
    assert "tool_calls" not in client.post(CHAT, json=body("a", tools=[TOOL])).json()["choices"][0]["message"]


def test_json_is_said_on_request(client):
    said = client.post(CHAT, json=body("a", response_format={"type": "json_object"})).json()
    assert set(json.loads(said["choices"][0]["message"]["content"])) == {"answer"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": TOOL["function"]["parameters"]}}
    said = client.post(CHAT, json=body("a", response_format=form)).json()
    assert set(json.loads(said["choices"][0]["message"]["content"])) == {"query", "limit"}


def test_embeddings_repeat_themselves_and_are_billed(server, client):
    asked = {"model": "e", "input": ["one two", "three"]}
    one, other = (client.post("/embeddings", json=asked).json() for _ in range(2))
    assert one == other
    assert len(one["data"]) == 2
    assert one["data"][0]["embedding"] != one["data"][1]["embedding"]
    assert one["usage"]["prompt_tokens"] == server.meter[0].prompt == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("word", ["400", "401", "404", "429", "500", "503", "ctx"])
def test_a_failure_has_its_status_and_costs_nothing(server, client, word, stream):
    reply = client.post(CHAT, json=body(f"a-{word}", stream=stream))
    assert reply.status_code == (400 if word == "ctx" else int(word))
    assert (reply.json()["error"]["code"] == "context_length_exceeded") == (word == "ctx")
    assert "retry-after" not in reply.headers
    assert client.post(CHAT, json=body(f"a-{word}-after2")).headers["retry-after"] == "2"
    assert [billed(row)[1:] for row in server.meter] == [(0, 0, True)] * 2


def test_a_flaky_model_fails_so_many_times_and_is_good_from_then_on(client):
    assert [client.post(CHAT, json=body("a-flaky2")).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_a_port_that_is_taken_is_an_error_at_once(server):
    with pytest.raises(OSError), ModelServer(httpx.URL(server.url).port):
        pass


@pytest.mark.parametrize("wrong", [{}, {"model": "a"}, body("a", max_tokens=0), body("a") | {"messages": ["text"]}])
def test_what_is_no_request_is_refused_and_the_next_one_served(client, wrong):
    assert client.post(CHAT, json=wrong).status_code == 400
    assert client.post(CHAT, content=b"{broken").status_code == 400
    assert client.post("/completions", json=body("a")).status_code == 404
    assert client.post(CHAT, json=body("a")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_hanging_model_sends_nothing_and_bills_the_prompt_of_a_client_that_leaves(server, client, stream):
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json=body("a-hang", stream=stream), timeout=0.1)
    server.settle()
    assert billed(server.meter[0]) == (0, 10, 0, False)


def test_a_slow_model_waits_first(client):
    start = time.monotonic()
    assert client.post(CHAT, json=body("a-slow150")).status_code == 200
    assert 0.15 <= time.monotonic() - start < 1


def exchange(server, model, **more):
    """All bytes that come back on a socket, and the error that ended them."""
    data = json.dumps(body(model, **more)).encode()
    got = bytearray()
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), timeout=2) as raw:
        raw.sendall(b"POST /v1%b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(data), data))
        try:
            while part := raw.recv(65536):
                got += part
        except OSError as error:
            return bytes(got), error
    return bytes(got), None


def test_a_reset_is_a_reset(server):
    got, error = exchange(server, "a-reset")
    assert got == b""
    assert isinstance(error, ConnectionResetError)
    assert billed(server.meter[0]) == (0, 0, 0, False)


def test_half_a_reply_ends_before_its_length_and_half_a_stream_inside_an_event(server, client):
    got, error = exchange(server, "a-half-n20")
    head, _, rest = got.partition(b"\r\n\r\n")
    assert error is None
    assert int(head.split(b"Content-Length: ")[1].split()[0]) // 2 == len(rest)
    got, error = exchange(server, "a-half-n20", stream=True)
    assert error is None
    assert b"[DONE]" not in got and not got.endswith((b"\n\n\r\n", b"0\r\n\r\n"))
    for stream in (False, True):
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(CHAT, json=body("a-half-n20", stream=stream))
    assert [billed(row) for row in server.meter] == [(200, 10, 20, False), (200, 10, 10, False)] * 2


def test_a_cut_stream_ends_as_if_all_were_well(server, client):
    reply = client.post(CHAT, json=body("a-cut-n20", stream=True))
    assert "[DONE]" not in reply.text and '"finish_reason": "stop"' not in reply.text
    assert billed(server.meter[0]) == (200, 10, 10, False)


@pytest.mark.parametrize("stream", [False, True])
def test_a_dripping_reply_outlives_a_timeout_between_bytes(server, stream):
    async def read():
        async with httpx.AsyncClient(base_url=server.url, timeout=0.3, trust_env=False) as client:
            await client.post(CHAT, json=body("a-drip", stream=stream))

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), 0.9)

    asyncio.run(main())
    server.settle()
    assert billed(server.meter[0]) == (200, 10, 0 if stream else 16, False)


def test_drips_are_single_bytes_and_never_end(server, monkeypatch):
    monkeypatch.setattr(model_server, "DRIP", 0.0002)
    whole = httpx.post(server.url + CHAT, json=body("a-n3", user="k"), trust_env=False).content
    with httpx.stream("POST", server.url + CHAT, json=body("a-n3-drip", user="k"), trust_env=False) as reply:
        got = b""
        for part in reply.iter_raw(1):
            got += part
            if len(got) == len(whole) + 50:
                break
    assert json.loads(got) == json.loads(whole) | {"model": "a-n3-drip"}


def test_what_comes_with_status_200_and_is_no_reply_is_billed_at_the_prompt_at_least(server, client):
    replies = {w: client.post(CHAT, json=body(f"a-{w}")) for w in ("wrongjson", "notchat", "html", "emptychoices")}
    assert {reply.status_code for reply in replies.values()} == {200}
    with pytest.raises(ValueError):
        replies["wrongjson"].json()
    assert "choices" not in replies["notchat"].json()
    assert replies["html"].headers["content-type"] == "text/html"
    assert replies["emptychoices"].json()["choices"] == []
    assert [billed(row)[1:3] for row in server.meter] == [(10, 16), (10, 0), (10, 0), (10, 0)]
    for word in replies:
        assert client.post(CHAT, json=body(f"a-{word}", stream=True)).status_code == 200


def test_usage_can_be_missing_or_bad_and_the_meter_still_knows(server, client):
    for stream in (False, True):
        more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        none, bad = (client.post(CHAT, json=body(f"a-{word}", **more)) for word in ("nousage", "badusage"))
        assert '"usage"' not in none.text
        assert '{"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": null}' in bad.text
    assert {billed(row) for row in server.meter} == {(200, 10, 16, True)}


def test_a_huge_reply_is_20_megabytes_and_comes_at_once(client):
    start = time.monotonic()
    assert (
        HUGE - 100 < len(client.post(CHAT, json=body("a-huge")).json()["choices"][0]["message"]["content"]) < HUGE + 100
    )
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("words", ["n500-pace2", "n30000"])
def test_a_client_that_leaves_a_stream_pays_for_what_was_written(server, words):
    with httpx.stream("POST", server.url + CHAT, json=body(f"a-{words}", stream=True), trust_env=False) as reply:
        lines = reply.iter_lines()
        while "content" not in (line := next(lines)) or '"content": ""' in line:
            pass
    server.settle()
    assert 1 <= server.meter[0].completion < (100 if "pace" in words else 30_000)
    assert not server.meter[0].finished


async def test_the_peak_is_the_most_requests_under_way_at_once_by_model(server):
    gate = asyncio.Semaphore(3)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:

        async def ask(model):
            async with gate:
                await client.post(CHAT, json=body(model))

        await asyncio.gather(*(ask("a-slow10") for _ in range(12)))
        await client.post(CHAT, json=body("b"))
    assert server.peak == {"a-slow10": 3, "b": 1}


def test_a_connection_serves_many_requests_quickly(server, client):
    start = time.monotonic()
    for _ in range(100):
        client.post(CHAT, json=body("good", stream=True))
    assert time.monotonic() - start < 3


def test_it_runs_as_a_file_and_ends_on_a_signal():
    file = Path(model_server.__file__)
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        assert httpx.post(url + CHAT, json=body("good"), trust_env=False).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert process.stderr.read() == ""
