"""Which experts are switched off, forced on or biased: plain data that can be combined, hashed, saved and checked."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Self, SupportsIndex, get_args

from mote_backend.errors import MaskError, shown
from mote_backend.fingerprint import Fingerprint
from mote_backend.mask_json import biases_in, by_layer, experts_in, parsed, pretty

Expert = tuple[int, int]
"""(layer, expert). The layer is the position among the model's routers, in the order of `output_router_logits`: layers
without experts are not counted. The expert is the row of the router's weight."""

Phase = Literal["all", "prefill", "decode"]
Mode = Literal["remove", "zero", "zero_renorm"]
Force = Literal["max", "natural"]

FORMAT = "polyroute-mask/1"
MOST_BIAS = 1e4
"""The largest bias, up or down: a larger one overflows the logits of a model in half precision."""
_LONGEST_NAME = 255
_KEYS = ("format", "name", "id", "off", "on", "bias", "phase", "mode", "force", "model")


@dataclass(frozen=True)
class ExpertMask:
    """Experts to switch while a model runs (MoTE, arXiv 2502.11096). Equal masks have equal ids, whatever the names.

    "Off" means, by default, as if the expert were deleted: it is never selected, another takes its place,
    and the weights are what the family's own formula gives for the experts that are left.
    """

    off: frozenset[Expert] = frozenset()
    on: frozenset[Expert] = frozenset()
    """Selected for every token."""
    bias: frozenset[tuple[int, int, float]] = frozenset()
    """(layer, expert, what is added to its router logit): a dial between on and off."""
    phase: Phase = "all"
    """Which tokens: those of the prompt, those that are generated, or all."""
    mode: Mode = "remove"
    """What "off" means: `remove`, as if deleted; `zero`, selected as ever, then weighted 0, so that fewer count;
    `zero_renorm`, the same with the other weights scaled up to the same sum."""
    force: Force = "max"
    """What "on" means for the weight: `max`, its logit is raised just above all others; `natural`, its logit stays."""
    name: str | None = field(default=None, compare=False)
    model: Fingerprint | None = field(default=None, compare=False)
    """What it was made for; None fits any model that has the experts."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "off", frozenset(_expert(one) for one in self.off))
        set_(self, "on", frozenset(_expert(one) for one in self.on))
        set_(self, "bias", frozenset(_biased(one) for one in self.bias))
        for field_, allowed in (("phase", Phase), ("mode", Mode), ("force", Force)):
            if getattr(self, field_) not in get_args(allowed):
                raise MaskError(
                    f"{field_} is {shown(getattr(self, field_))}; it can be {', '.join(map(repr, get_args(allowed)))}."
                )
        if self.name is not None and not _is_name(self.name):
            raise MaskError(
                f"The mask's name is {shown(self.name)}; it is a text of 1 to {_LONGEST_NAME} printable characters."
            )
        biased = [(layer, expert) for layer, expert, _ in self.bias]
        for first, second, words in (
            (self.off, self.on, "both off and on"),
            (self.off, set(biased), "both off and biased"),
            (self.on, set(biased), "both on and biased"),
        ):
            if both := sorted(first & second):
                raise MaskError(f"{_said(both[0])} is {words}; an expert can be one of them.")
        if len(biased) != len(set(biased)):
            twice = next(one for one in sorted(biased) if biased.count(one) > 1)
            raise MaskError(f"{_said(twice)} has two biases; give their sum.")

    def __bool__(self) -> bool:
        return bool(self.off or self.on or self.bias)

    def __len__(self) -> int:
        return len(self.off) + len(self.on) + len(self.bias)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that it touches, in order."""
        return tuple(sorted({layer for layer, _ in self._experts()}))

    @cached_property
    def id(self) -> str:
        """ "mote-" and 12 hex digits of what it does; neither its name nor its model is part of it."""
        text = json.dumps(self._effect(), sort_keys=True, separators=(",", ":"))
        return "mote-" + hashlib.sha256(text.encode()).hexdigest()[:12]

    def __add__(self, other: ExpertMask) -> ExpertMask:
        """Both at once; biases of one expert are added up. MaskError if they contradict each other."""
        self._one_kind(other, "combined")
        sums: dict[Expert, float] = {}
        for layer, expert, value in (*self.bias, *other.bias):
            sums[layer, expert] = sums.get((layer, expert), 0.0) + value
        bias = frozenset((*expert, value) for expert, value in sums.items() if value)
        return replace(self._of_both(other), off=self.off | other.off, on=self.on | other.on, bias=bias)

    __or__ = __add__

    def __sub__(self, other: ExpertMask) -> ExpertMask:
        """What this one switches, and the other does not switch the same way."""
        return replace(self, off=self.off - other.off, on=self.on - other.on, bias=self.bias - other.bias, name=None)

    def __and__(self, other: ExpertMask) -> ExpertMask:
        """What both switch the same way."""
        self._one_kind(other, "intersected")
        both = self._of_both(other)
        return replace(both, off=self.off & other.off, on=self.on & other.on, bias=self.bias & other.bias)

    def where(self, keep: Callable[[int, int], bool]) -> ExpertMask:
        """The part for which `keep(layer, expert)` holds."""
        return replace(
            self,
            off=frozenset(one for one in self.off if keep(*one)),
            on=frozenset(one for one in self.on if keep(*one)),
            bias=frozenset(one for one in self.bias if keep(one[0], one[1])),
            name=None,
        )

    def softened(self, bias: float) -> ExpertMask:
        """Off becomes this bias, which is negative: a dial that often costs less than switching off."""
        if not bias < 0:
            raise MaskError(f"The bias in place of off is {bias:g}; it must be negative.")
        soft = frozenset((*one, bias) for one in self.off)
        return replace(self, off=frozenset(), bias=self.bias | soft, name=None)

    def named(self, name: str) -> ExpertMask:
        """The same mask under this name."""
        return replace(self, name=name)

    def check(self, model: Fingerprint) -> None:
        """Raise MaskError unless it can be applied to a model of this fingerprint."""
        if self.model is not None and not self.model.same_shape(model):
            raise MaskError(f"The mask {self.title} was made for {self.model}, and this model is {model}.")
        for layer, expert in sorted(self._experts()):
            if layer >= model.layers:
                raise MaskError(
                    f"The mask {self.title} switches layer {layer}, and this model's routed layers are 0 to "
                    f"{model.layers - 1}."
                )
            if expert >= model.experts[layer]:
                raise MaskError(
                    f"The mask {self.title} switches expert {expert} of layer {layer}, whose experts are 0 to "
                    f"{model.experts[layer] - 1}."
                )
        for layer in self.layers:
            on = sum(one[0] == layer for one in self.on)
            top_k = model.top_k[layer]
            left = model.experts[layer] - sum(one[0] == layer for one in self.off)
            if on > top_k:
                raise MaskError(
                    f"The mask {self.title} forces {on} experts of layer {layer} on, and a token gets {top_k}."
                )
            if left < top_k and self.mode == "remove":
                raise MaskError(
                    f"The mask {self.title} leaves {left} experts of layer {layer} on, and each token needs {top_k}."
                )

    def fits_weights(self, model: Fingerprint) -> bool:
        """False if it is known to come from other weights of the same shape, where its numbers mean other experts."""
        made_for = self.model
        return made_for is None or None in (made_for.weights, model.weights) or made_for.weights == model.weights

    @property
    def title(self) -> str:
        """Its name, else its id: for people."""
        return repr(self.name) if self.name else self.id

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that a person can read: experts by layer, in order."""
        head: dict[str, Any] = {"format": FORMAT}
        if self.name:
            head["name"] = self.name
        tail = {} if self.model is None else {"model": self.model.to_json()}
        return {**head, "id": self.id, **self._effect(), **tail}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`; lists of pairs are read too. MaskError says what is wrong."""
        if not isinstance(data, Mapping):
            raise MaskError(f"A mask is a JSON object, not {type(data).__name__}.")
        if unknown := sorted(set(data) - set(_KEYS)):
            raise MaskError(f"{shown(unknown[0])} is no key of a mask; known are {', '.join(_KEYS)}.")
        if data.get("format", FORMAT) != FORMAT:
            raise MaskError(f"The mask has the format {shown(data['format'])}; this version reads {FORMAT!r}.")
        model = data.get("model")
        made = cls(
            off=experts_in(data.get("off"), "off"),
            on=experts_in(data.get("on"), "on"),
            bias=biases_in(data.get("bias")),
            phase=data.get("phase", "all"),
            mode=data.get("mode", "remove"),
            force=data.get("force", "max"),
            name=data.get("name"),
            model=None if model is None else Fingerprint.from_json(model),
        )
        if data.get("id", made.id) != made.id:
            raise MaskError(
                f"The mask says that its id is {shown(data['id'])}, and what it switches has the id {made.id}; "
                "remove the 'id' if it was changed on purpose."
            )
        return made

    def save(self, path: str | Path) -> None:
        """Write it as JSON, a layer a line."""
        Path(path).write_text(pretty(self.to_json()), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; MaskError if the file is missing or no mask. Without a name it takes the file's."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise MaskError(f"The mask {path} cannot be read: {error.strerror or error}.") from None
        except ValueError as error:
            raise MaskError(f"The mask {path} is no text in UTF-8: {error}.") from None
        data = parsed(text, f"The mask {path}")
        if isinstance(data, dict):
            data = {"name": Path(path).stem, **data}
        try:
            return cls.from_json(data)
        except MaskError as error:
            raise MaskError(f"{path}: {error}") from None

    def _experts(self) -> set[Expert]:
        return {*self.off, *self.on, *((layer, expert) for layer, expert, _ in self.bias)}

    def _effect(self) -> dict[str, Any]:
        bias: dict[str, dict[str, float]] = {}
        for layer, expert, value in sorted(self.bias):
            bias.setdefault(str(layer), {})[str(expert)] = value
        return {
            "off": by_layer(self.off),
            "on": by_layer(self.on),
            "bias": bias,
            "phase": self.phase,
            "mode": self.mode,
            "force": self.force,
        }

    def _one_kind(self, other: ExpertMask, verb: str) -> None:
        if not self or not other:
            return
        for field_ in ("phase", "mode", "force"):
            ours, theirs = getattr(self, field_), getattr(other, field_)
            if ours != theirs:
                raise MaskError(f"Masks of {field_} {ours!r} and {theirs!r} cannot be {verb}; give both one {field_}.")
        if self.model and other.model and not self.model.same_shape(other.model):
            raise MaskError(f"A mask for {self.model} and one for {other.model} cannot be {verb}.")

    def _of_both(self, other: ExpertMask) -> ExpertMask:
        kind = self if self or not other else other
        return replace(kind, name=None, model=self.model or other.model)


def _expert(one: Any) -> Expert:
    match one:
        case (SupportsIndex() as layer, SupportsIndex() as expert) if bool not in (type(layer), type(expert)):
            pair = operator.index(layer), operator.index(expert)  # also numpy's numbers, which a ranking often gives
            if min(pair) >= 0:
                return pair
    raise MaskError(f"{shown(one)} is no expert; it is a pair (layer, expert) of numbers from 0.")


def _biased(one: Any) -> tuple[int, int, float]:
    match one:
        case (layer, expert, value) if _is_bias(value):
            return (*_expert((layer, expert)), float(value))
    raise MaskError(
        f"{shown(one)} is no bias; it is (layer, expert, a number other than 0, from {-MOST_BIAS:g} to {MOST_BIAS:g})."
    )


def _is_bias(value: Any) -> bool:
    kinds = type(value).__mro__
    return issubclass(type(value), Real) and bool not in kinds and bool(0 < abs(value) <= MOST_BIAS)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def _said(one: Expert) -> str:
    return f"Expert {one[1]} of layer {one[0]}"
