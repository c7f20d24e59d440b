"""A fitted cascade on disk: JSON that people can read, with what it was fitted on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_graph.errors import SettingsError
from router_graph.policies.cascade.reader import Reader

SHIPPED = Path(__file__).parent / "nq.json"
"""Fitted on Natural Questions, with the six models of Router-R1's pool."""
VERSION = 1
"""Of the files."""
_AGAIN = "write it again with `fit_cascade` (benchmarks/cascade_fit.py)"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Whom to ask, when to stop, and how to read. `stops` are the confidences that are enough after one reply, …"""

    chain: tuple[str, ...]
    """Ids of models, as their transport calls them."""
    stops: tuple[float, ...]
    """One fewer than models."""
    reader: Reader
    learned: Mapping[str, Any]
    """Command, n, fingerprint and marks of the questions, seed, figures."""


def save(fitted: Fitted, path: str | Path) -> None:
    """Write it, a weight on each line: two versions can be compared with `diff`."""
    told = {
        "policy": "cascade",
        "version": VERSION,
        "chain": list(fitted.chain),
        "stops": list(fitted.stops),
        "learned": {key: value for key, value in fitted.learned.items() if key != "marks"},
        "weights": dict(fitted.reader.weights),
        "marks": " ".join(fitted.learned.get("marks", ())),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def load(path: str | Path = SHIPPED) -> Fitted:
    """The cascade of a file; the shipped one if none is named. Raises `SettingsError`."""
    path = Path(path).expanduser()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); give a file that benchmarks/cascade_fit.py has written."
        ) from None
    except ValueError as error:
        raise SettingsError(f"{path} is no JSON ({error}); {_AGAIN}.") from None
    if not isinstance(told, dict) or told.get("policy") != "cascade" or told.get("version") != VERSION:
        raise SettingsError(f"{path} is no fitted cascade of version {VERSION}; {_AGAIN}.")
    try:
        return _made(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(f"{path} is damaged ({type(error).__name__}: {error}); {_AGAIN}.") from None


def _made(told: Mapping[str, Any]) -> Fitted:
    chain, stops = tuple(map(str, told["chain"])), tuple(map(float, told["stops"]))
    weights = {str(name): float(weight) for name, weight in told["weights"].items()}
    if not chain or len(stops) != len(chain) - 1:
        raise ValueError("a chain has at least one model, and one stop fewer than models")
    if not all(map(math.isfinite, (*stops, *weights.values()))):
        raise ValueError("a number that is none")
    return Fitted(chain, stops, Reader(weights), {**told["learned"], "marks": told["marks"].split()})
