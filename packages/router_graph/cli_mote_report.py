"""`polyroute mote report`: is the behaviour where a mask says it is? On prompts that the mask was not chosen by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kb_tools.cli_command import PlainCommand
from router_graph.cli_mote_judge import JUDGES, QUESTION, judging
from router_graph.cli_mote_model import loaded
from router_graph.cli_mote_options import (
    KEPT,
    BatchSize,
    Device,
    Dtype,
    MaskFile,
    Model,
    Other,
    Raw,
    Seed,
    System,
    Target,
    Trust,
    Values,
    in_a_folder,
)
from router_graph.cli_mote_prompts import progress_bar, prompt_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mote_backend.ftri.prompts import PromptSet
    from mote_backend.ftri.selection import Selection
    from mote_backend.mask import ExpertMask
    from mote_backend.verdict.panels import Panel


def register(app: typer.Typer) -> None:
    """Put the command into the app."""
    app.command(cls=PlainCommand)(report)


def report(
    model: Model,
    mask: MaskFile,
    target: Target,
    other: Other,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the page goes.", callback=in_a_folder)
    ] = Path("report.html"),
    png: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The heat map as a picture too.", show_default=False, callback=in_a_folder),
    ] = None,
    judge: Annotated[
        str, typer.Option("--judge", metavar="JUDGE", help=f"What the behaviour is: {JUDGES}.")
    ] = "refusal",
    question: Annotated[
        str, typer.Option(metavar="TEXT", help="What llm:MODEL is asked about each reply, to be answered yes or no.")
    ] = QUESTION,
    pool: Annotated[
        Path | None,
        typer.Option("--pool", "-p", metavar="FILE", help="The pool of llm:MODEL; pool.yaml if there is one."),
    ] = None,
    budget: Annotated[float, typer.Option(metavar="USD", min=0, help="The most that llm:MODEL may cost.")] = 1.0,
    borderline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Prompts that show it at times: experts are forced on there.", show_default=False
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Harmless texts for the perplexity; if left out, the replies to OTHER: the right ones, or those "
            "without the mask.",
            show_default=False,
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
    seed: Seed = 0,
    dtype: Dtype = "auto",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Judge a mask with controls, say "localised", "partly" or "not localised", and write it down as one page.

    polyroute mote report planted refusal.json examples/mote/sensitive_held_out.txt \\
      examples/mote/harmless_held_out.jsonl --out refusal.html
    """
    import sys
    from functools import cache

    from kb_tools import terminal
    from mote_backend.ftri.contrast import contrast
    from mote_backend.ftri.perplexity import perplexity, reply_perplexity
    from mote_backend.ftri.prompts import PromptSet
    from mote_backend.ftri.random_masks import switched, usage_of
    from mote_backend.ftri.replies import KeptReplies, Replies
    from mote_backend.mask import ExpertMask
    from mote_backend.report.png import check_matplotlib, save_heat_map
    from mote_backend.report.report import report as page
    from mote_backend.report.report import save_report
    from mote_backend.verdict.judge_mask import judge_mask, replies_judged
    from mote_backend.verdict.panels import Panel

    if png:
        check_matplotlib()
    judged = judging(judge, question, pool, budget)
    chosen = ExpertMask.load(mask)
    given = {"target": target, "other": other, **({"borderline": borderline} if borderline else {})}
    sets = prompt_sets(given, values)
    shown, harmless, border = sets["target"], sets["other"], sets.get("borderline")
    benign = _benign(harmless)
    plain = None if texts is None else [one.text for one in PromptSet.load(texts).prompts]
    selection = _selection(mask, chosen, sets.values())
    network, tokenizer = loaded(model, dtype, device, trust)
    reading: dict[str, Any] = {"system": system, "raw": raw, "batch_size": batch_size}
    with progress_bar("Recording") as progress:
        table = contrast(network, tokenizer, shown, harmless, **reading, seed=seed, progress=progress).table
    assert table.model is not None
    for said in table.notes:
        terminal.note(said)
    of_texts: Callable[[ExpertMask | None], float] = cache(
        lambda switching: perplexity(network, tokenizer, plain or [], switching, batch_size=batch_size)
    )
    if plain is not None:
        of_texts(None)  # what is wrong with the texts is said before the replies are made
    replies = Replies(network, tokenizer, max_tokens=max_tokens, **reading)
    # The fingerprint is of the routers, and a fine-tuned model may share them.
    settings = {**replies.settings, "model": table.model.to_json(), "from": model, "dtype": dtype}
    kept = KeptReplies(replies, keep, settings=settings, chunk=2 * batch_size)
    of_replies = reply_perplexity(network, tokenizer, harmless, kept, **reading)
    most = replies_judged(chosen, len(shown), len(border or ()), draws)
    with judged.billed(most), progress_bar("Replying") as progress:
        behaviour = judged.shown_by(progress)
        verdict = judge_mask(
            selection or chosen,
            kept,
            table.model,
            Panel(shown, behaviour),
            benign,
            borderline=Panel(border, behaviour) if border else None,
            usage=usage_of(table),
            perplexity=of_replies if plain is None else of_texts,
            goal="more" if more else "less",
            draws=draws,
            seed=seed,
            progress=progress,
        )
    command = " ".join(["polyroute", *sys.argv[1:]])
    title = f"{chosen.title} in {model}"
    save_report(
        out, page(title=title, experts=table, verdict=verdict, selection=selection, mask=chosen, command=command)
    )
    if png:
        save_heat_map(png, table, switched(chosen))
    terminal.console().print(terminal.plain(verdict.to_markdown()), soft_wrap=True)
    terminal.note(f"{out} shows it with the heat map, the curve and replies before and after.")


def _selection(mask: Path, chosen: ExpertMask, sets: Iterable[PromptSet]) -> Selection | None:
    """What `select` kept beside the mask. Raises PromptError if it has seen a prompt of these sets."""
    from kb_tools import terminal
    from mote_backend.ftri.selection import Selection

    file = mask.with_suffix(KEPT)
    if not file.exists():
        terminal.note(f"There is no {file}: whether these prompts chose the mask cannot be checked.")
        return None
    found = Selection.load(file)
    if found.mask != chosen:
        terminal.note(f"{file} is about another mask, {found.mask.id}; it is not used.")
        return None
    found.check_unseen(*sets)
    return found


def _benign(prompts: PromptSet) -> Panel:
    from mote_backend.errors import PromptError
    from mote_backend.judging.judges import AnswerJudge
    from mote_backend.verdict.panels import Panel

    answers = {one.text: one.reply for one in prompts.prompts if one.reply is not None}
    if not answers:
        return Panel(prompts)
    if len(answers) < len(prompts):
        raise PromptError(
            f"The set {prompts.name!r} has {len(prompts)} prompts and {len(answers)} right replies to different ones; "
            "give each prompt one reply, or none of them any."
        )
    return Panel(prompts, AnswerJudge(answers))
