"""What the server of `langgraph dev` answers beside the routes of langgraph-api: the page, the tool, and the gate.

langgraph.json names `app`. It redirects / to the run viewer at /app/, answers MCP at /mcp, and its middleware stands
before every route of the port.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from router_graph.errors import RouterError
from router_graph.server_guard import ServerGuard, who_may_ask

try:
    _who = who_may_ask()
    from router_graph.server import live, router
except RouterError as error:
    sys.exit(f"polyroute: {error}")

from router_graph.server_mcp import MCPTool
from router_graph.viewer.app import viewer_app


def _viewer() -> Starlette | None:
    """The pages of the runs that this server records; None where the settings say that it records none."""
    if live.recorder is None:
        return None
    log = live.recorder.writer.folder
    return viewer_app(log, router=live, mote=log.absolute().parent, token=_who.token, hosts=_who.hosts)


_STUDIO = "https://smith.langchain.com/studio/"
_mcp = MCPTool(router)
_pages = _viewer()


@contextlib.asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as running:
        running.callback(live.close)
        if _pages is not None:  # Starlette runs the lifespan of the outer application alone
            await running.enter_async_context(_pages.router.lifespan_context(_pages))
        await running.enter_async_context(_mcp.running())
        sys.stdout.write(_where(os.environ.get("LANGGRAPH_API_URL", "")))
        sys.stdout.flush()
        yield


def _where(url: str) -> str:
    token = f"#token={quote(_who.token, safe='')}" if _who.token else ""
    runs = "no runs are recorded" if _pages is None else f"runs at {url}/app/{token}"
    reach = "nobody but this machine reaches it" if _who.hosts else "other machines reach it, with the token"
    return f"Polyroute: {runs}; MCP at {url}/mcp; Studio at {_STUDIO}?baseUrl={url}; {reach} (Ctrl-C ends it).\n"


async def _start(_: Request) -> RedirectResponse:
    return RedirectResponse("docs" if _pages is None else "app/")


app = Starlette(
    routes=[Route("/", _start), Route("/mcp", _mcp), *([] if _pages is None else [Mount("/app", _pages)])],
    middleware=[Middleware(ServerGuard, who=_who)],
    lifespan=_lifespan,
)
