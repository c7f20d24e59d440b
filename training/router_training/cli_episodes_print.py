"""Episodes in a terminal, as `router-r1` trains on them: what the policy wrote stands out, what it read is dim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kb_tools import terminal
from router_training.cli_samples_print import print_spans
from router_training.data.samples import samples
from router_training.lessons import Lesson

if TYPE_CHECKING:
    from router_graph.trajectories.records import RunRecord
    from router_training.cli_episodes import Given

_SHOWN = 3


def show(given: Given, *, as_json: bool = False) -> None:
    """Three episodes of the log, and what there is to run."""
    recipe = given.recipe
    facts: dict[str, Any] = {
        "method": "router-r1",
        "reward": recipe.reward.version,
        "credit": recipe.credit.by,
        "questions": len(given.asked),
        "episodes_of_an_update": recipe.groups * recipe.samples,
        "updates": recipe.updates,
        "left_out": dict(given.left.counts),
    }
    several = sorted(given.asked.values(), key=lambda run: -len(run.steps))  # the longest show most of the mask
    picked = [(run, list(_lessons(run, given))) for run in several[:: max(1, len(several) // _SHOWN)][:_SHOWN]]
    decode = given.rendering.tokenizer.decode
    if as_json:
        terminal.print_json({**facts, "shown": [_plain(run, lessons, decode) for run, lessons in picked]})
    else:
        for number, (run, lessons) in enumerate(picked, start=1):
            terminal.console().print(terminal.one_line(f"{number}. {run.question}"), style="bold", markup=False)
            for lesson in lessons:
                terminal.console().print(terminal.one_line(lesson.title), markup=False)
                print_spans(lesson, decode)
        terminal.print_fields({key: value for key, value in facts.items() if key != "left_out"})
        for why, count in given.left.counts.items():
            terminal.note(f"Left out: {count:,} {why}.")
    terminal.note("The episodes are the log's: the policy itself was not run, and nothing was trained (--dry-run).")


def _lessons(run: RunRecord, given: Given) -> Iterator[Lesson]:
    """Each reply of a run behind its prompt."""
    for one in samples([run], given.rendering):
        mask = (*[0] * len(one.prompt_ids), *[1] * len(one.completion_ids))
        yield Lesson((*one.prompt_ids, *one.completion_ids), mask, f"step {one.number}: {one.target}")


def _plain(run: RunRecord, lessons: Sequence[Lesson], decode: Any) -> dict[str, Any]:
    spans = [{"text": text, "trained": trained} for lesson in lessons for text, trained in lesson.spans(decode)]
    return {"question": run.question, "spans": spans}
