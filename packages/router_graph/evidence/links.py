"""Where a document links to."""

from __future__ import annotations

from collections.abc import Mapping

from router_graph.state import Hit


def links_of(hit: Hit) -> dict[str, list[str]]:
    """The ids of the documents that a hit links to, by the words of the link; what has another form is no link."""
    given = hit["metadata"].get("links")
    if not isinstance(given, Mapping):
        return {}
    found: dict[str, list[str]] = {}
    for text, ids in given.items():
        known = [one for one in ids if isinstance(one, str)] if isinstance(ids, list | tuple) else []
        if isinstance(text, str) and known:
            found[text] = known
    return found


def link_name(hit: Hit) -> str:
    """What `RouteToKB.linked` calls a hit: `kb:doc_id`."""
    return f"{hit['kb']}:{hit['doc_id']}"
