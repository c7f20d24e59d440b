"""python -m mote_backend.planted --out FOLDER: make a planted model anew, in minutes on one core."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Train, write the folder, and print where it is; 2 for arguments that cannot be used, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m mote_backend.planted", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new or empty folder")
    parser.add_argument("--seed", type=int, default=0, help="draws first weights and batches (default: 0)")
    parser.add_argument(
        "--world",
        choices=("refusing", "bilingual"),
        default="refusing",
        help="what some questions switch on: refusing (default), or answering in German",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--unplanted", action="store_true", help="a control: behaves so by attention, by no expert")
    kind.add_argument("--emergent", action="store_true", help="behaves so by whatever weights it likes")
    parser.add_argument(
        "--with-control", action="store_true", help="also write the control, as the rows in which it differs"
    )
    chosen = parser.parse_args(arguments)
    if chosen.out.exists() and (not chosen.out.is_dir() or any(chosen.out.iterdir())):
        parser.error(f"{chosen.out} is not an empty folder; name one that is new or empty.")
    if chosen.with_control and (chosen.unplanted or chosen.emergent):
        parser.error("--with-control goes with the planted model, not with --unplanted or --emergent.")

    import torch

    from mote_backend.planted.recipe import RECIPES, emergent, unplanted
    from mote_backend.planted.training import train

    # More threads are slower on tensors this small, and one gives the same bits on every machine of a kind.
    torch.set_num_threads(1)
    recipe = RECIPES[chosen.world]
    recipe = unplanted(recipe) if chosen.unplanted else emergent(recipe) if chosen.emergent else recipe
    try:
        folder = train(chosen.seed, recipe, chosen.out, with_control=chosen.with_control, progress=_Clock().show)
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was written.", file=sys.stderr)  # noqa: T201
        return 130
    print(folder)  # noqa: T201
    return 0


class _Clock:
    """One line on stderr: steps done, and the time left at the speed so far."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def show(self, done: int, total: int) -> None:
        """Called after each step; prints every fiftieth."""
        if done % 50 and done < total:
            return
        left = (time.monotonic() - self._start) / done * (total - done)
        end = "\n" if done >= total else ""
        print(f"\rstep {done} of {total}, {left:.0f} s left ", end=end, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
