"""Planted models on disk: the shipped folder, and variants of it kept as the rows in which they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

FOLDER = Path(__file__).parent / "weights"
"""The shipped model: a folder for `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained`."""

DESCRIPTION = "planted.json"
"""The file that tells the planted experts, and what the training depended on."""

Variant = Literal["planted", "unplanted"]
"""planted: refuses by its planted experts. unplanted: refuses just as well, by attention; no expert is to blame."""

_ROWS, _VALUES = ":rows", ":values"


def load(variant: Variant = "planted") -> tuple[Any, PreTrainedTokenizerBase]:
    """A shipped model (fp32, eval mode, on the CPU) and its tokenizer.

    The weights are stored in bf16 and computed with in fp32.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, local_files_only=True)
    model.eval()
    if variant != "planted":
        change_rows(model, load_file(FOLDER / f"{variant}.safetensors"))
    return model, tokenizer


def experts(folder: str | Path = FOLDER) -> tuple[tuple[int, int], ...]:
    """The planted experts of a folder, each (layer, expert); empty where none were planted."""
    description = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    return tuple((layer, expert) for layer, expert in description["planted"])


def changed_rows(base: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The rows (along the first axis) in which `other` differs from `base`, for `change_rows`.

    Args:
        base: Tensors by name.
        other: Tensors of the same names and shapes.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in other.items():
        rows = (tensor != base[name]).flatten(1).any(1) if tensor.dim() > 1 else tensor != base[name]
        if rows.any():
            found[name + _ROWS] = rows.nonzero().flatten()
            found[name + _VALUES] = tensor[rows].contiguous()
    return found


def change_rows(model: torch.nn.Module, changes: dict[str, torch.Tensor]) -> None:
    """Write the rows that `changed_rows` found into a model, in place."""
    import torch

    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for key, rows in changes.items():
            if not key.endswith(_ROWS):
                continue
            name = key.removesuffix(_ROWS)
            parameter = parameters[name]
            parameter[rows] = changes[name + _VALUES].to(parameter.dtype)
