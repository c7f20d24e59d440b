"""The policy decides: what it sees goes in, and what it wants is read, checked and written down."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.callbacks import adispatch_custom_event
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from langgraph.types import Send

from router_graph.actions import Answer, RouteToKB, RouteToLLM, action_as_dict, action_from_dict
from router_graph.errors import BudgetExceededError, RouterError
from router_graph.ledger import Entries
from router_graph.nodes.begin import begin
from router_graph.nodes.refusing import not_taken
from router_graph.nodes.task import task_of
from router_graph.policies.policy import Act, Means
from router_graph.protocols.protocol import Reading
from router_graph.resources import Resources
from router_graph.state import Decision, RouterState, Step, StopReason
from router_graph.tab import Tab
from router_graph.trajectories.records import TOKENS
from router_graph.turn import Turn
from router_graph.view import View

_logger = logging.getLogger(__name__)
_SHORT_OF: dict[str | None, StopReason] = {"picousd": "usd", "tokens": "tokens", "milliseconds": "seconds"}


async def think(resources: Resources, state: RouterState, runtime: Runtime[Any]) -> dict[str, Any]:
    """One step: the policy's reply, what it wants, and what was refused of it."""
    begun: dict[str, Any] = {}
    if "turn" not in state:  # in a graph of another make, without a begin node
        begun = await begin(resources, state, runtime)
        state = cast(RouterState, {**state, **begun, "steps": [], "ledger": {}})
    turn = Turn(resources, state, runtime)
    number = len(turn.steps) + 1
    turn.tell("step", number=number)
    started = time.perf_counter()
    thinking = _think(turn, number)
    if turn.settings["shadow"] is None:
        thought, shadow = await thinking, None
    else:
        thought, shadow = await asyncio.gather(thinking, _shadow(turn))
    if thought.act is not None and thought.act.tokens is not None:
        await adispatch_custom_event(TOKENS, thought.act.tokens)  # too many for the state: a recorder hears them
    step = _step(turn, number, thought, time.perf_counter() - started)
    if shadow is not None:
        step["shadow"] = shadow.facts
    turn.tell("decision", number=number, thought=step["thought"], actions=step["actions"], decision=step["decision"])
    for position, observation in step["observations"].items():
        route = step["actions"][int(position)]
        action = action_from_dict(route)
        assert isinstance(action, RouteToKB | RouteToLLM)
        turn.tell(
            "observation",
            number=number,
            action=int(position),
            target=action.target,
            query=action.query,
            observation=observation,
        )
    entries: Entries = {**thought.tab.entries, **(shadow.entries if shadow else {})}
    return {**begun, "steps": [step], "ledger": entries}


class AfterThink(Runnable[RouterState, list[Send] | str]):
    """Where the graph goes on: to the routes that were allowed, to the answer, or to another thought.

    A function would do; LangGraph runs that of an async graph in a thread, which takes as long as the rest of the step.
    """

    name = "after_think"

    def invoke(self, input: RouterState, config: RunnableConfig | None = None, **kwargs: Any) -> list[Send] | str:
        """Sends to `route_to_kb` and `route_to_llm`, or "think", or "finish"."""
        return _after(input)

    async def ainvoke(
        self, input: RouterState, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Send] | str:
        """`invoke`, which waits for nothing."""
        return _after(input)


def _after(state: RouterState) -> list[Send] | str:
    step = state["steps"][-1]
    pending = [n for n in range(len(step["actions"])) if _is_pending(step, n)]
    if pending:
        return [Send(f"route_to_{step['actions'][n]['kind']}", task_of(state, step, n)) for n in pending]
    if step["decision"]["forced"] is not None or any(one["kind"] == "answer" for one in step["actions"]):
        return "finish"
    return "think"


@dataclass(frozen=True, slots=True)
class _Shadow:
    facts: dict[str, Any]
    entries: Entries


async def _shadow(turn: Turn) -> _Shadow:
    """What a second policy would do. It costs what it costs, and changes nothing."""
    policy, tab, view = turn.resources.policy(turn.settings["shadow"]), Tab(turn.ledger), turn.view()
    protocol = turn.resources.protocol(policy.speaks or turn.settings["protocol"])
    facts: dict[str, Any] = {"policy": policy.name, "version": policy.version}
    met, rules = turn.state.get("met", ()), turn.resources.rules
    means = Means(ledger=tab, deadline_s=view.left["seconds"], allowed=lambda card: rules.against_model(card, met))
    try:
        reason = None if policy.card is None else rules.against_model(policy.card, met)
        if reason is not None:
            return _Shadow({**facts, "problem": f"It was not asked: {reason}."}, {})
        act = await policy.act(view, protocol, means)
        reading = protocol.read(act.reply, view)
    except Exception as error:  # whatever is wrong with it, it only logs
        return _Shadow({**facts, "problem": str(error) or type(error).__name__, "usd": tab.spent.usd}, tab.entries)
    facts |= {"thought": reading.thought, "actions": [action_as_dict(one) for one in reading.actions]}
    facts |= {"probabilities": act.probabilities and dict(act.probabilities), "usd": tab.spent.usd}
    return _Shadow(facts, tab.entries)


def _is_pending(step: Step, position: int) -> bool:
    return step["actions"][position]["kind"] in ("kb", "llm") and str(position) not in step["observations"]


@dataclass(frozen=True, slots=True)
class _Thought:
    view: View
    act: Act | None
    reading: Reading
    forced: StopReason | None
    problem: str
    tab: Tab


async def _think(turn: Turn, number: int) -> _Thought:
    tab, view = Tab(turn.ledger), turn.view()
    act, forced, problem = await _ask(turn, view, tab, number)
    if act is None and forced is not None and view.must_answer is None and forced != "policy_failed":
        # What is left does not pay for another thought, but the answer has a reserve of its own.
        view = turn.view(forced=forced)
        act, failed, problem = await _ask(turn, view, tab, number)
        forced = forced if act is not None else failed or forced
    reading = turn.protocol.read(act.reply, view) if act else Reading("", ())
    return _Thought(view, act, reading, forced or view.must_answer, problem, tab)


async def _ask(turn: Turn, view: View, tab: Tab, number: int) -> tuple[Act | None, StopReason | None, str]:
    """What the policy says; or why it could not, as a reason and as a sentence."""
    policy = turn.policy
    if view.must_answer == "seconds" and not policy.decides_alone:
        return None, "seconds", "No time is left to ask the policy's model."

    def on_token(text: str, again: bool = False) -> None:
        turn.tell("token", number=number, text=text, again=again)

    met = turn.state.get("met", ())
    means = Means(
        ledger=tab,
        purpose="policy" if view.must_answer is None else "answer",
        deadline_s=view.left["seconds"],
        on_token=on_token if turn.is_heard else None,
        on_again=lambda: on_token("", again=True),
        allowed=lambda card: turn.resources.rules.against_model(card, met),
    )
    try:
        return await policy.act(view, turn.protocol, means), None, ""
    except BudgetExceededError as error:
        return None, _SHORT_OF.get(error.field, "usd"), str(error)
    except GraphBubbleUp:
        raise  # an interrupt of the policy's own
    except Exception as error:
        problem = str(error)
        if not isinstance(error, RouterError):  # a mistake in the policy: the run ends well, the log has the traceback
            _logger.exception("The policy %r failed.", policy.name)
            problem = f"The policy {policy.name!r} failed with {type(error).__name__}: {error}"
        turn.tell("problem", number=number, text=problem)
        return None, view.must_answer or "policy_failed", problem


def _step(turn: Turn, number: int, thought: _Thought, seconds: float) -> Step:
    view, act, actions = thought.view, thought.act, thought.reading.actions
    if thought.forced is not None:
        actions = tuple(one for one in actions if isinstance(one, Answer)) or actions
    spent = thought.tab.spent
    return Step(
        id=f"{turn.id}/{number}",
        number=number,
        thought=thought.reading.thought,
        reply="" if act is None else str(act.reply.text),
        actions=[action_as_dict(one) for one in actions],
        decision=Decision(
            policy=turn.policy.name,
            version=turn.policy.version,
            protocol=turn.protocol.name,
            probabilities=None if act is None or act.probabilities is None else dict(act.probabilities),
            propensity=None if act is None else act.propensity,
            masked=dict(view.masked),
            left=view.left,
            forced=thought.forced,
            problem=thought.problem,
            replay_id=turn.replay_id(view),
            served="" if act is None else str(act.reply.response_metadata.get("card", "")),
            usd=spent.usd,
            tokens=spent.tokens,
            seconds=seconds,
        ),
        observations=not_taken(view, actions),
    )
