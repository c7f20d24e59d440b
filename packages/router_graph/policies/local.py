"""A trained policy in a folder: a causal language model, and `policy.json`, which says how it is spoken to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field

from router_graph.errors import MissingExtraError, RouterError, SettingsError
from router_graph.policies.scored import ScoredPolicy
from router_graph.validation import Settings

CARD = "policy.json"
TRAINED_ON = "trained_on.json"
"""Beside it: which questions it has seen, and what its scores are."""


class PolicyCard(Settings):
    """What belongs to a trained policy besides its weights. Raises `SettingsError`."""

    mistake = SettingsError

    name: str
    protocol: str = "tags"
    thinks: bool = False
    """Whether it writes a thought before it chooses."""
    temperature: float = Field(default=0.0, ge=0)
    """Of its choices and its texts; 0 takes the likeliest."""
    max_tokens: int = Field(default=256, ge=1)
    weights: str = ""
    """Fingerprint of the weights that were trained; empty if it is not to be checked."""
    tokenizer: str = ""
    """Fingerprint of the tokenizer and its chat template."""
    learned: dict[str, Any] = Field(default_factory=dict)
    """How it was made: method, fingerprint of the data and of its questions, version of the reward, figures."""

    @classmethod
    def read(cls, folder: str | Path) -> PolicyCard:
        """The card of a folder. Raises `SettingsError`."""
        path = Path(folder) / CARD
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            raise SettingsError(
                f"{folder} holds no trained policy: it has no {CARD}; give a folder that `polyroute train` has written."
            ) from None
        except ValueError as error:
            raise SettingsError(f"{path} is no JSON ({error}); train the policy anew, or mend it.") from None
        try:
            return cls.model_validate(told)
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from None

    def save(self, folder: str | Path) -> None:
        """Write it beside the weights."""
        text = json.dumps(self.model_dump(), indent=2, ensure_ascii=False, sort_keys=True)
        (Path(folder) / CARD).write_text(text + "\n", encoding="utf-8")


def load_policy(folder: str | Path, *, temperature: float | None = None, **options: Any) -> ScoredPolicy:
    """The policy of a folder. `temperature` in place of the card's, as to explore.

    Raises `SettingsError` where the folder holds no policy, or other weights than its card says, and
    `MissingExtraError` without the model libraries.
    """
    try:
        from mote_backend import ChatTransformers
    except ImportError as error:
        raise MissingExtraError("A trained policy needs the extra `mote`: pip install 'polyroute[mote]'.") from error
    folder = Path(folder).expanduser()
    card = PolicyCard.read(folder)
    _check(folder, card)
    weights, tokenizer = weights_fingerprint(folder), tokenizer_fingerprint(folder)
    for what, is_now, was in (("weights", weights, card.weights), ("tokenizer", tokenizer, card.tokenizer)):
        if was and is_now != was:
            raise SettingsError(f"The {what} in {folder} are not those that its {CARD} was written for; save it anew.")
    drawn = card.temperature if temperature is None else temperature
    policy = ScoredPolicy.over(
        ChatTransformers(model=str(folder), max_tokens=card.max_tokens, temperature=drawn),
        name=card.name,
        thinks=card.thinks,
        temperature=drawn,
        max_tokens=card.max_tokens,
        identity={"model": weights, "tokenizer": tokenizer},
        **options,
    )
    policy.speaks = card.protocol
    policy.seen = _seen(folder)
    policy.version = f"{policy.version}-{weights[:8]}"
    return policy


def _seen(folder: Path) -> frozenset[str]:
    """The marks of the questions that it was trained on; none where its folder does not say."""
    try:
        return frozenset(json.loads((folder / TRAINED_ON).read_text(encoding="utf-8"))["questions"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _check(folder: Path, card: PolicyCard) -> None:
    """Raise `SettingsError` for what would fail at the first question."""
    from router_graph.protocols import protocol_named

    try:
        protocol_named(card.protocol)
    except RouterError as error:
        raise SettingsError(f"{folder / CARD}: {error}") from None
    if not _weights(folder):
        raise SettingsError(f"{folder} has no weights: there is no *.safetensors in it; train or copy the policy anew.")
    base = _base(folder)
    if base is not None and base.is_absolute() and not (base / "config.json").is_file():
        raise SettingsError(
            f"{folder} holds a LoRA adapter of a model in {base}, which is not there; put it there, or merge the "
            "adapter into its model."
        )
    wanted = ["tokenizer_config.json"] if base is not None else ["config.json", "tokenizer_config.json"]
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise SettingsError(f"{folder} lacks {' and '.join(missing)}; save the model and its tokenizer there.")
    if not (folder / "chat_template.jinja").is_file() and not _told_template(folder):
        raise SettingsError(
            f"The tokenizer in {folder} has no chat template, so that the policy cannot be spoken to; save it with one."
        )


def _base(folder: Path) -> Path | None:
    """The model that an adapter belongs to, if there is one: a folder, or a name on the hub."""
    if (folder / "config.json").is_file() or not (folder / "adapter_config.json").is_file():
        return None
    return Path(str(_told(folder / "adapter_config.json").get("base_model_name_or_path") or ""))


def _told(path: Path) -> dict[str, Any]:
    """What a file of JSON says; nothing where it cannot be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _told_template(folder: Path) -> str:
    """The chat template in `tokenizer_config.json`, where older versions of transformers keep it."""
    template = _told(folder / "tokenizer_config.json").get("chat_template")
    return "" if template is None else json.dumps(template, sort_keys=True)


def weights_fingerprint(folder: str | Path) -> str:
    """Of the safetensors files of a folder; of an adapter's, and of those of its model where that is in a folder."""
    base = _base(Path(folder))
    with_base = [] if base is None or not base.is_absolute() else _weights(base)
    return _digest([*_weights(Path(folder)), *with_base])


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def tokenizer_fingerprint(folder: str | Path) -> str:
    """Of what turns a conversation into tokens: the tokenizer and its chat template."""
    named = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja")
    return _digest([path for name in named if (path := Path(folder) / name).is_file()], _told_template(Path(folder)))


def _digest(paths: list[Path], more: str = "") -> str:
    digest = hashlib.sha256(more.encode())
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
