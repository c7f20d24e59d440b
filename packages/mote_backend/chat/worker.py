"""The thread that runs the model: it collects requests, and answers each batch of them with one `generate`."""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from mote_backend.chat.batches import collect, pack
from mote_backend.chat.context import positions_kept
from mote_backend.chat.row import Row
from mote_backend.chat.row_sampler import RowSampler, RowsStop
from mote_backend.errors import EngineClosedError, MoTEError
from mote_backend.evaluating import evaluating
from mote_backend.padding import left_padded

if TYPE_CHECKING:
    from mote_backend.steering import Steering

_CLOSED = "The engine was closed before it answered; make a new one."
_EXIT_S = 5.0
"""How long the interpreter waits at its end for the step that a model is in."""


class Worker:
    """One model and one daemon thread, which starts with the first request."""

    def __init__(self, model: Any, tokenizer: Any, *, max_batch: int, window_s: float, max_columns: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.end_ids = end_ids(model, tokenizer)
        self.steering: Steering | None = None
        self.sizes: deque[int] = deque(maxlen=256)
        self._limits = (max_batch, window_s, max_columns)
        self._waiting: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._running: Sequence[Row] = ()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._broken = False
        self.process = os.getpid()
        _LIVE.add(self)

    def put(self, row: Row) -> None:
        """Queue a request; EngineClosedError after `close`."""
        with self._lock:
            if self._closed:
                raise EngineClosedError(_CLOSED)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mote-engine", daemon=True)
                self._thread.start()
            self._waiting.put(row)

    def drain(self) -> None:
        """Answer what is queued, then end the thread; does not wait."""
        with self._lock:
            self._closed = True
            self._waiting.put(None)

    def close(self, wait_s: float | None = None) -> None:
        """Fail all that is queued or running, and end the thread after the step that it is in."""
        self._broken = True
        self.drain()
        self._fail((*self._running, *self._left()))
        self._waiting.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(wait_s)

    def _fail(self, rows: Sequence[Row]) -> None:
        for row in rows:
            row.fail(EngineClosedError(_CLOSED))

    def _left(self) -> Iterator[Row]:
        with contextlib.suppress(queue.Empty):
            while True:
                if (row := self._waiting.get_nowait()) is not None:
                    yield row

    def _work(self) -> None:
        max_batch, window_s, max_columns = self._limits
        over = False
        while not over:
            rows, over = collect(self._waiting, max_batch, window_s)
            batches = pack([len(row.request.prompt_ids) for row in rows], max_batch, max_columns)
            self._running = rows
            if self._broken:
                self._fail(rows)
            for batch in batches:
                self._run([rows[at] for at in batch])
            self._running = ()
            del rows

    def _run(self, rows: Sequence[Row]) -> None:
        """Answer the rows. An error of the batch falls on those alone that fail again in a smaller one."""
        rows = [row for row in rows if row.going]
        if not rows:
            return
        try:
            self._generate(rows)
        except Exception as error:
            untouched = [row for row in rows if row.untouched]
            if len(rows) == 1 or not untouched:
                return self._end(rows, error)
            self._end([row for row in rows if not row.untouched], error)
            middle = len(untouched) // 2
            self._run(untouched[:middle])
            self._run(untouched[middle:])

    def _end(self, rows: Sequence[Row], error: Exception) -> None:
        for row in rows:
            row.fail(_failure(error))

    def _generate(self, rows: Sequence[Row]) -> None:
        self.sizes.append(len(rows))
        pad_id = self._pad_id()
        device = self.model.get_input_embeddings().weight.device
        ids, seen = left_padded([row.request.prompt_ids for row in rows], device, pad_id=pad_id)
        longest = ids.shape[1]
        starts = [longest - len(row.request.prompt_ids) for row in rows]
        for row in rows:
            row.start(self.tokenizer, self.end_ids)
        most_tokens = max(row.most_tokens for row in rows)
        kept = positions_kept(self.model, longest + most_tokens)
        with evaluating(self.model), kept, self._steered(rows, longest):
            self.model.generate(
                input_ids=ids,
                attention_mask=seen,
                generation_config=_config(most_tokens, pad_id, self.end_ids),
                logits_processor=LogitsProcessorList([RowSampler(rows, starts, pad_id)]),
                stopping_criteria=StoppingCriteriaList([RowsStop(rows)]),
            )

    def _steered(self, rows: Sequence[Row], prompt_length: int) -> contextlib.AbstractContextManager[Any]:
        masks = [row.request.mask for row in rows]
        if self.steering is None or not any(masks):
            return contextlib.nullcontext()
        return self.steering.apply(masks, prompt_length=prompt_length)

    def _pad_id(self) -> int:
        size = self.model.get_input_embeddings().num_embeddings
        candidates = (self.tokenizer.pad_token_id, *sorted(self.end_ids), 0)
        return next(int(one) for one in candidates if one is not None and 0 <= one < size)


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply: those of the generation config, and the tokenizer's own."""
    told = getattr(model.generation_config, "eos_token_id", None)
    several = told if isinstance(told, list | tuple) else [told]
    return frozenset(int(one) for one in (*several, tokenizer.eos_token_id) if one is not None)


def _config(most_tokens: int, pad_id: int, ends: frozenset[int]) -> GenerationConfig:
    # What is None here would be taken from the checkpoint's generation config, whose sampling is not the request's.
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        min_p=None,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        num_beams=1,
        num_return_sequences=1,
        max_new_tokens=most_tokens,
        min_length=0,
        pad_token_id=pad_id,
        eos_token_id=sorted(ends) or None,
        use_cache=True,
        return_dict_in_generate=False,
        output_scores=False,
        output_logits=False,
    )


def _failure(error: BaseException) -> MoTEError:
    if isinstance(error, MoTEError):  # a sentence already, such as of a mask that this family cannot take
        return error
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    failure = MoTEError(f"The model failed while it generated ({type(error).__name__}: {first}).")
    failure.__cause__ = error
    return failure


_LIVE: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread inside of torch at the interpreter's end would crash it."""
    for worker in list(_LIVE):
        if worker.process == os.getpid():
            worker.close(_EXIT_S)
