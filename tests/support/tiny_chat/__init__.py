"""A Qwen3-MoE of 0.3 M parameters that was trained here, in a minute, to chat, call tools and write JSON.

It knows little more than the conversations of `conversations.py`, among them those that langchain-tests' standard suite
holds with a chat model. What it says there is its own; only JSON and forced calls are held to their schema.
`python -m support.tiny_chat.train` (in `tests/`) makes its weights anew.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "weights"


@functools.cache
def tiny_chat() -> tuple[Any, Any]:
    """The model, in fp32 and evaluation mode, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(FOLDER)
