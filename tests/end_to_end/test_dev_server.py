"""The graph behind the real `langgraph dev`, asked by the SDK's client as any other program would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kb_tools import Catalog, Passage, Table
from router_graph.context import RouterContext
from support.dev_server import DevServer
from support.model_server import ModelServer

pytest.importorskip("langgraph_api", reason="the extra `serve` is not installed")
sdk = pytest.importorskip("langgraph_sdk")

LEAVE = "How many days of leave does everybody have?"
SEATS = "How many seats does the Team plan have?"


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: ModelServer) -> Iterator[DevServer]:
    folder = tmp_path_factory.mktemp("served")
    card = {"name": "small", "model": "openai/good-n12", "api_base": models.url, "max_tokens": 20}
    pool = {"models": [{**card, "price": {"input": 1, "output": 2}}]}
    (folder / "pool.yaml").write_text(json.dumps(pool))
    with Catalog(folder / "kb") as catalog:
        handbook = catalog.create("handbook", description="The staff handbook: leave, travel and expenses.")
        handbook.add(
            [
                Passage(id="leave", title="Leave", text="Everybody has 30 days of leave a year. Ask for it in Tempo."),
                Passage(id="travel", title="Travel", text="Trains are booked by the office. Flights need a signature."),
            ]
        )
        plans = catalog.create("plans", description="What our plans cost, with their limits.", modality="table")
        rows = [["Free", "0", "1"], ["Team", "12", "20"], ["Company", "40", "500"]]
        plans.add([Table(id="plans", title="Our plans", header=["plan", "USD a month", "seats"], rows=rows)])
        archive = catalog.create("archive", description="Old minutes of the board.", cost_usd=0.02)
        archive.add([Passage(id="minutes", title="Minutes", text="In 1998 the board met in Lyon.")])
    with DevServer(folder, {"POLYROUTE_KB": str(folder / "kb")}) as running:
        yield running


@pytest.fixture
def client(server: DevServer) -> Any:
    return sdk.get_client(url=server.url)


async def test_three_graphs_differ_in_the_protocol_that_their_policy_is_spoken_to_by(client: Any) -> None:
    found = {one["graph_id"] for one in await client.assistants.search()}
    assert found == {"router", "router_r1", "r1_router"}
    for graph, protocol in (("router", "tags"), ("router_r1", "router_r1"), ("r1_router", "r1_router")):
        done = await client.runs.wait(None, graph, input={"question": LEAVE})
        assert {step["decision"]["protocol"] for step in done["steps"]} == {protocol}
        assert "30" in done["answer"]


async def test_context_is_a_form_in_which_every_field_says_what_it_is_for(client: Any) -> None:
    assistant = (await client.assistants.search(graph_id="router"))[0]
    schemas = await client.assistants.get_schemas(assistant["assistant_id"])
    fields = schemas["context_schema"]["properties"]
    assert set(fields) == set(RouterContext.model_fields)
    assert all(len(field["description"]) > 10 for field in fields.values())
    assert {"messages", "question"} <= set(schemas["input_schema"]["properties"])
    assert {"answer", "citations", "stop_reason", "steps"} <= set(schemas["output_schema"]["properties"])


async def test_run_streams_its_events_while_it_goes_and_ends_with_the_answer(client: Any) -> None:
    events, values = [], {}
    async for part in client.runs.stream(None, "router", input={"question": SEATS}, stream_mode=["custom", "values"]):
        assert part.event != "error", part.data
        if part.event == "custom":
            events.append(part.data)
        if part.event == "values":
            values = part.data
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("turn", "answer")
    assert {"step", "decision", "observation"} <= set(kinds)
    assert {event["v"] for event in events} == {1}
    assert values["answer"] == events[-1]["answer"]
    assert "20" in values["answer"]
    assert [cited["doc_id"] for cited in values["citations"]] == ["plans"]
    assert values["stop_reason"] == "answered"


async def test_second_turn_of_a_thread_knows_the_first_but_has_nothing_stale(client: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    first = await client.runs.wait(thread, "router", input={"messages": [{"role": "user", "content": LEAVE}]})
    second = await client.runs.wait(thread, "router", input={"messages": [{"role": "user", "content": SEATS}]})
    assert [message["type"] for message in second["messages"]] == ["human", "ai", "human", "ai"]
    assert second["messages"][1]["content"] == first["answer"]
    assert [step["number"] for step in second["steps"]] == list(range(1, len(second["steps"]) + 1))
    assert not {step["id"] for step in first["steps"]} & {step["id"] for step in second["steps"]}
    assert not first["ledger"].keys() & second["ledger"].keys()


@pytest.mark.parametrize(("said", "status"), [(True, "ok"), ("too dear", "declined")])
async def test_dear_search_waits_for_a_person_and_goes_on_as_they_say(client: Any, said: object, status: str) -> None:
    thread = (await client.threads.create())["thread_id"]
    limit = {"ask_above_usd": 0.01, "policy": "kb:archive"}
    await client.runs.wait(thread, "router", input={"question": "Where did the board meet in 1998?"}, context=limit)
    state = await client.threads.get_state(thread)
    (waiting,) = state["interrupts"]
    assert waiting["value"]["target"] == "kb:archive"
    assert waiting["value"]["usd_at_most"] == 0.02
    done = await client.runs.wait(thread, "router", command={"resume": said})
    observed = [one for step in done["steps"] for one in step["observations"].values()]
    assert [one["status"] for one in observed] == [status]
    assert ("Lyon" in done["answer"]) is (status == "ok")


async def test_model_of_the_pool_answers_and_its_bill_is_the_providers(client: Any, models: ModelServer) -> None:
    models.meter.clear()
    done = await client.runs.wait(None, "router", input={"question": LEAVE}, context={"policy": "direct:small"})
    (row,) = models.meter
    (call,) = done["ledger"].values()
    assert call["spent"]["tokens"] == row.prompt + row.completion
    assert done["stop_reason"] == "answered" and done["answer"]


async def test_context_of_a_run_is_kept_to(client: Any) -> None:
    allowed = {"only": ["kb:handbook"], "max_steps": 1, "k": 1}
    done = await client.runs.wait(None, "router", input={"question": SEATS}, context=allowed)
    routes = [action for step in done["steps"] for action in step["actions"] if action["kind"] != "answer"]
    assert {route["kb"] for route in routes} == {"handbook"}
    assert "kb:plans" in done["steps"][0]["decision"]["masked"]
    assert sum(1 for step in done["steps"] if step["observations"]) == 1


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"usd": 0}, "usd is 0; it must be greater than 0."),
        ({"policy": "heuristik"}, "There is no policy 'heuristik'; did you mean 'heuristic'?"),
        ({"only": ["kb:handbok"]}, "only names 'kb:handbok', which is no option; did you mean 'kb:handbook'?"),
    ],
)
async def test_bad_context_is_one_sentence(client: Any, context: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Exception, match="SettingsError") as raised:
        await client.runs.wait(None, "router", input={"question": LEAVE}, context=context)
    assert sentence in str(raised.value)


async def test_empty_question_is_one_sentence(client: Any) -> None:
    with pytest.raises(Exception, match="The question is empty; ask something"):
        await client.runs.wait(None, "router", input={"question": "  "})


async def test_nothing_blocks_the_loop_and_nobody_else_is_reached(client: Any, server: DevServer) -> None:
    for policy in ("heuristic", "gate", "fanout"):
        await client.runs.wait(None, "router", input={"question": LEAVE}, context={"policy": policy})
    assert "BlockingError" not in server.log
    assert "Blocking call" not in server.log
    assert server.contacts == []
    assert not Path(".langgraph_api").exists()


def test_server_with_nobody_to_ask_does_not_start_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"There is nobody to ask: no knowledge base in .*, and no model\. Make one"):
        DevServer(tmp_path, {}).__enter__()
