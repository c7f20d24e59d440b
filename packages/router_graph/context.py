"""What may be said anew with each turn: limits, names and preferences. JSON, so that a server shows it as a form."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from router_graph.errors import SettingsError
from router_graph.validation import Settings

_KEY = r"^((kb|llm):.+|answer)$"


def _option(key: str) -> str:
    if not re.fullmatch(_KEY, key, re.DOTALL):
        raise PydanticCustomError("option", "Input should be kb:NAME, llm:NAME or answer")
    return key


Key = Annotated[str, AfterValidator(_option), Field(json_schema_extra={"pattern": _KEY})]
"""An option: `kb:NAME`, `llm:NAME` or `answer`."""


class RouterContext(Settings):
    """The settings of a turn. What is None is as the graph was built. Raises `SettingsError`.

    invoke({"question": …}, context=RouterContext(usd=0.02, max_steps=4))
    """

    model_config = ConfigDict(use_attribute_docstrings=True)
    mistake = SettingsError

    policy: str | None = None
    """Who decides, by name: "heuristic", "gate", a model of the pool, …"""
    protocol: str | None = None
    """How the policy is spoken to: tags, router_r1, r1_router or tool_calls."""
    max_steps: int | None = Field(default=None, ge=1, le=1000)
    """How often the policy may ask before it must answer."""
    usd: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)
    """What the turn may cost, in USD."""
    tokens: int | None = Field(default=None, gt=0)
    """Tokens of all calls, in and out."""
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """How long the turn may take; waiting for a person is not counted."""
    k: int | None = Field(default=None, ge=1, le=100)
    """Documents of a search, where the policy does not say."""
    only: list[Key] | None = None
    """The options that may be chosen in this turn; all, if left out."""
    exclude: list[Key] = Field(default_factory=list)
    """Options that may not be chosen in this turn."""
    route: Key | None = None
    """For this turn nobody else is asked, whatever the thread is pinned to."""
    ask_above_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """A person is asked before a route that may cost more; needs a checkpointer."""
    shadow: str | None = None
    """A second policy, whose decisions are logged and not followed."""
    explore: float | None = Field(default=None, ge=0, le=1)
    """How often a route is drawn at random instead, so that a log shows what the policy never does; 0.1 is one in ten.
    The probability of each choice is logged."""
    seed: int = 0
    """For policies that choose at random."""

    @classmethod
    def named(cls, data: Any, problem: str) -> str:
        """The problem, with a word on whose it is."""
        return f"The context of the turn: {problem}"
