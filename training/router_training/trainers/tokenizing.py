"""A tokenizer as a folder gives it back: the ids must be those that the policy was trained on.

transformers 5 makes a tokenizer of the class that tokenizer_config.json names, by that class's own rules and not by
those of tokenizer.json, and from the folder of a Qwen2 one of Qwen2's whatever is named: it may cut texts in other
places.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from router_training.errors import ConfigError

_CONFIG = "tokenizer_config.json"
_PLAIN = "TokenizersBackend"
"""The class that does what tokenizer.json says."""
_PROBES = (
    "Which river flows through Basel, and since when?",
    "  two  spaces,\ttabs\n\nand lines \r\n",
    "It's 12345.678 — 90 % of O'Neill's; déjà vu, Ünïcode, 日本語, العربية, 🙂🏽.",
    '<think>a thought</think>\n<route to="kb:atlas">moons of Jupiter</route>\n<answer>No.</answer>',
    '{"tool": "kb", "arguments": {"query": "x_1 != x2", "k": 10}}',
    "",
)
_TALKS: tuple[list[dict[str, str]], ...] = (
    [{"role": "system", "content": "Route."}, {"role": "user", "content": "What is it?"}],
    [
        {"role": "user", "content": "What is it? "},
        {"role": "assistant", "content": "<think>hm</think> It is 7."},
        {"role": "user", "content": " And now?"},
    ],
)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Into the folder of its model, which is saved already, so that it comes back as it is.

    Raises `ConfigError` where it does not, whatever class it is said to be of.
    """
    tokenizer.save_pretrained(folder)
    if (found := _difference(tokenizer, folder)) is None:
        return
    path = folder / _CONFIG
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "tokenizer_class": _PLAIN}, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if _difference(tokenizer, folder) is not None:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        raise ConfigError(
            f"The tokenizer, a {type(tokenizer).__name__}, does not come back from a folder as it is ({found}), so "
            "that the policy would be asked in other tokens than it is trained on; give the one that AutoTokenizer "
            f"loads from the model's folder, or a model that is no {model_type!r}."
        )


def check_comes_back(tokenizer: Any, model: Any) -> None:
    """Raise `ConfigError`, before anything is trained, where `save_tokenizer` would."""
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        save_tokenizer(tokenizer, Path(folder))


def _difference(tokenizer: Any, folder: Path) -> str | None:
    """What is not the same in the tokenizer that the folder gives."""
    from transformers import AutoTokenizer

    try:
        other = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"it cannot be loaded: {' '.join(str(error).split())[:120]}"
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        if getattr(other, name, None) != getattr(tokenizer, name, None):
            return f"its {name} is {getattr(other, name, None)} and was {getattr(tokenizer, name, None)}"
    if other.get_vocab() != tokenizer.get_vocab():
        return f"it has {len(other):,} tokens and had {len(tokenizer):,}, or others"
    for text in (*_PROBES, "".join(tokenizer.all_special_tokens), *map(_around, tokenizer.all_special_tokens)):
        if _ids(other, text) != (was := _ids(tokenizer, text)) or other.decode(was) != tokenizer.decode(was):
            return f"it cuts {text[:40]!r} in other places"
    return _told_apart(tokenizer, other)


def _told_apart(tokenizer: Any, other: Any) -> str | None:
    if not getattr(tokenizer, "chat_template", None):
        return None
    if not getattr(other, "chat_template", None):
        return "its chat template is lost"
    for talk in _TALKS:
        for opens in (True, False):
            try:
                was = _rendered(tokenizer, talk, opens=opens)
            except Exception:  # a template may refuse a conversation, and tells by any error
                continue
            if _rendered(other, talk, opens=opens) != was:
                return "its chat template gives other tokens"
    return None


def _rendered(tokenizer: Any, talk: list[dict[str, str]], *, opens: bool) -> list[int]:
    told = tokenizer.apply_chat_template(talk, add_generation_prompt=opens, tokenize=True, return_dict=True)
    return list(told["input_ids"])


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _around(token: str) -> str:
    return f"a {token} b{token}c"
