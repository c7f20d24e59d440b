"""`polyroute` without its start: a process that has imported everything once, and forks for each command.

Run as a file with the path of a socket, it is that process. `shim` writes the command that asks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_SHIM = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({path!r})
    told = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [told], [0, 1, 2])
    sys.exit(int(server.recv(16) or b"70"))
"""
PARSE = "POLYROUTE_DOCS_PARSE"
"""Where it is set, a command is read and not run."""


@contextlib.contextmanager
def zygote(folder: Path, meanwhile: Callable[[], object]) -> Iterator[Path]:
    """A folder with the command `polyroute` in it, to be put on the PATH. `meanwhile` is done while it gets ready."""
    path = folder / "zygote"
    with subprocess.Popen(
        [sys.executable, __file__, path], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        meanwhile()
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        shim = folder / "bin" / "polyroute"
        shim.parent.mkdir()
        shim.write_text(_SHIM.format(python=sys.executable, path=str(path)))
        shim.chmod(0o755)
        try:
            yield shim.parent
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has forked


def _warm() -> None:
    """Import what commands import, and what they put off to their first use."""
    import chromadb  # noqa: F401
    import onnxruntime  # noqa: F401

    import router_graph.cli
    import router_graph.graph
    import router_graph.settings_live  # noqa: F401
    from mote_backend import ChatMoTE
    from router_graph.pool import LiteLLMTransport

    asyncio.run(LiteLLMTransport().prepare())
    ChatMoTE(model="planted", max_tokens=1).invoke("what happened")


def _serve(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen(16)
        _warm()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                _run(client)
            client.close()


def _run(client: socket.socket) -> None:
    code = 70
    try:
        told, files, _, _ = socket.recv_fds(client, 2**20, 3)
        arguments, cwd, environment = json.loads(told)
        for n, file in enumerate(files):
            os.dup2(file, n)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["polyroute", *arguments]
        threading.Thread(target=_end_with, args=(client,), daemon=True).start()
        code = _parsed(arguments) if PARSE in environment else _done()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush(), sys.stderr.flush()
        client.send(str(code).encode())
        os._exit(code)


def _end_with(client: socket.socket) -> None:
    """Whoever ends the shim ends the command."""
    if not client.recv(1):
        os.kill(os.getpid(), signal.SIGTERM)


def _done() -> int:
    from router_graph.cli import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 70
    return 0


def _parsed(arguments: list[str]) -> int:
    """Whether the command is there and has these options; 2 where not. Values, such as files, are not looked at."""
    import typer.main

    from router_graph.cli import app

    command: Any = typer.main.get_command(app)
    context, left = None, list(arguments)
    try:
        while True:
            context = command.context_class(command, info_name=command.name, parent=context)
            _, left, _ = command.make_parser(context).parse_args(left)
            if not hasattr(command, "resolve_command"):
                break
            _, command, left = command.resolve_command(context, left)
    except Exception as error:
        left = [getattr(error, "message", str(error))]
    if left:
        sys.stderr.write(f"polyroute {' '.join(arguments)}: {' '.join(left)}\n")
    return 2 if left else 0


if __name__ == "__main__":
    _serve(sys.argv[1])
