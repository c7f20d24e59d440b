"""Two processes that train together, without the start of either: forks of the test, told their rank as torchrun does.

tests/router_training/test_offline_scaling.py has torchrun itself start its two.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def forked(work: Callable[[], object], log: Path, *, count: int = 2, seconds: float = 110) -> None:
    """Do it in so many forks at once. Fails with what they printed, where one of them fails or takes longer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    ranks = []
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            os.environ.update(world, MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
            _work(work, log.with_suffix(f".{rank}"))
        ranks.append(pid)
    waiting, until = set(ranks), time.monotonic() + seconds
    try:
        while waiting:
            for pid in list(waiting):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    waiting.remove(pid)
                    assert os.waitstatus_to_exitcode(status) == 0, _said(log, count)
            assert time.monotonic() < until, _said(log, count)
            time.sleep(0.02)
    finally:
        for pid in waiting:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _work(work: Callable[[], object], log: Path) -> None:
    status = 1
    try:
        told = os.open(log, os.O_WRONLY | os.O_CREAT, 0o666)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.stdout = sys.stderr = os.fdopen(told, "w", buffering=1)
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # the test may have trained alone
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _said(log: Path, count: int) -> str:
    return "\n".join(log.with_suffix(f".{rank}").read_text(errors="replace")[-2000:] for rank in range(count))
