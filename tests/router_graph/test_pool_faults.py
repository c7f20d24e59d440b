"""Every way in which a provider fails: an error of the right kind in one sentence, and a bill that is never too low."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import re
import socket
import threading
import time
import traceback

import pytest

from router_graph import errors
from router_graph.budget import PICO, Amount, Budget
from router_graph.ledger import Ledger
from router_graph.pool import ModelCard, ModelPool
from support.model_server import ModelServer
from support.raw_server import RawServer

PRICE = {"input": 1, "output": 2}
REFUSED, WORKED = "nothing", "the worst case"
FAULTS = {
    "a-400": (errors.RequestRejectedError, REFUSED),
    "a-401": (errors.AuthenticationError, REFUSED),
    "a-404": (errors.ModelNotFoundError, REFUSED),
    "a-429": (errors.RateLimitedError, REFUSED),
    "a-429-after2": (errors.RateLimitedError, REFUSED),
    "a-500": (errors.ModelServerError, REFUSED),
    "a-503": (errors.ModelServerError, REFUSED),
    "a-ctx": (errors.ContextTooLongError, REFUSED),
    "a-hang": (errors.ModelTimeoutError, WORKED),
    "a-drip": (errors.ModelTimeoutError, WORKED),
    "a-reset": (errors.ModelConnectionError, WORKED),
    "a-half": (errors.ModelConnectionError, WORKED),
    "a-wrongjson": (errors.MalformedReplyError, WORKED),
    "a-notchat": (errors.MalformedReplyError, WORKED),
    "a-html": (errors.MalformedReplyError, WORKED),
    "a-emptychoices": (errors.MalformedReplyError, WORKED),
}


@pytest.fixture(scope="module")
def server():
    with ModelServer() as running:
        # The first call loads what LiteLLM needs for it, which takes longer than the time limits below.
        ModelPool([card(running, "good", timeout_s=30)]).invoke("good", "hello")
        yield running


def card(server: ModelServer, name: str, **fields: object) -> ModelCard:
    given = {"model": f"openai/{name}", "api_base": server.url, "price": PRICE, "timeout_s": 0.4, "max_tokens": 20}
    return ModelCard(name=name, **{**given, **fields})


def ask(pool: ModelPool, name: str, how: str, ledger: Ledger | None = None, messages: object = "hello there you"):
    """What the model says, one way or the other, and the error that it ended with."""
    try:
        if how == "invoke":
            return pool.invoke(name, messages, ledger=ledger).text
        return "".join(piece.text for piece in pool.stream(name, messages, ledger=ledger))
    except errors.RouterError as error:
        return error


def billed(server: ModelServer, row: int) -> Amount:
    """What the server took for a request, at `PRICE`."""
    server.settle()
    took = server.meter[row]
    return Amount((took.prompt + 2 * took.completion) * PICO // 10**6, took.prompt + took.completion, 1)


def reads_well(error: BaseException) -> None:
    text = str(error)
    assert len(text) < 350 and "\n" not in text
    assert not re.search(r"litellm\.|Traceback|\w+Error: |Exception - |b'|Handle with|github\.com", text), text


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_failure_has_its_kind_in_one_sentence_and_is_booked_at_no_less_than_the_provider_billed(server, name, how):
    kind, booked = FAULTS[name]
    ledger = Ledger()
    row = len(server.meter)
    error = ask(ModelPool([card(server, name)], retries=0), name, how, ledger)
    assert type(error) is kind
    reads_well(error)
    (entry,) = ledger.entries.values()
    took, spent, worst = billed(server, row), Amount(**entry["spent"]), Amount(**entry["reserved"])
    assert ledger.reserved == Amount()
    assert (entry["state"], entry["error"]) == ("settled", kind.__name__)
    assert (took.picousd, took.tokens) <= (spent.picousd, spent.tokens) <= (worst.picousd, worst.tokens)
    if booked == REFUSED:
        assert (spent.picousd, spent.tokens, entry["estimated"]) == (0, 0, False)
    else:
        assert (spent.picousd, spent.tokens, entry["estimated"]) == (worst.picousd, worst.tokens, True)
    assert len(server.meter) == row + 1


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("name", ["good", "good-cached-reasoning", "a-long", "a-slow50"])
def test_a_usage_that_the_provider_reports_is_booked_to_the_picodollar(server, name, how):
    ledger, row = Ledger(), len(server.meter)
    assert ask(ModelPool([card(server, name)], retries=0), name, how, ledger)
    assert ledger.spent.tokens == billed(server, row).tokens
    assert ledger.spent.picousd == billed(server, row).picousd
    assert [entry["estimated"] for entry in ledger.entries.values()] == [False]


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("name", ["a-nousage", "a-badusage"])
def test_a_usage_that_is_missing_or_nonsense_is_counted_and_marked(server, name, how):
    ledger, row = Ledger(), len(server.meter)
    ask(ModelPool([card(server, name)], retries=0), name, how, ledger)
    (entry,) = ledger.entries.values()
    assert entry["estimated"]
    assert billed(server, row).picousd <= entry["spent"]["picousd"] <= entry["reserved"]["picousd"]


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_reply_of_any_length_is_cut_off_and_booked_above_what_was_reserved_only_as_it_was_heard(server, how):
    ledger, row = Ledger(), len(server.meter)
    error = ask(ModelPool([card(server, "a-huge", timeout_s=5)], retries=0), "a-huge", how, ledger)
    assert type(error) is errors.ReplyTooLongError
    reads_well(error)
    assert ledger.spent.picousd >= billed(server, row).picousd
    assert ledger.reserved == Amount()


def test_a_stream_that_stops_without_an_end_is_a_failure_and_not_a_short_answer(server):
    ledger, row = Ledger(), len(server.meter)
    error = ask(ModelPool([card(server, "a-cut")], retries=0), "a-cut", "stream", ledger)
    assert isinstance(error, errors.ModelConnectionError | errors.MalformedReplyError)
    (entry,) = ledger.entries.values()
    assert entry["estimated"] and billed(server, row).picousd <= entry["spent"]["picousd"]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("2", 2, 2),
        ("date", 3, 6),
        ("soon", None, None),
        ("-5", 0, 0),
        ("nan", None, None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None, None),
        ("Mon, 01 Jan 2020 00:00:00 +99999999999999", None, None),
    ],
)
def test_how_long_to_wait_is_read_as_seconds_and_as_a_date(header, least, most):
    given = email.utils.formatdate(time.time() + 5, usegmt=True) if header == "date" else header
    with RawServer(429, '{"error": {"message": "slow down"}}', headers={"Retry-After": given}) as raw:
        error = ask(ModelPool([card(raw, "m")], retries=0), "m", "invoke")
    assert type(error) is errors.RateLimitedError
    assert error.retry_after_s is None if least is None else least <= error.retry_after_s <= most


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def plain_port():
    """A port that answers a TLS handshake with words."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listening.accept()
                    with caller:
                        caller.recv(4096)
                        caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/v1"


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("where", ["a port that nobody serves", "a name that does not exist", "TLS to a plain port"])
def test_a_provider_that_cannot_be_reached_is_booked_at_nothing(where, how):
    with plain_port() as tls:
        url = {
            "a port that nobody serves": f"http://127.0.0.1:{free_port()}/v1",
            "a name that does not exist": "http://nobody.invalid/v1",
            "TLS to a plain port": tls,
        }[where]
        ledger = Ledger()
        one = ModelCard(name="m", model="openai/m", api_base=url, price=PRICE, timeout_s=5)
        error = ask(ModelPool([one], retries=0), "m", how, ledger)
    assert isinstance(error, errors.ModelConnectionError | errors.MalformedReplyError)
    reads_well(error)
    assert (ledger.spent.picousd, ledger.spent.tokens, ledger.reserved) == (0, 0, Amount())


def test_a_wrong_path_is_told_from_a_wrong_model_by_what_the_server_says(server):
    error = ask(ModelPool([card(server, "good", api_base=f"{server.url}/typo")], retries=0), "good", "invoke")
    assert type(error) is errors.ModelNotFoundError and "/v1/typo/chat/completions is not served" in str(error)
    with RawServer(404, "<html><head><title>404</title></head><body>Not here</body></html>", kind="text/html") as raw:
        error = ask(ModelPool([card(raw, "m")], retries=0), "m", "invoke")
    assert type(error) is errors.ModelNotFoundError and "Not here" in str(error) and "<" not in str(error)


@pytest.mark.parametrize("name", ["a-reset", "a-notchat", "a-emptychoices", "a-wrongjson"])
@pytest.mark.parametrize("how", ["ainvoke", "astream"])
async def test_what_a_caller_was_handling_is_not_taken_for_what_happened(server, name, how):
    pool = ModelPool([card(server, "a-429"), card(server, name)], retries=0)
    try:
        await pool.ainvoke("a-429", "hello")
    except errors.RateLimitedError:
        with pytest.raises(FAULTS[name][0]):
            if how == "ainvoke":
                await pool.ainvoke(name, "hello")
            else:
                _ = [piece async for piece in pool.astream(name, "hello")]


CANARY = "canary/Zx81-not-a-known-form-of-key"


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_a_key_that_the_provider_echoes_is_told_to_nobody(status, how, monkeypatch, caplog, capfd):
    caplog.set_level(logging.DEBUG, logger="router_graph")
    monkeypatch.setenv("HOUSE_MODEL", CANARY)  # a name that does not look like a key's
    ledger = Ledger()
    with RawServer(status, f'{{"error": {{"message": "What is Bearer {CANARY}?", "code": "x"}}}}') as raw:
        pool = ModelPool([card(raw, "m", api_key_env="HOUSE_MODEL")], retries=0)
        error = ask(pool, "m", how, ledger)
    assert isinstance(error, errors.ModelError)
    assert raw.seen[0]["authorization"] == f"Bearer {CANARY}"
    shown = ["".join(traceback.format_exception(error)), repr(error), repr(ledger.entries), repr(pool.cards)]
    assert CANARY not in "".join([*shown, pool.describe(), caplog.text, *capfd.readouterr()])


def test_a_missing_key_names_its_variable(server, monkeypatch):
    monkeypatch.delenv("HOUSE_KEY", raising=False)
    ledger, row = Ledger(), len(server.meter)
    error = ask(ModelPool([card(server, "good", api_key_env="HOUSE_KEY")], retries=0), "good", "invoke", ledger)
    assert type(error) is errors.AuthenticationError and "HOUSE_KEY" in str(error)
    assert ledger.spent.picousd == 0 and len(server.meter) == row


def test_a_failure_leaves_a_budget_that_the_next_call_can_use(server):
    one = ModelPool([card(server, "probe")])
    ledger = Ledger()
    one.invoke("probe", "hello there you", ledger=ledger)
    worst = next(iter(ledger.entries.values()))["reserved"]["picousd"]
    ledger = Ledger(Budget(usd=worst / PICO))
    pool = ModelPool([card(server, "a-500"), card(server, "good")], retries=0)
    assert isinstance(ask(pool, "a-500", "invoke", ledger), errors.ModelServerError)
    assert isinstance(ask(pool, "good", "invoke", ledger), str)


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_calls_side_by_side_that_all_fail_leave_nothing_reserved(server, how):
    pool = ModelPool([card(server, name) for name in FAULTS], retries=0)
    ledger = Ledger()

    async def one(name: str) -> None:
        with pytest.raises(errors.ModelError):
            if how == "invoke":
                await pool.ainvoke(name, "hello", ledger=ledger)
            else:
                async for _ in pool.astream(name, "hello", ledger=ledger):
                    pass

    async def everything() -> None:
        await asyncio.gather(*(one(name) for name in FAULTS))

    asyncio.run(everything())
    assert ledger.reserved == Amount()
    assert {entry["state"] for entry in ledger.entries.values()} == {"settled"}


def test_what_a_provider_says_cannot_steer_a_terminal():
    with RawServer(500, '{"error": {"message": "no \\u001b[31mred\\u0007 \\u202e"}}') as raw:
        error = ask(ModelPool([card(raw, "m")], retries=0), "m", "invoke")
    assert type(error) is errors.ModelServerError
    assert str(error).isprintable()


def test_text_that_cannot_be_encoded_is_not_sent_and_costs_nothing(server):
    ledger, row = Ledger(), len(server.meter)
    with pytest.raises(errors.RequestRejectedError):
        ModelPool([card(server, "good")], retries=0).invoke("good", "half of a pair: \ud800", ledger=ledger)
    assert (ledger.spent.picousd, len(server.meter)) == (0, row)
