"""One HTML page of what fTRI found about a model: the experts, the mask, the verdict with its controls, and replies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mote_backend.errors import InputError
from mote_backend.ftri.expert_table import ExpertTable
from mote_backend.ftri.random_masks import switched
from mote_backend.ftri.selection import Selection
from mote_backend.mask import Expert, ExpertMask
from mote_backend.report.charts import curve, heat_map
from mote_backend.report.page import page, section, table, text
from mote_backend.verdict.rules import WORDS
from mote_backend.verdict.verdict import Example, Forced, PanelResult, Verdict

_COLOURS = dict(zip(WORDS, ("good", "mid", "bad"), strict=True))
_SHOWN = 20
_LONGEST = 4000
"""Characters of a prompt or reply that are shown."""

MEANINGS = {
    "localised": "Few experts carry this behaviour: without them it is gone, and what is harmless stays as it was.",
    "partly": "These experts take part in this behaviour, but they are not all of it, or not it alone.",
    "not localised": "Nothing shows that these experts hold this behaviour; the checks below say what is missing.",
}
"""What each verdict says, for the reader."""


def report(
    *,
    title: str,
    experts: ExpertTable | None = None,
    verdict: Verdict | None = None,
    selection: Selection | None = None,
    mask: ExpertMask | None = None,
    command: str | None = None,
    facts: Mapping[str, object] | None = None,
) -> str:
    """The page, of what there is; it loads nothing from elsewhere, and prompts and replies in it are text only.

    `command` is what made it, `facts` are further lines for the end (model, dates, seeds). InputError if there is
    nothing to report.
    """
    if experts is None and verdict is None:
        raise InputError("There is nothing to report; give a table of experts, a verdict, or both.")
    if mask is None:
        mask = verdict.switched if verdict else selection.mask if selection else None
    on_mask: Sequence[Expert] = switched(mask) if mask else []
    body = [f"<header><h1>{text(title)}</h1>", _what(experts, mask), "</header>"]
    if verdict is not None:
        body += [_verdict(verdict), _curve(verdict), _panels(verdict)]
        if verdict.forced is not None:
            body.append(_forced(verdict.forced))
    if experts is not None:
        body += [_heat(experts, on_mask), _experts(experts, on_mask)]
    if selection is not None:
        body.append(_selection(selection))
    if verdict is not None and verdict.examples:
        body.append(_examples(verdict.examples))
    body.append(_made(experts, verdict, selection, mask, command, facts or {}))
    return page(title, body)


def save_report(path: str | Path, html: str) -> None:
    """Write the page as UTF-8. InputError says why it cannot be written."""
    try:
        Path(path).write_text(html, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"The report {path} cannot be written: {error.strerror or error}.") from None


def _what(experts: ExpertTable | None, mask: ExpertMask | None) -> str:
    said = []
    if experts is not None:
        said.append(f"{text(experts.a)} against {text(experts.b)}.")
        if experts.model is not None:
            said.append(f"Model: {text(experts.model)}.")
    if mask:
        counts = ((len(mask.off), "off"), (len(mask.on), "forced on"), (len(mask.bias), "biased"))
        said.append(f"Mask {text(mask.title)}: " + ", ".join(f"{n} {word}" for n, word in counts if n) + ".")
    return f'<p class="dim">{" ".join(said)}</p>'


def _verdict(verdict: Verdict) -> str:
    rows = [
        (text(one.name), f'<span class="{_COLOURS[one.word]}">{text(one.word)}</span>', text(one.said))
        for one in verdict.checks
    ]
    return section(
        "Verdict",
        f'<div class="word {_COLOURS[verdict.word]}">{text(verdict.word)}</div>',
        f"<p>{MEANINGS[verdict.word]}</p>",
        table(("check", "allows", "found"), rows),
        '<p class="dim">The weakest check decides. Intervals are of 95 %; n counts prompts.</p>',
    )


def _curve(verdict: Verdict) -> str:
    judged = f"{text(verdict.behaviour.name)} ({text(verdict.behaviour.judge)})"
    rows = [(str(point.experts), text(point.behaviour), _span(point.random)) for point in verdict.curve]
    note = (
        f"Red: {judged} with the first experts of the mask switched, and 95 % intervals. Grey: the span of "
        f"{verdict.draws} random masks of as many experts ({text(verdict.random_control)}), their mean dashed."
    )
    return section(
        "Behaviour by experts switched",
        f'<div class="scroll">{curve(verdict)}</div>',
        f'<p class="dim">{note}</p>',
        table(("experts", "behaviour", "random masks"), rows),
    )


def _panels(verdict: Verdict) -> str:
    panels = [verdict.behaviour, verdict.benign, *verdict.others, *([verdict.right] if verdict.right else [])]
    parts = [table(("prompts", "judged by", "without", "with the mask", "change", "not told"), map(_panel, panels))]
    if verdict.perplexity is not None:
        bare, masked = verdict.perplexity
        parts.append(f"<p>Perplexity of harmless texts: {bare:.2f} without, {masked:.2f} with the mask.</p>")
    return section("Contrasts", *parts)


def _panel(one: PanelResult) -> tuple[str, ...]:
    change = f"{100 * one.change.value:+.0f} points [{100 * one.change.low:+.0f}, {100 * one.change.high:+.0f}]"
    return text(one.name), text(one.judge), text(one.before), text(one.after), change, str(one.untold or "")


def _forced(forced: Forced) -> str:
    random = ", ".join(f"{100 * one:.0f}%" for one in forced.random) or "none"
    word = "more than random experts do" if forced.specific else "not more than random experts can"
    return section(
        "Forced on instead",
        f"<p>With {forced.experts} experts forced on ({text(forced.mask)}), "
        f"{text(forced.panel.name)} ({text(forced.panel.judge)}) goes from {text(forced.panel.before)} to "
        f"{text(forced.panel.after)}: {word}. Random experts of the same layers, forced on: {random}.</p>",
    )


def _heat(experts: ExpertTable, on_mask: Sequence[Expert]) -> str:
    note = (
        f"Red: used more by {text(experts.a)}; blue: by {text(experts.b)}. Chance alone reaches ±{experts.chance:.3f} "
        "somewhere in the model; what is within that is pale. Framed: switched by the mask. A difference is no effect: "
        "most experts that differ can be switched without any."
    )
    return section(
        "Experts by layer", f'<div class="scroll">{heat_map(experts, on_mask)}</div>', f'<p class="dim">{note}</p>'
    )


def _experts(experts: ExpertTable, on_mask: Sequence[Expert]) -> str:
    first = experts.top(_SHOWN)
    known = {(row.layer, row.expert) for row in first}
    rows = [*first, *(experts.row(*one) for one in on_mask if one not in known)]
    head = ("layer", "expert", text(experts.a), text(experts.b), "difference (95 %)", "q", "stability", "gate", "mask")
    cells = [
        (
            str(row.layer),
            str(row.expert),
            f"{row.rate_a:.2f}",
            f"{row.rate_b:.2f}",
            f"{row.difference:+.2f} ({row.low:+.2f} to {row.high:+.2f})",
            f"{row.q:.2g}",
            f"{row.stability:.2f}",
            "" if math.isnan(row.gate_difference) else f"{row.gate_difference:+.3f}",
            "switched" if (row.layer, row.expert) in on_mask else "",
        )
        for row in rows
    ]
    notes = [f'<p class="dim">{text(one)}</p>' for one in experts.notes]
    return section("Experts", table(head, cells, numbers=range(8)), *notes)


def _selection(selection: Selection) -> str:
    rows = [
        (
            f"layer {step.expert[0]}, expert {step.expert[1]}",
            f"{100 * step.measured.behaviour:.1f}%",
            f"{step.measured.drift:.4f}",
            f"{step.objective:.3f}",
            str(step.tried),
            "kept" if step.kept else "dropped",
        )
        for step in selection.steps
    ]
    return section(
        "How the mask was chosen",
        f"<p>Of {len(selection.candidates)} candidates, one after another by what switching it does: the behaviour's "
        f"probability at the first token, plus {selection.options.kl_weight:g} times the drift (KL, nats) of harmless "
        "prompts. "
        f"Without a mask: {100 * selection.start.behaviour:.1f}%. It ended because {text(selection.stop)}. These "
        "figures are of the prompts it was chosen by; the verdict's are of others.</p>",
        table(("expert added", "behaviour", "drift", "objective", "tried", ""), rows, numbers=(1, 2, 3, 4)),
    )


def _examples(examples: Sequence[Example]) -> str:
    parts: list[str] = []
    for panel in dict.fromkeys(one.panel for one in examples):
        several = [one for one in examples if one.panel == panel]
        shown = "".join(
            f'<div class="ask text">{_short(one.prompt)}</div><div class="pair">'
            + _reply("without", one.score_before, one.before)
            + _reply("with the mask", one.score_after, one.after)
            + "</div>"
            for one in several
        )
        parts.append(f"<details{'' if parts else ' open'}><summary>{text(panel)}</summary>{shown}</details>")
    return section("Replies", *parts)


def _made(
    experts: ExpertTable | None,
    verdict: Verdict | None,
    selection: Selection | None,
    mask: ExpertMask | None,
    command: str | None,
    facts: Mapping[str, object],
) -> str:
    lines: dict[str, object] = dict(facts)
    if command:
        lines["command"] = command
    if mask:
        lines["mask"] = json.dumps(mask.to_json(), ensure_ascii=False)
    if experts is not None:
        lines["prompts"] = (
            f"{experts.a}: {experts.n_a} ({experts.digest_a}); {experts.b}: {experts.n_b} ({experts.digest_b})"
        )
        lines["tokens looked at"] = experts.at
        lines["seed of the half-samples"] = experts.seed
    if selection is not None:
        lines["selection"] = f"{selection.options}, {selection.seconds:.1f} s"
    if verdict is not None:
        lines["seed of the random masks"] = verdict.seed
        panels = (verdict.behaviour, verdict.benign, *verdict.others)
        lines["judges"] = ", ".join(sorted({f"{one.judge} ({one.judge_fingerprint})" for one in panels}))
        lines["thresholds"] = verdict.rules
    versions = {**((experts.versions or {}) if experts else {}), **(verdict.versions if verdict else {})}
    lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = [(text(name), f'<span class="text">{text(value)}</span>') for name, value in lines.items()]
    return section("What this rests on", table(("", ""), rows))


def _reply(when: str, score: float | None, reply: str) -> str:
    return f'<div><small>{when} ({_score(score)})</small><div class="text">{_short(reply)}</div></div>'


def _short(given: str) -> str:
    return text(given if len(given) <= _LONGEST else given[:_LONGEST] + " …") or "<em>nothing</em>"


def _span(shares: Sequence[float]) -> str:
    if not shares:
        return ""
    return f"{100 * sum(shares) / len(shares):.0f}% ({100 * min(shares):.0f} to {100 * max(shares):.0f})"


def _score(score: float | None) -> str:
    return "not told" if score is None else f"{score:.2g}"
