"""Samples in a terminal: what is trained stands out, what is not is dim."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.text import Text

from kb_tools import terminal
from router_training.cli_samples import lessons_of
from router_training.lessons import facts_of, shown

if TYPE_CHECKING:
    from router_training.cli_samples import Given
    from router_training.lessons import Lesson

_PROMPT = 1500
"""Characters of a prompt that are shown: its beginning and its end."""


def show(given: Given, *, as_json: bool = False) -> None:
    """Three samples, and what there is to train on. Raises `DataError` where there is nothing."""
    made = lessons_of(given)
    facts = facts_of(given.prepared.judged, made, given.recipe)
    steps = [step for run in given.prepared.trained for step in run.steps]
    facts["steps"] = len(steps)
    facts["steps_with_known_chance"] = sum(one.step["decision"]["propensity"] is not None for one in steps)
    facts["held_out_runs"] = len(given.prepared.held)
    if (labels := given.prepared.labels) is not None:
        facts["labels"] = labels.counts(given.prepared.trained)
        facts["labels_held_out"] = sum(labels.counts(given.prepared.held).values())
    facts["left_out"] = dict(given.prepared.left.counts.most_common())
    picked = shown(made)
    if as_json:
        terminal.print_json(
            {**facts, "reward": given.recipe.reward.version, "shown": [_plain(one, given) for one in picked]}
        )
        return
    for number, one in enumerate(picked, start=1):
        _print_lesson(one, given, f"{number}. {one.title}")
    print_facts(facts, given.recipe.reward.version)


def print_facts(facts: dict[str, Any], version: str) -> None:
    """What there is, and what of it is trained."""
    out = terminal.console()
    things = "pairs" if facts["method"] == "dpo" else "samples"
    states = f"{facts['states']:,}, {facts['states_of_one']:,} of them with one decision alone"
    terminal.print_fields(
        {
            "method": facts["method"],
            "reward": version or None,
            "decisions": f"{facts['decisions']:,}, {facts['with_recorded_tokens']:,} with recorded log-probs",
            "chances": f"known of {facts['steps_with_known_chance']:,} of {facts['steps']:,} steps",
            "states": f"{states}, {facts['states_with_two_rewards']:,} with two different rewards",
            "trained": f"{facts['trained']:,} {things}, {facts['trained_tokens']:,} tokens of replies",
            "longest": f"{facts['longest']:,} tokens",
            "an epoch": f"{facts['updates_per_epoch']:,} updates",
            "held out": f"{facts['held_out_runs']:,} runs of other questions",
            "labels": _labels(facts) if "labels" in facts else None,
        }
    )
    out.print()
    rows = [(key, f"{one['decisions']:,}", f"{one['mean_reward']:.3f}") for key, one in facts["targets"].items()]
    terminal.print_rows(("decision", "how often", "mean reward"), rows, most=len(rows))
    for why, count in facts["left_out"].items():
        terminal.note(f"Left out: {count:,} {why}.")


def _labels(facts: dict[str, Any]) -> str:
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(facts["labels"].items())) or "none"
    return f"{told}; {facts['labels_held_out']:,} of questions that are held out"


def _print_lesson(one: Lesson, given: Given, title: str) -> None:
    facts = ", ".join(f"{name} {value:.3g}" for name, value in one.facts.items())
    terminal.console().print(Text(terminal.one_line(f"{title}  ({facts})"), "bold"), soft_wrap=True)
    print_spans(one, given.tokenizer.decode)


def print_spans(one: Lesson, decode: Callable[[list[int]], str]) -> None:
    """What is trained in colour, or between `⟦` and `⟧` where there is none; the middle of long prompts is left out."""
    out = terminal.console()
    coloured = out.is_terminal and not out.no_color
    text = Text()
    for piece, trained in one.spans(decode):
        said = terminal.plain(piece if trained else _cut(piece))
        if coloured:
            text.append(said, "bold green" if trained else "dim")
        else:
            text.append(f"⟦{said}⟧" if trained else said)
    out.print(text, soft_wrap=True)
    out.print()


def _plain(one: Lesson, given: Given) -> dict[str, Any]:
    spans = [{"text": text, "trained": trained} for text, trained in one.spans(given.tokenizer.decode)]
    return {"title": one.title, **one.facts, "spans": spans}


def _cut(text: str) -> str:
    if len(text) <= _PROMPT:
        return text
    return f"{text[: _PROMPT // 2]}\n… {len(text) - _PROMPT:,} characters …\n{text[-_PROMPT // 2 :]}"
