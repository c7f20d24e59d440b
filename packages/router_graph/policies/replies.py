"""What the models of a run said, and which part of it is the answer."""

from __future__ import annotations

import re

from router_graph.actions import RouteToLLM
from router_graph.view import View

_OPENED, _CLOSED = re.compile(r"<answer>", re.IGNORECASE), re.compile(r"</answer>", re.IGNORECASE)
_TAG = re.compile(r"</?answer>", re.IGNORECASE)


def replies(view: View) -> dict[str, str]:
    """What each model said last, by the name of the one that was asked, in the order of asking."""
    return {
        route.model: observation["text"]
        for _, route, observation in view.routes()
        if isinstance(route, RouteToLLM) and observation["status"] == "ok" and observation["text"].strip()
    }


def tagged_answer(reply: str) -> str | None:
    """What stands in the last `<answer>` of a reply, as models were taught to write it; None where there is none."""
    found, at = None, 0
    # One pass: a pattern for both tags would look to the end again for each tag that is not closed.
    while (opened := _OPENED.search(reply, at)) and (closed := _CLOSED.search(reply, opened.end())):
        found, at = reply[opened.end() : closed.start()], closed.end()
    return None if found is None else " ".join(found.split())


def answer_in(reply: str) -> str:
    """The tagged answer, or else the whole reply, never blank where the reply is not."""
    return tagged_answer(reply) or untagged(reply).strip() or reply.strip()


def untagged(reply: str) -> str:
    """The whole reply without the tags around its answer."""
    return _TAG.sub(" ", reply)


def asked_models(view: View) -> set[str]:
    """The models that were asked, whatever came of it."""
    return {action.model for _, action in view.actions() if isinstance(action, RouteToLLM)}
