"""A visual feature without weights: pictures that look the same have a cosine near 1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kb_tools.images import decode

_SIDE = 96
_CELLS = 6
_TURNS = 8
_COLOUR_CELLS = 3
_HUES = 8
_GREYS = 4
_WAVES = 8
_WEIGHTS = {"colour": 0.3, "edges": 0.5, "layout": 0.2}
