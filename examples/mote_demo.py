"""Find the few experts behind a behaviour of a tiny model, switch them off, and judge what is left; all offline.

python examples/mote_demo.py                       # a language: German questions get German answers
python examples/mote_demo.py refusal               # a refusal: some questions are not answered
python examples/mote_demo.py language page.html    # the same, with the heat map of all experts on a page

Profile (fTRI: which experts do two sets of prompts use differently?), select (which of them cause it?), mask, and judge
on other prompts, with random masks as a control.
"""

import random
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from mote_backend import planted
from mote_backend.ftri.behaviour import first_token
from mote_backend.ftri.contrast import contrast
from mote_backend.ftri.prompts import PromptSet
from mote_backend.ftri.replies import Replies
from mote_backend.ftri.selection import select
from mote_backend.judging.judges import AnswerJudge
from mote_backend.judging.languages import LanguageJudge
from mote_backend.judging.refusals import RefusalJudge
from mote_backend.report.report import report, save_report
from mote_backend.verdict.judge_mask import judge_mask
from mote_backend.verdict.panels import Panel

GERMAN = "bilingual", planted.BilingualWorld(), ("german", "english", "requested"), ("der", "das"), LanguageJudge("de")
REFUSAL = "planted", planted.World(), ("sensitive", "plain", "near"), ("sorry", "i"), RefusalJudge()
KINDS: dict[str, Any] = {"language": GERMAN, "refusal": REFUSAL}


def main(variant: Any, world: Any, kinds: tuple[str, ...], begins: tuple[str, ...], judge: Any, page: str) -> None:
    """Profile, select, judge, show. The kinds: questions that show the behaviour, that don't, that nearly do."""
    model, tokenizer = planted.load(variant)

    def prompts(split: str) -> list[PromptSet]:
        texts = {kind: [one.text for one in world.questions(kind, split)] for kind in kinds}
        return [PromptSet(kind, random.Random(0).sample(texts[kind], 64)) for kind in kinds]

    shown, harmless, _ = prompts("train")
    profile = contrast(model, tokenizer, shown, harmless).table
    few = shown.prompts[:16], harmless.prompts[:16]  # each candidate is tried on each of them
    chosen = select(model, tokenizer, *few, first_token(tokenizer, begins), profile)

    right = AnswerJudge({one.text: one.truth for kind in kinds for one in world.questions(kind)})
    panels = [Panel(one, by) for one, by in zip(prompts("held_out"), (judge, right, right), strict=True)]
    replies = Replies(model, tokenizer, max_tokens=12)
    verdict = judge_mask(chosen, replies, profile.model, *panels[:2], others=panels[2:], right=right, examples=3)

    print(profile.to_markdown(6), profile.to_heat_map(), sep="\n")
    print(f"Planted, as (layer, expert): {planted.experts(planted.FOLDERS[variant])}\n")
    table = Table("question", "reply", f"reply without {', '.join(map(str, chosen.order))}")
    for one in verdict.examples:
        table.add_row(one.prompt, one.before, one.after)
    Console().print(table)
    print(f"\n{verdict.to_markdown()}", end="")
    if page:
        title = f"Experts behind {kinds[0]} replies"
        save_report(page, report(title=title, experts=profile, verdict=verdict, selection=chosen))
        profile.save(Path(page).with_suffix(".json"))  # polyroute runs view --mote FOLDER shows it too


if __name__ == "__main__":
    disable_progress_bar()
    kind, page = (*sys.argv[1:3], *("language", "")[len(sys.argv[1:3]) :])
    if kind not in KINDS:
        sys.exit(f"There is no behaviour {kind!r}; there is {' and '.join(KINDS)}.")
    if not Path(page).parent.is_dir():
        sys.exit(f"The page cannot go to {page}: there is no such folder.")
    main(*KINDS[kind], page)
