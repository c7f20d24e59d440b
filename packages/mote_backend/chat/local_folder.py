"""Whether a model's name is a folder on this machine, and holds what can be loaded; needs no torch."""

from __future__ import annotations

from pathlib import Path

from mote_backend.errors import InputError, ModelLoadError
from mote_backend.planted import folder_named


def local_folder(name: str) -> Path | None:
    """The folder that the name means, or None for a name on the hub.

    Raises ModelLoadError for a folder without a model in it, or a path where nothing is.
    """
    if planted := folder_named(name):
        return planted
    path = Path(name).expanduser()
    if not name.strip():
        raise InputError(
            "The model's name is empty; give a folder or a name such as 'allenai/OLMoE-1B-7B-0125-Instruct'."
        )
    if not path.is_dir():
        if path.is_absolute() or name.startswith((".", "~")) or path.exists():
            raise ModelLoadError(f"{name} is no folder; give a folder that holds a model, or a name on the hub.")
        return None
    if (path / "adapter_config.json").is_file():
        return path
    if not (path / "config.json").is_file():
        raise ModelLoadError(f"The folder {name} holds no model: it has no config.json.")
    if not any(path.glob("*.safetensors")):
        raise ModelLoadError(
            f"The folder {name} holds no safetensors weights, and no other kind is read; "
            "write them anew with save_pretrained()."
        )
    return path
