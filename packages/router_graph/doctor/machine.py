"""The machine: room on its disks, and what torch computes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from router_graph.doctor.finding import Finding, ok, problem, warning

_LITTLE, _TOO_LITTLE = 2 << 30, 200 << 20
"""Bytes free: an embedding, a log and checkpoints want some; below the second, the next write may fail."""
_NVIDIA = Path("/dev/nvidia0")


def disk(*folders: Path) -> Iterator[Finding]:
    """Room where knowledge bases, runs and the embedding are written; each file system once."""
    seen = set[int]()
    for folder in folders:
        there = next((one for one in (folder.absolute(), *folder.absolute().parents) if one.exists()), Path("/"))
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(there).free
        said = f"{free / (1 << 30):.1f} GiB free on the disk of {there}"
        if free < _TOO_LITTLE:
            yield problem(f"Only {said}", f"du -sh {there}/* | sort -h | tail")
        elif free < _LITTLE:
            yield warning(f"Only {said}", f"du -sh {there}/* | sort -h | tail")
        else:
            yield ok(said)


def torch(*, deep: bool) -> Iterator[Finding]:
    """Which torch, and what it computes on. It is imported, which takes seconds, only where `deep`."""
    if find_spec("torch") is None:
        yield ok("No torch: models in this process and training need it", "pip install 'polyroute[mote]'")
        return
    version = metadata.version("torch")
    if not deep:
        if _NVIDIA.exists() and version.endswith("+cpu"):
            yield warning(
                f"torch {version} computes on the CPU alone, and there is an NVIDIA GPU",
                "pip install --force-reinstall torch",
            )
        else:
            where = "there is an NVIDIA GPU" if _NVIDIA.exists() else "no NVIDIA GPU is here"
            yield ok(f"torch {version}; {where}", "polyroute doctor --deep" if _NVIDIA.exists() else "")
        return
    try:
        import torch as found
    except (ImportError, OSError) as error:
        yield problem(f"torch {version} cannot be imported ({error})", "pip install --force-reinstall torch")
        return
    if not found.cuda.is_available():
        if _NVIDIA.exists():
            yield warning(f"torch {version} cannot use the NVIDIA GPU that is here", "nvidia-smi")
        else:
            yield ok(f"torch {version} computes on the CPU, {found.get_num_threads()} threads")
        return
    for number in range(found.cuda.device_count()):
        free, total = found.cuda.mem_get_info(number)
        name = found.cuda.get_device_name(number)
        yield ok(f"torch {version}: {name}, {free / (1 << 30):.0f} of {total / (1 << 30):.0f} GiB free")
