"""Runs that are begun in the pages: a question that is asked there, a step that is forked, a run that is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from router_graph.context import RouterContext
from router_graph.errors import RouterError
from router_graph.trajectories.records import RunRecord
from router_graph.viewer.action_json import action_of
from router_graph.viewer.problems import Problem
from router_graph.viewer.under_way import Going
from router_graph.viewer.viewer import Viewer

_SURELY_S = 10.0
"""How long to wait for what was written just now, where not to see it would cost something."""

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from router_graph.settings_live import Router


async def ask(viewer: Viewer, question: Any, context: Any) -> str:
    """Ask the router, and give the run's id when it has begun. Raises `Problem`."""
    router = _router(viewer, "Questions are asked")
    if not isinstance(question, str) or not isinstance(context, Mapping | None):
        raise Problem(400, "question is a text, and context an object of the settings of this run.")
    from router_graph.graph import create_router
    from router_graph.serving.offered import Offered

    with _told():
        told = RouterContext.model_validate(dict(context or {}))
        for policy in (told.policy, told.shadow):  # no file of this machine is opened because a request names it
            if policy is not None:
                Offered(router.resources).check(policy)
        router.resources.settings(told)
        recorder = await run_in_threadpool(viewer.recording.of_questions)
        graph = create_router(router.resources, checkpointer=_saver(router))
        return await viewer.under_way.begin(graph, {"question": question}, {"callbacks": [recorder]}, context=told)


async def fork(viewer: Viewer, run: str, step: Any, action: Any) -> dict[str, Any]:
    """Fork the run's step; `run` is the fork's id, and `cached` says that it was there already. Raises `Problem`."""
    router = _router(viewer, "Steps are forked")
    record = await run_in_threadpool(viewer.read, run)
    if isinstance(step, bool) or not isinstance(step, int):
        raise Problem(400, "step is the number of the step to fork, counted from 1.")
    from router_graph.forking import build_fork_graph, config_of, fork_id, input_of

    earlier = (one for record_ in record.steps if record_.number < step for one in _came(record_.step))
    wanted = action_of(action, has_evidence=any(came["hits"] for came in earlier))
    name = fork_id(record, step, wanted)
    async with viewer.under_way.one_by_one:
        # In this order: one that ends in between is in the log by then.
        if viewer.under_way.find(name) is not None or await run_in_threadpool(_known, viewer, name):
            return {"run": name, "cached": True}
        with _told():
            recorder = await run_in_threadpool(viewer.recording.of_forks)
            graph = build_fork_graph(router.resources, record, step, wanted).compile(checkpointer=_saver(router))
            config = config_of(record, step, wanted, {"callbacks": [recorder]})
            return {"run": await viewer.under_way.begin(graph, input_of(record), config, run=name), "cached": False}


async def resume(viewer: Viewer, run: str, approve: Any, reason: Any, interrupt: Any) -> dict[str, Any]:
    """Tell a run that waits what a person says; without `interrupt` to all that it asks. Raises `Problem`."""
    if not isinstance(approve, bool) or not isinstance(reason, str) or not isinstance(interrupt, str | None):
        raise Problem(400, "approve is true or false, and reason a text; interrupt is one of those of the run, if any.")
    async with viewer.under_way.one_by_one:
        going = viewer.under_way.find(run) or await _kept(viewer, run)
        if going is None:
            raise Problem(409, "This run does not wait for anybody, or nobody has kept its thread.")
        viewer.under_way.resume(run, going, {"approve": approve, "reason": reason}, interrupt)
    return {"run": run}


async def _kept(viewer: Viewer, run: str) -> Going | None:
    """A run that waits in a thread that the router's settings keep, as of another process."""
    router = viewer.router
    if router is None or router.checkpointer is None:
        return None
    record: RunRecord = await run_in_threadpool(viewer.read, run)
    if record.status != "open" or not record.thread_id:
        return None
    from router_graph.graph import create_router

    recorder = await run_in_threadpool(viewer.recording.of_questions)
    graph = create_router(router.resources, checkpointer=router.checkpointer)
    state = await graph.aget_state({"configurable": {"thread_id": record.thread_id}})
    if state.values.get("turn") != run or not state.interrupts:
        return None
    config: Any = {"callbacks": [recorder], "configurable": {"thread_id": record.thread_id}}
    return viewer.under_way.taken_over(run, graph, config, state.interrupts)


def _known(viewer: Viewer, run: str) -> bool:
    """Whether the log has the run, and it has ended."""
    viewer.index.wake(_SURELY_S)
    record = viewer.index.record(run)
    return record is not None and record.status == "ended"


def _came(step: Any) -> list[Any]:
    return list(step.get("observations", {}).values())


def _router(viewer: Viewer, what: str) -> Router:
    if viewer.router is None:
        raise Problem(409, f"{what} where the viewer has a router; start it beside a router.yaml, or with --config.")
    return viewer.router


def _saver(router: Router) -> BaseCheckpointSaver[str]:
    """Where the thread is kept while it waits: as the settings say, else in memory."""
    if router.checkpointer is not None:
        return router.checkpointer
    from langgraph.checkpoint.memory import InMemorySaver

    return InMemorySaver()


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with the request is the caller's to mend."""
    try:
        yield
    except Problem:
        raise
    except RouterError as error:
        raise Problem(400, str(error)) from None
