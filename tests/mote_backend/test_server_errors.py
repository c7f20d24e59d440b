"""What the endpoint refuses, with which status, and that each refusal is one sentence in OpenAI's form."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from mote_backend.chat.chat_mote import ChatMoTE
from mote_backend.errors import InputError, MaskError, ModelLoadError
from mote_backend.mask import ExpertMask
from mote_backend.mask_book import MaskBook
from mote_backend.serving.server import serve
from support.chat_models import until
from support.mote_server import QUIET, serving, tiny_chat_mote

ASK = [{"role": "user", "content": "hello there"}]
TOKEN = "a-token-of-the-test"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    models = {"tiny": tiny_chat_mote(), "strict": tiny_chat_mote(only_named=True)}
    with serving(models, max_body=20_000) as url:
        yield url


def refused(url: str, status: int, **body: Any) -> str:
    """The sentence of the error."""
    answer = httpx.post(f"{url}{CHAT}", json={"model": "tiny", "messages": ASK, **body})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    message = error["message"]
    assert message.endswith((".", "?")) and "\n" not in message and "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"messages": []}, "messages is []"),
        ({"messages": None}, "'messages' is missing."),
        ({"messages": "hello"}, "messages is 'hello'"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0] has the role 'wizard'; a role is system"),
        ({"messages": [{"role": "user"}]}, "messages[0] has no content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "needs the tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "reads text alone"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_completion_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 5, "max_completion_tokens": 0}, "max_tokens is 0"),
        ({"stop": ["a"] * 17}, "at most 16"),
        ({"stop": 3}, "stop is 3"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "where its text should be"),
        ({"response_format": {"type": "regex", "pattern": "("}}, "unclosed group"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"required": 5}}}}, "list of names"),
        ({"mote_mask": {"off": {"0": [1]}, "model": {"layers": 10**12}}}, "no fingerprint"),
        ({"mote_mask": {"bias": {"0": {"1": 10**400}}}}, "is no bias"),
        ({"top_logprobs": 99, "logprobs": True}, "top_logprobs is 99"),
        ({"stop": [""]}, "stop"),
        ({"n": 2}, "n cannot be given: ask several times"),
        ({"presence_penalty": 0.5}, "presence_penalty cannot be given: there is repetition_penalty"),
        ({"logit_bias": {"5": 1}}, "'logit_bias' is no known field"),
        ({"temprature": 1}, "did you mean 'temperature'?"),
        ({"functions": [{}]}, "functions cannot be given: there is tools."),
        ({"tools": [{"type": "web_search"}]}, "A tool is"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"response_format": {"type": "xml"}}, "response_format is not understood"),
        ({"chat_template": "{{ 1 }}"}, "chat_template cannot be given"),
        ({"chat_template_kwargs": {"tokenize": True}}, "cannot set 'tokenize'"),
        ({"mote_mask": "quite"}, "did you mean 'quiet'?"),
        ({"mote_mask": {"off": {"9": [1]}}}, "layer 9"),
        ({"mote_mask": {"off": 3}}, "off"),
        ({"mote_mask": 3}, "mote_mask"),
        ({"model": "tiny:quiet", "mote_mask": "loud"}, "give one of the two"),
        ({"messages": [{"role": "user", "content": "a " * 2000}]}, "context holds"),
    ],
)
def test_bad_input_is_status_400_and_a_sentence(url, body, sentence):
    assert sentence in refused(url, 400, **body)
    assert sentence in refused(url, 400, **body, stream=True)


@pytest.mark.parametrize(
    "body",
    [
        {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "user": "me", "store": False},
        {"metadata": {"a": "b"}, "service_tier": "auto", "seed": None, "tools": [], "stream_options": None},
        {"modalities": ["text"], "tool_choice": "auto", "parallel_tool_calls": True, "stop": []},
    ],
)
def test_what_clients_send_and_changes_nothing_is_accepted(url, body):
    plain = httpx.post(f"{url}{CHAT}", json={"model": "tiny", "messages": ASK}).json()
    answer = httpx.post(f"{url}{CHAT}", json={"model": "tiny", "messages": ASK, **body})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"] == plain["choices"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_has_the_code_that_clients_sort_by(url, stream):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    long = [{"role": "user", "content": "a " * 600}]
    with pytest.raises(openai.BadRequestError) as told:
        client.chat.completions.create(model="tiny", messages=long, stream=stream)
    assert told.value.code == "context_length_exceeded"


def test_a_mask_that_is_not_allowed_is_refused_and_a_named_one_is_not(url):
    assert "allowed are loud, quiet" in refused(url, 403, model="strict", mote_mask={"off": {"0": [1]}})
    own = QUIET.to_json() | {"phase": "decode"}
    assert "allowed are" in refused(url, 403, model="strict", mote_mask={key: own[key] for key in own if key != "id"})
    answer = httpx.post(f"{url}{CHAT}", json={"model": "strict", "messages": ASK, "mote_mask": QUIET.to_json()})
    assert answer.headers["x-mote-mask"] == QUIET.id


def test_no_request_makes_the_server_read_a_file(url, tmp_path: Path):
    QUIET.save(path := tmp_path / "mask.json")
    assert "There is no mask" in refused(url, 400, mote_mask=str(path))


def test_a_model_that_is_not_there_is_404_with_the_nearest(url):
    assert refused(url, 404, model="tiny:quite") == "There is no model 'tiny:quite'; did you mean 'tiny:quiet'?"
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    with client, pytest.raises(openai.NotFoundError, match="did you mean"):
        client.chat.completions.create(model="tinny", messages=ASK)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"a": NaN}', b"[" * 9000, b"1" * 9000])
def test_what_is_no_json_object_is_refused(url, body):
    answer = httpx.post(f"{url}{CHAT}", content=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(url):
    for content in (b"x" * 30_000, iter([b"x" * 15_000] * 2)):
        answer = httpx.post(f"{url}{CHAT}", content=content)
        assert answer.status_code == 413
        assert "20,000 bytes" in answer.json()["error"]["message"]


def test_other_addresses_and_methods_are_answered_in_the_same_form(url):
    assert httpx.get(f"{url}/v1/engines").json()["error"]["message"].startswith("There is no such address")
    assert httpx.get(f"{url}{CHAT}").status_code == 405
    assert httpx.get(f"{url}{CHAT}").json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_under_another_host_name_nothing_is_answered(url, host):
    for path in ("/v1/models", "/health"):
        assert httpx.get(f"{url}{path}", headers={"host": host}).status_code == 403
    assert httpx.get(f"{url}/v1/models", headers={"host": "localhost:80"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_web_page_may_not_ask(url, origin):
    answer = httpx.post(f"{url}{CHAT}", json={"model": "tiny", "messages": ASK}, headers={"origin": origin})
    assert answer.status_code == 403


def test_the_token_is_wanted_and_never_told_or_logged(caplog):
    caplog.set_level("DEBUG")
    page = "https://page.example"
    with serving({"tiny": tiny_chat_mote()}, token=TOKEN, hosts=None, origins=[page]) as url:
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            answer = httpx.get(f"{url}/v1/models", headers=header)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert TOKEN not in answer.text
        assert httpx.get(f"{url}/health").status_code == 200
        with openai.OpenAI(base_url=f"{url}/v1", api_key=TOKEN, default_headers={"origin": page}) as client:
            assert client.chat.completions.create(model="tiny", messages=ASK).choices
    assert TOKEN not in "".join(record.getMessage() for record in caplog.records if record.name != "httpcore.http11")


def test_more_requests_than_may_wait_are_told_to_come_back():
    with serving({"tiny": tiny_chat_mote(max_tokens=300)}, most_waiting=1) as url, httpx.Client() as client:
        body = {"model": "tiny", "messages": ASK, "stream": True}
        with client.stream("POST", f"{url}{CHAT}", json=body) as first:
            lines = first.iter_lines()  # which, dropped, would hang up
            next(lines)
            second = httpx.post(f"{url}{CHAT}", json=body)
            assert (second.status_code, second.headers["retry-after"]) == (429, "1")


def test_a_failure_of_the_server_is_logged_and_not_told(monkeypatch, caplog):
    model = tiny_chat_mote()
    with serving({"tiny": model}) as url:
        monkeypatch.setattr(type(model), "_call", lambda *_: 1 / 0)
        assert refused(url, 500) == "The server failed; its log says how."
    assert "division by zero" in caplog.text


def test_a_failure_in_the_midst_of_a_stream_is_an_event_of_its_own(monkeypatch):
    whole = ChatMoTE._astream

    async def breaks(self, *given, **options):
        async for piece in whole(self, *given, **options):
            yield piece
            raise RuntimeError("not for clients")

    monkeypatch.setattr(ChatMoTE, "_astream", breaks)
    body = {"messages": [{"role": "user", "content": "hello"}], "model": "tiny", "stream": True}
    with serving({"tiny": tiny_chat_mote()}) as url:
        said = httpx.post(f"{url}/v1/chat/completions", json=body).text
    assert '"role":"assistant"' in said
    assert '"type":"server_error"' in said.strip().split("\n\n")[-1]
    assert "not for clients" not in said


def test_other_machines_need_a_token():
    with pytest.raises(InputError, match=r"0\.0\.0\.0 is reachable for other machines; set a token"):
        serve({"tiny": tiny_chat_mote()}, host="0.0.0.0")
    with pytest.raises(InputError, match="set a token"):
        serve({"tiny": tiny_chat_mote()}, host="0.0.0.0", token="")


def test_a_server_starts_only_with_a_port_models_that_load_and_masks_that_fit(tmp_path: Path):
    with serving({"tiny": tiny_chat_mote()}) as url, pytest.raises(InputError, match="cannot be had"):
        serve({"tiny": tiny_chat_mote()}, port=int(url.rpartition(":")[2]))
    with pytest.raises(ModelLoadError):
        serve({"tiny": tiny_chat_mote(model=str(tmp_path))}, port=0)
    with pytest.raises(MaskError, match="layer 7"):
        far = MaskBook([ExpertMask(off=frozenset({(7, 1)}), name="far")])
        serve({"tiny": tiny_chat_mote(mask_book=far)}, port=0)
    with pytest.raises(InputError, match="has no colon"):
        serve({"a:b": tiny_chat_mote()}, port=0)


def test_serve_tells_its_address_when_it_listens():
    found: list[str] = []
    arguments = {"port": 0, "ready": found.append}
    thread = threading.Thread(target=serve, args=({"tiny": tiny_chat_mote()},), kwargs=arguments, daemon=True)
    thread.start()
    until(lambda: bool(found))
    assert httpx.get(f"{found[0]}/models", timeout=10).json()["data"][0]["id"] == "tiny"
