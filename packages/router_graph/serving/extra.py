"""The field `polyroute` of a request: what it may say of the router."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from router_graph.context import Key, RouterContext

LARGEST = 2**63 - 1
"""Of an integer that a checkpoint can hold."""
_Name = Annotated[str, StringConstraints(max_length=200)]
_Option = Annotated[Key, Field(max_length=200)]
_MOST_OPTIONS = 1000


class Extra(RouterContext):
    """`polyroute`: the limits, names and preferences of this request, as in `RouterContext`, and two of its own."""

    model_config = ConfigDict(strict=True)

    policy: _Name | None = None
    """Who decides, by a name of /v1/models without `router/`."""
    protocol: _Name | None = None
    """How the policy is spoken to: tags, router_r1, r1_router or tool_calls."""
    shadow: _Name | None = None
    """A second policy, whose decisions are logged and not followed."""
    only: Annotated[list[_Option], Field(max_length=_MOST_OPTIONS)] | None = None
    """The options that may be chosen: `kb:NAME`, `llm:NAME` or `answer`; all, if null."""
    exclude: list[_Option] = Field(default_factory=list, max_length=_MOST_OPTIONS)
    """Options that may not be chosen."""
    route: _Option | None = None
    """Nobody else is asked."""
    seed: int = Field(default=0, ge=-LARGEST, le=LARGEST)
    """For policies that choose at random."""
    thread: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\w.@:/ -]+$")] | None = None
    """Go on with this thread, which the router keeps: of the messages the last one is asked, and the others are
    not read. Needs `checkpoints` in the settings."""
    events: bool = False
    """Whether a stream tells what the router does while it works."""

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem, with a word on whose it is."""
        return f"polyroute: {problem}"

    def context(self) -> RouterContext:
        """What the graph is told."""
        return RouterContext(**{name: getattr(self, name) for name in self.model_fields_set - {"thread", "events"}})
