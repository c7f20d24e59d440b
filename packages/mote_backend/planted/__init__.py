"""A tiny Mixture-of-Experts model in which the experts that refuse are known, for tests, demos and benchmarks.

    model, tokenizer = planted.load()
    planted.experts()                  # ((1, 12), (1, 27), ...): (layer, expert)
    planted.World().prompts("sensitive", "held_out")

It was trained from random weights on an invented world (`World()`); `python -m mote_backend.planted` makes it anew.
"""

from __future__ import annotations

from mote_backend.planted.folder import FOLDER, Variant, experts, load
from mote_backend.planted.world import Question, World, grade

__all__ = ["FOLDER", "Question", "Variant", "World", "experts", "grade", "load"]
