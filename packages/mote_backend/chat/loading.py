"""Models and tokenizers from a folder or a hub: safetensors only, no code of theirs unless asked, each loaded once."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from mote_backend.chat.engine import Engine
from mote_backend.chat.local_folder import local_folder
from mote_backend.errors import InputError, ModelLoadError


@dataclass(frozen=True)
class Source:
    """Which model, and how it is loaded. Equal sources share one model and one engine."""

    name: str
    """A folder, a name on the hub, or a tiny one that comes along: "planted", "planted:bilingual"."""
    dtype: str = "auto"
    """A torch dtype such as "bfloat16"; "auto": the checkpoint's own."""
    device: str | None = None
    """Such as "cpu" or "cuda:1"; "auto": spread over all there is (needs accelerate); None: a GPU if there is one."""
    trust_remote_code: bool = False
    """Whether code that comes with the model may run."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    attn_implementation: str | None = None
    """What transformers calls so, such as "sdpa"; None: its own choice."""


def load(source: Source | str) -> tuple[Any, Any]:
    """A causal language model, in evaluation mode, and its tokenizer; ModelLoadError says what fails."""
    source = Source(source) if isinstance(source, str) else source
    folder = local_folder(source.name)
    name = str(folder) if folder else source.name
    options = {"trust_remote_code": source.trust_remote_code, "revision": source.revision}
    return _model(source, name, options), _tokenizer(source, name, options)


def engine_of(source: Source, max_batch: int) -> Engine:
    """The engine of this source in this process; loads the model the first time. `unload` gives the memory back."""
    key = (source, max_batch)
    with _LOCK:
        lock = _LOCKS.setdefault(source, threading.Lock())
    with lock:  # callers of one model wait for each other, those of another do not
        if key not in _ENGINES:
            shared = next((engine for (known, _), engine in list(_ENGINES.items()) if known == source), None)
            model, tokenizer = (shared.model, shared.tokenizer) if shared else load(source)
            _ENGINES[key] = Engine(model, tokenizer, max_batch=max_batch)
        return _ENGINES[key]


def is_loaded(source: Source) -> bool:
    """Whether the model is in memory already."""
    return any(known == source for known, _ in list(_ENGINES))


def engine_on(model: Any, tokenizer: Any, max_batch: int) -> Engine:
    """The engine of a model that is loaded already, shared by all who hold it and kept as long as one of them does."""
    key = (id(model), id(tokenizer), max_batch)
    with _LOCK:
        engine = _HELD.get(key)
        if engine is None:
            engine = _HELD[key] = Engine(model, tokenizer, max_batch=max_batch)
        return engine


def unload(name: str | None = None) -> None:
    """Close the engines of the models of this name, or of all, and forget the models."""
    with _LOCK:
        gone = [key for key in _ENGINES if name is None or key[0].name == name]
        engines = [_ENGINES.pop(key) for key in gone]
    for engine in engines:
        engine.close()
    del engines
    gc.collect()


def without_bars_in_logs() -> None:
    """Switch off transformers' bars where stderr is no terminal: a bar for people would fill a log with lines."""
    if not sys.stderr.isatty():
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]


_LOCK = threading.Lock()
_LOCKS: dict[Source, threading.Lock] = {}
_ENGINES: dict[tuple[Source, int], Engine] = {}
_HELD: weakref.WeakValueDictionary[tuple[int, int, int], Engine] = weakref.WeakValueDictionary()


def _model(source: Source, name: str, options: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    model: Any
    info: dict[str, Any]
    device, dtype = _device(source), _dtype(source)
    spread = device == "auto" or (device != "cpu" and find_spec("accelerate") is not None)
    kwargs = {**options, **({"device_map": device} if spread else {})}
    if source.attn_implementation is not None:
        kwargs["attn_implementation"] = source.attn_implementation
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, use_safetensors=True, output_loading_info=True, **kwargs
        )
        model, info = loaded
        if not spread:
            model.to(device)
    except Exception as error:
        raise ModelLoadError(_refused(source, error)) from error
    if lacking := sorted(info["missing_keys"]):
        raise ModelLoadError(
            f"The weights of {source.name} lack {len(lacking)} of the model's tensors, such as {lacking[0]}; "
            "they would be random."
        )
    return model.eval()


def _tokenizer(source: Source, name: str, options: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    mend = "save it into the same folder with save_pretrained()."
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
    except Exception as error:
        raise ModelLoadError(
            f"The tokenizer of {source.name} cannot be loaded ({_first_line(error)}); {mend}"
        ) from error
    # Without its files transformers makes up a tokenizer of the model's class that knows no words.
    if tokenizer.get_vocab().keys() <= tokenizer.get_added_vocab().keys():
        raise ModelLoadError(f"The model {source.name} comes without a tokenizer; {mend}")
    return tokenizer


def _device(source: Source) -> str:
    import torch

    return source.device or ("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(source: Source) -> Any:
    import torch

    if source.dtype == "auto":
        return "auto"
    dtype = getattr(torch, source.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise InputError(f"dtype is {source.dtype!r}; it can be 'auto', 'float32', 'bfloat16' or 'float16'.")
    return dtype


def _refused(source: Source, error: Exception) -> str:
    text = str(error)
    if "trust_remote_code" in text:
        return (
            f"The model {source.name} brings its own code, which may do anything; "
            "pass trust_remote_code=True if you have read it and trust it."
        )
    if "Unrecognized configuration class" in text or "does not recognize this architecture" in text:
        return f"{source.name} is no causal language model that the installed transformers knows."
    if "safetensors" in text and "use_safetensors" in text:
        return f"The model {source.name} has no safetensors weights, and no other kind is read."
    if isinstance(error, OSError) and "connect" in text.lower():
        return f"The model {source.name} is not on this machine, and the hub cannot be reached; give a local folder."
    return f"The model {source.name} cannot be loaded ({type(error).__name__}: {_first_line(error)})."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:300]
