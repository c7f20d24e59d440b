"""`polyroute runs view`: the runs of a log in the browser, served to this machine alone unless a token is set."""

from __future__ import annotations

import contextlib
import os
import socket
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kb_tools.cli_command import PlainCommand

if TYPE_CHECKING:
    from router_graph.settings_live import Router

DEFAULT_PORT = 2025
TOKEN_VARIABLE = "POLYROUTE_TOKEN"


def register(app: typer.Typer) -> None:
    """Add the command to `polyroute runs`."""
    app.command(cls=PlainCommand)(view)


def view(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--runs",
            "-r",
            envvar="POLYROUTE_RUNS",
            metavar="FOLDER",
            help="The folder that runs are recorded in; by default that of router.yaml, or else runs.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", help="The settings, to ask and fork with; router.yaml if there is one."
        ),
    ] = None,
    mote: Annotated[
        Path | None, typer.Option("--mote", metavar="FOLDER", help="Where tables of experts are, to show as heat maps.")
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = DEFAULT_PORT,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Look at the runs in the browser: a table of runs, each run step by step, each step with all its options.

    Beyond this machine it is served with a token alone: POLYROUTE_TOKEN.

    \b
    polyroute runs view --runs runs
    """
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import RedirectResponse
    from starlette.routing import Mount, Route

    from kb_tools import terminal
    from mote_backend.serving.guard import LOOPBACK, is_loopback
    from router_graph.trajectories.shards import LogError
    from router_graph.viewer.app import viewer_app

    token = os.environ.get(TOKEN_VARIABLE) or None
    if not is_loopback(host) and token is None:
        raise LogError(
            f"{host} is reachable for other machines, and runs hold what people asked; set a token in {TOKEN_VARIABLE}, "
            "or listen on 127.0.0.1."
        )
    hosts = LOOPBACK | {host.strip("[]").lower()} if is_loopback(host) else None
    with contextlib.ExitStack() as open_things:
        router: Router | None = None
        log = folder or Path("runs")
        if not log.exists() and folder is not None:
            raise LogError(f"There is no {log}; give the folder that runs are recorded in, as in --runs runs.")
        pages = viewer_app(log, router=router, mote=mote, token=token, hosts=hosts)
        open_things.callback(pages.state.viewer.close)
        app = Starlette(routes=[Mount("/app", pages), Route("/", lambda _: RedirectResponse("/app/"))])
        listener = open_things.enter_context(_listening(host, port))
        port = listener.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/app/" + (f"#token={token}" if token else "")
        terminal.note(f"The runs of {log} are at {address} (Ctrl-C ends it).")
        if browser:
            webbrowser.open(address)
        config_ = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
        )
        uvicorn.Server(config_).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    from router_graph.trajectories.shards import LogError

    host = host.strip("[]")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LogError(
            f"Port {port} of {host} cannot be had ({os.strerror(error.errno or 0)}); give another."
        ) from None
