"""Fork a recorded run: another action at one of its steps, and on from there with the run's own policy and settings.

What came before the step is taken from the log, as it stands there: nobody is asked again, and nothing is paid again.
But it stays spent: the fork goes on with what the run had left. From the step on it is a run of the real graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from router_graph.actions import Action, action_as_dict
from router_graph.budget import PICO, Amount, picodollars
from router_graph.errors import SettingsError
from router_graph.explain import resources_of
from router_graph.graph import AFTER_THINK, Graph, without_beginning
from router_graph.limits import BEFORE, budget_of
from router_graph.nodes.begin import check
from router_graph.nodes.node import Node
from router_graph.nodes.refusing import not_taken
from router_graph.nodes.think import AfterThink
from router_graph.pool import portal
from router_graph.resources import DEFAULTS, Resources
from router_graph.state import Asked, Decision, RouterState, Step
from router_graph.trajectories.assembly import missing_steps
from router_graph.trajectories.forks import FORKED_FROM, POLICY
from router_graph.trajectories.records import RunRecord, StepRecord
from router_graph.turn import PINNED, Turn
from router_graph.view import View


def fork(
    router: CompiledStateGraph[Any, Any, Any, Any] | Resources,
    run: RunRecord,
    number: int,
    action: Action,
    *,
    config: RunnableConfig | None = None,
) -> dict[str, Any]:
    """`afork` for code that is not async."""
    return portal.run(afork(router, run, number, action, config=config))


async def afork(
    router: CompiledStateGraph[Any, Any, Any, Any] | Resources,
    run: RunRecord,
    number: int,
    action: Action,
    *,
    config: RunnableConfig | None = None,
) -> dict[str, Any]:
    """Take the action at the run's step of this number (from 1), let the run's policy go on, and give the result.

    result = await afork(graph, run, 2, RouteToKB("tables", "…"), config={"callbacks": [Recorder("runs/forks")]})

    The bill is of what the fork itself paid. An `Answer` ends it; with a text that is blank, what was found gives the
    answer. What a log redacts or cuts, the policy sees so. Which knowledge bases
    earlier turns of the thread met is not in a log: where there were any, the rules take them all as met. Raises
    `SettingsError`, before anything is spent, where the run cannot be forked there or the action is not legal.
    """
    graph: CompiledStateGraph[Any, Any, Any, Any] = build_fork_graph(router, run, number, action).compile(name="fork")
    return await graph.ainvoke(input_of(run), config_of(run, number, action, config))


def build_fork_graph(
    router: CompiledStateGraph[Any, Any, Any, Any] | Resources, run: RunRecord, number: int, action: Action
) -> Graph:
    """The graph of `afork`, not compiled, to be run with `input_of` and `config_of`. A run that asks a person needs a
    checkpointer. Raises `SettingsError` where the run has no such step to fork."""
    resources = resources_of(router)
    start = _Start(run, _step(run, number), action)
    graph = without_beginning(resources)
    graph.add_node("fork", Node(start, resources, "fork"))
    graph.add_edge(START, "fork")
    graph.add_conditional_edges("fork", AfterThink(), AFTER_THINK)
    return graph


def fork_id(run: RunRecord, number: int, action: Action) -> str:
    """The run id that this fork has, whenever it is made."""
    told = json.dumps([run.run_id, number, action_as_dict(action)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def input_of(run: RunRecord) -> dict[str, Any]:
    """What the graph of a fork is given."""
    return {"question": run.question, "images": list(run.images)}


def config_of(run: RunRecord, number: int, action: Action, config: RunnableConfig | None = None) -> RunnableConfig:
    """The config with the metadata of the run, and what it was forked from."""
    given = config or {}
    origin = {"run": run.run_id, "step": number, "action": action_as_dict(action)}
    return {**given, "metadata": {**run.metadata, **given.get("metadata", {}), FORKED_FROM: origin}}


@dataclass(frozen=True, slots=True)
class _Start:
    """The first node of a fork: the state as it was before the step, with the action decided."""

    run: RunRecord
    record: StepRecord
    action: Action

    async def __call__(self, resources: Resources, state: RouterState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Raises `SettingsError` where the action is not legal, or the run asks for what is not there any more."""
        begun = self._begun(resources)
        check(resources, begun["settings"], begun["pin"], begun["met"])
        if resources.accounts.find(begun["turn"]) is not None:
            raise SettingsError("This fork is under way already; wait for it to end.")
        turn = Turn(resources, begun, runtime)
        try:
            view = turn.view()
            if (refused := not_taken(view, [self.action]).get("0")) is not None:
                raise SettingsError(f"Step {self.record.number} cannot be forked so: {refused['text']}")
        except BaseException:
            resources.accounts.close(turn.id)
            raise
        step = self._decided(turn, view)
        turn.tell("turn", question=self.run.question, menu=begun["menu"])
        turn.tell("decision", number=step["number"], thought="", actions=step["actions"], decision=step["decision"])
        said = HumanMessage(self.run.question, id=f"{turn.id}-question")
        return {**begun, "messages": [said], "steps": [*begun["steps"], step]}

    def _begun(self, resources: Resources) -> RouterState:
        run, number = self.run, self.record.number
        turn = fork_id(run, number, self.action)
        earlier = [one.step for one in run.steps if one.number < number]
        settings = {**DEFAULTS.model_dump(), **run.settings}
        resources.check(settings)
        keeps_reserve = resources.policy(settings["policy"]).card is not None
        settings[BEFORE] = _spent_before({**settings, BEFORE: None}, keeps_reserve, self.record.step, earlier)
        return {
            "turn": turn,
            "asked": Asked(question=run.question, images=list(run.images), earlier=list(run.earlier)),
            "menu": list(run.menu),
            "settings": settings,
            "pin": _pin(self.record.step),
            "met": sorted(resources.knowledge if run.earlier else _met(earlier)),
            "steps": [Step({**step, "id": f"{turn}/{step['number']}"}) for step in earlier],
            "ledger": {},
        }

    def _decided(self, turn: Turn, view: View) -> Step:
        number = self.record.number
        reply = turn.protocol.write("", [self.action], view)
        return Step(
            id=f"{turn.id}/{number}",
            number=number,
            thought="",
            reply=str(reply.text),
            actions=[action_as_dict(self.action)],
            decision=Decision(
                policy=POLICY,
                version="1",
                protocol=turn.protocol.name,
                probabilities=None,
                propensity=None,  # nobody drew it
                masked=dict(view.masked),
                left=view.left,
                forced=view.must_answer,
                problem="",
                replay_id=turn.replay_id(view),
                served="",
                usd=0.0,
                tokens=0,
                seconds=0.0,
            ),
            observations={},
        )


def _step(run: RunRecord, number: int) -> StepRecord:
    """The step, where all that came before it is known. Raises `SettingsError`."""
    if not run.is_ours:
        raise SettingsError(
            f"The run {run.run_id} is of another graph, of which only the calls are known; fork one of ours."
        )
    record = next((one for one in run.steps if one.number == number), None)
    if record is None:
        raise SettingsError(f"The run {run.run_id} has no step {number!r}; it has {len(run.steps)}, counted from 1.")
    lost = [one for one in missing_steps(run) if one < number]
    lost += [one.number for one in run.steps if one.number < number and not one.is_whole]
    if lost or not run.menu:
        what = f"step {lost[0]}" if lost else "its menu"
        raise SettingsError(f"The run {run.run_id} cannot be forked at step {number}: {what} is not whole in the log.")
    return record


def _spent_before(
    settings: Mapping[str, Any], keeps_reserve: bool, step: Step, earlier: Sequence[Step]
) -> dict[str, float | int]:
    """What the run had spent when the step began: the sum of what its steps took, and what else its limits tell."""
    parts = [part for one in earlier for part in (one["decision"], *one.get("observations", {}).values())]
    spent = Amount(sum(picodollars(one["usd"]) for one in parts), sum(one["tokens"] for one in parts))
    limits, left = budget_of(settings, keeps_reserve=keeps_reserve).limits(for_answer=False), step["decision"]["left"]
    picousd, tokens = spent.picousd, spent.tokens
    if limits["picousd"] is not None and left["usd"] is not None:
        picousd = max(picousd, limits["picousd"] - picodollars(left["usd"]))
    if limits["tokens"] is not None and left["tokens"] is not None:
        tokens = max(tokens, limits["tokens"] - left["tokens"])
    return {"usd": picousd / PICO, "tokens": tokens}


def _pin(step: Step) -> str:
    """What the thread was pinned to, which a log says only as the reason for a mask."""
    reasons = step["decision"]["masked"].values()
    return next((one.removeprefix(PINNED) for one in reasons if one.startswith(PINNED)), "")


def _met(steps: Sequence[Step]) -> set[str]:
    """The knowledge bases that were really asked."""
    return {
        step["actions"][int(position)]["kb"]
        for step in steps
        for position, came in step.get("observations", {}).items()
        if step["actions"][int(position)]["kind"] == "kb" and came["status"] not in ("refused", "declined", "repeated")
    }
