"""`polyroute serve` under schemathesis: requests that fit its OpenAPI description and requests that do not.

    make fuzz

The server is the real command, over a small knowledge base in a folder, with a token. Every check of schemathesis is
made but one: a request can fit the schema and be refused nevertheless, as where its last message is not the user's,
which no schema says.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kb_tools import Catalog, Passage

TOKEN = "fuzz"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `polyroute serve` over a small knowledge base."""
    with Catalog(folder / "kb") as catalog:
        moons = catalog.create("moons", description="Moons of the solar system.")
        moons.add([Passage(id="europa", title="Europa", text="Europa has an ocean below its ice.")])
    command = [sys.executable, "-m", "router_graph.cli", "serve", "--kb", "kb", "--port", "0", "--max-steps", "3"]
    environment = {**os.environ, "POLYROUTE_TOKEN": TOKEN}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said: list[str] = []
        try:
            for line in server.stderr:
                said.append(line)
                if found := re.search(r"http://[^ ]+(?=/v1;)", line):
                    break
            else:
                sys.exit("".join(said))
            rest = threading.Thread(target=lambda pipe: said.extend(pipe), args=(server.stderr,), daemon=True)
            rest.start()
            yield found[0]
        finally:
            server.terminate()
            server.wait(20)
            rest.join(5)
            if problems := [line for line in said if "Traceback" in line]:
                print(f"The server's log has {len(problems)} tracebacks:", *said[-60:], sep="\n")


def main() -> int:
    """The exit code of schemathesis."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("schemathesis", help="the program, in an environment of its own")
    options.add_argument("--examples", default="200", help="cases of each operation and phase")
    options.add_argument("--seed", default="1")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address:
        arguments = [
            "run",
            f"{address}/openapi.json",
            f"--header=Authorization: Bearer {TOKEN}",
            f"--max-examples={given.examples}",
            f"--seed={given.seed}",
            "--checks=all",
            "--exclude-checks=positive_data_acceptance",
            "--request-timeout=30",
            "--continue-on-failure",
        ]
        return subprocess.run([Path(given.schemathesis).absolute(), *arguments], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
