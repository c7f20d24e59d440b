"""What `langgraph dev` serves: one router under three names, which differ in the protocol its policy is spoken to by.

Everything live is made once, when the server imports this module, of the settings that `polyroute ask` goes by: the
router.yaml of POLYROUTE_CONFIG or of the working directory, POLYROUTE_KB and the other variables. The server keeps the
threads itself, so that `checkpoints` of the settings does not count. A new knowledge base is seen after a restart.

Raises `RouterError` where the settings are wrong, or there is nobody to ask.
"""

from __future__ import annotations

import copy
import logging

from router_graph.graph import create_router
from router_graph.resources import Resources
from router_graph.settings_live import load_router

_live = load_router(checkpoints="none")
for _problem in _live.problems:
    logging.getLogger(__name__).warning(_problem)


def _spoken_to_by(protocol: str) -> Resources:
    # A copy shares all that is live; only what a turn leaves open differs.
    other = copy.copy(_live.resources)
    other.defaults = {**other.defaults, "protocol": protocol}
    return other


router = _live.compiled(None)
router_r1 = create_router(_spoken_to_by("router_r1"), name="router_r1")
r1_router = create_router(_spoken_to_by("r1_router"), name="r1_router")
