"""The router as one tool of MCP: a question in; the answer, its sources, why it stopped and its price out.

langgraph-api's own /mcp makes each assistant a tool that answers with its whole state as Python text. This one is asked
inside the process, without the queue of runs; it speaks Streamable HTTP, stateless, and each answer is one JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, get_args

from langgraph.graph.state import CompiledStateGraph
from starlette.responses import Response

from router_graph.explain import resources_of
from router_graph.state import StopReason
from router_graph.tool import Question, describe, router_as_tool

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.types import Receive, Scope, Send

TOOL = "ask_router"
_OUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "citations": {
            "type": "array",
            "description": "The documents that the answer cites as [kb:doc_id].",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("kb", "doc_id", "title")},
                "required": ["kb", "doc_id", "title"],
            },
        },
        "stop_reason": {"type": "string", "enum": list(get_args(StopReason)), "description": "Why it ended."},
        "usd": {"type": "number", "description": "What the call cost, in USD."},
    },
    "required": ["answer", "citations", "stop_reason", "usd"],
}


class MCPTool:
    """An ASGI endpoint. Run it: `async with tool.running(): …`.

    The package `mcp` is imported with the first request, in a thread: that takes 0.4 s.
    """

    def __init__(self, graph: CompiledStateGraph[Any, Any, Any, Any]) -> None:
        self._graph = graph
        self._wanted = asyncio.Event()
        self._manager: asyncio.Future[StreamableHTTPSessionManager] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests inside; they are cut off at its end."""
        self._manager = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(self._manager))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._manager is None:
            raise RuntimeError("The tool is asked before it runs; ask it inside `running`.")
        if scope["method"] != "POST":  # it begins nothing by itself, so that there is no stream to listen to
            return await Response(status_code=405, headers={"allow": "POST"})(scope, receive, send)
        self._wanted.set()
        try:
            manager = await asyncio.shield(self._manager)
        except ImportError:
            missing = Response(
                "MCP needs the package mcp: pip install 'polyroute[serve]'.", 501, media_type="text/plain"
            )
            return await missing(scope, receive, send)
        await manager.handle_request(scope, receive, send)

    async def _run(self, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        await self._wanted.wait()
        try:
            make: Callable[[], StreamableHTTPSessionManager] = await asyncio.to_thread(_imported, self._graph)
        except ImportError as error:
            ready.set_exception(error)
            return
        manager = make()
        async with manager.run():
            ready.set_result(manager)
            await asyncio.Event().wait()


def _imported(graph: CompiledStateGraph[Any, Any, Any, Any]) -> Callable[[], StreamableHTTPSessionManager]:
    """What makes the manager, in the loop that it is to run in, when all is imported."""
    import mcp_types as types
    from mcp.server import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    runs = router_as_tool(graph, name=TOOL)

    async def listed(*_: Any) -> types.ListToolsResult:
        tool = types.Tool(
            name=TOOL,
            title="Ask the router",
            description=describe(resources_of(graph)),
            input_schema=Question.model_json_schema(),
            output_schema=_OUT,
            annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=True),
        )
        return types.ListToolsResult(tools=[tool])

    async def called(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name != TOOL:
            return _refused(f"There is no tool {params.name!r}; there is {TOOL!r}.")
        given = params.arguments or {}
        if set(given) != {"question"} or not isinstance(given["question"], str):
            return _refused(f"{TOOL} takes one argument, the text 'question'.")
        told = await runs.ainvoke({"type": "tool_call", "id": "mcp", "name": TOOL, "args": given})
        if told.status == "error":
            return _refused(str(told.content))
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=str(told.content))],
            structured_content={name: told.artifact[name] for name in _OUT["properties"]},
        )

    def make() -> StreamableHTTPSessionManager:
        server: Any = Server("polyroute", on_list_tools=listed, on_call_tool=called)
        return StreamableHTTPSessionManager(server, stateless=True, json_response=True)

    return make


def _refused(why: str) -> types.CallToolResult:
    import mcp_types as types

    return types.CallToolResult(content=[types.TextContent(type="text", text=why)], is_error=True)
