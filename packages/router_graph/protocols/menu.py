"""What may be asked, and what is left, in words."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.protocols.text import escape
from router_graph.state import Option, StopReason
from router_graph.view import View

DUE: Mapping[StopReason, str] = {
    "answered": "the answer is known",
    "steps": "no step is left",
    "usd": "the money is spent",
    "tokens": "the tokens are spent",
    "seconds": "the time is over",
    "repeats": "the same was asked again and again",
    "malformed": "too many replies were no action",
    "no_options": "nobody is left to ask",
    "policy_failed": "the run cannot go on",
}
"""Why the answer is due."""


def menu(view: View) -> str:
    """The options, a line each, with what their owners say of them. The same at every step of a turn."""
    lines = [f"- {_line(option)}" for option in view.menu if option["key"] != "answer"]
    return "\n".join(lines) or "- nobody: answer from what you know"


def facts(view: View, *, due: str) -> str:
    """What holds at this step: what is left, and what cannot be asked; or that the answer is due, and `due`."""
    if view.must_answer:
        return f"You must answer now, because {DUE[view.must_answer]}. {due}"
    return "\n".join(filter(None, [f"Left: {left(view)}.", unavailable(view)]))


def left(view: View) -> str:
    """What is left of the budget."""
    left = view.left
    parts = [f"{left['steps']} step{'' if left['steps'] == 1 else 's'}"]
    if left["usd"] is not None:
        parts.append(f"${left['usd']:.4g}")
    if left["tokens"] is not None:
        parts.append(f"{left['tokens']:,} tokens")
    if left["seconds"] is not None:
        parts.append(f"{left['seconds']:.0f} s")
    return ", ".join(parts)


def unavailable(view: View) -> str:
    """The options that cannot be asked at this step, with the reasons; empty if all can."""
    masked = [f"{key} ({reason})" for key, reason in view.masked.items() if key != "answer"]
    return escape(f"Not available now: {'; '.join(masked)}.") if masked else ""


def earlier(view: View) -> str:
    """What was said before the question, a line each; empty if nothing was."""
    return "".join(f"{role}: {escape(' '.join(text.split()))}\n" for role, text in view.earlier)


def _line(option: Option) -> str:
    about = [option["modality"]] if option["modality"] else []
    if option["usd"] and option["key"].startswith("kb:"):
        about.append(f"${option['usd']:.2g} a search")
    key = f"{option['key']} ({', '.join(about)})" if about else option["key"]
    return escape(f"{key}: {' '.join(option['description'].split())}")
