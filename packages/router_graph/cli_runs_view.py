"""`polyroute runs view`: the runs of a log in the browser, served to this machine alone unless a token is set."""

from __future__ import annotations

import contextlib
import os
import sys
import webbrowser
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from kb_tools.cli_command import PlainCommand
from router_graph import cli_ask_options

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from router_graph.settings_live import Router
    from router_graph.trajectories.records import RunRecord

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
    knowledge: cli_ask_options.Location = None,
    pool: cli_ask_options.Pool = None,
    mote: Annotated[
        Path | None,
        typer.Option(
            "--mote",
            metavar="FOLDER",
            help="Where tables of experts are, to show as heat maps; by default beside the runs.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = DEFAULT_PORT,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Look at the runs in the browser: a table of runs, each run step by step, each step with all its options.

    With a router.yaml, or with knowledge bases or a pool, questions can be asked and steps forked there. Beyond this
    machine it is served with a token alone: POLYROUTE_TOKEN.

    polyroute runs view --runs runs
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import RedirectResponse
    from starlette.routing import Mount, Route

    from kb_tools import terminal
    from mote_backend.errors import InputError
    from mote_backend.serving.guard import Guard
    from mote_backend.serving.listening import address_of, hosts_of, listening, run
    from router_graph.trajectories.shards import LogError
    from router_graph.viewer.app import viewer_app
    from router_graph.viewer.borders import Headers

    token = os.environ.get(TOKEN_VARIABLE) or None
    if folder is not None and not folder.exists():
        raise LogError(f"There is no {folder}; give the folder that runs are recorded in, as in --runs runs.")
    mend = f"runs hold what people asked: set a token in {TOKEN_VARIABLE}, or listen on 127.0.0.1."
    with contextlib.ExitStack() as opened:
        try:
            hosts = hosts_of(host, token, mend=mend)
            listener = opened.enter_context(listening(host, port))
        except InputError as error:
            raise LogError(str(error)) from None
        router = _router(config, {"knowledge": knowledge, "pool": pool}, folder, opened)
        log = folder or _log_of(router)
        pages = viewer_app(log, router=router, mote=mote or log.absolute().parent, token=token, hosts=hosts)
        opened.callback(pages.state.viewer.close)
        app = Starlette(
            routes=[Mount("/app", pages), Route("/", lambda _: RedirectResponse("/app/"))],
            middleware=[Middleware(Headers), Middleware(Guard, token=None, hosts=hosts, origins=(), own_pages=True)],
            lifespan=_both(pages),
        )
        address = f"{address_of(host, listener)}/app/"
        address += f"#token={quote(token, safe='')}" if token else ""
        terminal.note(f"The runs of {log} are at {address} (Ctrl-C ends it).")
        if browser and _has_windows():
            webbrowser.open(address)
        run(app, listener)


def write_page(run: RunRecord, folder: Path, path: Path, *, overwrite: bool) -> None:
    """The page of a run as one file. Raises `LogError` where it is there already, or cannot be written."""
    from kb_tools import terminal
    from router_graph.trajectories.shards import LogError
    from router_graph.viewer.viewer import page_of_record

    if path.exists() and not overwrite:
        raise LogError(f"{path} is there already; name another, or pass --overwrite.")
    try:
        path.write_text(page_of_record(run, folder), encoding="utf-8", errors="replace")
    except OSError as error:
        raise LogError(f"{path} cannot be written ({error.strerror}); name another.") from None
    terminal.note(f"The run {run.run_id} was written to {path}; it opens in any browser.")


def _router(
    config: Path | None, given: Mapping[str, str | None], folder: Path | None, opened: contextlib.ExitStack
) -> Router | None:
    """The router to ask and fork with; None where there are no settings and nobody to ask."""
    from kb_tools import terminal
    from router_graph.errors import RouterError
    from router_graph.settings import DEFAULT_FILE, FILE_VARIABLE
    from router_graph.settings_live import load_router

    arguments = {name: value for name, value in given.items() if value is not None}
    is_told = config is not None or bool(arguments)
    named = any(os.environ.get(one) for one in (FILE_VARIABLE, "POLYROUTE_KB", "POLYROUTE_POOL"))
    is_there = any(Path(one).exists() for one in (DEFAULT_FILE, "polyroute-kb", "pool.yaml"))
    if not (is_told or named or is_there):
        return None
    if folder is not None:
        arguments["runs"] = "none"  # the viewer records what it starts, into the log that it shows
    try:
        return opened.enter_context(load_router(config, **arguments))
    except RouterError as error:
        if is_told:
            raise
        terminal.note(f"Nobody can be asked in the viewer: {error}")
        return None


def _log_of(router: Router | None) -> Path:
    """Where the router records; `runs` where it does not."""
    return Path("runs") if router is None or router.recorder is None else router.recorder.writer.folder


def _has_windows() -> bool:
    """Whether a browser would open in a window: one of text would take the terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(one) for one in ("DISPLAY", "WAYLAND_DISPLAY"))


def _both(pages: Starlette) -> Any:
    """The lifespan of what is mounted: Starlette runs that of the outer application alone."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with pages.router.lifespan_context(pages):
            yield

    return lifespan
