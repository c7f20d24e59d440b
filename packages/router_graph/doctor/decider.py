"""Who decides: is there a policy and a protocol of the names in the settings, and can the policy be asked?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kb_tools.errors import KBError
from router_graph.doctor.finding import Finding, mending, ok, problem
from router_graph.errors import RouterError
from router_graph.settings import Sources


def decider(sources: Sources, location: str | Path | None, *, offline: bool) -> Iterator[Finding]:
    """The policy and the protocol of the settings; what is wrong with their sources is told elsewhere."""
    from router_graph.cli_pool_facts import facts
    from router_graph.doctor.models import pool_of
    from router_graph.policies import policy_named
    from router_graph.protocols import protocol_named

    settings, edit = sources.settings, mending(sources.file.name)
    protocol, policy = settings.protocol, settings.policy
    if protocol is not None:
        try:
            protocol_named(protocol)
        except RouterError as error:
            yield problem(str(error).rstrip("."), edit)
    if policy is None:
        yield ok("No policy is named: heuristic decides, or cheapest where there is no knowledge base")
        return
    pool, names = None, list[str]()
    with contextlib.suppress(RouterError):
        pool = pool_of(sources)
    if location is not None and not (offline and "://" in str(location)):
        from kb_tools.catalog import Catalog

        with contextlib.suppress(KBError), Catalog(location) as catalog:
            names = catalog.names()
    try:
        found = policy_named(policy, pool=pool, knowledge=names)
    except RouterError as error:
        yield problem(str(error).rstrip("."), edit)
        return
    key = None if found.card is None else facts(found.card)["key"]
    if key is not None and key["state"] == "not set":
        yield problem(
            f"The policy {policy} cannot be asked: its key {key['variable']} is not set", f"export {key['variable']}=…"
        )
    else:
        yield ok(f"{policy} decides{'' if key is None else ', a language model'}")
