"""A trained policy as a folder that the graph loads (`--policy local:FOLDER`), with a card of how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from router_graph.policies.local import CARD, PolicyCard, tokenizer_fingerprint, weights_fingerprint
from router_training.errors import ConfigError
from router_training.trainers.config import Lora, RewardChoice, Spoken
from router_training.trainers.curves import in_terminal, picture
from router_training.trainers.tokenizing import save_tokenizer

MODEL_CARD = "MODEL_CARD.md"
CURVES = "curves.png"
HISTORY = "history.json"
_LIBRARIES = ("polyroute", "torch", "transformers", "trl", "peft", "datasets", "accelerate")


class Config(Protocol):
    """What the configs of all trainers have."""

    @property
    def lora(self) -> Lora | None:
        """The adapter that was trained, if one was."""
        ...

    @property
    def policy(self) -> Spoken:
        """How it is spoken to."""
        ...

    @property
    def reward(self) -> RewardChoice:
        """By what it was trained."""
        ...

    @property
    def seed(self) -> int:
        """Of all that was drawn."""
        ...

    def as_json(self) -> dict[str, Any]:
        """All settings."""
        ...


@dataclass(frozen=True)
class Made:
    """How a policy came about."""

    method: str
    config: Config
    data: str
    """Fingerprint of the samples."""
    questions: str
    """Fingerprint of their questions."""
    samples: int
    left: str
    """What was left out of the log, and why."""
    figures: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    stopped: str | None = None
    """Why training ended early, if it did."""
    base: str = ""
    """What was trained on from."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else belongs in the card; what is called "evaluation" is one."""

    def learned(self) -> dict[str, Any]:
        """For `policy.json`."""
        return {
            "method": self.method,
            "data": self.data,
            "questions": self.questions,
            "reward": self.config.reward.version,
            "samples": self.samples,
            "left_out": self.left,
            "config": self.config.as_json(),
            "figures": dict(self.figures),
            "stopped": self.stopped,
            "base": self.base,
            "software": _software(),
            **self.about,
        }


def check_room(folder: Path) -> None:
    """Raise `ConfigError` where what the folder already holds would be lost, or be taken for this run's."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder that is new, or empty.")
    if (folder / CARD).exists():
        raise ConfigError(f"{folder} holds a policy already; give another folder, or remove it first.")
    if (folder / "config.json").exists() or any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder} holds a model, which would be written over; give another folder.")
    if any(folder.glob("checkpoints/checkpoint-*/trainer_state.json")):  # which is written last
        raise ConfigError(
            f"{folder} holds the checkpoints of a run that broke off; go on from them with resume, or remove them "
            "first."
        )


def save_policy(trainer: Any, tokenizer: Any, folder: Path, made: Made) -> Path:
    """Write weights, tokenizer, cards and curves. On several processes all of them call it, and one writes."""
    lora = made.config.lora
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.accelerator.is_main_process:
        trainer.accelerator.wait_for_everyone()
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    if lora is not None and lora.merge:
        model, state = model.merge_and_unload(), None
    model.save_pretrained(folder, state_dict=state)
    save_tokenizer(tokenizer, folder)
    _write(folder, made)
    trainer.accelerator.wait_for_everyone()
    return folder


def _write(folder: Path, made: Made) -> None:
    spoken = made.config.policy
    card = PolicyCard(
        name=spoken.name,
        protocol=spoken.protocol,
        thinks=spoken.thinks,
        temperature=spoken.temperature,
        max_tokens=spoken.max_tokens,
        weights=weights_fingerprint(folder),
        tokenizer=tokenizer_fingerprint(folder),
        learned=made.learned(),
    )
    drawn = picture(made.history, folder / CURVES)
    (folder / HISTORY).write_text(json.dumps(list(made.history), indent=1) + "\n", encoding="utf-8")
    (folder / MODEL_CARD).write_text(model_card(card, made, has_picture=drawn), encoding="utf-8")
    card.save(folder)  # last: a folder with it is whole


def model_card(card: PolicyCard, made: Made, *, has_picture: bool) -> str:
    """In Markdown."""
    facts = {
        "Method": made.method,
        "Trained on from": made.base or "a model in memory",
        "Samples": f"{made.samples:,} (left out: {made.left})",
        "Data": made.data,
        "Questions": made.questions,
        "Reward": made.config.reward.version or "not told",
        "Weights": card.weights,
        "Tokenizer": card.tokenizer,
        "Protocol": f"{card.protocol}, {'with' if card.thinks else 'without'} thoughts",
        "Temperature": f"{card.temperature:g}",
        "Seed": str(made.config.seed),
        **({"Stopped early": made.stopped} if made.stopped else {}),
        "Software": ", ".join(f"{name} {number}" for name, number in _software().items()),
    }
    parts = [
        f"# {_safe(card.name)}\n\nA policy of polyroute, trained from logs. It loads into a graph as "
        "`--policy local:FOLDER`.",
        "\n".join(["| | |", "|---|---|", *(f"| {key} | {_safe(value)} |" for key, value in facts.items())]),
    ]
    if made.figures:
        parts.append(
            "## Figures\n\n" + "\n".join(f"- {_safe(key)}: {value:.4g}" for key, value in made.figures.items())
        )
    about = dict(made.about)
    if (evaluation := about.pop("evaluation", None)) is not None:
        parts.append(f"## Evaluation\n\n{_as_json(evaluation)}")
    else:
        parts.append(
            "## Evaluation\n\nNone was made. A policy that was not compared with those without weights is not better."
        )
    if text := in_terminal(made.history):
        shown = f"![curves]({CURVES})\n\n" if has_picture else ""
        parts.append(f"## Curves\n\n{shown}{_fenced(text)}")
    if about:
        parts.append(f"## More about it\n\n{_as_json(about)}")
    parts.append(f"## Config\n\n{_as_json(made.config.as_json())}")
    return "\n\n".join(parts) + "\n"


def _safe(text: str) -> str:
    """In a line of a table: no markup, no line ends, no control characters."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")


def _as_json(value: Any) -> str:
    return _fenced(json.dumps(value, indent=2, ensure_ascii=True))


def _fenced(text: str) -> str:
    return f"````\n{text.replace('````', '')}\n````"


def _software() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
