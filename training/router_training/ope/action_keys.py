"""One name for what a step did, so that what the log did and what a target would do are the same or not."""

from __future__ import annotations

from collections.abc import Container, Sequence

from router_graph.actions import Action, action_from_dict
from router_graph.protocols import PROTOCOLS, protocol_named
from router_graph.state import Step
from router_graph.view import View

NOTHING = "nothing"
"""Of a step without any action."""


def key_of(actions: Sequence[Action], masked: Container[str] = ()) -> str:
    """The targets of all actions of a reply, joined by " + ", each as often as it occurs: a search of two bases at once
    is another action than a search of one, and two searches of one base are another than one.

    A target that is not legal is refused by the graph, which makes it another action too.
    """
    targets = sorted(one.target for one in actions)
    return " + ".join(f"{one} (refused)" if one in masked else one for one in targets) or NOTHING


def action_key(step: Step) -> str:
    """What a recorded step did."""
    actions = [action_from_dict(one) for one in step.get("actions", ())]
    return key_of(actions, step["decision"]["masked"])


def spoiled_key(step: Step, view: View) -> str | None:
    """The option that was drawn in a step whose text then spoiled it; None where it cannot be said.

    A policy that scores its options writes the opening of the one that it drew, and then the rest. Where the rest makes
    the reply read as something else, the option can be told from the opening, and its probability was logged.
    """
    decision = step["decision"]
    if decision["propensity"] is not None or not decision["probabilities"]:
        return None
    if decision["protocol"] not in PROTOCOLS:
        return None
    protocol = protocol_named(decision["protocol"])
    end = protocol.thinks[1].strip()
    rest = (step["reply"].partition(end)[2] if end else step["reply"]).lstrip()
    begun = [key for key, opening in protocol.openings(view).items() if rest.startswith(opening)]
    return begun[0] if len(begun) == 1 and begun[0] in decision["probabilities"] else None
