"""What the server of `langgraph dev` answers beside the routes of langgraph-api: the page, the tool, and the gate.

langgraph.json names `app`. It redirects / to the run viewer at /app/, answers MCP at /mcp, and its middleware stands
before every route of the port.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

from router_graph.errors import RouterError
from router_graph.server_guard import ServerGuard, guard_options

try:
    _guard = guard_options()
    from router_graph.server import live, router
except RouterError as error:
    sys.exit(f"polyroute: {error}")

from router_graph.server_mcp import MCPTool

_mcp = MCPTool(router)


@contextlib.asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    async with _mcp.running():
        yield
    live.close()


async def _to_the_page(_: Request) -> RedirectResponse:
    return RedirectResponse("app/")


app = Starlette(
    routes=[Route("/", _to_the_page), Route("/mcp", _mcp, methods=["POST"])],
    middleware=[Middleware(ServerGuard, **_guard)],
    lifespan=_lifespan,
)
