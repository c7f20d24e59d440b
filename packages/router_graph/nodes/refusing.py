"""Which routes of a reply are not taken, and what the policy is told in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from router_graph.actions import Action, Route, RouteToKB, RouteToLLM
from router_graph.limits import MOST_ROUTES, Essence, asked_before, essence
from router_graph.nodes.observing import sentence
from router_graph.state import Observation
from router_graph.view import View, linked_ids


def not_taken(view: View, actions: Sequence[Action]) -> dict[str, Observation]:
    """By position among the actions: the routes that are not legal or were asked before, each with a sentence.

    The other routes are to be taken. It depends on the view alone, so that a reply which was never said in the graph
    can be judged as the graph would.
    """
    told: dict[str, Observation] = {}
    before = asked_before(view) if actions else {}
    taken: set[Essence] = set()
    for position, action in enumerate(actions):
        if not isinstance(action, RouteToKB | RouteToLLM):
            continue
        if (why := _why_not(view, action, before, taken)) is not None:
            told[str(position)] = why
        else:
            taken.add(essence(action))
    return told


def _why_not(view: View, route: Route, before: Mapping[Essence, int], taken: Set[Essence]) -> Observation | None:
    if view.option(route.target) is None:
        listed = ", ".join(option["key"] for option in view.legal)
        return sentence("refused", f"There is no {route.target}; there is {listed}.")
    if route.target in view.masked:
        return sentence("refused", f"{route.target} cannot be asked now: {view.masked[route.target]}.")
    if not route.query.strip():
        return sentence("refused", f"{route.target} was asked nothing; write a query.")
    if isinstance(route, RouteToKB) and route.linked is not None and linked_ids(view.steps, route.linked) is None:
        return sentence(
            "refused", f"Nothing was found that is called {route.linked!r}; name a document as [kb:doc_id]."
        )
    if essence(route) in taken:
        return sentence("repeated", "This is asked twice in one reply; once is enough.")
    if len(taken) >= MOST_ROUTES:
        return sentence("refused", f"At most {MOST_ROUTES} routes are taken at once; ask again in the next step.")
    if (step := before.get(essence(route))) is not None:
        return sentence(
            "repeated", f"This was asked in step {step}; its result stands there. Ask something else, or answer."
        )
    return None
