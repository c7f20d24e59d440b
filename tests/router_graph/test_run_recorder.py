"""What a run was is what the log says, however the graph was run, and whoever made it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from router_graph import create_router
from router_graph.actions import Answer, RouteToKB
from router_graph.policies.policy import Choice
from router_graph.policies.scripted import Scripted
from router_graph.state import merge_steps
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.views import view_at


class Facts:
    description, modality, cost_usd = "capitals", "text", 0.0

    def __init__(self, name="facts", fails=False):
        self.name, self._fails = name, fails

    async def asearch(self, query, k):
        await asyncio.sleep(0.001)
        if self._fails:
            raise OSError("the disk is gone")
        return [{"kb": self.name, "doc_id": query, "title": "T", "text": query, "score": 1.0, "metadata": {}}]


def both_then_answer(view):
    if view.steps:
        return Choice("Known.", (Answer(f"{view.question} [facts:a]"),))
    return Choice("Ask both.", (RouteToKB("facts", "a"), RouteToKB("other", "b")))


def router(**options: Any):
    return create_router([Facts(), Facts("other")], policy=Scripted(both_then_answer), **options)


def the_steps(run):
    return [record.step for record in run.steps]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "custom", "values", "messages"])
def test_the_log_holds_the_run_as_the_state_does(tmp_path, how):
    graph, config = router(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t1"}}
    with Recorder(tmp_path) as recorder:
        config |= {"callbacks": [recorder], "metadata": {"question_id": "q1", "gold": ["Paris"]}}
        given = {"question": "What?"}
        if how == "ainvoke":
            asyncio.run(graph.ainvoke(given, config))
        elif how == "invoke":
            graph.invoke(given, config)
        else:
            list(graph.stream(given, config, stream_mode=how))
    report = LogReport()
    (run,), state = list(read_runs(tmp_path, report=report)), graph.get_state(config).values
    assert report.replaced == 0
    assert the_steps(run) == state["steps"]
    assert (run.question, run.answer, run.stop_reason) == ("What?", state["answer"], state["stop_reason"])
    assert list(run.citations) == state["citations"]
    assert (list(run.menu), dict(run.settings)) == (state["menu"], state["settings"])
    assert run.status == "ended" and run.thread_id == "t1" and run.run_id == state["turn"]
    assert dict(run.metadata) == {"question_id": "q1", "gold": ["Paris"]} and run.question_id == "q1"


def test_twenty_runs_at_once_do_not_mix(tmp_path):
    graph = router()

    async def all_at_once():
        await asyncio.gather(*(graph.ainvoke({"question": f"Q{n}"}, {"callbacks": [recorder]}) for n in range(20)))

    with Recorder(tmp_path) as recorder:
        asyncio.run(all_at_once())
        assert recorder.lost == 0 and not recorder._chains and not recorder._calls
    runs = list(read_runs(tmp_path))
    assert sorted(run.question for run in runs) == sorted(f"Q{n}" for n in range(20))
    for run in runs:
        assert run.answer.startswith(run.question) and len(run.steps) == 2 and run.steps[0].is_whole
        assert view_at(run, 2).steps == (run.steps[0].step,)


def test_a_run_that_waits_for_a_person_goes_on_in_the_log_of_another_recorder(tmp_path):
    class Dear(Facts):
        cost_usd = 0.5

    graph = create_router([Dear(), Dear("other")], policy=Scripted(both_then_answer), checkpointer=InMemorySaver())
    config, context = {"configurable": {"thread_id": "t"}}, {"ask_above_usd": 0.1}
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "Q"}, {**config, "callbacks": [recorder]}, context=context)
    (run,) = read_runs(tmp_path)
    assert run.status == "open" and not run.steps[0].is_whole
    state = graph.get_state(config)
    answers = {one.id: one.value["target"] == "kb:facts" for one in state.interrupts}
    with Recorder(tmp_path) as recorder:
        graph.invoke(Command(resume=answers), {**config, "callbacks": [recorder]}, context=context)
    (run,) = read_runs(tmp_path)
    assert run.status == "ended" and run.steps[0].is_whole
    assert the_steps(run) == graph.get_state(config).values["steps"]
    assert sorted(one["status"] for one in run.steps[0].step["observations"].values()) == ["declined", "ok"]


def test_a_failed_search_and_a_failed_run_are_in_the_log(tmp_path):
    graph = create_router([Facts(fails=True), Facts("other")], policy=Scripted(both_then_answer))
    with Recorder(tmp_path) as recorder:
        graph.invoke({"question": "Q"}, {"callbacks": [recorder]})
        with pytest.raises(Exception, match="question"):
            graph.invoke({"question": " "}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert [one["status"] for one in run.steps[0].step["observations"].values()] == ["failed", "ok"]


def test_a_foreign_graph_is_logged_as_the_calls_of_its_models(tmp_path):
    model = GenericFakeChatModel(messages=iter([AIMessage("Paris."), AIMessage("Sure.")]))

    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_sequence([("ask", ask), ("check", ask)]).add_edge(START, "ask").compile()
    with Recorder(tmp_path) as recorder:
        graph.invoke({"messages": [("user", "Capital of France?")]}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert not run.is_ours and run.question == "Capital of France?" and run.answer == "Sure." and run.status == "ended"
    assert [(call["node"], call["reply"]) for call in run.calls] == [("ask", "Paris."), ("check", "Sure.")]
    assert [one["content"] for one in run.calls[1]["prompt"]] == ["Capital of France?", "Paris."]


def test_a_router_inside_a_foreign_graph_is_logged_as_itself(tmp_path):
    outer = StateGraph(MessagesState)
    outer.add_node("router", router())
    outer.add_edge(START, "router")
    with Recorder(tmp_path) as recorder:
        outer.compile().invoke({"messages": [("user", "Inner?")]}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert run.is_ours and run.question == "Inner?" and len(run.steps) == 2 and run.status == "ended"


def test_a_log_that_cannot_be_written_never_breaks_the_run(tmp_path, monkeypatch, caplog):
    with Recorder(tmp_path) as recorder:
        monkeypatch.setattr(recorder.writer, "write", lambda line: False)
        out = router().invoke({"question": "Q"}, {"callbacks": [recorder]})
    assert out["answer"].startswith("Q") and recorder.lost > 0


def test_steps_of_the_log_merge_as_those_of_the_state(tmp_path):
    with Recorder(tmp_path) as recorder:
        out = router().invoke({"question": "Q"}, {"callbacks": [recorder]})
    (run,) = read_runs(tmp_path)
    assert merge_steps(the_steps(run), out["steps"]) == out["steps"]


def test_a_key_in_a_question_stays_out_of_the_log_unless_one_wants_it_there(tmp_path):
    key = "sk-proj-" + "a1B2" * 10
    for folder, options in (("usual", {}), ("bare", {"redact": None})):
        with Recorder(tmp_path / folder, **options) as recorder:
            router().invoke({"question": f"What is {key} for?"}, {"callbacks": [recorder]})
    (usual,), (bare,) = read_runs(tmp_path / "usual"), read_runs(tmp_path / "bare")
    assert key in bare.question and key not in usual.question and usual.question.startswith("What is [key]")
