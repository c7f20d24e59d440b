"""Questions that are asked in the viewer, steps that are forked there, runs that wait: a real router, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from router_graph import Answer, RouteToKB, RouteToLLM, create_router
from router_graph.actions import action_as_dict
from router_graph.errors import SettingsError
from router_graph.settings_live import Router, load_router
from router_graph.trajectories.reader import read_runs
from router_graph.viewer.action_json import action_of, as_told
from router_graph.viewer.problems import Problem
from router_graph.viewer.under_way import UnderWay
from support.handbook import ABOUT_THE_SKY, QUESTION, make_shelf
from support.routed_runs import libraries
from support.routing import Script, Shelf
from support.viewer_server import ViewerServer, until

SKY = {"kind": "kb", "target": "kb:hostile", "query": "colour of the sky"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with knowledge bases and a router.yaml."""
    folder = tmp_path_factory.mktemp("house")
    make_shelf(folder / "kb")
    (folder / "router.yaml").write_text("knowledge: kb\npool: none\nturn: {usd: 0.05}\n")
    return folder


@pytest.fixture(scope="module")
def router(house: Path) -> Iterator[Router]:
    with load_router(house / "router.yaml") as made:
        yield made


@pytest.fixture(scope="module")
def server(house: Path, router: Router) -> Iterator[ViewerServer]:
    with ViewerServer(house / "runs", cache=house / "index.sqlite", router=router) as made:
        yield made


@pytest.fixture(scope="module")
def asked(server: ViewerServer) -> str:
    """A run that ended."""
    run = server.post("ask", question=QUESTION)["run"]
    server.ended(run)
    return run


def test_what_can_be_done_is_told(server: ViewerServer):
    told = server.get("about")
    assert told["can"] == {"ask": True, "fork": True, "label": True}
    assert told["router"]["policies"] == ["heuristic", "gate", "fanout", "kb:handbook", "kb:hostile"]
    assert [one["key"] for one in told["router"]["menu"]] == ["kb:handbook", "kb:hostile", "answer"]
    assert told["router"]["defaults"]["usd"] == 0.05


def test_a_question_is_asked_recorded_and_answered(server: ViewerServer, asked: str, house: Path):
    page = server.ended(asked)
    assert "30" in page["row"]["answer"] and page["row"]["status"] == "ended" and page["waiting"] == []
    assert asked in {run.run_id for run in read_runs(house / "runs")}


def test_the_settings_of_a_question_hold(server: ViewerServer):
    run = server.post("ask", question=ABOUT_THE_SKY, context={"only": ["kb:hostile"], "usd": 0.02, "max_steps": 2})[
        "run"
    ]
    page = server.ended(run)
    assert page["settings"]["usd"] == 0.02 and "kb:handbook" not in page["row"]["path"]


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"question": " "}, "The question is empty"),
        ({"question": 7}, "question is a text"),
        ({"question": "x", "context": {"usb": 1}}, "'usb' is no known key; did you mean 'usd'?"),
        ({"question": "x", "context": {"usd": -1}}, "usd is -1"),
        ({"question": "x", "context": {"usd": 1e300}}, "usd is 1e+300; it must be less than or equal to 1000000000"),
        ({"question": "x", "context": {"policy": "heuristik"}}, "did you mean 'heuristic'?"),
        (
            {"question": "x", "context": {"policy": "gate:/etc/hostname"}},
            "There is no policy 'gate:/etc/hostname' here",
        ),
        ({"question": "x", "context": {"shadow": "local:/etc"}}, "There is no policy 'local:/etc' here"),
        ({"question": "x", "context": {"only": ["kb:nowhere"]}}, "only names 'kb:nowhere'"),
        ({"question": "x", "context": [1]}, "context an object"),
        ({"questoin": "x"}, "'questoin' is no known key; did you mean 'question'?"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told_in_a_sentence(server: ViewerServer, told: dict, says: str):
    before = server.get("runs")["total"]
    assert says in server.post("ask", 400, **told)
    assert server.get("runs")["total"] == before and server.get("waiting")["running"] == []


def test_a_step_is_forked_and_what_was_before_it_is_marked(server: ViewerServer, asked: str, house: Path):
    last = server.get(f"runs/{asked}")["row"]["steps"]
    made = server.post(f"runs/{asked}/fork", step=last, action=SKY)
    assert made["cached"] is False
    page = server.ended(made["run"])
    assert page["row"]["forked_from"] == {"run": asked, "step": last}
    assert [one["cached"] for one in page["steps"]][:last] == [True] * (last - 1) + [False]
    assert page["steps"][last - 1]["actions"][0]["observation"]["hits"][0]["kb"] == "hostile"
    assert page["row"]["usd"] == pytest.approx(0.01), "one search of hostile, and not what was before it"
    assert page["row"]["policy"] == "heuristic" and "fork" not in server.get("about")["policies"]
    assert page["gauge"]["before_usd"] + page["row"]["usd"] == pytest.approx(page["gauge"]["spent_usd"])
    assert made["run"] in {run.run_id for run in read_runs(house / "runs" / "forks")}
    assert server.get(f"runs/{asked}")["row"]["forks"] >= 1


def test_the_same_fork_is_the_first_ones_run_and_costs_nothing(server: ViewerServer, asked: str, house: Path):
    first = server.post(f"runs/{asked}/fork", step=1, action=SKY)
    assert server.ended(first["run"])["row"]["policy"] == "heuristic"
    lines = sum(len(one.read_bytes().splitlines()) for one in (house / "runs" / "forks").rglob("*.jsonl"))
    again = server.post(f"runs/{asked}/fork", step=1, action={**SKY, "k": None})
    assert again == {"run": first["run"], "cached": True}
    assert lines == sum(len(one.read_bytes().splitlines()) for one in (house / "runs" / "forks").rglob("*.jsonl"))
    fork_of_fork = server.post(f"runs/{first['run']}/fork", step=2, action={"kind": "answer", "text": "Blue."})
    assert server.ended(fork_of_fork["run"])["row"]["answer"] == "Blue."


@pytest.mark.parametrize(
    ("step", "action", "says"),
    [
        (1, {"kind": "kb", "target": "kb:sky", "query": "x"}, "There is no kb:sky; there is kb:handbook"),
        (1, {"kind": "kb", "target": "kb:handbook", "query": ""}, "was asked nothing"),
        (1, {"kind": "kb", "target": "llm:x", "query": "x"}, "An action is"),
        (1, {"kind": "kb", "target": "kb:handbook", "query": "x", "k": 0}, "from 1 to 100"),
        (1, "kb:handbook", "An action is"),
        (99, SKY, "has no step 99"),
        ("1", SKY, "step is the number"),
    ],
)
def test_a_fork_that_cannot_be_is_told_in_a_sentence(server: ViewerServer, asked: str, step, action, says: str):
    assert says in server.post(f"runs/{asked}/fork", 400, step=step, action=action)


def test_of_a_run_that_there_is_not_nothing_is_forked(server: ViewerServer):
    assert "no run" in server.post("runs/nowhere/fork", 404, step=1, action=SKY)


@pytest.mark.parametrize(("approve", "status"), [(True, "ok"), (False, "declined")])
def test_a_run_that_asks_a_person_waits_and_goes_on(server: ViewerServer, approve: bool, status: str):
    context = {"only": ["kb:hostile"], "ask_above_usd": 0.001, "max_steps": 1}
    run = server.post("ask", question=f"{ABOUT_THE_SKY} {approve}", context=context)["run"]
    until(lambda: run in server.get("waiting")["waiting"])
    (waits,) = server.get(f"runs/{run}")["waiting"]
    assert (waits["target"], waits["usd_at_most"], waits["step"]) == ("kb:hostile", 0.01, 1)
    assert "wait for that" in server.post(f"runs/{run}/resume", 409, approve=True, interrupt="another")
    assert "approve is true or false" in server.post(f"runs/{run}/resume", 400, approve="yes")
    server.post(f"runs/{run}/resume", approve=approve, reason="so I say", interrupt=waits["interrupt"])
    came = server.ended(run)["steps"][0]["actions"][0]["observation"]
    assert came["status"] == status and (approve or "so I say" in came["text"])
    assert "does not wait" in server.post(f"runs/{run}/resume", 409, approve=True)


def test_a_run_that_waits_in_a_kept_thread_is_resumed_by_another_process(house: Path, tmp_path: Path):
    (house / "kept.yaml").write_text(
        f"knowledge: kb\npool: none\nruns: {tmp_path}/runs\ncheckpoints: {tmp_path}/t.db\n"
    )
    context = {"only": ["kb:hostile"], "ask_above_usd": 0.001, "max_steps": 1}
    with load_router(house / "kept.yaml") as elsewhere:
        config = {"configurable": {"thread_id": "t"}}
        asyncio.run(elsewhere.graph.ainvoke({"question": ABOUT_THE_SKY}, config, context=context))
    with (
        load_router(house / "kept.yaml") as router,
        ViewerServer(tmp_path / "runs", cache=tmp_path / "index.sqlite", router=router) as server,
    ):
        until(lambda: server.get("runs")["total"] == 1)
        run = server.get("runs")["runs"][0]["id"]
        server.post(f"runs/{run}/resume", approve=True)
        assert server.ended(run)["steps"][0]["actions"][0]["observation"]["status"] == "ok"


def test_without_a_router_it_says_what_to_do(house: Path, tmp_path: Path, asked: str):
    with ViewerServer(house / "runs", cache=tmp_path / "index.sqlite") as server:
        until(lambda: server.get("runs")["total"] > 0)
        assert server.get("about")["can"] == {"ask": False, "fork": False, "label": True}
        assert "router.yaml" in server.post("ask", 409, question="x")
        assert "router.yaml" in server.post(f"runs/{asked}/fork", 409, step=1, action=SKY)


async def test_whoever_listens_hears_of_a_run_that_waits_as_no_log_says_so():
    heard: list[set[str]] = []
    under_way = UnderWay(tell=heard.append)
    graph = create_router(libraries(), policy=Script(RouteToKB("people", "x")), checkpointer=InMemorySaver())
    run = await under_way.begin(graph, {"question": "x"}, {}, context={"ask_above_usd": 0.0, "max_steps": 1})
    while run not in under_way.waiting:
        await asyncio.sleep(0.01)
    assert heard == [{run}] and under_way.running == []
    going = under_way.find(run)
    assert going is not None
    under_way.resume(run, going, {"approve": True}, None)
    while under_way.find(run) is not None:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("told", "made"),
    [
        ({"kind": "llm", "target": "llm:a:b", "query": "x"}, RouteToLLM("a:b", "x", evidence=True)),
        ({"kind": "llm", "target": "llm:m", "query": "x", "evidence": False}, RouteToLLM("m", "x")),
        ({"kind": "kb", "target": "kb:b", "query": "x", "k": 3}, RouteToKB("b", "x", k=3)),
        ({"kind": "kb", "target": "kb:b", "query": "x", "linked": "b:1"}, RouteToKB("b", "x", linked="b:1")),
        ({"kind": "answer", "text": ""}, Answer("")),
    ],
)
def test_actions_of_the_pages_are_those_of_the_graph(told, made):
    assert action_of(told, has_evidence=True) == made
    assert action_of(as_told(action_as_dict(made)), has_evidence=True) == made


async def test_only_so_many_go_on_at_once_and_the_end_cancels_them():
    slow = Shelf("slow", slow_s=60)
    graph, under_way = create_router([slow], policy=Script(RouteToKB("slow", "x"))), UnderWay(at_once=2)
    runs = [await under_way.begin(graph, {"question": "x"}, {}) for _ in range(2)]
    assert sorted(under_way.running) == sorted(runs)
    with pytest.raises(Problem, match="2 runs are under way already"):
        await under_way.begin(graph, {"question": "x"}, {})
    under_way.close()
    while under_way.running:
        await asyncio.sleep(0.01)


async def test_what_cannot_begin_raises_and_is_forgotten():
    under_way = UnderWay()
    with pytest.raises(SettingsError, match="no policy"):
        await under_way.begin(create_router([Shelf("s")]), {"question": "x"}, {}, context={"policy": "nobody"})
    assert under_way.running == []


def test_the_same_fork_asked_for_by_several_at_once_is_made_once(server: ViewerServer, asked: str, house: Path):
    def fork(_: int) -> dict:
        return server.post(f"runs/{asked}/fork", step=1, action={**SKY, "query": "who is at the sky at once"})

    with ThreadPoolExecutor(6) as at_once:
        made = list(at_once.map(fork, range(6)))
    assert len({one["run"] for one in made}) == 1 and [one["cached"] for one in made].count(False) == 1
    run = made[0]["run"]
    server.ended(run)
    lines = [line for one in (house / "runs" / "forks").rglob("*.jsonl") for line in one.read_text().splitlines()]
    assert sum(f'"run":"{run}"' in line and '"kind":"began"' in line for line in lines) == 1


def test_two_who_agree_at_once_to_what_a_kept_thread_asks_pay_once(house: Path, tmp_path: Path):
    (house / "twice.yaml").write_text(
        f"knowledge: kb\npool: none\nruns: {tmp_path}/runs\ncheckpoints: {tmp_path}/t.db\n"
    )
    context = {"only": ["kb:hostile"], "ask_above_usd": 0.001, "max_steps": 1}
    with load_router(house / "twice.yaml") as elsewhere:
        config = {"configurable": {"thread_id": "t"}}
        asyncio.run(elsewhere.graph.ainvoke({"question": ABOUT_THE_SKY}, config, context=context))
    with (
        load_router(house / "twice.yaml") as router,
        ViewerServer(tmp_path / "runs", cache=tmp_path / "index.sqlite", router=router) as server,
    ):
        until(lambda: server.get("runs")["total"] == 1)
        run = server.get("runs")["runs"][0]["id"]
        with ThreadPoolExecutor(4) as at_once:
            said = list(at_once.map(lambda _: server.client.post(f"runs/{run}/resume", json={"approve": True}), "1234"))
        assert sorted(one.status_code for one in said) == [200, 409, 409, 409]
        assert server.ended(run)["row"]["usd"] == pytest.approx(0.01)
