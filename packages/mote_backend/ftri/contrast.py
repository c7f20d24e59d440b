"""functional Token Resonance Imaging (MoTE, arXiv 2502.11096): which experts tell sets of prompts apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from mote_backend.errors import InputError
from mote_backend.fingerprint import Fingerprint
from mote_backend.ftri.activity import Activity
from mote_backend.ftri.expert_table import ExpertTable
from mote_backend.ftri.prompts import PromptSet, check_contrast
from mote_backend.ftri.resampling import chance_difference, stability
from mote_backend.ftri.statistics import benjamini_hochberg, fisher_p, newcombe_interval, relabelling_p, welch

if TYPE_CHECKING:
    from torch import nn

    from mote_backend.ftri.recorder import At, Progress

STABILITY_TOP = 10
"""Stability counts how often an expert is among so many: the paper switches ten off."""


@dataclass(frozen=True)
class Profile:
    """What sets of prompts made a model's routers select, and how the first set differs from the others."""

    activities: Mapping[str, Activity]
    """By the name of the set, the target first."""
    seed: int
    notes: tuple[str, ...]
    """What a reader has to know, a sentence each."""
    model: Fingerprint | None
    table: ExpertTable
    """The target against all others."""

    def against_others(self, target: str) -> ExpertTable:
        """Another set as the target, against all others, without running the model again. InputError if no set has
        this name."""
        if target not in self.activities:
            raise InputError(f"There is no set {target!r}; there are {', '.join(map(repr, self.activities))}.")
        others = [one for name, one in self.activities.items() if name != target]
        return tabulate(
            self.activities[target],
            *others,
            seed=self.seed,
            stability_top=self.table.stability_top,
            notes=self.notes,
            model=self.model,
        )


def contrast(
    model: nn.Module,
    tokenizer: Any,
    target: PromptSet | Iterable[str],
    *others: PromptSet | Iterable[str],
    at: At = "last",
    system: str | None = None,
    raw: bool = False,
    template_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    seed: int = 0,
    stability_top: int = STABILITY_TOP,
    progress: Progress | None = None,
) -> Profile:
    """Record each set and rank the experts by how much more the target uses them: the paper's "distinctiveness", the
    mean over the target's prompts minus the mean over the prompts of all others.

    The paper's own choice of tokens is `at="sum"`; the default looks at the last token of the prompt. A list of texts
    is a set named "A", "B" and so on. PromptError says what is wrong with the prompts, before the model runs;
    UnsupportedModelError with the model.
    """
    from mote_backend.families import find_sites, fingerprint
    from mote_backend.ftri.recorder import record, said

    sets = [PromptSet.of(one, chr(ord("A") + position)) for position, one in enumerate((target, *others))]
    notes = check_contrast(sets)
    said(at)
    made_for = fingerprint(model, find_sites(model))
    every, before = sum(map(len, sets)), 0
    activities: dict[str, Activity] = {}
    for position, one in enumerate(sets):
        activities[one.name] = record(
            model,
            tokenizer,
            one,
            at=at,
            system=system,
            raw=raw,
            template_kwargs=template_kwargs,
            batch_size=batch_size,
            seed=seed,
            stream=position,
            progress=None if progress is None else _shifted(progress, before, every),
        )
        before += len(one)
    table = tabulate(*activities.values(), seed=seed, stability_top=stability_top, notes=notes, model=made_for)
    return Profile(activities, seed, notes, made_for, table)


def tabulate(
    target: Activity,
    *others: Activity,
    seed: int = 0,
    stability_top: int = STABILITY_TOP,
    notes: tuple[str, ...] = (),
    model: Fingerprint | None = None,
) -> ExpertTable:
    """The table of one contrast, from what was recorded. With one token a prompt: Newcombe's interval and Fisher's
    exact test, right for rare experts too; with more, on the prompts' rates or sums: Welch's t, and for the p-value
    what relabelling the prompts gives where that is larger."""
    if not others:
        raise InputError("A contrast needs an activity to compare with; give one or more.")
    a, b = target, reduce(add, others)
    if (a.experts, a.at) != (b.experts, b.at):
        a + b  # says what differs
    if a.binary and b.binary:
        k_a, k_b = np.rint(a.sample.total), np.rint(b.sample.total)
        low, high = newcombe_interval(k_a, a.n, k_b, b.n)
        p = fisher_p(k_a, a.n, k_b, b.n)
    else:
        low, high, p = welch(a.rates, a.variances, a.n, b.rates, b.variances, b.n)
        variance, third = (a + b).central_moments
        p = np.maximum(p, relabelling_p(a.rates - b.rates, a.n, b.n, variance, third))
    unknown = np.full(len(p), np.nan)
    gate_a, gate_b = a.gate_means, b.gate_means
    return ExpertTable(
        a=a.name,
        b=b.name,
        n_a=a.n,
        n_b=b.n,
        digest_a=a.digest,
        digest_b=b.digest,
        at=a.at,
        experts=a.experts,
        rate_a=a.rates,
        rate_b=b.rates,
        low=low,
        high=high,
        p=p,
        q=benjamini_hochberg(p),
        stability=stability(a.sample, b.sample, stability_top),
        gate_a=unknown if gate_a is None else gate_a,
        gate_b=unknown if gate_b is None else gate_b,
        chance=chance_difference(a.sample, b.sample),
        stability_top=stability_top,
        seed=seed,
        notes=notes,
        model=model,
        versions=_versions(),
    )


def _shifted(progress: Progress, before: int, every: int) -> Progress:
    return lambda done, _: progress(before + done, every)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("polyroute", "torch", "transformers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
