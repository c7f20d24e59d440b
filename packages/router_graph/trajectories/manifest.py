"""The table of contents of a compacted log. It is written last, so that what it lists is whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from typing_extensions import TypedDict

from router_graph.trajectories.shards import LogError

NAME = "manifest.json"
FORMAT = 1
"""Of the columns and of the manifest."""
_MADE_BY = "polyroute runs compact"


class Part(TypedDict):
    """Two files with the same runs in the same order."""

    runs_file: str
    steps_file: str
    runs: int
    steps: int


class Manifest(TypedDict):
    """What a folder of parquet files holds, and what it was made from."""

    made_by: str
    format: int
    schema: int
    """Of the lines."""
    fingerprint: str
    """A SHA-256 over the names, sizes and checksums of the shards, and these versions: the same log has the same."""
    shards: int
    bytes: int
    lines: int
    damaged: int
    replaced: int
    lost: int
    """See `LogReport`."""
    runs: int
    steps: int
    parts: list[Part]


def new_manifest(facts: Mapping[str, Any]) -> Manifest:
    """A manifest of these facts."""
    made: Manifest = {"made_by": _MADE_BY, "format": FORMAT, **facts}  # type: ignore[typeddict-item]
    return made


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises `LogError` where it is no manifest of runs, of a newer version, or where a file that it lists is missing.
    """
    path = folder / NAME
    try:
        found = orjson.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LogError(f"{path} cannot be read ({error.strerror or error}).") from None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or found.get("made_by") != _MADE_BY:
        raise LogError(f"{path} is no manifest of compacted runs; give a folder that `polyroute runs compact` made.")
    if not isinstance(found["format"], int) or found["format"] > FORMAT:
        raise LogError(
            f"{folder} has format {found['format']}, and this version knows up to {FORMAT}; update polyroute."
        )
    for part in found["parts"]:
        for name in (part["runs_file"], part["steps_file"]):
            if not (folder / name).is_file():
                raise LogError(f"{name} is missing in {folder}; compact the runs again.")
    manifest: Manifest = found  # type: ignore[assignment]
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put it in the place of the one before, as a whole."""
    new = folder / f".{NAME}.{os.getpid()}"
    new.write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
    new.replace(folder / NAME)
