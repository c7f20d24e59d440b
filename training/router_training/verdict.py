"""The last word on a trained policy: promote it, or keep the handbook. And where that is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic_core import to_jsonable_python

from router_graph.policies.local import PolicyCard
from router_training.estimating import Estimated
from router_training.ope.estimate import CannotTell
from router_training.running import Comparison
from router_training.trainers.saving import MODEL_CARD

REPORT = "report.json"
KEEP: Final = "keep the handbook"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a policy."""

    word: Literal["promote", "keep the handbook"]
    reason: str
    """Without its full stop."""

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}"


def verdict(told: Estimated, ran: Comparison | None) -> Verdict:
    """Promote only what was shown to be better: by running it, where that was done, and by nothing that says otherwise.

    Without a run, the estimate must say so, of every policy that it is compared with.
    """
    by_log = None if isinstance(told.report, CannotTell) else told.report.promotion
    if ran is not None:
        if not ran.is_better:
            return Verdict(KEEP, ran.sentence)
        if by_log is not None and by_log.word == "keep":
            return Verdict(KEEP, f"{ran.sentence}, but by the log {by_log.reason}")
        return Verdict("promote", ran.sentence)
    if isinstance(told.report, CannotTell):
        return Verdict(KEEP, f"the log cannot tell: {told.report.reason}; run the policies, with --router")
    assert by_log is not None
    if by_log.word != "promote":
        hint = "; run the policies, with --router" if by_log.word == "cannot tell" else ""
        return Verdict(KEEP, f"{by_log.reason}{hint}")
    return Verdict("promote", f"by the log, {by_log.reason}; that is an estimate, so run them as well, with --router")


def save_report(folder: Path, told: Mapping[str, Any]) -> None:
    """Into the policy's folder, and the last word into its cards."""
    plain = to_jsonable_python(told, inf_nan_mode="null")
    (folder / REPORT).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    said = {"verdict": plain["verdict"], "reason": plain["reason"]}
    card = PolicyCard.read(folder)
    card.model_copy(update={"learned": {**card.learned, "evaluation": said}}).save(folder)
    page = folder / MODEL_CARD
    if page.is_file():
        text = f"## Evaluation\n\n**{said['verdict']}**: {_safe(said['reason'])}. All of it is in {REPORT}.\n\n"
        whole = page.read_text(encoding="utf-8")
        page.write_text(re.sub(r"## Evaluation\n.*?(?=^## |\Z)", lambda _: text, whole, flags=re.S | re.M), "utf-8")


def _safe(text: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("`", "'")
