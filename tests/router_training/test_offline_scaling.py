"""One update is one update: whole, in pieces, or on two processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.offline_process import train
from support.offline_samples import tiny, weights_of

SUPPORT = Path(__file__).parents[1]
GRPO = {"method": "offline-grpo", "least_ess": 0, "most_kl": 1e9}


def apart(one: Path, other: Path) -> float:
    """The widest difference of a weight, relative to the widest move."""
    start = {name: each.detach() for name, each in tiny()[0].named_parameters()}
    first, second = weights_of(one), weights_of(other)
    moved = max(float((each - start[name]).abs().max()) for name, each in first.items())
    assert moved > 1e-3
    return max(float((each - second[name]).abs().max()) for name, each in first.items()) / moved


@pytest.mark.parametrize("normalise", ["dapo", "grpo", "dr_grpo"])
@pytest.mark.parametrize("pieces", [2, 4])
def test_an_update_in_pieces_is_the_update_in_one(normalise: str, pieces: int, tmp_path: Path) -> None:
    objective = json.dumps({"method": "awr", "normalise": normalise, "longest": 8})
    whole = train(tmp_path / "whole", objective, 12)
    cut = train(tmp_path / "cut", objective, 12 // pieces, pieces)
    assert apart(whole, cut) < 1e-4


def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    objectives = {name: json.dumps(one) for name, one in (("awr", {"method": "awr"}), ("grpo", GRPO))}
    whole = {name: train(tmp_path / "whole" / name, told, 12) for name, told in objectives.items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcome = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
        + [str(SUPPORT / "support" / "offline_process.py"), str(tmp_path / "two"), "6"]
        + [f"{name}={told}" for name, told in objectives.items()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    for name, alone in whole.items():
        assert apart(alone, tmp_path / "two" / name) < 1e-4, name
