"""The graph's state: plain data that every checkpointer can hold, and the reducers that merge it.

Live objects (policy, knowledge bases, pool) are never in here; the nodes hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps
from typing_extensions import TypedDict

from router_graph.ledger import Entries, merge_entries

StopReason = Literal[
    "answered", "no_answer", "steps", "usd", "tokens", "seconds", "repeats", "malformed", "no_options", "policy_failed"
]
"""Why a run ended: the policy's own word; its word that nothing was found; or what forced the answer: a budget, too
many sub-queries that were asked before, too many replies that are no action, nobody left to ask, or a policy that
failed."""

Status = Literal["ok", "empty", "failed", "refused", "declined", "repeated"]
"""What came of a route: something; nothing found; an error; not allowed; a person said no; it was asked before."""


class Hit(TypedDict):
    """A document that a search found."""

    kb: str
    doc_id: str
    title: str
    text: str
    score: float
    metadata: dict[str, Any]
    """JSON values. `links`: ids of the documents that it links to, by the words of the link."""


class Observation(TypedDict):
    """What came of one route."""

    status: Status
    text: str
    """A model's reply; or one sentence on what went wrong."""
    hits: list[Hit]
    served: str
    """The option that served, as in `llm:strong`: the one asked, or its fallback. Empty if none did."""
    usd: float
    tokens: int
    """Of all that was asked for it: prompts and replies, failed attempts included."""
    output_tokens: NotRequired[int]
    """Of the reply that a model gave, as its provider counts them, reasoning included. Missing where no model replied,
    where nobody counted, and in what was written before this was kept."""
    seconds: float


class Option(TypedDict):
    """Something that can be asked, or `answer`."""

    key: str
    """`kb:NAME`, `llm:NAME` or `answer`."""
    description: str
    """What a policy reads: the paragraph of a knowledge base, the card of a model with its price and accuracy."""
    modality: str
    """What a knowledge base holds: "text", "table" or "image". Empty for models and `answer`."""
    usd: float
    """What a typical call costs."""


class Left(TypedDict):
    """What is left of the budget; None is no limit."""

    steps: int
    usd: float | None
    tokens: int | None
    seconds: float | None


class Decision(TypedDict):
    """Why a step did what it did."""

    policy: str
    version: str
    protocol: str
    probabilities: dict[str, float] | None
    """Of each legal option, where the policy can score them."""
    propensity: float | None
    """The probability with which this action was sampled; None where it is unknown."""
    masked: dict[str, str]
    """The options that were not legal, each with the reason."""
    left: Left
    forced: StopReason | None
    """Why only an answer was legal."""
    problem: str
    """Why the policy could not decide, in a sentence; empty if it could."""
    replay_id: str
    """Names what the policy saw: replaying it gives the same decision."""
    served: str
    """The model that wrote the reply, where one did: the policy's, or its fallback."""
    usd: float
    """What the policy itself took."""
    tokens: int
    seconds: float


class Step(TypedDict, total=False):
    """One turn of the policy, and what came of it."""

    id: str
    number: int
    """From 1."""
    thought: str
    reply: str
    """The policy's reply as it stands, in its protocol's grammar."""
    actions: list[dict[str, Any]]
    """See `router_graph.actions`."""
    decision: Decision
    observations: dict[str, Observation]
    """By the position of the action, as text."""
    shadow: dict[str, Any]
    """What a second policy would have done, which only logs."""


class Citation(TypedDict):
    """A document that the answer cites as `[kb:doc_id]`."""

    kb: str
    doc_id: str
    title: str


def merge_steps(one: Sequence[Step] | None, other: Sequence[Step] | None) -> list[Step]:
    """The union by id, in order of number; of one step, the union of its fields and observations.

    A step that is merged twice is the same step: parallel branches, retries and resumes count nothing twice.
    """
    merged: dict[str, Step] = {step["id"]: step for step in one or ()}
    for step in other or ():
        known = merged.get(step["id"])
        if known is None:
            merged[step["id"]] = step
        else:
            observations = {**known.get("observations", {}), **step.get("observations", {})}
            merged[step["id"]] = {**known, **step, "observations": observations}
    return sorted(merged.values(), key=lambda step: step["number"])


def merge_names(one: Sequence[str] | None, other: Sequence[str] | None) -> list[str]:
    """The union, sorted."""
    return sorted({*(one or ()), *(other or ())})


class RouterInput(TypedDict, total=False):
    """What a turn begins with: `messages`, of which the last human one is the question, or `question`."""

    messages: Annotated[list[AnyMessage], add_messages]
    question: str
    images: list[str]
    """Pictures of the question, each a `data:image/…;base64,…` URL."""
    pin: str
    """An option's key: until it is changed, this thread asks nobody else. Empty for no pin."""


class RouterOutput(TypedDict, total=False):
    """What a turn ends with. There always is an answer."""

    messages: Annotated[list[AnyMessage], add_messages]
    answer: str
    citations: list[Citation]
    stop_reason: StopReason
    ledger: Annotated[Entries, merge_entries]
    steps: Annotated[list[Step], merge_steps]


class Asked(TypedDict):
    """What this turn is about."""

    question: str
    images: list[str]
    earlier: list[tuple[str, str]]
    """What was said before: (role, text), the role "human" or "ai"."""


class RouterState(RouterInput, RouterOutput, total=False):
    """All of it."""

    turn: str
    """The id of the turn, and of its account."""
    asked: Asked
    menu: list[Option]
    """What can be asked in this turn."""
    settings: dict[str, Any]
    """The `RouterContext` that the turn began with: a resumed turn goes on with it."""
    met: Annotated[list[str], merge_names]
    """The knowledge bases whose text may be anywhere in this thread, for the rules about who may see it."""
    remaining_steps: RemainingSteps


def as_hit(hit: Mapping[str, Any]) -> Hit:
    """The fields of a hit, and no others. Raises `TypeError` for a text or a title that is none."""
    title, text = hit["title"] or "", hit["text"]
    for field, value in (("title", title), ("text", text)):
        if not isinstance(value, str):
            raise TypeError(f"a hit's {field} is a str, and not {value!r:.80}")
    return Hit(
        kb=hit["kb"],
        doc_id=one_line(hit["doc_id"]),
        title=title,
        text=text,
        score=float(hit["score"]),
        metadata={str(key): plain(value) for key, value in (hit["metadata"] or {}).items()},
    )


def one_line(doc_id: object) -> str:
    """The id as text of one line, so that none can look like another document below it."""
    return " ".join(str(doc_id).splitlines())


def plain(value: Any) -> Any:
    """The value as JSON and checkpoints know it; what they do not know becomes text."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict | Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return str(value)
