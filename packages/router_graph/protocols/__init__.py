"""Protocols by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from router_graph.errors import SettingsError
from router_graph.protocols.brief import Brief
from router_graph.protocols.protocol import Protocol
from router_graph.protocols.r1_router import R1Router
from router_graph.protocols.router_r1 import RouterR1
from router_graph.protocols.tags import Tags
from router_graph.protocols.tool_calls import ToolCalls

PROTOCOLS: dict[str, Callable[[], Protocol]] = {
    "tags": Tags,
    "brief": Brief,
    "tool_calls": ToolCalls,
    "router_r1": RouterR1,
    "router_r1:paper": lambda: RouterR1(mended=False),
    "r1_router": R1Router,
    "r1_router:paper": lambda: R1Router(mended=False),
}
"""What makes the protocol of a name; `:paper` keeps the faults of the papers' code."""


def protocol_named(name: str) -> Protocol:
    """The protocol of a name. Raises `SettingsError`, which names the nearest."""
    make = PROTOCOLS.get(name)
    if make is None:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(PROTOCOLS)}."
        raise SettingsError(f"There is no protocol {name!r}; {hint}")
    return make()
