"""`polyroute serve` under clients that mean no good: bodies that are none, names, budgets, hosts, crowds, leaving."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from router_graph.errors import SettingsError
from router_graph.serving.server import serve
from router_graph.settings_live import Router
from support.model_server import ModelServer
from support.router_server import serving
from support.served_router import ANSWER, ASK, open_router

TOKEN = "a token of words"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, provider: ModelServer) -> Iterator[Router]:
    settings = "knowledge: kb\npool: pool.yaml\npolicy: heuristic\nturn: {ask_above_usd: 0.001}\n"
    with open_router(tmp_path_factory.mktemp("attacked"), provider, settings) as router:
        yield router


@pytest.fixture(scope="module")
def url(router: Router) -> Iterator[str]:
    with serving(router, token=TOKEN, max_runs=2, max_body=50_000, origins=["https://chat.example"]) as url:
        yield f"{url}/v1"


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=20) as client:
        yield client


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key=TOKEN, max_retries=0) as client:
        yield client


def sentence(reply: httpx.Response) -> str:
    """Of an answer that is an error in OpenAI's form."""
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert "Traceback" not in error["message"]
    return error["message"]


ASKED = b'{"messages": [{"role": "user", "content": "x"}], '
NO_JSON = "The request is no JSON"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", NO_JSON),
        (b"{", NO_JSON),
        (b"\xff\xfe{}", NO_JSON),
        (b'{"messages": NaN}', NO_JSON),
        (b'{"polyroute": {"usd": Infinity}}', NO_JSON),
        (b"[" * 40_000, NO_JSON),
        (b'{"messages":' + b'{"a":' * 8_000, NO_JSON),
        (b"[1]", "The request is JSON, but no object"),
        (b'"text"', "The request is JSON, but no object"),
        (b"{}", "'messages' is missing"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "half of a surrogate pair"),
        (b'{"model": "\\udc00", "messages": [{"role": "user", "content": "x"}]}', "half of a surrogate pair"),
        (ASKED + b'"seed": 1e400}', "seed is inf"),
        (ASKED + b'"polyroute": {"usd": 1e400}}', "polyroute: usd is inf"),
        (ASKED + b'"max_tokens": ' + b"9" * 5000 + b"}", NO_JSON),
        (b'{"messages": ' + b"[" * 400 + b"]" * 400 + b"}", "messages.0 is [["),
        (ASKED + b'"polyroute": {"' + b"a" * 40_000 + b'": 1}}', "… is no known key."),
        (ASKED + b'"' + b"a" * 40_000 + b'": 1}', "is no known field"),
        (ASKED + b'"polyroute": {"exclude": [' + b'"answer",' * 4_000 + b'"answer"]}}', "polyroute: exclude is"),
        (ASKED + b'"polyroute": {"protocol": "' + b"a" * 40_000 + b'"}}', "polyroute: protocol is"),
        (ASKED + b'"metadata": {"a": {"b": 1}}}', "metadata.a is"),
    ],
)
def test_a_body_that_is_no_request_is_refused_in_a_sentence(http, body, said):
    reply = http.post("/chat/completions", content=body, headers=JSON)
    assert reply.status_code == 400
    assert said in sentence(reply)
    assert len(reply.content) < 1000


def test_a_body_is_json_and_no_larger_than_allowed(http):
    assert http.post("/chat/completions", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert http.post("/chat/completions", content=b"{}").status_code == 415
    large = http.post("/chat/completions", content=b"x" * 60_000, headers=JSON)
    assert (large.status_code, sentence(large)) == (413, "A request may have 50,000 bytes.")

    def drip() -> Iterator[bytes]:
        for _ in range(60):
            yield b"x" * 1000

    assert http.post("/chat/completions", content=drip(), headers=JSON).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(url, monkeypatch):
    monkeypatch.setattr("router_graph.serving.endpoint.BODY_S", 0.2)
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        wire.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert wire.recv(4096).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("before", ["", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
def test_a_head_that_never_ends_is_not_waited_for(url, monkeypatch, before):
    monkeypatch.setattr("mote_backend.serving.patience.HEAD_S", 0.2)
    address, began = urlsplit(url), time.monotonic()
    with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
        wire.sendall(before.encode())
        if before:
            assert wire.recv(4096).startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5:
                wire.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " if not before else b"GET")
                before = before or " "
                wire.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    assert wire.recv(4096) == b""
                    break
    assert 0.15 < time.monotonic() - began < 3


def test_only_who_has_the_token_is_answered(url, client):
    with pytest.raises(openai.AuthenticationError, match="wants its token"):
        openai.OpenAI(base_url=url, api_key="another", max_retries=0).models.list()
    assert httpx.get(f"{url}/models").status_code == 401
    assert httpx.get(f"{url.removesuffix('/v1')}/openapi.json").status_code == 401
    assert httpx.get(f"{url.removesuffix('/v1')}/health").json() == {"status": "ok"}
    assert client.models.list().data


def test_only_the_pages_that_are_named_may_ask_and_under_the_servers_own_name(http):
    asks = {"json": {"model": "router/kb:handbook", "messages": ASK}}
    page = "https://chat.example"
    allowed = http.post("/chat/completions", headers={"origin": page}, **asks)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, page)
    before = {
        "origin": page,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    assert httpx.options(f"{http.base_url}chat/completions", headers=before).status_code == 200
    other = http.post("/chat/completions", headers={"origin": "https://evil.example"}, **asks)
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (403, False)
    assert http.get("/models", headers={"host": "evil.example"}).status_code == 403


def test_without_a_named_page_no_page_may_ask(router):
    with serving(router) as url:
        reply = httpx.options(
            f"{url}/v1/models", headers={"origin": "https://a.b", "access-control-request-method": "GET"}
        )
    assert (reply.status_code, [one for one in reply.headers if one.startswith("access-control")]) == (403, [])


def test_addresses_and_methods_that_there_are_not(http):
    assert "ask /v1/chat/completions" in sentence(http.get("/nothing"))
    assert http.get("/chat/completions").status_code == 405
    assert http.get("/models/router%2F..%2F..%2Fetc").status_code == 404
    assert http.post("/responses", json={}).status_code == 404


def test_where_others_could_reach_it_it_wants_a_token(router):
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0 is reachable for other machines; set a token"):
        serve(router, host="0.0.0.0", port=0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="cannot be had"):
        serve(router, port=taken.getsockname()[1])


def test_a_call_that_a_person_would_have_to_agree_to_is_declined(client):
    reply = client.chat.completions.create(model="router/kb:hostile", messages=ASK)
    (asked,) = reply.polyroute["steps"][0]["asked"]
    assert (asked["to"], asked["status"], reply.polyroute["cost_usd"]) == ("kb:hostile", "declined", 0)


def test_more_than_the_most_at_once_are_told_to_come_back(http, client, server):
    stuck = {"model": "router/direct:stuck", "messages": ASK, "stream": True}
    with contextlib.ExitStack() as streams:
        for _ in range(2):
            streams.enter_context(http.stream("POST", "/chat/completions", json=stuck))
        wait_until(lambda: len(server.meter) == 2)
        with pytest.raises(openai.RateLimitError, match="2 questions are being answered") as caught:
            client.chat.completions.create(model="router", messages=ASK)
        assert caught.value.response.headers["retry-after"] == "1"
    server.settle()


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_ends_the_run_and_its_call_is_booked(url, router, server, stream):
    body = json.dumps({"model": "router/direct:stuck", "messages": ASK, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    address, opened = urlsplit(url), []
    find = router.resources.accounts.open

    def note(*args, **options):
        opened.append(find(*args, **options))
        return opened[-1]

    router.resources.accounts.open = note
    try:
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            wire.sendall(head.encode() + body)
            wait_until(lambda: server.meter and opened and opened[-1].reserved.calls == 1)
        wait_until(lambda: opened[-1].reserved.calls == 0)
    finally:
        del router.resources.accounts.open
    (entry,) = opened[-1].entries.values()
    worst, booked = entry["reserved"], entry["spent"]
    assert (entry["state"], entry["estimated"]) == ("settled", True)
    assert (booked["picousd"], booked["tokens"]) == (worst["picousd"], worst["tokens"])
    server.settle()


def wait_until(holds, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_run_that_takes_too_long_is_given_up_also_in_the_midst_of_a_stream(router, server):
    with serving(router, limit_s=0.3) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
        asks = {"model": "router/direct:stuck", "messages": ASK}
        with pytest.raises(openai.InternalServerError, match=r"no answer within 0\.3 s") as caught:
            client.chat.completions.create(**asks)
        assert caught.value.status_code == 504
        with pytest.raises(openai.APIError, match=r"no answer within 0\.3 s") as caught:
            list(client.chat.completions.create(**asks, stream=True))
        text = httpx.post(f"{url}/v1/chat/completions", json={**asks, "stream": True}).text
    assert text.endswith("data: [DONE]\n\n")
    server.settle()


def test_nothing_happening_for_a_while_is_told_in_comments(router, server, monkeypatch):
    monkeypatch.setattr("router_graph.serving.reply.KEEP_ALIVE_S", 0.2)
    asks = {"model": "router/direct:slow", "messages": ASK, "stream": True}
    with serving(router) as url, httpx.stream("POST", f"{url}/v1/chat/completions", json=asks, timeout=20) as reply:
        lines = [line for line in reply.iter_lines() if line]
    assert lines.count(": the router is at work") >= 2
    assert lines[-1] == "data: [DONE]"


def test_two_hundred_requests_at_once_are_answered_or_told_to_come_back(url):
    async def all_of_them() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits, headers=headers) as client:
            body = {"model": "router/kb:handbook", "messages": ASK}
            return await asyncio.gather(*(client.post("/chat/completions", json=body) for _ in range(200)))

    replies = asyncio.run(all_of_them())
    good = [one.json()["choices"][0]["message"]["content"] for one in replies if one.status_code == 200]
    assert good and set(good) == {ANSWER}
    assert {one.status_code for one in replies} <= {200, 429}
    assert httpx.get(f"{url.removesuffix('/v1')}/health").status_code == 200
