"""Protocols by name."""

from __future__ import annotations

import difflib

from router_graph.errors import SettingsError
from router_graph.protocols.protocol import Protocol
from router_graph.protocols.tags import Tags

PROTOCOLS: dict[str, type[Protocol]] = {"tags": Tags}


def protocol_named(name: str) -> Protocol:
    """The protocol of a name. Raises `SettingsError`, which names the nearest."""
    made = PROTOCOLS.get(name)
    if made is None:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(PROTOCOLS)}."
        raise SettingsError(f"There is no protocol {name!r}; {hint}")
    return made()
