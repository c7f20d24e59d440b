"""Continuous batching of transformers with a mask for each request: requests come and go, each under its own mask.

transformers packs the tokens of all running requests into one forward pass, in a thread of its own; here each pass is
told which token is whose. Blocks of the prefix cache are found by a hash of their tokens; the mask becomes part of that
hash, so that a request never reads keys and values that another mask made.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from mote_backend.errors import InputError
from mote_backend.mask import ExpertMask
from mote_backend.steering import Steering, steer


class ContinuousBatching:
    """Takes requests while the block of `continuous_batching` runs."""

    def __init__(self, steering: Steering, manager: Any) -> None:
        self.manager = manager
        """The ContinuousBatchingManager of transformers, for what is not offered here; add requests through `add`."""
        self._steering = steering
        self._masks: dict[str, ExpertMask | None] = {}
        self._awaited: dict[str, int] = {}
        """Outputs that a request has still to give."""
        self._salts: dict[str | None, int] = {None: 0}
        self._numbers = itertools.count()

    def add(
        self, tokens: Sequence[int], mask: ExpertMask | None = None, *, request_id: str | None = None, **options: Any
    ) -> str:
        """Queue a prompt under a mask; its id. `options` are those of transformers: max_new_tokens, streaming and more.

        MaskError if the mask does not fit the model.
        """
        name = f"mote-{next(self._numbers)}" if request_id is None else request_id
        if name in self._masks:
            raise InputError(f"There is a request {name!r} already; give another id, or none.")
        if mask:
            mask.check(self._steering.fingerprint)
        self._masks[name], self._awaited[name] = mask or None, self.manager.num_return_sequences
        self.manager.add_request(list(tokens), request_id=name, **options)
        return name

    def results(self, count: int, timeout: float | None = None) -> Iterator[Any]:
        """`count` outputs of transformers, as each finishes; `timeout` in seconds for each wait."""
        while count:
            output = self.manager.get_result(timeout=timeout)
            if output is None:
                raise InputError(f"No request finished within {timeout} s, and {count} are awaited.")
            if output.is_finished() or output.error:
                self._forget(output.request_id)
                count -= 1
                yield output

    def mask_of(self, request_id: str) -> ExpertMask | None:
        """Of a request, or of one of its `num_return_sequences`."""
        return self._masks.get(_parent(request_id))

    def salt(self, request_id: str) -> int | None:
        """What tells the blocks of this request's mask from those of others; None: its blocks are nobody else's.

        A mask for one phase has none: a block of generated tokens is no use to a prompt of the same tokens.
        """
        mask = self.mask_of(request_id)
        key = mask.id if mask else None
        if (mask and mask.phase != "all") or (key not in self._salts and len(self._salts) >= _SALTS):
            return None
        return self._salts.setdefault(key, len(self._salts)) << _TOKEN_BITS

    @contextlib.contextmanager
    def batch(self, requests: Sequence[Any], tokens: int) -> Iterator[None]:
        """One forward pass over the packed tokens of these requests (`FutureRequestState`), padded to `tokens`."""
        masks = [self.mask_of(one.state.request_id) for one in requests]
        different = sorted(set(masks), key=lambda mask: mask.id if mask else "")
        if not any(different):
            yield
            return
        device = next(self._steering.model.parameters()).device
        lengths = [one.query_length for one in requests]
        rows = [different.index(mask) for mask, length in zip(masks, lengths, strict=True) for _ in range(length)]
        decode = [flag for one in requests for flag in _decoded(one.state, one.query_length)]
        padding = tokens - len(rows)
        with self._steering.apply_tokens(
            different,
            torch.tensor(rows + [0] * padding, device=device),
            torch.tensor(decode + [False] * padding, device=device),
        ):
            yield

    def _forget(self, request_id: str) -> None:
        name = _parent(request_id)
        if self._awaited.get(name, 0) > 1:
            self._awaited[name] -= 1
        else:
            self._awaited.pop(name, None)
            self._masks.pop(name, None)


@contextlib.contextmanager
def continuous_batching(
    model: nn.Module, *, generation_config: Any = None, config: Any = None
) -> Iterator[ContinuousBatching]:
    """Run requests under masks of their own until the block ends.

    `generation_config` and `config` are the GenerationConfig and ContinuousBatchingConfig of transformers; give the
    latter on a CPU, where its default is a cache as large as the memory. CUDA graphs, compiled passes and asynchronous
    batches are off, as a recorded pass would repeat the masks that it was recorded with.

    InputError if the config asks for those; UnsupportedModelError if the model cannot be masked.
    """
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    config = ContinuousBatchingConfig() if config is None else config
    for option in ("use_cuda_graph", "use_async_batching"):
        given = getattr(config, option)
        if given and any(given if isinstance(given, tuple) else [given]):
            raise InputError(f"{option} is on, and masks differ from one pass to the next; leave it off.")
        setattr(config, option, False)
    if config.varlen_compile_config or config.decode_compile_config or config.default_compile_level:
        raise InputError("The passes are to be compiled, and masks differ from one to the next; leave that off.")
    with steer(model, None) as steering:
        manager = model.init_continuous_batching(  # type: ignore[operator]
            generation_config=generation_config, continuous_batching_config=config
        )
        batching = ContinuousBatching(steering, manager)
        _listen(manager, batching)
        manager.start()
        try:
            yield batching
        finally:
            manager.stop(block=True)
            manager.destroy()


_TOKEN_BITS = 20
"""Blocks are hashed as signed 32-bit token ids: 20 bits for a token, 11 for the number of its mask."""
_SALTS = 1 << (31 - _TOKEN_BITS)


def _listen(manager: Any, batching: ContinuousBatching) -> None:
    create = manager._create_batch_processor

    def created() -> Any:
        processor = create()
        if "_generation_step" not in vars(processor):
            _enter_steps(processor, batching)
            _key_blocks(processor.cache, batching)
        return processor

    manager._create_batch_processor = created


def _enter_steps(processor: Any, batching: ContinuousBatching) -> None:
    step = processor._generation_step

    def masked_step(model: nn.Module) -> None:
        pairs = processor.inputs_and_outputs
        with batching.batch(pairs.requests_in_batch, pairs.num_q_tokens):
            step(model)

    processor._generation_step = masked_step


def _key_blocks(cache: Any, batching: ContinuousBatching) -> None:
    search, mark = cache.search_prefix_match, cache.mark_complete_blocks

    def search_keyed(request_id: str, prompt_ids: list[int]) -> int:
        salt = batching.salt(request_id)
        if salt is None or not _fits(prompt_ids):
            return 0
        found: int = search(request_id, [token | salt for token in prompt_ids])
        return found

    def mark_keyed(state: Any, complete_blocks: dict[str, int]) -> None:
        salt = batching.salt(state.request_id)
        if salt is None or not _fits(state.initial_tokens) or not _fits(state.generated_tokens):
            return
        if not salt:
            mark(state, complete_blocks)
            return
        salted = _Tokens(state, salt)
        mark(salted, complete_blocks)

    cache.search_prefix_match, cache.mark_complete_blocks = search_keyed, mark_keyed


class _Tokens:
    """What is read of a request's state to mark its blocks, its tokens keyed by the mask."""

    def __init__(self, state: Any, salt: int) -> None:
        self.request_id, self.status = state.request_id, state.status
        self.initial_tokens = [token | salt for token in state.initial_tokens]
        self.generated_tokens = [token | salt for token in state.generated_tokens]


def _parent(request_id: str) -> str:
    """The request that one of several sequences belongs to."""
    return request_id.partition("__child#")[0]


def _fits(tokens: Sequence[int]) -> bool:
    return not tokens or 0 <= min(tokens) <= max(tokens) < 1 << _TOKEN_BITS


def _decoded(state: Any, length: int) -> list[bool]:
    """Which of a request's tokens in this pass were generated; one that was started again has some in its prompt."""
    prompt = state._true_initial_tokens or len(state.initial_tokens)
    start = state.position_offset - length
    return [place >= prompt for place in range(start, start + length)]
