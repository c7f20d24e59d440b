"""Data inside a prompt: escaped so that it can neither open nor close a tag, and cut inside its tag.

Everything that was retrieved, that another model said, or that a person typed is data. What a policy says itself is
not: it stands in the conversation as it is, and what it took over from data is unescaped when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from router_graph.actions import Malformed, Route, RouteToKB, RouteToLLM, action_from_dict
from router_graph.citations import mark
from router_graph.state import Hit, Observation, Step

MOST_CHARACTERS = 6_000
"""Of one observation."""
MOST_EVIDENCE_CHARACTERS = 24_000
"""Of all the documents of a run together."""
_MOST_OF_A_QUERY = 300
_SPELLED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_MEANT = {entity: character for character, entity in _SPELLED.items()}
_TEXT = re.compile(r"[<>]|&(?=(?:amp|lt|gt|quot);)")
_ATTRIBUTE = re.compile(r'[<>"]|&(?=(?:amp|lt|gt|quot);)')
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot);")
_LIKE_A_MARK = re.compile(r"^(\s*)\[(?=[\w-]+:)")


def escape(text: str) -> str:
    """The text without `<` and `>`. An `&` stays where it is no entity of ours: most are names, as in AT&T."""
    return _TEXT.sub(lambda found: _SPELLED[found[0]], text)


def attribute(text: str) -> str:
    """The text as it may stand in double quotes."""
    return _ATTRIBUTE.sub(lambda found: _SPELLED[found[0]], text)


def unescape(text: str) -> str:
    """What was escaped, by either function."""
    return _ENTITY.sub(lambda found: _MEANT[found[0]], text)


def cut(escaped: str, most: int) -> str:
    """At most so many characters of an escaped text; never half an entity, which would read as text."""
    if len(escaped) <= most:
        return escaped
    if most < 1:
        return ""
    kept = escaped[: most - 1]
    start = kept.rfind("&", max(0, len(kept) - 5))
    if start >= 0 and (entity := _ENTITY.match(escaped, start)) and entity.end() > len(kept):
        kept = kept[:start]
    return kept + "…"


def render_hits(hits: Iterable[Hit], *, most: int = MOST_EVIDENCE_CHARACTERS) -> str:
    """`[kb:doc_id] title | text`, one document below the other, escaped: at most so many characters.

    Where they are too many, the long documents are cut, not the last ones. A text of several lines (a table) begins on
    a line of its own, and none of its lines can look like another document's name.
    """
    documents = [_document(hit) for hit in hits]
    room = most - max(0, len(documents) - 1)
    shares = _shares([len(one) for one in documents], room)
    return cut("\n".join(cut(one, share) for one, share in zip(documents, shares, strict=True)), most)


def information(route: Route, observation: Observation, *, most: int = MOST_CHARACTERS) -> str:
    """What came of a route, in its tag; at most so many characters between the tags."""
    about = {"from": attribute(route.target), "query": cut(attribute(route.query), _MOST_OF_A_QUERY)}
    if isinstance(route, RouteToKB) and route.linked:
        about["linked"] = cut(attribute(route.linked), _MOST_OF_A_QUERY)
    if observation["served"] not in ("", route.target):
        about["served"] = attribute(observation["served"])
    about["status"] = observation["status"]
    opening = " ".join(f'{name}="{value}"' for name, value in about.items())
    return f"<information {opening}>\n{findings(observation, most=most)}\n</information>"


def findings(observation: Observation, *, most: int = MOST_CHARACTERS) -> str:
    """The text of an observation and its documents, escaped: at most so many characters."""
    said = cut(escape(observation["text"].strip()), most)
    if not observation["hits"]:
        return said
    return "\n".join(filter(None, [said, render_hits(observation["hits"], most=most - len(said) - 1)]))


def problem(text: str) -> str:
    """What was wrong with a reply, in its tag."""
    return f"<problem>{escape(text)}</problem>"


def came_of(step: Step, *, most: int = MOST_CHARACTERS) -> list[str]:
    """What came of the actions of a step, in their order: an `<information>` of each route, the problems of others."""
    came = []
    for position, data in enumerate(step.get("actions", ())):
        action, observation = action_from_dict(data), step.get("observations", {}).get(str(position))
        if isinstance(action, RouteToKB | RouteToLLM) and observation is not None:
            came.append(information(action, observation, most=most))
        elif isinstance(action, Malformed):
            came.append(problem(action.problem))
    return came


def _document(hit: Hit) -> str:
    title = " ".join(hit["title"].split())
    lines = [_LIKE_A_MARK.sub(r"\1\\[", line) for line in hit["text"].strip().splitlines()]
    head = f"{mark(hit['kb'], hit['doc_id'])} {title} |" if title else mark(hit["kb"], hit["doc_id"])
    return escape(head + ("\n" if len(lines) > 1 else " ") + "\n".join(lines))


def _shares(lengths: Sequence[int], most: int) -> list[int]:
    """How long each may be: what the short ones leave is for the long ones."""
    shares = list(lengths)
    for done, place in enumerate(sorted(range(len(lengths)), key=lambda one: lengths[one])):
        shares[place] = min(lengths[place], max(0, most) // (len(lengths) - done))
        most -= shares[place]
    return shares
