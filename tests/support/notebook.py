"""Runs a notebook as a reader does, and writes what its cells say into it: `python -m support.notebook FILE` in tests/.

What goes with the machine (counts of executions, times, log lines) is left out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode


def executed(path: Path, *, timeout_s: int = 60) -> NotebookNode:
    """The notebook with new outputs, run in its own folder. Raises `CellExecutionError` for a cell that fails."""
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    with tempfile.TemporaryDirectory() as sockets:  # over TCP, anybody on this machine could listen
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        client = NotebookClient(notebook, km=kernel, timeout=timeout_s, resources=folder)
        client.execute(stderr=subprocess.DEVNULL, cleanup_kc=True)  # else the kernel runs on until the tests end
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [_without_count(one) for one in cell.outputs if one.get("name") != "stderr"]
    notebook.metadata.pop("language_info", None)
    return notebook


def _without_count(output: NotebookNode) -> NotebookNode:
    if "execution_count" in output:
        output.execution_count = None
    return output


if __name__ == "__main__":
    for name in sys.argv[1:]:
        nbformat.write(executed(Path(name)), name)
