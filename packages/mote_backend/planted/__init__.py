"""Tiny Mixture-of-Experts models in which the experts behind a behaviour are known, for tests, demos and benchmarks.

    model, tokenizer = planted.load("bilingual")                  # answers German with German, English with English
    planted.experts(planted.FOLDERS["bilingual"])                 # the experts that turn it into German: ((1, 9), ...)
    planted.BilingualWorld().prompts("german", "held_out")

    model, tokenizer = planted.load()                             # refuses some questions
    planted.World().prompts("sensitive", "held_out")

They were trained from random weights on invented worlds; `python -m mote_backend.planted` makes them anew.
"""

from __future__ import annotations

from mote_backend.planted.bilingual import BilingualWorld
from mote_backend.planted.folder import FOLDER, FOLDERS, Variant, experts, folder_named, load
from mote_backend.planted.question import Question
from mote_backend.planted.world import World, grade

__all__ = [
    "FOLDER",
    "FOLDERS",
    "BilingualWorld",
    "Question",
    "Variant",
    "World",
    "experts",
    "folder_named",
    "grade",
    "load",
]
