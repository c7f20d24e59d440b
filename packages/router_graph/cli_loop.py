"""The event loop of a command, which Ctrl-C ends in good order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def command_loop() -> Iterator[asyncio.Runner]:
    """A runner whose work is cancelled by Ctrl-C, where it waits; then `KeyboardInterrupt` is raised.

    asyncio does so only under Python's own handler of SIGINT. Under another, the interrupt would be raised in the
    midst of any task, which dies of it while the others go on.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = callable(before) and threading.current_thread() is threading.main_thread()  # not in an ignoring background
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner() as runner:
            yield runner
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
