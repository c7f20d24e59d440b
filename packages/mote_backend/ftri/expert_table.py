"""The experts of a model, by how differently two sets of prompts use them: what fTRI finds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from mote_backend.errors import InputError
from mote_backend.fingerprint import Fingerprint
from mote_backend.mask import ExpertMask

Floats = NDArray[np.float64]

Ranking = Literal["difference", "either", "gate", "stability"]
"""`difference`: more used by the target first (the paper's distinctiveness); `either`: the largest difference of either
sign first; `gate`: by the difference of gate weights; `stability`: by that, and among equals by the difference."""

FORMAT = "polyroute-experts/1"
_COLUMNS = ("rate_a", "rate_b", "difference", "low", "high", "p", "q", "stability", "gate_a", "gate_b")
_DIGITS = 6


class ExpertRow(NamedTuple):
    """One expert. A rate is the share of tokens that select it, averaged over prompts; or their number, if summed."""

    layer: int
    expert: int
    rate_a: float
    """How often the target's prompts select it."""
    rate_b: float
    """How often the others do."""
    difference: float
    """rate_a - rate_b."""
    low: float
    high: float
    """95 % interval of the difference, of this expert alone; prompts are the unit."""
    p: float
    q: float
    """p-value, and the share of false discoveries among all experts up to this q (Benjamini and Hochberg)."""
    stability: float
    """Share of half-samples in which it is among the most different."""
    gate_a: float
    gate_b: float
    """Mean gate weight, 0 where it was not selected; NaN if a router tells none."""

    @property
    def gate_difference(self) -> float:
        """gate_a - gate_b: a difference in how much it counts, not only in how often."""
        return self.gate_a - self.gate_b


@dataclass(frozen=True, eq=False)
class ExpertTable:
    """Each expert of each layer, for one contrast: a (the target) against b. A column is an array [F]."""

    a: str
    b: str
    """Names of the sets of prompts."""
    n_a: int
    n_b: int
    """Prompts in each."""
    digest_a: str
    digest_b: str
    """Digests of the sets of prompts."""
    at: str
    """Which tokens of a prompt were looked at."""
    experts: tuple[int, ...]
    """Experts of each routed layer; their sum is F."""
    rate_a: Floats
    rate_b: Floats
    low: Floats
    high: Floats
    p: Floats
    q: Floats
    stability: Floats
    gate_a: Floats
    gate_b: Floats
    chance: float
    """The |difference| that chance alone passes nowhere, in 95 of 100 contrasts without any effect."""
    stability_top: int
    """Stability counts how often an expert is among so many."""
    seed: int
    """Of the half-samples."""
    notes: tuple[str, ...] = ()
    """What a reader has to know, a sentence each."""
    model: Fingerprint | None = None
    versions: Mapping[str, str] | None = None
    """Of what made it."""

    @property
    def difference(self) -> Floats:
        """[F] rate_a - rate_b."""
        return self.rate_a - self.rate_b

    @property
    def gate_difference(self) -> Floats:
        """[F] gate_a - gate_b."""
        return self.gate_a - self.gate_b

    @property
    def layer(self) -> NDArray[np.int64]:
        """[F] routed layer of each expert."""
        return np.repeat(np.arange(len(self.experts)), self.experts)

    @property
    def expert(self) -> NDArray[np.int64]:
        """[F] number of each expert within its layer."""
        return np.concatenate([np.arange(one) for one in self.experts])

    def __len__(self) -> int:
        return len(self.rate_a)

    def row(self, layer: int, expert: int) -> ExpertRow:
        """One expert's row. InputError if the model has no such expert."""
        if not (0 <= layer < len(self.experts) and 0 <= expert < self.experts[layer]):
            raise InputError(
                f"The table has no expert {expert} in layer {layer}; its layers hold {_said(self.experts)}."
            )
        return self._row(sum(self.experts[:layer]) + expert)

    def top(self, m: int | None = None, *, by: Ranking = "difference", max_q: float = 1.0) -> list[ExpertRow]:
        """The first m rows of a ranking, all if None, of those whose q is not above `max_q`."""
        order = [one for one in self._order(by) if self.q[one] <= max_q]
        return [self._row(one) for one in order[:m]]

    def mask(self, m: int, *, by: Ranking = "difference", max_q: float = 1.0) -> ExpertMask:
        """The first m experts that the target uses more, switched off, as many of a layer as its top-k allows: what
        the paper does. A ranking proves no effect, a verdict with controls does. InputError if there are fewer."""
        room = self._room()
        difference, layer, expert = self.difference, self.layer.tolist(), self.expert.tolist()
        spared: list[tuple[int, int]] = []
        for one in self._order(by):
            if difference[one] > 0 and self.q[one] <= max_q and room[layer[one]] > 0:
                room[layer[one]] -= 1
                spared.append((layer[one], expert[one]))
        if not spared:
            raise InputError(
                f"No expert is more used by {self.a!r} than by {self.b!r}: there is nothing to switch off."
            )
        if not 1 <= m <= len(spared):
            raise InputError(
                f"{m} experts cannot be switched off: {len(spared)} are more used by {self.a!r} and can be spared, so "
                f"ask for 1 to {len(spared)}."
            )
        return ExpertMask(off=frozenset(spared[:m]), model=self.model)

    def to_markdown(self, m: int = 10, *, by: Ranking = "difference") -> str:
        """The first m rows as a table for people, with what they rest on."""
        from mote_backend.ftri.expert_table_text import markdown

        return markdown(self, self.top(m, by=by))

    def to_heat_map(self, width: int = 64) -> str:
        """Differences as characters, a line a layer, for a terminal of so many columns or more."""
        from mote_backend.ftri.expert_table_text import heat_map

        return heat_map(self, width)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: what it rests on, and the columns, layer by layer in order."""
        return {
            "format": FORMAT,
            "a": {"name": self.a, "prompts": self.n_a, "digest": self.digest_a},
            "b": {"name": self.b, "prompts": self.n_b, "digest": self.digest_b},
            "at": self.at,
            "chance": self.chance,
            "stability_top": self.stability_top,
            "seed": self.seed,
            "notes": list(self.notes),
            "model": None if self.model is None else self.model.to_json(),
            "versions": dict(self.versions or {}),
            "experts": list(self.experts),
            "columns": {name: _plain(getattr(self, name)) for name in _COLUMNS if name != "difference"},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`. InputError says what is wrong."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise InputError(f"This is no table of experts; it needs the format {FORMAT!r}.")
        try:
            experts = tuple(int(one) for one in data["experts"])
            columns = {
                name: np.array([np.nan if one is None else one for one in data["columns"][name]], dtype=np.float64)
                for name in _COLUMNS
                if name != "difference"
            }
            if any(column.shape != (sum(experts),) for column in columns.values()):
                raise InputError(f"The columns of the table of experts need {sum(experts)} numbers each.")
            a, b, model = data["a"], data["b"], data.get("model")
            return cls(
                a=str(a["name"]),
                b=str(b["name"]),
                n_a=int(a["prompts"]),
                n_b=int(b["prompts"]),
                digest_a=str(a["digest"]),
                digest_b=str(b["digest"]),
                at=str(data["at"]),
                experts=experts,
                chance=float(data["chance"]),
                stability_top=int(data["stability_top"]),
                seed=int(data["seed"]),
                notes=tuple(map(str, data["notes"])),
                model=None if model is None else Fingerprint.from_json(model),
                versions={str(name): str(version) for name, version in data["versions"].items()},
                **columns,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"The table of experts cannot be read: {type(error).__name__} at {error}.") from None

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; InputError if the file is missing or no table."""
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"The table {path} cannot be read: {error.strerror or error}.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise InputError(f"The table {path} is no JSON.") from None

    def _room(self) -> list[int]:
        """How many experts of each layer can be off."""
        if self.model is None:
            return list(self.experts)
        return [experts - top_k for experts, top_k in zip(self.model.experts, self.model.top_k, strict=True)]

    def _order(self, by: Ranking) -> NDArray[np.int64]:
        difference = self.difference
        keys: tuple[Floats, ...]
        match by:
            case "difference":
                keys = (difference,)
            case "either":
                keys = (np.abs(difference),)
            case "gate":
                keys = (self.gate_difference,)
            case "stability":
                keys = (difference, self.stability)  # the last key is the first that counts
            case _:
                raise InputError(f"{by!r} is no ranking; known are {', '.join(map(repr, get_args(Ranking)))}.")
        return np.lexsort([-np.nan_to_num(key, nan=-np.inf) for key in keys])

    def _row(self, index: int) -> ExpertRow:
        ends = np.cumsum(self.experts)
        layer = int(np.searchsorted(ends, index, side="right"))
        expert = int(index - (ends[layer] - self.experts[layer]))
        return ExpertRow(layer, expert, *(float(getattr(self, name)[index]) for name in _COLUMNS))


def _said(experts: tuple[int, ...]) -> str:
    return f"{len(experts)} times {experts[0]} experts" if len(set(experts)) == 1 else f"{experts} experts"


def _plain(values: Floats) -> list[float | None]:
    """With so many significant digits; p-values are far below 1."""
    return [None if np.isnan(one) else float(f"{one:.{_DIGITS}g}") for one in values.tolist()]
