"""What is kept of a run: facts only. Rewards are a later pass, so that another reward never rewrites a log.

A log is lines, each written as it happens (`Line`); a run is put together from its lines when it is read. So nothing
waits in memory for a run to end, a run that is resumed in another process continues in that process's file, and a
crash loses no more than the line that was being written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired

from typing_extensions import TypedDict

if TYPE_CHECKING:  # LangGraph comes with it, which takes long
    from router_graph.state import Citation, Observation, Option, Step, StopReason

SCHEMA = 1
"""Of the lines. It grows when a field changes its meaning or goes; a reader knows all older ones."""

TOKENS = "polyroute.tokens"
"""The custom event by which a policy's own tokens reach a recorder."""

Kind = Literal["began", "decided", "observed", "ended", "failed", "called"]
"""A turn began; the policy decided; a route came back; the turn ended; it broke off; a model was called."""


class Message(TypedDict):
    """One message of a prompt, as it was sent."""

    role: str
    """"system", "human", "ai" or "tool"."""
    content: Any
    """Text, or LangChain's blocks."""
    tool_calls: NotRequired[list[dict[str, Any]]]
    """Of an "ai" message: id, name and args of each."""
    tool_call_id: NotRequired[str]
    """Of a "tool" message."""


class Tokens(TypedDict):
    """What a sampler saw and drew, to the token: text that is tokenised again need not give the same ids."""

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float] | None
    """Of each completion id, in nats; of the distribution that it was drawn from where `logprob_kind` is "processed"
    (after temperature, top-p, top-k and masks), of the bare model where it is "raw"."""
    logprob_kind: Literal["processed", "raw"] | None
    model: str
    """A fingerprint of the weights; empty where nobody told it."""
    tokenizer: str
    """A fingerprint of the tokenizer and its chat template; empty where nobody told it."""


class Call(TypedDict):
    """One call of a chat model."""

    call_id: str
    node: str
    """LangGraph's node that it was made in."""
    is_policy: bool
    model: str
    prompt: list[Message]
    reply: str
    tool_calls: list[dict[str, Any]]
    input_tokens: int
    output_tokens: int
    seconds: float
    error: str
    """One line; empty if none."""
    sampling: dict[str, Any]
    """Temperature, seed and the like, as far as they were told."""
    tokens: Tokens | None


class Line(TypedDict, total=False):
    """One line of a shard. Which fields it has depends on `kind`; `run`, `kind`, `v` and `at` are always there."""

    v: int
    kind: Kind
    run: str
    """The id of the turn; of the root run of LangChain in a graph that has no node of ours."""
    at: float
    """Seconds since 1970."""

    # began
    thread: str
    parent: str
    """The id of LangChain's root run, which other runs may share."""
    question: str
    images: list[str]
    earlier: list[tuple[str, str]]
    menu: list[Option]
    settings: dict[str, Any]
    metadata: dict[str, Any]
    """The caller's own, as in config={"metadata": {"question_id": "q7"}}."""
    software: dict[str, str]
    """Versions of what decided."""

    # decided: `step` without what came of its routes, unless they were refused at once
    step: Step
    call: Call | None
    """The policy's call, where it asked a model. Also the whole of `called`."""
    number: int

    # observed
    position: int
    observation: Observation

    # ended
    answer: str
    citations: list[Citation]
    stop_reason: StopReason | None
    usd: float
    tokens: int

    # failed
    error: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One decision, and what came of it."""

    run_id: str
    step: Step
    """As in the graph's state: thought, reply, actions, decision (masked options, probabilities, propensity, what was
    left, price), and the observation of each route."""
    at: float
    call: Call | None
    """The policy's call, where it asked a model."""

    @property
    def number(self) -> int:
        """From 1."""
        return self.step["number"]

    @property
    def is_whole(self) -> bool:
        """Every route has come back."""
        observations = self.step.get("observations", {})
        actions = enumerate(self.step.get("actions", ()))
        return all(str(n) in observations for n, one in actions if one["kind"] in ("kb", "llm"))


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One turn, with its steps in order."""

    run_id: str
    at: float
    question: str = ""
    thread_id: str = ""
    parent_id: str = ""
    images: tuple[str, ...] = ()
    earlier: tuple[tuple[str, str], ...] = ()
    menu: tuple[Option, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()
    calls: tuple[Call, ...] = ()
    """Of models that were not the policy."""
    status: Literal["ended", "failed", "open"] = "open"
    """"open": it is under way, waits for a person, or its process died."""
    error: str = ""
    answer: str = ""
    citations: tuple[Citation, ...] = ()
    stop_reason: StopReason | None = None
    usd: float = 0.0
    tokens: int = 0
    ended_at: float | None = None
    is_ours: bool = True
    """It has the semantics of our nodes; else it is a foreign graph, of which only the calls are known."""

    @property
    def question_id(self) -> str:
        """Which question it answers: `metadata["question_id"]`, else the question itself."""
        return str(self.metadata.get("question_id") or self.question)

    @property
    def seconds(self) -> float | None:
        """From its beginning to its end, waiting for a person included."""
        return None if self.ended_at is None else self.ended_at - self.at
