"""Try masks by whole replies and a judge: slower than the first token, for behaviours that it does not tell."""

from __future__ import annotations

from collections.abc import Sequence

from mote_backend.errors import InputError
from mote_backend.ftri.measure import Measure, Measured
from mote_backend.ftri.prompts import Prompt
from mote_backend.ftri.replies import Generate
from mote_backend.judging.judges import Judge, judge_all
from mote_backend.mask import ExpertMask


class ReplyProbe:
    """Measures the behaviour by judged replies, and the drift by another measure."""

    def __init__(self, generate: Generate, judge: Judge, shown: Sequence[Prompt], drift: Measure) -> None:
        """`shown` are the prompts that show the behaviour."""
        self._generate, self._judge, self._shown, self._drift = generate, judge, shown, drift
        self._bare: list[float] | None = None

    def __call__(self, masks: Sequence[ExpertMask | None]) -> list[Measured]:
        """Measure masks. A reply that the judge cannot tell counts as the one without a mask: it is no gain."""
        drifts = self._drift(masks)
        if self._bare is None:
            scores = self._scores([None])[0]
            if None in scores:
                raise InputError(
                    f"The judge {self._judge.name!r} cannot tell {scores.count(None)} of the {len(scores)} replies "
                    "without a mask; select with prompts whose replies it can tell."
                )
            self._bare = [one for one in scores if one is not None]
        measured = []
        for scores, drift in zip(self._scores(masks), drifts, strict=True):
            told = [bare if one is None else one for one, bare in zip(scores, self._bare, strict=True)]
            measured.append(Measured(sum(told) / len(told), drift.drift))
        return measured

    def _scores(self, masks: Sequence[ExpertMask | None]) -> list[list[float | None]]:
        """For each mask, those of each prompt; all replies are asked for at once."""
        prompts = [one for _ in masks for one in self._shown]
        replies = self._generate(prompts, [mask for mask in masks for _ in self._shown])
        scores = judge_all(self._judge, list(zip((one.text for one in prompts), replies, strict=True)))
        size = len(self._shown)
        return [scores[start : start + size] for start in range(0, len(scores), size)]
