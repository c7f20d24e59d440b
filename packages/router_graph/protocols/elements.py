"""What our protocols in tags share: a route read out of a name, a text and attributes, and written back."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.actions import Action, Answer, Malformed, Note, RouteToKB, RouteToLLM
from router_graph.protocols.scan import Element
from router_graph.protocols.text import attribute, escape
from router_graph.view import View

MOST_DOCUMENTS = 100
"""That one search may be asked for."""
_KINDS = ("kb", "llm")


def route_to(name: str, query: str, given: Mapping[str, object], view: View) -> Action | None:
    """The route to `kb:NAME`, `llm:NAME`, or to the only option that is called NAME; None where nobody is meant.

    A name that is on no menu is left to the graph, which refuses it and lists those that are. `given` may have `k`,
    `linked` and `evidence`.
    """
    key = key_of(name, view)
    if key is None:
        return None
    kind, _, name = key.partition(":")
    if not query:
        return Malformed(f"The route to {key[:80]} asks nothing; write what to ask it.")
    if kind == "llm":
        return RouteToLLM(name, query, truth(given.get("evidence", "")))
    try:
        k = k_of(given.get("k"))
    except ValueError:
        return Malformed(f"k is {str(given.get('k'))[:80]!r}; it must be a whole number from 1 to {MOST_DOCUMENTS}.")
    linked = str(given.get("linked") or "").strip()
    if linked.startswith("[") and linked.endswith("]"):
        linked = linked[1:-1]
    return RouteToKB(name, query, k, linked or None)


def answer_or_note(element: Element) -> Answer | Note | Malformed | None:
    """What an `<answer>` or a `<note>` says; None for another element."""
    body, enough = element.body, truth(element.attributes.get("enough", ""))
    match element.tag:
        case "answer":
            return Answer(body) if body else Malformed("The <answer> is empty; write the answer between its tags.")
        case "note" if body or enough:
            return Note(body, enough)
        case "note":
            return Malformed("The <note> is empty; write it between its tags.")
    return None


def key_of(name: str, view: View) -> str | None:
    """The option's key for a name as a policy may write it: with its kind, or without where only one is called so."""
    kind, colon, rest = name.strip().partition(":")
    if colon and rest.strip() and kind.strip().lower() in _KINDS:
        return f"{kind.strip().lower()}:{rest.strip()}"
    same = [one["key"] for one in view.menu if one["key"].partition(":")[2] == name.strip() != ""]
    return same[0] if len(same) == 1 else None


def k_of(value: object) -> int | None:
    """How many documents are asked for; None where nothing is said. Raises `ValueError`."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(value)
    number = float(value) if isinstance(value, str) else value
    if not 1 <= number <= MOST_DOCUMENTS or number != int(number):
        raise ValueError(value)
    return int(number)


def truth(value: object) -> bool:
    """Whether an attribute says yes."""
    return value is True or str(value).strip().lower() in ("yes", "true", "1")


def written(tag: str, text: str, **attributes: str | int | bool | None) -> str:
    """The element; attributes that are None, False or empty are left out."""
    said = {name: "yes" if value is True else str(value) for name, value in attributes.items() if value}
    opening = "".join(f' {name}="{attribute(value)}"' for name, value in said.items())
    return f"<{tag}{opening}>{escape(text)}</{tag}>"
