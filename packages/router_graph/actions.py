"""What a policy can do at a step: ask a knowledge base, ask a model, note something, or answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, slots=True)
class RouteToKB:
    """Search a knowledge base."""

    kind: ClassVar[Literal["kb"]] = "kb"

    kb: str
    query: str
    k: int | None = None
    """How many documents; as many as the graph is set to, if None."""
    linked: str | None = None
    """`kb:doc_id` of a hit: search only among the documents that it links to."""

    @property
    def target(self) -> str:
        """The option's key, as in `kb:tables`."""
        return f"kb:{self.kb}"


@dataclass(frozen=True, slots=True)
class RouteToLLM:
    """Ask a model of the pool."""

    kind: ClassVar[Literal["llm"]] = "llm"

    model: str
    query: str
    evidence: bool = False
    """Show it the documents found so far; else it sees the query alone."""

    @property
    def target(self) -> str:
        """The option's key, as in `llm:fast`."""
        return f"llm:{self.model}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, with `[kb:doc_id]` behind what a document says."""

    kind: ClassVar[Literal["answer"]] = "answer"
    target: ClassVar[str] = "answer"

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """What the policy found out itself (R1-Router's sub-answer), or that it has enough. It asks nobody, thinks on."""

    kind: ClassVar[Literal["note"]] = "note"
    target: ClassVar[str] = "note"

    text: str
    enough: bool = False
    """It wants to ask nobody any more."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A reply, or a part of one, that is no action."""

    kind: ClassVar[Literal["malformed"]] = "malformed"
    target: ClassVar[str] = "malformed"

    problem: str
    """One sentence: what was wrong and what would be right. The policy reads it."""


Route = RouteToKB | RouteToLLM
Action = RouteToKB | RouteToLLM | Answer | Note | Malformed

_KINDS: dict[str, type[Action]] = {one.kind: one for one in (RouteToKB, RouteToLLM, Answer, Note, Malformed)}
_FIELDS = {kind: tuple(field.name for field in fields(one)) for kind, one in _KINDS.items()}


def action_as_dict(action: Action) -> dict[str, Any]:
    """Plain data, for graph state; what is left at its default is left out."""
    plain: dict[str, Any] = {"kind": action.kind}
    for name in _FIELDS[action.kind]:
        value = getattr(action, name)
        if value is not None and value is not False:
            plain[name] = value
    return plain


def action_from_dict(data: Mapping[str, Any]) -> Action:
    """The action of `action_as_dict`."""
    fields = dict(data)
    return _KINDS[fields.pop("kind")](**fields)
