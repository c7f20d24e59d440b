"""Blocks of a shell, run by bash as they stand, in the folder of their page."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.doc_blocks import Block
from support.doc_exceptions import NOT_RUN, PARSED, reason
from support.doc_zygote import PARSE

SERVER = re.compile(r"polyroute (serve|mote serve|runs view)|chroma run")
QUESTION = "Which moon has an ocean under its ice?"
"""Stands in for the words that a reader replaces."""
_PLACEHOLDER = re.compile("…|what you want to know")


@dataclass
class Shell:
    """One page's shell. Each block begins in the page's folder; what is exported stays."""

    folder: Path
    path: Path
    """A folder of commands before all others."""
    environment: dict[str, str] = field(default_factory=dict)
    servers: list[int] = field(default_factory=list)

    def run(self, block: Block) -> str:
        """What it prints. Raises `AssertionError` with the end of it where a command fails."""
        script = "\n".join(self._line(line) for line in lines_of(_PLACEHOLDER.sub(QUESTION, block.text)))
        kept = self.folder / ".shell"
        home = _read(kept / "env", "") + "\n"
        kept.mkdir(exist_ok=True)
        after = f"\nexport -p | grep -vE ' (OLD)?(PATH|PWD)=' > {kept}/env\n"
        commands = [self.path, Path(sys.executable).parent, os.environ["PATH"]]  # as in an environment that is active
        done = subprocess.run(
            ["bash", "-c", f"set -e -o pipefail\n{home}{script}{after}"],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "160", "PATH": os.pathsep.join(map(str, commands)), **self.environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            stdin=subprocess.DEVNULL,
        )
        pids = kept / "servers"
        self.servers = [int(one) for one in _read(pids, "").split()]
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{block}: exit code {done.returncode}\n{script}\n{said[-3000:]}"
        return said

    def close(self) -> None:
        """End the servers that blocks began."""
        for pid in self.servers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _line(self, line: str) -> str:
        line = line.replace(".venv/bin/polyroute", "polyroute")
        if reason(line, NOT_RUN):
            return ":"
        if SERVER.match(line):
            return _served(line)
        if reason(without_input(line), PARSED):
            return re.sub(r"\bpolyroute ", f"{PARSE}=1 polyroute ", line, count=1)
        return line


def without_input(line: str) -> str:
    """The command that reads what another one writes."""
    return re.sub(r"^echo .*?\| *", "", line)


def lines_of(text: str) -> list[str]:
    """Whole commands: a line that ends with a backslash goes on, and so does a document that stands in the block."""
    lines: list[str] = []
    until: str | None = None
    for line in text.splitlines():
        if until is not None or (lines and lines[-1].endswith("\\")):
            lines[-1] += f"\n{line}"
            until = None if line == until else until
        else:
            lines.append(line)
            found = re.search(r"<<\s*'?(\w+)'?", line)
            until = found[1] if found else None
    return lines


def _served(line: str) -> str:
    """The command in the background; the next line waits until somebody listens."""
    command = re.sub(r"\s+#.*$", "", line)
    found = re.search(r"--port[ =](\d+)", command)
    port = found[1] if found else free_port()
    real = command if found else f"{command} --port {port}"
    return f"""\
{real} > server.log 2>&1 & echo $! >> "$DOC_SERVERS"
until (echo > /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do
  kill -0 $! || {{ cat server.log; exit 1; }}
  sleep 0.1
done"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _read(path: Path, otherwise: object) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else str(otherwise)
