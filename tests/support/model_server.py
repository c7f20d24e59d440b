"""A model provider on loopback that speaks OpenAI's API, fails on demand, and meters what it serves.

The model's name says how it behaves: a free word, then words with dashes between, such as `good-n42-cached` or
`b-429-after2`; unknown words mean nothing. A token is a word.

Good replies: `n42` wants to say 42 tokens · `slow300` waits 300 ms first · `pace5` waits 5 ms before each streamed
token · `cached` reads 60 % of the prompt from a cache · `reasoning` hides half of the completion · `tool` calls a tool.
`echo` puts the last message into a tool call as its texts, and the first number in it as its numbers.
`tags` says a reply full of the tags of our own protocol.
Failures: `400` `401` `404` `429` `500` `503` `ctx` (the prompt is too long) · `after2` adds Retry-After: 2 · `flaky2`
fails twice with 503, then is good · `hang` never replies · `reset` breaks the connection.
Bad replies with status 200: `drip` one byte every 100 ms, for ever · `half` breaks off in the middle · `cut` ends a
stream early as if all were well · `wrongjson` · `notchat` JSON of another shape · `html` · `nousage` · `badusage` ·
`emptychoices` · `huge` 20 MB · `long` says 1.5 × max_tokens.

What it bills: prompt and completion of what it answered with status 200, even if the client could not use it. Of a
stream, the tokens written before the client left, and the reasoning before them. Only the prompt if no completion was
made (`notchat`, `html`, `emptychoices`) or if the client left during `hang` or `slow`. Nothing for a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path

if __name__ == "__main__":  # run as a file: its own folder is on the path, not tests/
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.model_replies import BadRequestError, Reply, behaviour, compose, embed, prompt_tokens

DRIP = 0.1
"""Seconds between the bytes of a `drip` reply."""
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
FAILURES = {
    "400": (400, "invalid_request_error", None, "The request is not valid."),
    "401": (401, "authentication_error", "invalid_api_key", "Incorrect API key provided."),
    "404": (404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "429": (429, "rate_limit_error", "rate_limit_exceeded", "Rate limit reached; try again later."),
    "500": (500, "server_error", None, "The server had an error."),
    "503": (503, "server_error", None, "The engine is overloaded."),
    "ctx": (400, "invalid_request_error", "context_length_exceeded", "The prompt exceeds the maximum context length."),
}
GARBLED = {
    "wrongjson": ("application/json", '{"choices": [garbage'),
    "notchat": ("application/json", '{"status": "fine", "items": [1, 2, 3]}'),
    "html": ("text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>"),
}


@dataclass(slots=True)
class Row:
    """What one request was answered and billed. It is in the meter from the moment the request was read."""

    key: str
    """The header x-request-key, else the field `user`, else the number of the request, from 0."""
    model: str
    status: int = 0
    """0 where no reply was begun."""
    prompt: int = 0
    cached: int = 0
    """Part of `prompt`."""
    completion: int = 0
    reasoning: int = 0
    """Part of `completion`."""
    finished: bool = False
    """Whether the whole reply was handed to the system's socket."""

    def usage(self, how: dict[str, int]) -> dict:
        """The bill as the API reports it, or as a bad provider would."""
        if "badusage" in how:
            return {"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": None}
        usage: dict = {"prompt_tokens": self.prompt, "completion_tokens": self.completion}
        usage["total_tokens"] = self.prompt + self.completion
        if "cached" in how:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        if "reasoning" in how:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning}
        return usage


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came in. Header names are in small letters; a body that is no JSON object is {}."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict


class Wire:
    """One connection: requests in, bytes out. Whatever finds that the client has left raises ConnectionError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> Seen | None:
        """The next request; None where the client has closed, or does not speak HTTP."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, *_ = [*first.split(" "), ""]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        raw = await self._reader.readexactly(int(headers.get("content-length", 0)))
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {}
        return Seen(method, path, headers, body if isinstance(body, dict) else {})

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the system has nearly all of them."""
        self._check()
        self._writer.write(data)
        await self._writer.drain()

    def _check(self) -> None:
        if self._reader.at_eof() or self._reader.exception() or self._writer.is_closing():
            raise ConnectionAbortedError

    async def head(self, status: int, kind: str, length: int | None, extra: dict[str, str] | None = None) -> None:
        """Begin a reply; no length is a reply in chunks."""
        await self.write(_head(status, kind, length, extra))

    async def whole(self, status: int, kind: str, body: bytes, extra: dict[str, str] | None = None) -> None:
        """Send a reply."""
        await self.write(_head(status, kind, len(body), extra) + body)

    async def chunk(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of a reply in chunks."""
        await self.write(b"%x\r\n%b\r\n%b" % (len(data), data, b"0\r\n\r\n" if last else b""))

    async def look(self) -> None:
        """Let other requests run, and notice that the client has left: while a task only writes, neither happens."""
        await asyncio.sleep(0)
        self._check()

    async def wait(self, seconds: float | None) -> None:
        """Wait for a while, or as long as the client does."""
        try:
            await asyncio.wait_for(self._reader.read(1), seconds)
        except TimeoutError:
            return
        raise ConnectionAbortedError  # the client left, or sent more before it had its reply, which we do not serve

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def _head(status: int, kind: str, length: int | None, extra: dict[str, str] | None) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", f"Content-Type: {kind}", framing]
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class ModelServer:
    """The provider, in a thread with a loop of its own: `with ModelServer() as server: server.url`."""

    def __init__(self, port: int = 0) -> None:
        self.meter: list[Row] = []
        """What was billed, in the order of the requests. Use `settle` before you judge a client that left."""
        self.seen: list[Seen] = []
        """The request of each row of `meter`."""
        self.peak: Counter[str] = Counter()
        """The most requests under way at once, by model."""
        self._under_way: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._tasks: set[asyncio.Task] = set()
        self._given_port = port
        self._port: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="model-server", daemon=True)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._port.result(10)}/v1"
        """What a client calls the base URL."""
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until no request is under way; TimeoutError if that takes longer."""
        end = time.monotonic() + seconds
        while self._under_way.total():
            if time.monotonic() > end:
                raise TimeoutError(f"still under way: {+self._under_way}")
            time.sleep(0.002)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:  # the port is taken
            self._port.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._given_port, backlog=1024, limit=2**20)
        self._port.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        wire = Wire(reader, writer)
        try:
            while (request := await wire.read()) and await self._respond(request, wire):
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:  # the server stops: a close would wait until the client has read everything
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _respond(self, request: Seen, wire: Wire) -> bool:
        """Answer; whether the connection can serve another request."""
        if (request.method, request.path) == ("GET", "/meter"):
            await wire.whole(200, "application/json", json.dumps([asdict(row) for row in self.meter]).encode())
            return True
        model = str(request.body.get("model"))
        key = request.headers.get("x-request-key") or request.body.get("user") or len(self.meter)
        row = Row(str(key), model)
        self.seen.append(request)
        self.meter.append(row)
        self._asked[model] += 1
        self._under_way[model] += 1
        self.peak[model] = max(self.peak[model], self._under_way[model])
        try:
            return await self._behave(request, row, wire)
        except ConnectionError:
            row.finished = False
            raise
        finally:
            self._under_way[model] -= 1

    async def _behave(self, request: Seen, row: Row, wire: Wire) -> bool:
        how, body = behaviour(row.model), request.body
        try:
            prompt, reply = _understand(request)
        except BadRequestError as error:
            return await _fail(row, wire, (400, "invalid_request_error", None, str(error)))
        except LookupError as error:
            return await _fail(row, wire, (404, "invalid_request_error", None, str(error)))
        row.prompt = prompt  # while we wait, and after it if the client leaves
        if "slow" in how:
            await wire.wait(how["slow"] / 1000)
        if "hang" in how:
            await wire.wait(None)
        row.prompt = 0
        if "reset" in how:
            wire.reset()
            return False
        flaky = self._asked[row.model] <= how.get("flaky", 0)
        if failure := "503" if flaky else next((word for word in how if word in FAILURES), None):
            retry = {"Retry-After": str(how["after"])} if "after" in how else {}
            return await _fail(row, wire, FAILURES[failure], retry)
        row.status, row.prompt = 200, prompt
        row.cached = prompt * 60 // 100 if "cached" in how else 0
        if garbled := next((word for word in how if word in GARBLED), None):
            if garbled == "wrongjson" and reply:
                row.completion, row.reasoning = len(reply.pieces) + reply.reasoning, reply.reasoning
            return await _garble(*GARBLED[garbled], row, wire, stream=bool(body.get("stream")))
        if reply and body.get("stream"):
            return await _stream(body, reply, row, how, wire)
        return await _send(body, reply, row, how, wire)


def _understand(request: Seen) -> tuple[int, Reply | None]:
    """The prompt's tokens, and what the model says to a chat."""
    wanted = {"/v1/chat/completions": "messages", "/v1/embeddings": "input"}.get(request.path)
    if request.method != "POST" or wanted is None:
        raise LookupError(f"{request.method} {request.path} is not served")
    try:
        if not isinstance(request.body["model"], str) or not request.body[wanted]:
            raise BadRequestError(f"model and {wanted} must not be empty")
        return prompt_tokens(request.body), compose(request.body) if wanted == "messages" else None
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRequestError(f"the body is not a request: {error!r}") from error


async def _fail(
    row: Row, wire: Wire, failure: tuple[int, str, str | None, str], extra: dict[str, str] | None = None
) -> bool:
    row.status, kind, code, message = failure
    row.finished = True
    error = {"message": message, "type": kind, "param": None, "code": code}
    await wire.whole(row.status, "application/json", json.dumps({"error": error}).encode(), extra)
    return True


async def _garble(kind: str, text: str, row: Row, wire: Wire, *, stream: bool) -> bool:
    if stream and kind != "text/html":
        kind, text = "text/event-stream", f"data: {text}\n\n"
    row.finished = True
    await wire.whole(200, kind, text.encode())
    return True


async def _send(body: dict, reply: Reply | None, row: Row, how: dict[str, int], wire: Wire) -> bool:
    """Answer in one piece: a chat, or embeddings where there is no reply."""
    payload: dict = {"object": "list", "model": row.model}
    if reply and "emptychoices" not in how:
        row.completion, row.reasoning = len(reply.pieces) + reply.reasoning, reply.reasoning
    if reply:
        payload = _envelope("chat.completion", row)
        choice = {"index": 0, "message": reply.message(), "finish_reason": reply.finish, "logprobs": None}
        payload["choices"] = [] if "emptychoices" in how else [choice]
    else:
        payload["data"] = [] if "emptychoices" in how else embed(body)
    if "nousage" not in how:
        payload["usage"] = row.usage(how)
    data = json.dumps(payload).encode()
    if "half" in how:
        await wire.head(200, "application/json", len(data))
        await wire.write(data[: len(data) // 2])
        return False
    if "drip" in how:
        await wire.head(200, "application/json", None)
        await _drip(data, wire)
        await _drip_for_ever(b" ", wire)
    row.finished = True
    await wire.whole(200, "application/json", data)
    return True


async def _stream(body: dict, reply: Reply, row: Row, how: dict[str, int], wire: Wire) -> bool:
    """Answer with a stream of events, one for each token."""
    row.completion = row.reasoning = reply.reasoning if "emptychoices" not in how else 0
    events = [] if "emptychoices" in how else [_event(row, delta) for delta in reply.deltas()]
    await wire.head(200, "text/event-stream", None)
    await wire.chunk(_event(row, {"role": "assistant", "content": ""}) if events else b":\n\n")
    said = len(events) // 2 if "half" in how or "cut" in how else len(events)
    for event in events[:said]:
        await (wire.wait(how["pace"] / 1000) if "pace" in how else wire.look())
        if "drip" in how:
            await _drip(event, wire)
        row.completion += 1  # before it is sent, so that a client that has it finds it billed
        if "drip" not in how:
            await wire.chunk(event)
    if "drip" in how:
        await _drip_for_ever(b":", wire)
    if "half" in how:
        await wire.chunk(events[said][: len(events[said]) // 2])
        return False
    if "cut" in how:
        await wire.chunk(b":\n\n", last=True)
        return True
    envelope = _envelope("chat.completion.chunk", row) | {"choices": []}
    tail = _event(row, {}, reply.finish) if events else _data(envelope)
    if (body.get("stream_options") or {}).get("include_usage") and "nousage" not in how:
        tail += _data(envelope | {"usage": row.usage(how)})
    row.finished = True
    await wire.chunk(tail + b"data: [DONE]\n\n", last=True)
    return True


async def _drip(data: bytes, wire: Wire) -> None:
    for i in range(len(data)):
        await wire.chunk(data[i : i + 1])
        await wire.wait(DRIP)


async def _drip_for_ever(byte: bytes, wire: Wire) -> None:
    while True:
        await _drip(byte, wire)


def _event(row: Row, delta: dict, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _data(_envelope("chat.completion.chunk", row) | {"choices": [choice]})


def _data(payload: dict) -> bytes:
    return b"data: %b\n\n" % json.dumps(payload).encode()


def _envelope(kind: str, row: Row) -> dict:
    return {"id": f"chatcmpl-{row.key}", "object": kind, "created": 1_700_000_000, "model": row.model}


def main() -> None:
    """Print the URL and serve until a signal ends it."""
    parser = argparse.ArgumentParser(description="A metering model server on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 is any free port")
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the thread starts, which inherits it
    with ModelServer(parser.parse_args().port) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
