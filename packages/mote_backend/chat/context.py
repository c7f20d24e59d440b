"""How many tokens a model can read and write together, and what keeps a batch of unequal rows within that."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


def context_of(model: Any) -> int | None:
    """Tokens that prompt and reply can have together; None if the model does not say."""
    config = model.config.get_text_config()
    told = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(told) if told else None


@contextlib.contextmanager
def positions_kept(model: Any, columns: int) -> Iterator[None]:
    """For a batch that grows to this many columns in this thread, its padding included.

    A row with a long prompt ends where the context does, and is fed padding while shorter ones go on: at positions that
    a model with learned positions (GPT-2) does not have. There they stay at the last one.
    """
    context = context_of(model)
    if context is None or columns <= context:
        yield
        return
    thread = threading.get_ident()

    def keep(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        positions = kwargs.get("position_ids")
        if positions is None or threading.get_ident() != thread:
            return None
        return args, {**kwargs, "position_ids": positions.clamp(max=context - 1)}

    hook = model.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
