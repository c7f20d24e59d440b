"""What `langgraph dev` serves: one router under three names, which differ in the protocol its policy is spoken to by.

Everything live is made once, when the server imports this module, of the settings that `polyroute ask` goes by: the
router.yaml of POLYROUTE_CONFIG or of the working directory, POLYROUTE_KB and the other variables. Runs are recorded,
in the folder `runs` beside router.yaml where neither that file nor POLYROUTE_RUNS says otherwise. The server keeps the
threads itself, so that `checkpoints` of the settings does not count. A new knowledge base is seen after a restart.

Raises `RouterError` where the settings are wrong, or there is nobody to ask.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from router_graph.context_form import context_form
from router_graph.graph import create_router
from router_graph.resources import Resources
from router_graph.settings import read_settings
from router_graph.settings_live import Router


def _opened() -> Router:
    sources = read_settings(checkpoints="none")
    if "runs" not in sources.settings.model_fields_set:
        sources = read_settings(checkpoints="none", runs=str(sources.file.folder / "runs"))
    return Router(sources)


live = _opened()
for _problem in live.problems:
    logging.getLogger(__name__).warning(_problem)


def _served(resources: Resources, name: str) -> CompiledStateGraph[Any, Any, Any, Any]:
    graph = create_router(resources, name=name).copy({"context_schema": context_form(resources)})
    return graph if live.recorder is None else graph.with_config(callbacks=[live.recorder])


def _spoken_to_by(protocol: str) -> Resources:
    # A copy shares all that is live; only what a turn leaves open differs.
    other = copy.copy(live.resources)
    other.defaults = {**other.defaults, "protocol": protocol}
    return other


router = _served(live.resources, "router")
router_r1 = _served(_spoken_to_by("router_r1"), "router_r1")
r1_router = _served(_spoken_to_by("r1_router"), "r1_router")
