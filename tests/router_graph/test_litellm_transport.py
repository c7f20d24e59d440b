"""LiteLLM as a transport: what we say arrives, what comes back is whole, and nothing process-global touches it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from router_graph import errors
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from router_graph.pool.reply import whole_message
from support.model_server import ModelServer
from support.raw_server import RawServer

UPGRADE = (
    "LiteLLM changed inside: look at router_graph/pool/transports/litellm*.py, and either follow the new name or pin "
    "litellm below this version in pyproject.toml. The test that fails says which."
)
IMAGE = "data:image/png;base64,iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}


@pytest.fixture(scope="module")
def server():
    with ModelServer() as running:
        ModelPool([card(running, "warm")]).invoke("warm", "hello")
        yield running


@pytest.fixture
def litellm():
    return pytest.importorskip("litellm")


def card(server: ModelServer | RawServer, name: str, **fields: object) -> ModelCard:
    given = {"model": f"openai/{name}", "api_base": server.url, "price": {"input": 1, "output": 2}, "timeout_s": 20}
    return ModelCard(name=name, **{**given, **fields})


def streamed(pool: ModelPool, name: str, messages: object, **options: object):
    return whole_message(list(pool.stream(name, messages, **options)))


def test_messages_of_every_kind_arrive_as_they_were(server):
    call = {"name": "look_up", "args": {"word": "grüß"}, "id": "call_1", "type": "tool_call"}
    ModelPool([card(server, "good")]).invoke(
        "good",
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]),
            AIMessage("", tool_calls=[call]),
            ToolMessage("a greeting", tool_call_id="call_1"),
            ("user", "And now?"),
        ],
    )
    system, human, ai, tool, last = server.seen[-1].body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert human["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
    ]
    assert (
        ai["tool_calls"][0]["function"]["name"] == "look_up" and "grüß" in ai["tool_calls"][0]["function"]["arguments"]
    )
    assert (tool["role"], tool["tool_call_id"], tool["content"]) == ("tool", "call_1", "a greeting")
    assert last["content"] == "And now?"


def test_parameters_arrive_those_of_a_call_before_those_of_the_card(server):
    pool = ModelPool([card(server, "good", params={"temperature": 0.2, "seed": 7}, max_tokens=99)])
    form = {"type": "json_object"}
    pool.invoke("good", "hi", temperature=0.9, stop=["."], top_p=0.5, response_format=form, frequency_penalty=1)
    body = server.seen[-1].body
    assert {
        key: body.get(key) for key in ("temperature", "seed", "stop", "top_p", "response_format", "frequency_penalty")
    } == {
        "temperature": 0.9,
        "seed": 7,
        "stop": ["."],
        "top_p": 0.5,
        "response_format": form,
        "frequency_penalty": 1,
    }
    assert body["max_tokens"] == 99 and not body.get("stream")


@pytest.mark.parametrize("words", ["", "-cached", "-reasoning", "-cached-reasoning"])
def test_a_stream_makes_the_message_that_one_piece_would_have_been(server, words):
    name = f"good-n40{words}"
    pool = ModelPool([card(server, name)])
    whole, pieces = pool.invoke(name, "a b c d e f g h").message, streamed(pool, name, "a b c d e f g h")
    assert pieces.content == whole.content != ""
    assert pieces.usage_metadata == whole.usage_metadata
    assert pieces.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"] == "stop"
    assert bool(whole.usage_metadata["input_token_details"]["cache_read"]) == ("cached" in words)
    assert bool(whole.usage_metadata["output_token_details"]["reasoning"]) == ("reasoning" in words)


def test_the_reason_for_an_end_is_the_models_own(server):
    pool = ModelPool([card(server, "good-n40")])
    assert pool.invoke("good-n40", "hi", max_tokens=5).message.response_metadata["finish_reason"] == "length"
    assert streamed(pool, "good-n40", "hi", max_tokens=5).response_metadata["finish_reason"] == "length"


def test_tool_calls_come_whole_and_in_pieces_alike(server):
    pool = ModelPool([card(server, "a-tool")])
    whole, pieces = (
        pool.invoke("a-tool", "hi", tools=[TOOL]).message,
        streamed(pool, "a-tool", "hi", tools=[TOOL]),
    )
    assert whole.tool_calls == pieces.tool_calls
    assert whole.tool_calls[0]["name"] == "look_up" and list(whole.tool_calls[0]["args"]) == ["word"]
    assert whole.response_metadata["finish_reason"] == pieces.response_metadata["finish_reason"] == "tool_calls"


def test_arguments_that_are_no_json_are_an_invalid_tool_call_and_not_a_failure():
    body = """{"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,
        "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "c1",
        "type": "function", "function": {"name": "look_up", "arguments": "{word: "}}]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}"""
    with RawServer(200, body) as raw:
        message = ModelPool([card(raw, "m")], retries=0).invoke("m", "hi", tools=[TOOL]).message
    assert message.tool_calls == [] and message.invalid_tool_calls[0]["args"] == "{word: "


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_usage_that_litellm_makes_up_is_not_believed(server, how):
    ledger = Ledger()
    pool = ModelPool([card(server, "a-nousage")], retries=0)
    pool.invoke("a-nousage", "hi", ledger=ledger) if how == "invoke" else streamed(
        pool, "a-nousage", "hi", ledger=ledger
    )
    assert [entry["estimated"] for entry in ledger.entries.values()] == [True]


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_an_honest_answer_without_words_is_no_failure(server, how):
    """Reasoning may use up all of `max_tokens`."""
    usage = '"usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}'
    head = '"id": "x", "created": 1, "model": "m"'
    if how == "invoke":
        choice = '{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": ""}}'
        text, kind = f'{{{head}, "object": "chat.completion", "choices": [{choice}], {usage}}}', "application/json"
    else:
        start = f'{{{head}, "object": "chat.completion.chunk", "choices": '
        events = [
            f'{start}[{{"index": 0, "delta": {{"role": "assistant", "content": ""}}}}]}}',
            f'{start}[{{"index": 0, "delta": {{}}, "finish_reason": "length"}}]}}',
            f"{start}[], {usage}}}",
            "[DONE]",
        ]
        text, kind = "".join(f"data: {event}\n\n" for event in events), "text/event-stream"
    ledger = Ledger()
    with RawServer(200, text, kind=kind) as raw:
        pool = ModelPool([card(raw, "m")], retries=0)
        if how == "invoke":
            message = pool.invoke("m", "hi", ledger=ledger).message
        else:
            message = streamed(pool, "m", "hi", ledger=ledger)
    assert (message.content, message.response_metadata["finish_reason"]) == ("", "length")
    assert ledger.spent.tokens == 8


def watcher(litellm, told: list[str]):
    class Watcher(litellm.integrations.custom_logger.CustomLogger):
        def log_pre_api_call(self, *_: object) -> None:
            told.append("before")

        async def async_log_success_event(self, *_: object) -> None:
            told.append("success")

        async def async_log_failure_event(self, *_: object) -> None:
            told.append("failure")

        def log_success_event(self, *_: object) -> None:
            told.append("success")

    return Watcher()


def settings(litellm, told: list[str]) -> dict[str, dict[str, object]]:
    """What another library in the process may have set, by name."""
    spy = watcher(litellm, told)
    return {
        "a budget that is used up": {"max_budget": 1e-9, "_current_cost": 5.0},
        "a cache": {"cache": litellm.Cache(type="local")},
        "callbacks": {name: [spy] for name in ("callbacks", "success_callback", "failure_callback", "input_callback")}
        | {"_async_success_callback": [spy], "_async_failure_callback": [spy]},
        "retries": {"num_retries": 3},
        "dropped parameters": {"drop_params": True},
        "another key": {"api_key": "sk-of-another-library", "openai_key": "sk-of-another-library"},
    }


NAMES = [
    "a budget that is used up",
    "a cache",
    "callbacks",
    "retries",
    "dropped parameters",
    "another key",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_another_library_sets_in_litellm_does_not_touch_us(server, litellm, monkeypatch, name):
    told: list[str] = []
    for field, value in settings(litellm, told)[name].items():
        monkeypatch.setattr(litellm, field, value, raising=False)
    pool = ModelPool([card(server, "good"), card(server, "a-503")], retries=0)
    row = len(server.meter)
    for _ in range(2):
        assert pool.invoke("good", "the same", temperature=0).text
        assert streamed(pool, "good", "the same", temperature=0).content
    with pytest.raises(errors.ModelServerError):
        pool.invoke("a-503", "the same")
    with pytest.raises(errors.ModelServerError):
        list(pool.stream("a-503", "the same"))
    assert [taken.model for taken in server.meter[row:]] == ["good"] * 4 + ["a-503"] * 2
    assert {seen.headers["authorization"] for seen in server.seen[row:]} == {"Bearer none"}
    assert told == []


@pytest.mark.parametrize(
    ("setting", "value"), [("model_fallbacks", ["openai/good"]), ("model_alias_map", {"openai/good": "openai/better"})]
)
def test_a_setting_that_would_send_a_call_to_another_model_refuses_it(server, litellm, monkeypatch, setting, value):
    monkeypatch.setattr(litellm, setting, value)
    ledger, row = Ledger(), len(server.meter)
    with pytest.raises(errors.RequestRejectedError, match=setting):
        ModelPool([card(server, "good")], retries=0).invoke("good", "hi", ledger=ledger)
    assert (ledger.spent.picousd, len(server.meter)) == (0, row)


async def test_a_router_with_a_spent_provider_budget_does_not_touch_us(server, litellm):
    before = list(litellm.callbacks)
    try:
        litellm.Router(
            model_list=[
                {
                    "model_name": "m",
                    "litellm_params": {"model": "openai/good", "api_base": server.url, "api_key": "none"},
                }
            ],
            provider_budget_config={"openai": {"budget_limit": 1e-12, "time_period": "1d"}},
        )
        pool = ModelPool([card(server, "good")], retries=0)
        reply = await pool.ainvoke("good", "hi")
        assert reply.text == "".join([piece.text async for piece in pool.astream("good", "hi")]) != ""
    finally:
        litellm.callbacks[:] = before


def test_the_inside_of_litellm_that_we_use_is_still_there(litellm):
    from litellm.litellm_core_utils.litellm_logging import Logging
    from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

    assert inspect.iscoroutinefunction(inspect.unwrap(litellm.main.acompletion)), UPGRADE
    assert hasattr(litellm.main.acompletion, "__wrapped__"), UPGRADE
    ours = ["pre_call", "post_call", "success_handler", "failure_handler", "async_success_handler"]
    ours += ["async_failure_handler", "dispatch_success_handlers", "dispatch_failure_handlers"]
    assert [name for name in ours if not hasattr(Logging, name)] == [], UPGRADE
    source = inspect.getsource(CustomStreamWrapper.__init__)
    fields = ["chunks", "received_finish_reason", "intermittent_finish_reason"]
    assert [name for name in fields if f"self.{name}" not in source] == [], UPGRADE
    assert hasattr(litellm, "disable_hf_tokenizer_download"), UPGRADE


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_counting_tokens_asks_nobody(server, how, monkeypatch, caplog):
    """LiteLLM would fetch a tokenizer for a Llama, and where it cannot, try for 20 seconds."""
    asked: list[object] = []
    monkeypatch.setattr("huggingface_hub.file_download.get_session", asked.append, raising=False)
    one = card(server, "llama-3-nousage", model="hosted_vllm/llama-3-nousage", timeout_s=5)
    pool = ModelPool([one], retries=0)
    got = pool.invoke(one.name, "hi").text if how == "invoke" else streamed(pool, one.name, "hi").content
    assert got and asked == []
    assert "tokenizer" not in caplog.text.lower()


def test_importing_the_pool_loads_no_heavy_library_and_asks_nobody():
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a network call')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "import router_graph.pool\n"
        "pool = router_graph.pool.ModelPool([router_graph.pool.ModelCard(name='m', model='openai/gpt-4o-mini')])\n"
        "assert pool.describe()\n"
        "print([m for m in ('litellm', 'torch', 'transformers', 'openai', 'tiktoken') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
