"""What was found about a mask: plain data with its intervals, controls and the word, to be saved, read and shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mote_backend.errors import InputError
from mote_backend.ftri.intervals import Estimate
from mote_backend.mask import ExpertMask
from mote_backend.verdict.rules import Check, Rules, Word

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = "polyroute-verdict/1"

Goal = Literal["less", "more"]


@dataclass(frozen=True)
class PanelResult:
    """A set of prompts, judged without and with the mask."""

    name: str
    judge: str
    judge_fingerprint: str
    before: Estimate
    after: Estimate
    change: Estimate
    """After minus before, on the prompts that could be judged both times."""
    untold: int = 0
    """Replies, of both, that the judge could not tell."""

    def __str__(self) -> str:
        return f"{self.name} ({self.judge}): {self.before} → {self.after}"


@dataclass(frozen=True)
class Point:
    """The behaviour with the first `experts` experts of the mask."""

    experts: int
    behaviour: Estimate
    random: tuple[float, ...] = ()
    """Its share under each random mask of as many experts."""


@dataclass(frozen=True)
class Forced:
    """Experts forced on, on borderline prompts: if they cause the behaviour, it grows."""

    mask: str
    """Id of the mask that forces them."""
    experts: int
    panel: PanelResult
    random: tuple[float, ...]
    """The behaviour with as many random experts of the same layers forced on; forcing any expert may move it."""
    beyond: Estimate | None
    """What they do more than random ones on average."""
    goal: Goal = "more"
    """Which way they are to move it: the other way than the mask."""

    @property
    def specific(self) -> bool:
        """They move the behaviour that way, and more than random ones do; both beyond chance."""
        change = self.panel.change
        moved = change.low > 0 if self.goal == "more" else change.high < 0
        return moved and self.beyond is not None and self.beyond.low > 0


@dataclass(frozen=True)
class Example:
    """One prompt's replies."""

    panel: str
    prompt: str
    before: str
    after: str
    score_before: float | None
    score_after: float | None


@dataclass(frozen=True)
class Verdict:
    """Whether a mask's experts are where a behaviour sits."""

    word: Word
    checks: tuple[Check, ...]
    """What the word rests on; the weakest decides."""
    goal: Goal
    behaviour: PanelResult
    benign: PanelResult
    curve: tuple[Point, ...]
    """From no expert to all of the mask's, in the order of `order`; further, if the order goes on."""
    random_control: str
    """How random experts were drawn."""
    beyond: Estimate | None
    """What the mask does more than random ones on average, in points of the behaviour."""
    others: tuple[PanelResult, ...]
    right: PanelResult | None
    forced: Forced | None
    perplexity: tuple[float, float] | None
    """On harmless texts, without and with the mask."""
    examples: tuple[Example, ...]
    mask: str
    """The mask's id."""
    mask_json: Mapping[str, Any]
    """The mask itself."""
    order: tuple[tuple[int, int], ...]
    draws: int
    seed: int
    rules: Rules
    versions: Mapping[str, str]

    @property
    def switched(self) -> ExpertMask:
        """The mask."""
        return ExpertMask.from_json(self.mask_json)

    def to_markdown(self) -> str:
        """The word, and what it rests on, as a list for a terminal or a note."""
        lines = [f"**{self.word}**: {self.behaviour.name}, mask {self.mask}", ""]
        lines += [f"- {check.name}: {check.word}. {check.said}" for check in self.checks]
        lines += [f"- {panel}" for panel in self.others]
        if self.forced is not None:
            said = "more than random ones" if self.forced.specific else "no more than random ones can"
            lines.append(f"- forced on: {self.forced.panel}; {said}")
        return "\n".join(_plain(line) for line in lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"format": FORMAT, **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Verdict:
        """The reverse of `to_json`. InputError says what is wrong."""
        from pydantic import ValidationError

        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise InputError(f"This is no verdict; it needs the format {FORMAT!r}.")
        try:
            return _adapter().validate_python({key: value for key, value in data.items() if key != "format"})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"The verdict cannot be read: {where}: {first['msg']}.") from None

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), ensure_ascii=False, indent=1), encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> Verdict:
        """Read what `save` wrote; InputError if the file is missing or no verdict."""
        try:
            return Verdict.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise InputError(f"The verdict {path} cannot be read: {error.strerror or error}.") from None
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise InputError(f"The verdict {path} is no JSON.") from None


@cache
def _adapter() -> TypeAdapter[Verdict]:
    from pydantic import TypeAdapter

    return TypeAdapter(Verdict)


def _plain(text: str) -> str:
    """Names come from outside: no line breaks and nothing that steers a terminal."""
    return "".join(one if one.isprintable() else " " for one in text)
