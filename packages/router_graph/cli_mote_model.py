"""Which model a `polyroute mote` command is about, and how it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mote_backend.chat.chat_mote import ChatMoTE


def loaded(model: str, dtype: str, device: str | None, trust: bool) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    from mote_backend.chat.loading import Source, load, without_bars_in_logs

    without_bars_in_logs()
    return load(Source(model, dtype=dtype, device=device, trust_remote_code=trust))


def chat_model(
    model: str,
    masks: Path | None,
    dtype: str,
    device: str | None,
    trust: bool,
    *,
    only_named: bool = False,
    **options: Any,
) -> ChatMoTE:
    """The model as a chat model with a folder of masks; `options` are further ones of `ChatMoTE`."""
    from mote_backend.chat.chat_mote import ChatMoTE
    from mote_backend.chat.loading import without_bars_in_logs
    from mote_backend.mask_book import MaskBook

    without_bars_in_logs()
    return ChatMoTE(
        model=model,
        mask_book=MaskBook(only_named=only_named)
        if masks is None
        else MaskBook.of_folder(masks, only_named=only_named),
        dtype=dtype,
        device=device,
        trust_remote_code=trust,
        **options,
    )
