"""`polyroute mote report`: is the behaviour where a mask says it is? On prompts that the mask was not chosen by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kb_tools.cli_command import PlainCommand
from router_graph.cli_mote_find import BatchSize, Raw, System, Values, in_a_folder, progress_bar, prompt_sets
from router_graph.cli_mote_model import Device, Dtype, Model, Trust, loaded

if TYPE_CHECKING:
    from mote_backend.ftri.prompts import PromptSet
    from mote_backend.judging.judges import Judge
    from mote_backend.verdict.panels import Panel

_JUDGES = "refusal, language:LANGUAGE, format:json|bullets|code|table, length:WORDS, or regex:PATTERN"


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(report)


def report(
    model: Model,
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="The JSON file of a mask.", show_default=False)],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Prompts that show the behaviour.", show_default=False)
    ],
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER",
            help="Harmless prompts; with the right `reply` in a .jsonl file, or else the reply must not change.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the page goes.", callback=in_a_folder)
    ] = Path("report.html"),
    judge: Annotated[
        str, typer.Option("--judge", metavar="JUDGE", help=f"What the behaviour is: {_JUDGES}.")
    ] = "refusal",
    borderline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Prompts that show it at times: experts are forced on there.", show_default=False
        ),
    ] = None,
    more: Annotated[bool, typer.Option("--more", help="The mask is to bring more of it, not less.")] = False,
    draws: Annotated[int, typer.Option(min=1, help="Random masks to compare with; ten or more say something.")] = 10,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a reply.")] = 64,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the replies there; an interrupted run goes on.",
            show_default=False,
            callback=in_a_folder,
        ),
    ] = None,
    values: Values = None,
    system: System = None,
    raw: Raw = False,
    batch_size: BatchSize = 32,
    seed: Annotated[int, typer.Option(help="Of the random masks and the intervals.")] = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Judge a mask with controls, say "localised", "partly" or "not localised", and write it down as one page.

    polyroute mote report planted refusal.json held_out.txt harmless.txt --out report.html
    """
    import sys

    from kb_tools import terminal
    from mote_backend.ftri.contrast import contrast
    from mote_backend.ftri.replies import KeptReplies, Replies
    from mote_backend.mask import ExpertMask
    from mote_backend.report.report import report as page
    from mote_backend.report.report import save_report
    from mote_backend.verdict.judge_mask import judge_mask
    from mote_backend.verdict.panels import Panel

    chosen = ExpertMask.load(mask)
    one = _judge(judge)
    sets = prompt_sets({"target": target, "other": other, **({"borderline": borderline} if borderline else {})}, values)
    network, tokenizer = loaded(model, dtype, device, trust)
    with progress_bar("Recording") as progress:
        table = contrast(
            network, tokenizer, sets["target"], sets["other"], system=system, raw=raw, progress=progress
        ).table
    assert table.model is not None
    replies = Replies(network, tokenizer, max_tokens=max_tokens, batch_size=batch_size, system=system, raw=raw)
    with progress_bar("Replying") as progress:
        verdict = judge_mask(
            chosen,
            KeptReplies(replies, keep, settings={**replies.settings, "model": table.model.to_json()}),
            table.model,
            Panel(sets["target"], one),
            _benign(sets["other"]),
            borderline=Panel(sets["borderline"], one) if borderline else None,
            goal="more" if more else "less",
            draws=draws,
            seed=seed,
            progress=progress,
        )
    command = " ".join(["polyroute", *sys.argv[1:]])
    save_report(
        out, page(title=f"{chosen.title} in {model}", experts=table, verdict=verdict, mask=chosen, command=command)
    )
    terminal.console().print(terminal.plain(verdict.to_markdown()), soft_wrap=True)
    terminal.note(f"{out} shows it with the heat map, the curve and replies before and after.")


def _benign(prompts: PromptSet) -> Panel:
    from mote_backend.judging.judges import AnswerJudge
    from mote_backend.verdict.panels import Panel

    answers = {one.text: one.reply for one in prompts.prompts if one.reply is not None}
    return Panel(prompts, AnswerJudge(answers) if len(answers) == len(prompts) else None)


def _judge(given: str) -> Judge:
    from mote_backend.judging.judges import FormatJudge, LengthJudge, RegexJudge
    from mote_backend.judging.languages import LanguageJudge
    from mote_backend.judging.refusals import RefusalJudge

    kind, _, said = given.partition(":")
    match kind:
        case "refusal":
            return RefusalJudge(extra=tuple(filter(None, [said])))
        case "language" if said:
            return LanguageJudge(said)
        case "format" if said:
            return FormatJudge(said)  # type: ignore[arg-type]  # checked there, in a sentence
        case "length" if said.isdecimal():
            return LengthJudge(int(said))
        case "regex" if said:
            return RegexJudge(said)
    raise typer.BadParameter(f"it is {given!r}; it can be {_JUDGES}.", param_hint="--judge")
