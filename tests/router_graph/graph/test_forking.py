"""A fork of a recorded run: the steps before it come from the log, and the real graph goes on from there."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from kb_tools import Catalog, Passage
from router_graph import Answer, Exclusion, RouteToKB, RouteToLLM, create_router
from router_graph.actions import action_from_dict
from router_graph.errors import SettingsError
from router_graph.forking import afork, build_fork_graph, config_of, fork, fork_id, input_of
from router_graph.policies.chat import ChatPolicy
from router_graph.policies.closing import close
from router_graph.policies.policy import Choice, ChoicePolicy
from router_graph.pool import ModelCard, ModelPool
from router_graph.trajectories.forks import steps_taken_over
from router_graph.trajectories.reader import read_runs
from router_graph.trajectories.recorder import Recorder
from router_graph.trajectories.views import view_at
from support.chat_models import Plain
from support.routed_runs import FILM, GOOD, PERSON, Library, libraries, run_of
from support.routing import Script, Shelf

HERE = RouteToKB("people", "Ann Lee")
"""What the run did not ask."""


class Asks(ChoicePolicy):
    """Asks `films`, then `people`, and answers from what was found; it writes down what it saw."""

    name = "asks"

    def __init__(self):
        self.views = []

    def choose(self, view):
        self.views.append(view)
        if view.must_answer or len(view.steps) == 2:
            return close(view)
        return Choice("As always.", ((FILM, PERSON)[len(view.steps)],))


def forked(run, number, action, folder, *, policy=None, **options):
    """The record of the fork, made by the policy of the run."""
    bases, policy = libraries(), policy or Asks()
    graph = create_router(bases, policy=policy, **options)
    with Recorder(folder, strict=True) as recorder:
        fork(graph, run, number, action, config={"callbacks": [recorder]})
    (found,) = read_runs(folder)
    return found, {base.name: base.asked for base in bases}, getattr(policy, "views", [])


@pytest.fixture(scope="module")
def run():
    return run_of(Asks(), context={"usd": 0.02, "max_steps": 4, "seed": 7})


def test_what_was_before_comes_from_the_log_and_nobody_is_asked_again(run, tmp_path):
    found, asked, views = forked(run, 2, HERE, tmp_path)
    assert asked == {"films": [], "people": [HERE.query], "noise": []}
    assert [one.step["actions"] for one in found.steps[:2]] == [run.steps[0].step["actions"], [action_of(HERE)]]
    first, was = found.steps[0].step, run.steps[0].step
    assert {**first, "id": ""} == {**was, "id": ""}
    assert found.status == "ended" and found.is_ours and all(one.is_whole for one in found.steps)
    assert found.metadata["forked_from"] == {"run": run.run_id, "step": 2, "action": action_of(HERE)}
    assert found.metadata["gold"] == run.metadata["gold"] and found.question_id == run.question_id
    assert steps_taken_over(found) == 1 and steps_taken_over(run) == 0
    assert [len(view.steps) for view in views] == [2], "the policy decides only after the step that was forked"


def action_of(route):
    return {"kind": "kb", "kb": route.kb, "query": route.query}


def test_the_state_at_the_step_is_the_one_that_the_run_had(run, tmp_path):
    found, _, _ = forked(run, 2, HERE, tmp_path)
    assert view_at(found, 2).left == view_at(run, 2).left
    assert view_at(found, 2).masked == view_at(run, 2).masked
    decision = found.steps[1].step["decision"]
    assert decision["propensity"] is None and decision["probabilities"] is None and decision["policy"] == "fork"


def test_what_was_spent_stays_spent_and_is_not_paid_again(run, tmp_path):
    found, _, _ = forked(run, 2, HERE, tmp_path)
    assert found.usd == pytest.approx(0.001), "one search of people"
    before = 0.004
    assert found.settings["before"] == {"usd": pytest.approx(before), "tokens": 0}
    assert view_at(found, 3).left["usd"] == pytest.approx(0.02 - before - 0.001)
    assert view_at(found, 3).left["steps"] == 2


def test_a_fork_of_a_fork_has_spent_what_both_had(run, tmp_path):
    first, _, _ = forked(run, 2, HERE, tmp_path / "first")
    second, asked, _ = forked(first, 3, Answer("Bo Chen"), tmp_path / "second")
    assert asked == {"films": [], "people": [], "noise": []} and second.usd == 0
    assert second.settings["before"]["usd"] == pytest.approx(0.005)
    assert second.metadata["forked_from"]["run"] == first.run_id and steps_taken_over(second) == 2


def test_without_a_limit_what_was_spent_is_the_sum_of_the_steps(tmp_path):
    found, _, _ = forked(run_of(Asks()), 3, Answer("x"), tmp_path)
    assert found.settings["before"]["usd"] == pytest.approx(0.005)


def test_an_answer_ends_it_and_a_blank_one_is_made_of_what_was_found(run, tmp_path):
    said, _, _ = forked(run, 2, Answer("Bo Chen [films:harbour]"), tmp_path / "said")
    assert (said.answer, said.stop_reason, len(said.steps)) == ("Bo Chen [films:harbour]", "answered", 2)
    assert [one["doc_id"] for one in said.citations] == ["harbour"]
    blank, _, _ = forked(run, 2, Answer(" "), tmp_path / "blank")
    assert blank.answer == close(view_at(run, 2)).actions[0].text


def test_the_same_fork_has_the_same_id_and_another_has_another(run):
    assert fork_id(run, 2, HERE) == fork_id(run, 2, RouteToKB("people", "Ann Lee"))
    others = [fork_id(run, 1, HERE), fork_id(run, 2, PERSON), fork_id(run, 2, Answer("Ann Lee"))]
    assert len({fork_id(run, 2, HERE), *others}) == 4


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"usd": 0.0115, "max_steps": 5},
        {"usd": 0.009, "seed": 3},
        {"max_steps": 2, "exclude": ["kb:noise"]},
        {"explore": 0.6, "seed": 5, "usd": 0.02},
    ],
)
def test_the_action_that_was_taken_leads_where_the_run_went(tmp_path, context):
    """So the state at every step is what it was: its budget, its masks, its history, and the seed of its draws."""
    script = [FILM, PERSON, RouteToKB("films", "Cy Dunn"), RouteToKB("people", "writer"), Answer("Bo Chen")]

    def policy():
        return Script(*script, name="as-before")

    run = run_of(policy(), context=context)
    assert len(run.steps) >= 2
    for step in run.steps:
        (told,) = step.step["actions"]
        again, _, _ = forked(run, step.number, action_from_dict(told), tmp_path / str(step.number), policy=policy())
        assert [one.step["actions"] for one in again.steps] == [one.step["actions"] for one in run.steps]
        for one, was in zip(again.steps, run.steps, strict=True):
            assert one.step["decision"]["left"] == was.step["decision"]["left"]
            assert one.step["decision"]["masked"] == was.step["decision"]["masked"]
            assert one.step["decision"]["forced"] == was.step["decision"]["forced"]
        assert (again.answer, again.stop_reason) == (run.answer, run.stop_reason)
        spent = sum(came["usd"] for one in again.steps[step.number - 1 :] for came in one.step["observations"].values())
        assert again.usd == pytest.approx(spent)


@pytest.mark.parametrize(
    ("number", "action", "says"),
    [
        (2, RouteToKB("flims", "x"), "There is no kb:flims; there is kb:films, kb:people, kb:noise, answer"),
        (2, RouteToKB("people", " "), "kb:people was asked nothing; write a query"),
        (2, FILM, "This was asked in step 1"),
        (9, HERE, "has no step 9; it has 3, counted from 1"),
        (0, HERE, "has no step 0"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence_before_anything_is_spent(run, tmp_path, number, action, says):
    bases = libraries()
    with Recorder(tmp_path, strict=True) as recorder, pytest.raises(SettingsError, match=says):
        fork(create_router(bases, policy=Asks()), run, number, action, config={"callbacks": [recorder]})
    assert not any(base.asked for base in bases) and not list(tmp_path.rglob("*.jsonl"))


def test_masked_options_are_masked_with_the_reason_of_the_run():
    run = run_of(Asks(), context={"usd": 0.0045, "exclude": ["kb:noise"]})
    graph = create_router(libraries(), policy=Asks())
    with pytest.raises(SettingsError, match="kb:people cannot be asked now: too dear"):
        fork(graph, run, 2, HERE)
    with pytest.raises(SettingsError, match="kb:noise cannot be asked now: excluded from this turn"):
        fork(graph, run, 1, RouteToKB("noise", "rain"))


def test_a_pin_of_the_thread_holds_in_a_fork(tmp_path):
    graph = create_router(libraries(), policy=Script(FILM, Answer("a")), checkpointer=InMemorySaver())
    with Recorder(tmp_path) as recorder:
        thread = {"configurable": {"thread_id": "t"}, "callbacks": [recorder]}
        graph.invoke({"question": "Who?", "pin": "kb:films"}, thread)
    (run,) = read_runs(tmp_path)
    with pytest.raises(SettingsError, match="pinned to kb:films"):
        fork(graph, run, 1, HERE)


def test_a_run_whose_policy_is_not_there_any_more_says_so(run):
    with pytest.raises(SettingsError, match="asks"):
        fork(create_router(libraries()), run, 2, HERE)


def test_a_source_that_has_gone_is_masked(run):
    graph = create_router([one for one in libraries() if one.name != "people"], policy=Asks())
    with pytest.raises(SettingsError, match="kb:people cannot be asked now: it is not there any more"):
        fork(graph, run, 2, HERE)


def test_what_the_run_had_met_holds_for_the_rules_of_the_fork():
    def graph():
        cards = [ModelCard(name="cloud", price="free", transport="cloud")]
        pool = ModelPool(cards, transports={"cloud": Plain()})
        rule = Exclusion(knowledge_bases=["people"], models=["cloud"])
        return create_router(libraries(), policy=Asks(), pool=pool, exclusions=[rule])

    run = _recorded(graph())
    assert fork(graph(), run, 2, RouteToLLM("cloud", "Who?"))["steps"][1]["observations"]["0"]["status"] == "ok"
    with pytest.raises(SettingsError, match="what 'people' holds must not reach it"):
        fork(graph(), run, 3, RouteToLLM("cloud", "Who?"))


def _recorded(graph, **context):
    with tempfile.TemporaryDirectory() as folder:
        with Recorder(folder) as recorder:
            graph.invoke({"question": "Who?"}, {"callbacks": [recorder]}, context=context)
        return next(read_runs(folder))


def test_a_model_that_decides_reads_the_steps_of_the_log_and_goes_on():
    pool = ModelPool([ModelCard(name="m", transport="m", price={"input": 1, "output": 2})], transports={"m": Plain()})
    run = run_of(GOOD, context={"usd": 0.05, "max_steps": 3})
    saw = []

    class Hears(ChatPolicy):
        async def act(self, view, protocol, means):
            saw.append((protocol.messages(view), view.left))
            return await super().act(view, protocol, means)

    policy = Hears(pool, "m")
    policy.name = "scripted"
    result = fork(create_router(libraries(), policy=policy, pool=pool), run, 2, HERE)
    assert "harbour" in str(saw[0][0]) and "Ann Lee is a writer" in str(saw[0][0])
    assert saw[0][1]["usd"] == pytest.approx(0.8 * 0.05 - 0.005), (
        "its answer's reserve is kept, and the log's bill counts"
    )
    paid = sum(entry["spent"]["picousd"] for entry in result["ledger"].values()) / 1e12
    assert result["messages"][-1].response_metadata["usd"] == paid


async def test_a_fork_that_asks_a_person_waits_and_goes_on(run):
    run = replace(run, settings={**run.settings, "ask_above_usd": 0.0005})
    graph = create_router(libraries(), policy=Asks())
    with pytest.raises(SettingsError, match="needs a checkpointer"):
        await afork(graph, run, 2, HERE)
    waiting = build_fork_graph(graph, run, 2, HERE).compile(checkpointer=InMemorySaver())
    config = {**config_of(run, 2, HERE), "configurable": {"thread_id": "t"}}
    asked = await waiting.ainvoke(input_of(run), config)
    assert asked["__interrupt__"][0].value["target"] == "kb:people"
    result = await waiting.ainvoke(Command(resume=True), config)
    assert result["steps"][1]["observations"]["0"]["status"] == "ok"


def test_a_run_of_a_real_knowledge_base_is_forked_on_it(tmp_path):
    with Catalog(tmp_path / "kb") as catalog:
        for name, text in (("leave", "Everybody has 30 days of leave."), ("pay", "Pay day is the 25th.")):
            catalog.create(name, description=f"About {name}.").add([Passage(id="one", title=name, text=text)])
        bases = [catalog.open(name) for name in ("leave", "pay")]
        graph = create_router(bases, policy="heuristic")
        run = _recorded(graph)
        result = fork(graph, run, 1, RouteToKB("pay", "When is pay day?"))
    assert result["steps"][0]["observations"]["0"]["hits"][0]["text"] == "Pay day is the 25th."


def test_a_foreign_graph_and_a_torn_run_cannot_be_forked(run):
    graph = create_router(libraries(), policy=Asks())
    foreign = replace(run, is_ours=False)
    with pytest.raises(SettingsError, match="of another graph"):
        fork(graph, foreign, 1, HERE)
    torn = replace(run, steps=run.steps[1:])
    with pytest.raises(SettingsError, match="step 1 is not whole in the log"):
        fork(graph, torn, 2, HERE)


def test_two_of_the_same_at_once_are_not_paid_twice(run):
    graph = create_router([Shelf("films"), Shelf("people", slow_s=0.2), Library("noise", {})], policy=Asks())

    async def both():
        return await asyncio.gather(afork(graph, run, 2, HERE), afork(graph, run, 2, HERE), return_exceptions=True)

    ended, refused = sorted(asyncio.run(both()), key=lambda one: isinstance(one, Exception))
    assert ended["answer"] and "under way already" in str(refused)
