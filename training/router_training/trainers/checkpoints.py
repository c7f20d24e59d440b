"""Checkpoints to go on from, and of which run they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router_training.errors import ConfigError

CHECKPOINTS = "checkpoints"
"""In the folder of the policy."""
_RUN = "run.json"


def begin(folder: Path, data: str, settings: Mapping[str, Any]) -> None:
    """Say of which run the checkpoints of a policy's folder will be: fingerprint of the data, and the config."""
    if int(os.environ.get("RANK", "0")):  # of several processes, the first writes
        return
    place = folder / CHECKPOINTS
    place.mkdir(parents=True, exist_ok=True)
    mark = {"data": data, "config": settings}
    (place / _RUN).write_text(json.dumps(mark, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def last(folder: Path, data: str, settings: Mapping[str, Any]) -> tuple[int, Path]:
    """Number of updates, and place, of the last checkpoint. Raises `ConfigError` where it is of another run."""
    place = folder / CHECKPOINTS
    whole = (one.parent for one in place.glob("checkpoint-*/trainer_state.json"))  # which is written last
    found = sorted((int(one.name.rpartition("-")[2]), one) for one in whole)
    if not found:
        raise ConfigError(f"{folder} has no checkpoint to go on from; train without resume, with save.every set.")
    was = json.loads((place / _RUN).read_text(encoding="utf-8"))
    if was["data"] != data:
        raise ConfigError(
            f"The checkpoint in {folder} was trained on other data; resume with the same log, or begin anew."
        )
    if changed := [key for key, value in settings.items() if was["config"].get(key) != value]:
        raise ConfigError(
            f"The checkpoint in {folder} was trained with another {changed[0]!r}; resume with the same settings, or "
            "begin anew."
        )
    return found[-1]
