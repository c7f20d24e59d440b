"""Panels: sets of prompts whose replies are judged without and with a mask; each reply and score made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class SameReply:
    """1 if a reply is the one that was given without a mask, in other case and spacing too."""

    replies: Mapping[str, str]
    """By the prompt's text."""
    name: str = "same reply as without the mask"
    fingerprint: str = "same-reply"

    def __call__(self, prompt: str, reply: str) -> float:
        """Whether it is."""
        return float(normalized(self.replies[prompt]) == normalized(reply))


class PanelRun:
    """The replies to panels under masks, and their scores."""

    def __init__(self, generate: Generate, seed: int, goal: Goal) -> None:
        self._kept = generate if isinstance(generate, KeptReplies) else KeptReplies(generate)
        self._seed, self._goal = seed, goal
        self._scores: dict[tuple[tuple[Prompt, ...], str, str], list[float | None]] = {}

    def generate(self, wanted: Sequence[tuple[PromptSet, ExpertMask | None]], progress: Progress | None) -> None:
        """All at once, so that rows with different masks share batches."""
        rows = [(prompt, mask) for prompts, mask in wanted for prompt in prompts.prompts]
        self._kept.fill([prompt for prompt, _ in rows], [mask for _, mask in rows], progress)

    def replies(self, prompts: PromptSet, mask: ExpertMask | None) -> list[str]:
        """One for each prompt of the set."""
        return self._kept(prompts.prompts, [mask] * len(prompts))

    def scores(self, panel: Panel, mask: ExpertMask | None) -> list[float | None]:
        """One for each prompt of the panel; None where the judge cannot tell."""
        judge = self._judge(panel)
        key = (panel.prompts.prompts, judge.fingerprint, mask.id if mask else "")
        if key not in self._scores:
            texts = [one.text for one in panel.prompts.prompts]
            self._scores[key] = judge_all(judge, list(zip(texts, self.replies(panel.prompts, mask), strict=True)))
        return self._scores[key]

    def mean(self, panel: Panel, mask: ExpertMask | None) -> Estimate:
        """Of the scores that could be told."""
        return mean([one for one in self.scores(panel, mask) if one is not None], seed=self._seed)

    def result(self, panel: Panel, mask: ExpertMask | None) -> PanelResult:
        """The panel without and with the mask."""
        before, after = self.scores(panel, None), self.scores(panel, mask)
        both = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
        judge = self._judge(panel)
        return PanelResult(
            name=panel.name,
            judge=judge.name,
            judge_fingerprint=judge.fingerprint,
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

    def _judge(self, panel: Panel) -> Judge:
        if panel.judge is not None:
            return panel.judge
        texts = [one.text for one in panel.prompts.prompts]
        return SameReply(dict(zip(texts, self.replies(panel.prompts, None), strict=True)))
