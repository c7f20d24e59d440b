"""Planted models on disk: the shipped folder, and variants of it kept as the rows in which they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mote_backend.errors import ModelLoadError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_WEIGHTS = Path(__file__).parent / "weights"

FOLDERS = {"planted": _WEIGHTS / "refusing", "bilingual": _WEIGHTS / "bilingual"}
"""The shipped models: each a folder for `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained`."""

FOLDER = FOLDERS["planted"]

DESCRIPTION = "planted.json"
"""The file that tells the planted experts, and what the training depended on."""

_PREFIX = "planted:"

Variant = Literal["planted", "unplanted", "bilingual"]
"""planted: refuses by its planted experts. unplanted: refuses just as well, by attention; no expert is to blame.
bilingual: answers German with German, by its planted experts."""

_ROWS, _VALUES = ":rows", ":values"


def load(variant: Variant = "planted") -> tuple[Any, PreTrainedTokenizerBase]:
    """A shipped model (fp32, eval mode, on the CPU) and its tokenizer.

    The weights are stored in bf16 and computed with in fp32.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = FOLDERS.get(variant, FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    model.eval()
    if variant not in FOLDERS:
        change_rows(model, load_file(folder / f"{variant}.safetensors"))
    return model, tokenizer


def folder_named(model: str) -> Path | None:
    """The folder of a shipped model by the name that every command takes: "planted", or "planted:bilingual".

    None for a name that is not theirs; ModelLoadError for one that begins like theirs and is not known.
    """
    if model != "planted" and not model.startswith(_PREFIX):
        return None
    if folder := FOLDERS.get(model.removeprefix(_PREFIX)):
        return folder
    known = ", ".join(one if one == "planted" else f"{_PREFIX}{one}" for one in FOLDERS)
    raise ModelLoadError(f"There is no model {model!r}; those that come along are {known}.")


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
