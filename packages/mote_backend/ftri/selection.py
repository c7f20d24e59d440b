"""Which experts cause a behaviour: found by switching candidates, not by ranking what is active."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mote_backend.errors import InputError, PromptError
from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.greedy import Search, Step, search
from mote_backend.ftri.measure import Measure, Measured
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.replies import Generate, Replies
from mote_backend.ftri.reply_probe import ReplyProbe
from mote_backend.judging.judges import Judge, digest
from mote_backend.mask import Expert, ExpertMask

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from torch import nn

    from mote_backend.ftri.behaviour import Behaviour
    from mote_backend.ftri.expert_table import ExpertTable

Switch = Literal["off", "on"]

FORMAT = "polyroute-selection/1"


@dataclass(frozen=True)
class Selection:
    """The experts that were found, and how."""

    mask: ExpertMask
    """Empty if no expert helped."""
    order: tuple[Expert, ...]
    """Its experts in the order in which they were chosen, the strongest first."""
    start: Measured
    """Without a mask, on the selection's own prompts: not a result to report, `judge_mask` gives that on others."""
    end: Measured
    """With it, on the same prompts."""
    steps: tuple[Step, ...]
    stop: str
    """Why the search ended."""
    candidates: tuple[Expert, ...]
    options: Search
    seen: frozenset[str]
    """Digests of the prompts that were used; no verdict may rest on them."""
    seconds: float

    def check_unseen(self, *sets: PromptSet) -> None:
        """Raise PromptError if a prompt of these sets was used here: a verdict on it would be too kind."""
        for one in sets:
            if both := prompt_digests(one) & self.seen:
                raise PromptError(
                    f"{len(both)} prompts of {one.name!r} were used to select the mask; a verdict needs prompts that "
                    "the selection has not seen."
                )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        plain = {**asdict(replace(self, mask=ExpertMask())), "mask": self.mask.to_json(), "seen": sorted(self.seen)}
        return {"format": FORMAT, **plain}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Selection:
        """The reverse of `to_json`. InputError says what is wrong."""
        from pydantic import ValidationError

        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise InputError(f"This is no selection; it needs the format {FORMAT!r}.")
        fields = {key: value for key, value in data.items() if key != "format"}
        try:
            return _adapter().validate_python({**fields, "mask": ExpertMask.from_json(data.get("mask", {}))})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"The selection cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}."
            ) from None

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), ensure_ascii=False), encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> Selection:
        """Read what `save` wrote; InputError if the file is missing or no selection."""
        try:
            return Selection.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"The selection {path} cannot be read: {error.strerror or error}.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise InputError(f"The selection {path} is no JSON.") from None


@cache
def _adapter() -> TypeAdapter[Selection]:
    from pydantic import TypeAdapter

    return TypeAdapter(Selection)


def candidate_experts(table: ExpertTable, count: int = 32) -> list[Expert]:
    """Experts worth trying: half are those that the target uses more than the others do, the rest are the busiest on
    the target's prompts, for an expert that both sets use alike can still be the one that acts."""
    if count < 1:
        raise InputError(f"count is {count}; it is the number of experts to try, 1 or more.")
    different = [(row.layer, row.expert) for row in table.top((count + 1) // 2) if row.difference > 0]
    busy = sorted(table.top(), key=lambda row: -row.rate_a)
    both = [*different, *((row.layer, row.expert) for row in busy if row.rate_a > 0)]
    return list(dict.fromkeys(both))[:count]


def select(
    model: nn.Module,
    tokenizer: Any,
    shown: PromptSet | Iterable[Any],
    harmless: PromptSet | Iterable[Any],
    behaviour: Behaviour | Judge,
    candidates: ExpertTable | Sequence[Expert],
    *,
    switch: Switch = "off",
    options: Search | None = None,
    like: ExpertMask | None = None,
    profiled: Iterable[PromptSet | Iterable[Any]] = (),
    evaluation: Iterable[PromptSet | Iterable[Any]] = (),
    name: str | None = None,
    generate: Generate | None = None,
    system: str | None = None,
    raw: bool = False,
    template_kwargs: Mapping[str, Any] | None = None,
    max_rows: int = 256,
    progress: Callable[[int, int], object] | None = None,
) -> Selection:
    """Find few experts whose switching moves the behaviour and leaves harmless prompts alone.

    Args:
        shown: Prompts that show the behaviour.
        harmless: Prompts whose replies must not change.
        behaviour: What to read from the first token's logits, such as `first_token(tokenizer, ["Sorry"])`; or a judge
            of whole replies, for behaviours that the first token does not tell: a hundred times slower or more.
        candidates: Experts to try, or a table to take them from (`candidate_experts`).
        switch: Off, or forced on. Off makes the behaviour less and on makes it more, unless `options` say otherwise.
        options: Aim and stop rule.
        like: A mask whose phase, mode and force the new one gets.
        profiled: Sets of prompts that the candidates come from, beside those above: no verdict may rest on them either.
        evaluation: Sets of prompts kept for the verdict; PromptError if one of theirs is used here.
        generate: What makes replies for a judge; None: `Replies` of 32 tokens.
        max_rows: Rows of a forward pass, which hold as many candidates as fit.
        progress: Called with (experts chosen, experts at most).
    """
    from mote_backend.families import find_sites, fingerprint
    from mote_backend.ftri.probe import Probe

    started = time.perf_counter()
    sets = PromptSet.of(shown, "shown"), PromptSet.of(harmless, "harmless")
    seen = _checked(sets, profiled, evaluation)
    if options is None:
        options = Search(less=switch == "off")
    shape = fingerprint(model, find_sites(model))
    experts = _experts(candidates, shape)
    pattern = replace(
        ExpertMask() if like is None else like,
        off=frozenset(),
        on=frozenset(),
        bias=frozenset(),
        name=None,
        model=shape,
    )
    if pattern.phase == "decode" and not isinstance(behaviour, Judge):
        raise InputError(
            "A mask for the phase 'decode' cannot change the first token; select with a judge, or for 'prefill'."
        )
    reading: dict[str, Any] = {"system": system, "raw": raw, "template_kwargs": template_kwargs}

    def mask_of(chosen: Sequence[Expert]) -> ExpertMask:
        experts = frozenset(chosen)
        return replace(pattern, off=experts) if switch == "off" else replace(pattern, on=experts)

    def allowed(chosen: Sequence[Expert]) -> bool:
        layer = chosen[-1][0]
        used = sum(one[0] == layer for one in chosen)
        top_k = shape.top_k[layer]
        return used <= (shape.experts[layer] - top_k if switch == "off" else top_k)

    quick = None if isinstance(behaviour, Judge) else behaviour
    measure: Measure = Probe(model, tokenizer, sets[0].prompts, sets[1].prompts, quick, max_rows=max_rows, **reading)
    if isinstance(behaviour, Judge):
        generate = generate or Replies(model, tokenizer, max_tokens=32, **reading)
        measure = ReplyProbe(generate, behaviour, sets[0].prompts, drift=measure)
    found = search(measure, experts, mask_of, allowed, options, progress=progress)
    mask = mask_of(found.experts)
    return Selection(
        mask=mask.named(name) if name else mask,
        order=found.experts,
        start=found.start,
        end=found.end,
        steps=found.steps,
        stop=found.stop,
        candidates=tuple(experts),
        options=options,
        seen=seen,
        seconds=time.perf_counter() - started,
    )


def prompt_digests(prompts: PromptSet) -> frozenset[str]:
    """What tells each prompt from others, whatever reply comes with it."""
    return frozenset(digest(one.messages) for one in prompts.prompts)


def _checked(
    sets: tuple[PromptSet, PromptSet],
    profiled: Iterable[PromptSet | Iterable[Any]],
    evaluation: Iterable[PromptSet | Iterable[Any]],
) -> frozenset[str]:
    shown, harmless = map(prompt_digests, sets)
    if shown & harmless:
        raise PromptError(
            f"{len(shown & harmless)} prompts are both in {sets[0].name!r} and in {sets[1].name!r}; a prompt either "
            "shows the behaviour or is harmless."
        )
    seen = shown.union(harmless, *(prompt_digests(PromptSet.of(one, "profiled")) for one in profiled))
    for position, given in enumerate(evaluation):
        kept = PromptSet.of(given, f"evaluation {position + 1}")
        if both := prompt_digests(kept) & seen:
            raise PromptError(
                f"{len(both)} prompts of {kept.name!r} are used for the selection too; a verdict needs prompts that "
                "the selection has not seen."
            )
    return seen


def _experts(candidates: ExpertTable | Sequence[Expert], shape: Fingerprint) -> list[Expert]:
    if not isinstance(candidates, Sequence):
        candidates = candidate_experts(candidates)
    experts = list(dict.fromkeys(candidates))
    if not experts:
        raise InputError("There is no expert to try; give candidates.")
    ExpertMask(bias=frozenset((*one, 1.0) for one in experts)).check(shape)  # says which of them the model lacks
    return experts
