"""Who may ask the server of `langgraph dev`, before it is asked anything."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from router_graph.errors import SettingsError
from router_graph.server_guard import ServerGuard, Who, who_may_ask


@pytest.mark.parametrize("url", ["http://0.0.0.0:2024", "http://192.168.1.5:2024", "https://x.trycloudflare.com", ""])
def test_server_that_others_reach_needs_a_token(url: str) -> None:
    with pytest.raises(SettingsError, match="set POLYROUTE_TOKEN to a secret"):
        who_may_ask({"LANGGRAPH_API_URL": url, "POLYROUTE_TOKEN": ""})
    assert who_may_ask({"LANGGRAPH_API_URL": url, "POLYROUTE_TOKEN": "t"}).hosts is None


def test_server_on_loopback_is_asked_under_its_own_names_by_the_pages_of_langgraph_json() -> None:
    http = {"cors": {"allow_origins": ["https://smith.langchain.com"]}}
    who = who_may_ask({"LANGGRAPH_API_URL": "http://127.0.0.2:2024", "LANGGRAPH_HTTP": json.dumps(http)})
    assert who.token is None and list(who.origins) == ["https://smith.langchain.com"]
    assert who.hosts == {"127.0.0.1", "localhost", "::1", "127.0.0.2"}


@pytest.mark.parametrize(
    ("token", "headers", "is_let_in"),
    [
        (None, {}, True),
        (None, {"origin": "http://testserver"}, True),
        (None, {"origin": "http://testserver:3000"}, False),
        (None, {"origin": "https://evil.example"}, False),
        (None, {"host": "evil.example"}, False),
        ("t", {}, False),
        ("t", {"authorization": "Bearer t"}, True),
    ],
)
def test_websocket_is_guarded_as_a_request_is(token: str | None, headers: dict[str, str], is_let_in: bool) -> None:
    async def greet(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")

    who = Who(token, {"testserver"}, ())
    app = Starlette(routes=[WebSocketRoute("/events", greet)], middleware=[Middleware(ServerGuard, who=who)])
    client = TestClient(app)
    if is_let_in:
        with client.websocket_connect("/events", headers=headers) as socket:
            assert socket.receive_text() == "hello"
    else:
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/events", headers=headers):
            pass
