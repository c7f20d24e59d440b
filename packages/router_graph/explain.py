"""What a policy would do, and would do again: previews spend nothing, and replays read what was logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import convert_to_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from router_graph.actions import action_as_dict
from router_graph.context import RouterContext
from router_graph.errors import SettingsError
from router_graph.ledger import Ledger
from router_graph.nodes.begin import check, met_by, read_question
from router_graph.nodes.node import Node
from router_graph.policies.policy import Means
from router_graph.pool import portal
from router_graph.resources import Resources
from router_graph.state import RouterState, Step
from router_graph.turn import Turn
from router_graph.view import View


class PreviewOption(TypedDict):
    """One option of a step."""

    key: str
    description: str
    usd: float
    """What a typical call costs."""
    probability: float | None
    """Where the policy can score the options."""
    masked: str | None
    """Why it is not legal, if it is not."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A step that was not taken."""

    options: list[PreviewOption]
    thought: str
    actions: list[dict[str, Any]] | None
    """What the policy does; None where asking it would cost something, or it may ask elsewhere."""
    problem: str
    """Why `actions` is None."""
    replay_id: str
    policy: str
    version: str


def preview(router: CompiledStateGraph[Any, Any, Any, Any] | Resources, question: Any, **options: Any) -> Preview:
    """`apreview` for code that is not async."""
    return portal.run(apreview(router, question, **options))


async def apreview(
    router: CompiledStateGraph[Any, Any, Any, Any] | Resources,
    question: str | Mapping[str, Any],
    *,
    context: RouterContext | Mapping[str, Any] | None = None,
    state: Mapping[str, Any] | None = None,
) -> Preview:
    """The first step of a turn, as it would be taken now. Spends nothing, so that a policy that asks a model is not
    asked: then only the options are told.

    `question` is a question, or an input of the graph; `state` the values of its thread, as `graph.get_state` has
    them, whose pin, messages and exclusions count. Raises what `invoke` would raise before it spends.
    """
    resources = resources_of(router)
    given = {"question": question} if isinstance(question, str) else dict(question)
    before = dict(state or {})
    messages = [*before.get("messages", ()), *convert_to_messages(given.get("messages") or ())]
    begun = {**before, **given, "messages": messages}
    asked, _ = read_question(begun)  # type: ignore[arg-type]
    settings, met = resources.settings(context), met_by(begun)  # type: ignore[arg-type]
    check(resources, {**settings, "ask_above_usd": None}, begun.get("pin"), met)  # here nobody is asked
    fresh = {"asked": asked, "settings": settings, "menu": resources.menu(), "met": met, "steps": [], "ledger": {}}
    return await _decide(resources, {**begun, **fresh})


def replay(
    router: CompiledStateGraph[Any, Any, Any, Any] | Resources, state: Mapping[str, Any], replay_id: str
) -> tuple[Preview, bool]:
    """The decision of a logged step, taken again on what the policy saw then; and whether it is the same.

    `state` is the values of the thread that the step is in. A policy that asks a model is not asked. Raises
    `SettingsError` where no step has this id, and for what invoke returned, which leaves out what the policy saw.
    """
    resources, steps = resources_of(router), list(state.get("steps") or ())
    if not {"asked", "menu", "settings"} <= state.keys():
        raise SettingsError(
            "This is no state of a thread, but perhaps what invoke returned; give graph.get_state(config).values."
        )
    place = next((n for n, step in enumerate(steps) if step["decision"]["replay_id"] == replay_id), None)
    if place is None:
        raise SettingsError(f"No step of this turn has the replay id {replay_id!r}; it has {len(steps)} steps.")
    step: Step = steps[place]
    decision = step["decision"]
    asked = state["asked"]
    view = View(
        question=asked["question"],
        menu=tuple(state["menu"]),
        masked=decision["masked"],
        steps=tuple(steps[:place]),
        left=decision["left"],
        must_answer=decision["forced"],
        images=tuple(asked["images"]),
        earlier=tuple((role, text) for role, text in asked["earlier"]),
        seed=state["settings"]["seed"],
    )
    settings = {**state["settings"], "policy": decision["policy"], "protocol": decision["protocol"]}
    again = portal.run(_decide(resources, {**state, "settings": settings, "steps": steps[:place]}, view))
    return again, again.actions == step["actions"] and again.replay_id == replay_id


def resources_of(router: CompiledStateGraph[Any, Any, Any, Any] | Resources) -> Resources:
    """The live parts of a graph of ours."""
    if isinstance(router, Resources):
        return router
    for node in router.builder.nodes.values():
        if isinstance(node.runnable, Node):
            return node.runnable.resources
    raise SettingsError("This graph has no node of router_graph; give a graph of create_router, or its Resources.")


async def _decide(resources: Resources, state: Mapping[str, Any], view: View | None = None) -> Preview:
    full: RouterState = {"turn": "preview", **state}  # type: ignore[typeddict-item]
    turn = _Quiet(resources, full, Runtime())
    view = view or turn.view()
    policy = turn.policy
    probabilities: Mapping[str, float] = {}
    thought, actions, problem = "", None, ""
    if policy.decides_alone:
        act = await policy.act(view, turn.protocol, Means(ledger=Ledger()))
        reading = turn.protocol.read(act.reply, view)
        thought, actions = reading.thought, [action_as_dict(one) for one in reading.actions]
        probabilities = act.probabilities or {}
    else:
        problem = f"The policy {policy.name!r} asks a model, which is not free; a preview spends nothing."
    options = [
        PreviewOption(
            key=option["key"],
            description=option["description"],
            usd=option["usd"],
            probability=probabilities.get(option["key"]),
            masked=view.masked.get(option["key"]),
        )
        for option in view.menu
    ]
    return Preview(options, thought, actions, problem, turn.replay_id(view), policy.name, policy.version)


class _Quiet(Turn):
    """A turn with an account of its own, that nobody else sees."""

    @property
    def ledger(self) -> Ledger:
        """A new one: a preview is not booked."""
        from router_graph.limits import budget_of

        return Ledger(budget_of(self.settings, keeps_reserve=self.policy.card is not None), self.state.get("ledger"))
