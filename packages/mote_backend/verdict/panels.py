"""Panels: sets of prompts whose replies are judged without and with a mask; each reply and score made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mote_backend.ftri.intervals import Estimate, difference, mean
from mote_backend.ftri.prompts import Prompt, PromptSet
from mote_backend.ftri.replies import Generate, KeptReplies, Progress
from mote_backend.judging.judges import Judge, judge_all
from mote_backend.judging.reply_text import normalized
from mote_backend.mask import ExpertMask
from mote_backend.verdict.verdict import Example, Forced, Goal, PanelResult


@dataclass(frozen=True)
class Panel:
    """Prompts whose replies are judged without and with the mask."""

    prompts: PromptSet
    judge: Judge | None = None
    """None: whether the reply is the one that the model gives without a mask."""

    @property
    def name(self) -> str:
        """The set's."""
        return self.prompts.name


_SAME = "same reply as without the mask"


class PanelRun:
    """The replies to panels under masks, and their scores; the same reply to the same prompt is judged once."""

    def __init__(self, generate: Generate, seed: int, goal: Goal) -> None:
        self._kept = generate if isinstance(generate, KeptReplies) else KeptReplies(generate)
        self._seed, self._goal = seed, goal
        # By the judge itself: two functions may have one name, and so one fingerprint.
        self._scores: dict[tuple[tuple[Prompt, ...], int, str], list[float | None]] = {}
        self._told: dict[int, dict[tuple[str, str], float | None]] = {}

    def generate(self, wanted: Sequence[tuple[PromptSet, ExpertMask | None]], progress: Progress | None) -> None:
        """All at once, so that rows with different masks share batches."""
        rows = [(prompt, mask) for prompts, mask in wanted for prompt in prompts.prompts]
        self._kept.fill([prompt for prompt, _ in rows], [mask for _, mask in rows], progress)

    def replies(self, prompts: PromptSet, mask: ExpertMask | None) -> list[str]:
        """One for each prompt of the set."""
        return self._kept(prompts.prompts, [mask] * len(prompts))

    def scores(self, panel: Panel, mask: ExpertMask | None) -> list[float | None]:
        """One for each prompt of the panel; None where the judge cannot tell."""
        key = (panel.prompts.prompts, id(panel.judge), mask.id if mask else "")
        if key not in self._scores:
            replies = self.replies(panel.prompts, mask)
            if panel.judge is None:
                pairs = zip(self.replies(panel.prompts, None), replies, strict=True)
                self._scores[key] = [float(normalized(bare) == normalized(reply)) for bare, reply in pairs]
            else:
                texts = [one.text for one in panel.prompts.prompts]
                self._scores[key] = self._judged(panel.judge, list(zip(texts, replies, strict=True)))
        return self._scores[key]

    def mean(self, panel: Panel, mask: ExpertMask | None) -> Estimate:
        """Of the scores that could be told."""
        return mean([one for one in self.scores(panel, mask) if one is not None], seed=self._seed)

    def result(self, panel: Panel, mask: ExpertMask | None) -> PanelResult:
        """The panel without and with the mask."""
        before, after = self.scores(panel, None), self.scores(panel, mask)
        both = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
        return PanelResult(
            name=panel.name,
            judge=panel.judge.name if panel.judge else _SAME,
            judge_fingerprint=panel.judge.fingerprint if panel.judge else "same-reply",
            before=self.mean(panel, None),
            after=self.mean(panel, mask),
            change=difference([b for b, _ in both], [a for _, a in both], seed=self._seed),
            untold=before.count(None) + after.count(None),
        )

    def taken(self, panel: Panel, mask: ExpertMask, goal: Goal) -> float:
        """How far a mask moves the behaviour the way that is aimed at."""
        change = self.result(panel, mask).change.value
        return -change if goal == "less" else change

    def beyond(self, panel: Panel, mask: ExpertMask, controls: Sequence[ExpertMask], goal: Goal) -> Estimate | None:
        """What the mask does more than the controls on average, prompt by prompt."""
        if not controls:
            return None
        own = self.scores(panel, mask)
        rows = list(zip(*(self.scores(panel, one) for one in controls), strict=True))
        averages, ours = [], []
        for score, several in zip(own, rows, strict=True):
            told = [one for one in several if one is not None]
            if score is not None and told:
                averages.append(sum(told) / len(told))
                ours.append(score)
        first, second = (ours, averages) if goal == "less" else (averages, ours)
        return difference(first, second, seed=self._seed)

    def forced(self, panel: Panel, masks: Sequence[ExpertMask]) -> Forced:
        """The first mask, which forces experts on, with the others as its controls."""
        own, controls = masks[0], masks[1:]
        goal: Goal = "more" if self._goal == "less" else "less"
        return Forced(
            mask=own.id,
            experts=len(own.on),
            panel=self.result(panel, own),
            random=tuple(self.mean(panel, one).value for one in controls),
            beyond=self.beyond(panel, own, controls, goal),
            goal=goal,
        )

    def examples(self, panel: Panel, mask: ExpertMask, count: int) -> list[Example]:
        """Half of them prompts whose score changed, for these tell most; in the set's order."""
        before, after = self.scores(panel, None), self.scores(panel, mask)
        changed = [at for at in range(len(before)) if before[at] != after[at]]
        same = [at for at in range(len(before)) if before[at] == after[at]]
        picked = sorted([*changed[: max(count - len(same), (count + 1) // 2)], *same][:count])
        replies = self.replies(panel.prompts, None), self.replies(panel.prompts, mask)
        return [
            Example(panel.name, panel.prompts.prompts[at].text, replies[0][at], replies[1][at], before[at], after[at])
            for at in picked
        ]

    def _judged(self, judge: Judge, pairs: list[tuple[str, str]]) -> list[float | None]:
        known = self._told.setdefault(id(judge), {})
        if new := [one for one in dict.fromkeys(pairs) if one not in known]:
            known |= dict(zip(new, judge_all(judge, new), strict=True))
        return [known[one] for one in pairs]
