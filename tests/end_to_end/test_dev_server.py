"""The graph behind the real `langgraph dev`, asked by the SDK's client as any other program would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

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


async def test_context_is_a_form_with_the_choices_that_there_are(client: Any) -> None:
    fields = {}
    for graph in ("router", "router_r1"):
        assistant = (await client.assistants.search(graph_id=graph))[0]
        schemas = await client.assistants.get_schemas(assistant["assistant_id"])
        jsonschema.Draft202012Validator.check_schema(schemas["context_schema"])
        fields[graph] = schemas["context_schema"]["properties"]
    assert {"messages", "question"} <= set(schemas["input_schema"]["properties"])
    assert {"answer", "citations", "stop_reason", "steps"} <= set(schemas["output_schema"]["properties"])
    assert set(fields["router"]) == set(RouterContext.model_fields)
    for name, field in fields["router"].items():
        assert field["title"] and len(field["description"]) > 10
        assert field["type"] in ("string", "integer", "number", "array"), name
    assert {field.get("default") for name, field in fields["router"].items() if name in ("max_steps", "k")} == {6, 5}
    assert fields["router"]["max_steps"].items() >= {"minimum": 1, "maximum": 1000}.items()
    options = ["kb:archive", "kb:handbook", "kb:plans", "llm:small", "answer"]
    assert fields["router"]["route"]["enum"] == options
    assert fields["router"]["only"]["items"]["enum"] == options
    assert {"heuristic", "kb:archive", "small", "direct:small"} <= set(fields["router"]["policy"]["enum"])
    assert not {"handbook", "local"} & set(fields["router"]["policy"]["enum"])
    assert [fields[graph]["protocol"]["default"] for graph in fields] == ["tags", "router_r1"]


async def test_assistant_with_a_context_decides_by_it_and_a_run_may_still_say_more(client: Any) -> None:
    assistant = await client.assistants.create("router", context={"policy": "kb:handbook", "k": 1})
    try:
        done = await client.runs.wait(None, assistant["assistant_id"], input={"question": LEAVE}, context={"k": 2})
    finally:
        await client.assistants.delete(assistant["assistant_id"])
    assert {step["decision"]["policy"] for step in done["steps"]} == {"kb:handbook"}
    assert [len(one["hits"]) for step in done["steps"] for one in step["observations"].values()] == [2]


async def test_run_streams_its_events_while_it_goes_and_ends_with_the_answer(client: Any) -> None:
    events, values, seen = [], {}, set()
    modes = ["custom", "values", "updates", "messages-tuple", "checkpoints", "tasks", "debug"]
    async for part in client.runs.stream(None, "router", input={"question": SEATS}, stream_mode=modes):
        seen.add(part.event)
        assert part.event != "error", part.data
        if part.event == "custom":
            events.append(part.data)
        if part.event == "values":
            values = part.data
    assert seen >= {"metadata", "messages", *modes} - {"messages-tuple", "checkpoints"}
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


async def test_thread_is_busy_until_its_run_is_cancelled_and_can_be_forked_from_any_step(client: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "router", input={"question": LEAVE})
    with pytest.raises(Exception, match="already running"):
        await client.runs.create(thread, "router", input={"question": SEATS}, multitask_strategy="reject")
    await client.runs.cancel(thread, run["run_id"], wait=True)
    first = await client.runs.wait(thread, "router", input={"question": LEAVE}, context={"policy": "kb:handbook"})
    history = await client.threads.get_history(thread)
    begun = next(one for one in history if one["next"] == ["think"] and not one["values"]["steps"])
    only_plans = {"settings": {**begun["values"]["settings"], "policy": "kb:plans"}}
    fork = await client.threads.update_state(
        thread, only_plans, as_node="begin", checkpoint_id=begun["checkpoint"]["checkpoint_id"]
    )
    other = await client.runs.wait(thread, "router", input=None, checkpoint=fork["checkpoint"])
    policies = [{step["decision"]["policy"] for step in done["steps"]} for done in (first, other)]
    assert policies == [{"kb:handbook"}, {"kb:plans"}]


async def test_mcp_has_one_tool_that_takes_a_question_and_gives_answer_sources_and_price(server: DevServer) -> None:
    async with streamable_http_client(f"{server.url}/mcp") as streams, ClientSession(*streams[:2]) as session:
        await session.initialize()
        (tool,) = (await session.list_tools()).tools
        assert list(tool.input_schema["properties"]) == ["question"]
        assert "The staff handbook" in (tool.description or "")
        told = await session.call_tool(tool.name, {"question": LEAVE})
        assert told.structured_content == {
            "answer": "30 [handbook:leave]",
            "citations": [{"kb": "handbook", "doc_id": "leave", "title": "Leave"}],
            "stop_reason": "answered",
            "usd": 0.02,  # the archive was looked into as well
        }
        jsonschema.validate(told.structured_content, tool.output_schema)
        (text,) = told.content
        assert isinstance(text, TextContent) and len(text.text) < 200
        for given, why in (({"question": " "}, "question is empty"), ({"q": LEAVE}, "one argument")):
            refused = await session.call_tool(tool.name, given)
            assert refused.is_error and why in str(refused.content)


async def test_a2a_sends_streams_and_shows_its_card(client: Any, server: DevServer) -> None:
    assistant = (await client.assistants.search(graph_id="router"))[0]["assistant_id"]
    part = {"role": "user", "parts": [{"kind": "text", "text": LEAVE}], "messageId": "m1"}
    call = {"jsonrpc": "2.0", "id": "1", "method": "message/send", "params": {"message": part}}
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        card = (await http.get("/.well-known/agent-card.json", params={"assistant_id": assistant})).json()
        assert card["url"] == f"{server.url}/a2a/{assistant}" and card["capabilities"]["streaming"]
        task = (await http.post(f"/a2a/{assistant}", json=call)).json()["result"]
        assert task["status"]["state"] == "completed"
        assert task["artifacts"][0]["parts"][0]["text"] == "30 [handbook:leave]"
        streamed = await http.post(f"/a2a/{assistant}", json={**call, "method": "message/stream"})
    said = [json.loads(line[5:])["result"] for line in streamed.text.splitlines() if line.startswith("data:")]
    assert said[-1]["status"]["state"] == "completed" and said[-1]["final"]
    assert any("30 [handbook:leave]" in json.dumps(one.get("artifact", {})) for one in said)


async def test_runs_are_recorded_and_the_viewer_of_this_process_shows_asks_and_forks(server: DevServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        assert (await http.get("/")).headers["location"] == "app/"
        assert "script-src 'self'" in (await http.get("/app/")).headers["content-security-policy"]
        about = (await http.get("/app/api/about")).json()
        assert about["can"] == {"ask": True, "fork": True, "label": True}
        assert Path(about["log"]).name == "runs" and (server.folder / "runs").is_dir()
        asked = (await http.post("/app/api/ask", json={"question": SEATS})).json()["run"]
        action = {"kind": "kb", "target": "kb:archive", "query": "seats"}
        await _ended(http, asked)
        fork = (await http.post(f"/app/api/runs/{asked}/fork", json={"step": 1, "action": action})).json()
        shown = await _ended(http, fork["run"])
        assert shown["row"]["forked_from"] == {"run": asked, "step": 1}
        assert shown["steps"][0]["actions"][0]["target"] in ("archive", "kb:archive")


async def _ended(http: httpx.AsyncClient, run: str) -> dict[str, Any]:
    for _ in range(200):
        shown = (await http.get(f"/app/api/runs/{run}")).json()
        if shown.get("row", {}).get("status") == "ended":
            return shown
        await asyncio.sleep(0.05)
    raise AssertionError(f"the run has not ended: {shown}")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/threads", {"host": "evil.example"}, 403),
        ("GET", "/app/api/runs", {"host": "evil.example:2024"}, 403),
        ("POST", "/runs/wait", {"origin": "https://evil.example"}, 403),
        ("POST", "/runs/wait", {"origin": "null"}, 403),
        ("POST", "/mcp", {"origin": "http://localhost:3000"}, 403),
        ("GET", "/info", {"origin": "https://smith.langchain.com"}, 200),
        ("GET", "/deploy", {}, 403),
        ("POST", "/deploy", {"origin": "https://smith.langchain.com"}, 403),
        ("POST", "/internal/truncate", {}, 403),
        ("GET", "/internal/debug/thread/x", {}, 403),
        ("GET", "/mcp", {}, 405),
    ],
)
async def test_other_sites_other_names_and_what_empties_the_store_are_refused(
    server: DevServer, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        refused = await http.request(method, path, headers=headers)
    assert refused.status_code == status
    assert "set POLYROUTE_TOKEN" in refused.text or "/deploy" not in path


async def test_studio_may_ask_what_a_page_elsewhere_may_not(server: DevServer) -> None:
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    async with httpx.AsyncClient(base_url=server.url) as http:
        studio = await http.options("/runs/stream", headers={"origin": "https://smith.langchain.com", **wanted})
        assert studio.headers["access-control-allow-origin"] == "https://smith.langchain.com"
        other = await http.options("/runs/stream", headers={"origin": "https://evil.example", **wanted})
        assert other.status_code == 403 and "access-control-allow-origin" not in other.headers


async def test_nothing_blocks_the_loop_and_nobody_else_is_reached(client: Any, server: DevServer) -> None:
    for policy in ("heuristic", "gate", "fanout"):
        await client.runs.wait(None, "router", input={"question": LEAVE}, context={"policy": policy})
    assert "BlockingError" not in server.log
    assert "Blocking call" not in server.log
    assert server.contacts == []
    assert not Path(".langgraph_api").exists()


async def test_with_a_token_every_route_wants_it_and_ctrl_c_ends_the_server_though_a_page_listens(
    server: DevServer, tmp_path: Path
) -> None:
    settings = {"POLYROUTE_KB": str(server.folder / "kb"), "POLYROUTE_TOKEN": "open sesame"}
    closed = [
        ("GET", "/info"),
        ("GET", "/docs"),
        ("GET", "/threads/x"),
        ("POST", "/runs/wait"),
        ("POST", "/assistants/search"),
        ("PUT", "/store/items"),
        ("POST", "/mcp"),
        ("POST", "/a2a/x"),
        ("GET", "/.well-known/agent-card.json"),
        ("GET", "/app/api/runs"),
        ("POST", "/app/api/ask"),
        ("GET", "/app//api/runs"),
        ("GET", "/deploy"),
        ("POST", "/deploy"),
        ("POST", "/internal/truncate"),
    ]
    with DevServer(tmp_path, settings) as guarded:
        async with httpx.AsyncClient(base_url=guarded.url, timeout=20) as http:
            for method, path in closed:
                for headers in ({}, {"authorization": "Bearer wrong"}, {"x-auth-scheme": "langsmith"}):
                    assert (await http.request(method, path, headers=headers)).status_code == 401, path
            assert [(await http.get(path)).status_code for path in ("/ok", "/app/")] == [200, 200]
            http.headers["authorization"] = "Bearer open sesame"
            answers = [await http.get(path) for path in ("/info", "/app/api/runs", "/deploy")]
            assert [one.status_code for one in answers] == [200, 200, 200]
            done = await http.post("/runs/wait", json={"assistant_id": "router", "input": {"question": LEAVE}})
            assert "30" in done.json()["answer"]
            async with http.stream("GET", "/app/api/live") as news:
                await anext(news.aiter_lines())
                assert await asyncio.to_thread(guarded.interrupt, 15) == 0
        assert "Traceback" not in guarded.log and "ERROR" not in guarded.log
        assert "#token=open%20sesame" in guarded.log
        assert guarded.contacts == []


def test_server_with_nobody_to_ask_does_not_start_and_says_why(tmp_path: Path) -> None:
    told = r"There is nobody to ask: no knowledge base in .*, and no model\. Make one"
    with pytest.raises(RuntimeError, match=told) as raised:
        DevServer(tmp_path, {}).__enter__()
    assert "Traceback" not in str(raised.value)
