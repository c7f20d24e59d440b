"""Libraries that keep to themselves: no usage pings, no dashboards, and as many threads as were asked for."""

from __future__ import annotations

import os
import sys


def quieten(threads: int | None = None) -> None:
    """Switch off the telemetry of Hugging Face's libraries in this process and its children, loaded already or not."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    if loaded := sys.modules.get("huggingface_hub.constants"):
        loaded.HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]  # read from the environment once
    if not sys.stderr.isatty():  # a bar for people would fill a log with lines
        from datasets import disable_progress_bars
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bars()
        disable_progress_bar()  # type: ignore[no-untyped-call]
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
