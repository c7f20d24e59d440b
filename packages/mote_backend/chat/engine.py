"""One causal language model for many callers: what they ask at about the same time runs as one batch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from mote_backend.chat.completion import Completion, Piece, Request
from mote_backend.chat.context import context_of
from mote_backend.chat.row import Listener, Row
from mote_backend.chat.worker import Worker
from mote_backend.errors import ContextLengthError, InputError
from mote_backend.grammar.grammar import Grammar, compile_grammar

if TYPE_CHECKING:
    from mote_backend.steering import Steering

MOST_COLUMNS = 65_536
"""Prompt tokens of a batch, with padding."""
_UNTOLD_CONTEXT = 4096
"""Tokens of a reply without `max_tokens`, on a model that does not say how long its context is."""


class Engine:
    """Micro-batches over transformers' `generate`: rows differ in mask, sampling, seed, stop texts and length.

    Concurrent requests are collected for `window_s` seconds and run together, at most `max_batch` of them. A batch ends
    when all its rows are done or cancelled; a request that comes meanwhile waits for that. Any causal model will do; a
    mask needs one with routed experts. Safe to use from any thread or event loop. Its own thread ends when the engine
    is closed or forgotten.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_batch: int = 32,
        window_s: float = 0.005,
        max_columns: int = MOST_COLUMNS,
    ) -> None:
        if max_batch < 1 or window_s < 0 or max_columns < 1:
            raise InputError("An engine needs max_batch and max_columns of at least 1, and window_s of at least 0.")
        self.model = model
        self.tokenizer = tokenizer
        self._make: Callable[[], Worker] = lambda: Worker(
            model, tokenizer, max_batch=max_batch, window_s=window_s, max_columns=max_columns
        )
        self._lock = threading.Lock()
        self._start()

    @property
    def context(self) -> int | None:
        """Tokens that prompt and reply can have together; None if the model does not say."""
        return context_of(self.model)

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end a reply."""
        return self._worker.end_ids

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Rows of the last batches, at most 256 of them."""
        return tuple(self._worker.sizes)

    @property
    def steering(self) -> Steering:
        """The model's masks; UnsupportedModelError if it has no experts that can be masked."""
        with self._lock:
            if self._worker.steering is None:
                from mote_backend.steering import Steering

                self._worker.steering = Steering.of(self.model)
            return self._worker.steering

    def submit(self, request: Request, listener: Listener | None = None) -> Future[Completion]:
        """Queue a request. Cancelling the future ends it, and nothing more is computed for it.

        `listener` gets each piece on the engine's thread. Raises InputError for a prompt that is empty,
        ContextLengthError for one that is too long, MaskError for a mask that does not fit, SchemaError for an
        impossible constraint, EngineClosedError.
        """
        most_tokens = self._room(request)
        if request.mask:
            request.mask.check(self.steering.fingerprint)
        row = Row(request, most_tokens, self.prepare(request), listener)
        if self._worker.process != os.getpid():
            self._start()  # threads do not survive a fork
        self._worker.put(row)
        return row.future

    def prepare(self, request: Request) -> Grammar | None:
        """Compile what the reply is held to, which may take a second; it is known then. SchemaError if it cannot be."""
        constraint = request.sampling.constraint
        if constraint is None:
            return None
        return compile_grammar(constraint, self.tokenizer, sorted(self._worker.end_ids))

    def complete(self, request: Request, timeout_s: float | None = None) -> Completion:
        """The whole reply. Raises TimeoutError after `timeout_s` seconds, and what `submit` raises."""
        future = self.submit(request)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            raise _late(timeout_s) from None
        finally:
            future.cancel()

    async def acomplete(self, request: Request, timeout_s: float | None = None) -> Completion:
        """The same, without a thread that waits."""
        future = self.submit(request)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), timeout_s)
        except TimeoutError:
            raise _late(timeout_s) from None
        finally:
            future.cancel()

    def stream(self, request: Request, timeout_s: float | None = None) -> Generator[Piece | Completion]:
        """The pieces as they come, then the whole. Closing the generator ends the request."""
        pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        until = None if timeout_s is None else time.monotonic() + timeout_s
        future = self.submit(request, pieces.put)
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get(timeout=_left(until))) is not None:
                yield piece
            yield future.result()
        except queue.Empty:
            raise _late(timeout_s) from None
        finally:
            future.cancel()

    async def astream(self, request: Request, timeout_s: float | None = None) -> AsyncGenerator[Piece | Completion]:
        """The same, without a thread that waits."""
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else time.monotonic() + timeout_s

        def put(piece: Piece | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def end(_: Future[Completion]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                put(None)

        future = self.submit(request, put)
        future.add_done_callback(end)
        try:
            while (piece := await asyncio.wait_for(pieces.get(), _left(until))) is not None:
                yield piece
            yield future.result()
        except TimeoutError:
            raise _late(timeout_s) from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Fail what is queued or running with EngineClosedError, and end the thread."""
        self._finalizer.detach()
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self._worker = self._make()
        self._finalizer = weakref.finalize(self, self._worker.drain)
        self._finalizer.atexit = False

    def _room(self, request: Request) -> int:
        """The most tokens that the reply can have."""
        length, context = len(request.prompt_ids), self.context
        size = self.model.get_input_embeddings().num_embeddings
        if not length:
            raise InputError("The prompt has no tokens; give a message that is not empty.")
        if not 0 <= min(request.prompt_ids) <= max(request.prompt_ids) < size:
            raise InputError(f"The prompt has a token beyond the model's {size}; is the tokenizer another model's?")
        if context is not None and length >= context:
            raise ContextLengthError(
                f"The prompt has {length} tokens, and the model's context holds {context} with the reply; shorten it."
            )
        wanted = request.sampling.max_tokens or (context or _UNTOLD_CONTEXT)
        return wanted if context is None else min(wanted, context - length)


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())


def _late(timeout_s: float | None) -> TimeoutError:
    return TimeoutError(f"The model did not answer within {timeout_s:g} seconds; ask for fewer tokens or wait longer.")
