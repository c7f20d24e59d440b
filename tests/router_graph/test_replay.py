"""Replayed replies are the recorded ones, at the recorded price; what was not recorded is an error."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_graph.errors import CardError, UnrecordedError
from router_graph.ledger import Ledger
from router_graph.pool import ModelPool
from router_graph.pool.reply import whole_message
from router_graph.pool.transports.record import normalise_question
from router_graph.pool.transports.replay import Coverage, ReplayTransport
from support.recordings import SAY, asked, card_of, replay, written


def test_the_pieces_of_a_replayed_stream_make_the_very_message(tmp_path):
    message = {
        "tool_calls": [{"name": "look_up", "args": {"query": "é"}, "id": "1", "type": "tool_call"}] * 2,
        "invalid_tool_calls": [{"name": "x", "args": "{{", "id": "3", "error": "bad", "type": "invalid_tool_call"}],
        "additional_kwargs": {"reasoning_content": "Hm."},
        "response_metadata": {"model_name": "x-1", "finish_reason": "tool_calls"},
        "usage_metadata": {
            "input_tokens": 9, "output_tokens": 8, "total_tokens": 17,
            "input_token_details": {"cache_read": 3}, "output_token_details": {"reasoning": 2},
        },
    }  # fmt: skip
    blocks = [{"type": "text", "text": "Ha"}, {"type": "image", "url": "x"}]
    rows = [message, {**message, "content": blocks, "tool_calls": [], "invalid_tool_calls": []}]
    transport = replay(
        tmp_path,
        *(
            {"question": f"q{i}", "responses": {"a/b": {"text": " So be\n it. ", "message": m}}}
            for i, m in enumerate(rows)
        ),
    )

    async def both(question):
        pieces = [piece async for piece in transport.stream(asked(question))]
        return whole_message(pieces), await transport.complete(asked(question))

    for question, content in [("q0", " So be\n it. "), ("q1", blocks)]:
        streamed, whole = asyncio.run(both(question))
        assert streamed.model_dump() == {**whole.model_dump(), "invalid_tool_calls": streamed.invalid_tool_calls}
        assert [call["args"] for call in streamed.invalid_tool_calls] == [c["args"] for c in whole.invalid_tool_calls]
        assert whole.content == content


@pytest.mark.data
def test_every_reply_of_the_nq_pool_is_found_and_the_bill_is_the_sum_of_its_tokens_at_their_price(data):
    folder = data / "nq_pool"
    rows = [json.loads(line) for file in folder.glob("replies*.jsonl") for line in file.open(encoding="utf-8")]
    prices = {row["model"]: row for row in map(json.loads, (folder / "models.jsonl").open(encoding="utf-8"))}
    assert len({normalise_question(row["question"]) for row in rows}) == len(rows) == 400
    transport = ReplayTransport.load(folder)
    cards = transport.cards()
    assert {card.id for card in cards} == set(prices)
    assert "gemma-2-27b-it" in {card.name for card in cards}
    everything = dict.fromkeys(prices, Coverage(400, 400))
    assert transport.covers(prices, [row["question"] for row in rows]) == everything
    pool, ledger, expected = ModelPool(cards, transports={"replay": transport}), Ledger(), 0

    async def ask_all():
        for row in rows:
            for card in cards:
                reply = await pool.ainvoke(card.name, row["question"], ledger=ledger)
                assert reply.text == row["responses"][card.id]["text"] and not reply.estimated

    asyncio.run(ask_all())
    for row in rows:
        for model, response in row["responses"].items():
            pico = round(prices[model]["usd_per_million_completion_tokens"] * 100) * 10**4  # whole cents: exact
            expected += response["completion_tokens"] * pico
    assert (ledger.spent.picousd, ledger.spent.calls) == (expected, 2400)
    assert transport.coverage() == everything


def test_a_miss_says_what_is_missing_is_counted_and_costs_nothing(tmp_path):
    transport = replay(
        tmp_path,
        {"question": "who?", "responses": {"a/b": SAY, "a/c": SAY}},
        {"question": "why?", "responses": {"a/c": SAY}},
    )
    pool, ledger = ModelPool([card_of("a/b"), card_of("a/d", name="d")], transports={"replay": transport}), Ledger()
    for name, question, problem in [
        ("m", "x" * 300, r"'a/b' to 'x{79}…' is recorded: the question is unknown\."),
        ("d", "who?", "the model is unknown; known are a/b, a/c"),
        ("m", "why?", "only other models were asked this"),
    ]:
        with pytest.raises(UnrecordedError, match=problem):
            pool.invoke(name, question, ledger=ledger)
    assert pool.invoke("m", [("system", "Any."), ("user", "WHO")], ledger=ledger).usage.output == 5
    assert transport.coverage() == {"a/b": Coverage(3, 1), "a/d": Coverage(1, 0)}
    assert ledger.spent.picousd == 5 * 600_000


def test_a_reply_that_somebody_changed_is_recorded_as_it_was(tmp_path):
    message = {"additional_kwargs": {"thoughts": ["deep"]}, "name": "bob"}
    transport = replay(tmp_path, {"question": "q", "responses": {"a/b": {"text": "t", "message": message}}})
    asyncio.run(transport.complete(asked("q"))).additional_kwargs["thoughts"].clear()
    again = asyncio.run(transport.complete(asked("q")))
    assert (again.additional_kwargs, again.name, again.usage_metadata) == ({"thoughts": ["deep"]}, "bob", None)


def test_of_two_recordings_the_later_counts_and_files_go_by_name(tmp_path):
    for name, said in [("replies-2", "second"), ("replies-1", "first"), ("other", "unread")]:
        rows = [{"question": "q", "responses": {"a/b": {**SAY, "text": text}}} for text in ("older", said)]
        written(tmp_path / f"{name}.jsonl", *rows)
    assert asyncio.run(ReplayTransport.load(tmp_path).complete(asked("q"))).content == "second"
    reverse = [tmp_path / "replies-2.jsonl", str(tmp_path / "replies-1.jsonl")]
    assert asyncio.run(ReplayTransport.load(reverse).complete(asked("q"))).content == "first"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2 is no JSON"), ("[1]", "line 2 is no JSON object"), ('{"question": 1}', "line 2: a recording has"),
        ('{"question": "q", "responses": {"a": {}}}', "line 2: the response of 'a' has no `text`"),
        ('{"question": "q", "responses": {"a": {"text": "", "completion_tokens": -1}}}', "line 2: completion_tokens"),
        ("[" * 10**5, "line 2 is no JSON"), ("\xff", "line 2 is no JSON"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_file(tmp_path, line, problem):
    path = tmp_path / "replies.jsonl"
    path.write_bytes(b'{"question": "q", "responses": {}}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(CardError, match=f"replies.jsonl, {problem}"):
        ReplayTransport.load(path)


def test_a_folder_without_recordings_and_a_file_that_is_not_there_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "no.jsonl"):
        with pytest.raises(CardError, match=str(path)):
            ReplayTransport.load(path)


def test_ids_that_end_alike_or_hold_odd_letters_still_make_cards(tmp_path):
    ids = ["a/x", "b/x", "c/llama:8b", "c/llama-8b", "::", "a/" + "y" * 90, "z/" + "y" * 90]
    written(
        tmp_path / "models.jsonl",
        *({"model": one, "usd_per_million_completion_tokens": i} for i, one in enumerate(ids)),
    )
    cards = replay(tmp_path, {"question": "q", "responses": {"a/x": SAY}}).cards()
    assert [card.id for card in cards] == ids and len({card.name for card in cards}) == len(ids)
    assert [card.name for card in cards][:4] == ["x", "b/x", "llama-8b", "c/llama-8b"]
    assert (cards[1].payable.output, cards[1].payable.source) == (1, "recorded")


@given(text=st.text())
def test_words_of_a_stream_join_to_the_text_exactly(text, tmp_path_factory):
    transport = replay(tmp_path_factory.mktemp("s"), {"question": "q", "responses": {"a/b": {**SAY, "text": text}}})

    async def pieces():
        return [piece async for piece in transport.stream(asked("q"))]

    said = asyncio.run(pieces())
    assert "".join(piece.content for piece in said) == text
    assert len(said) >= len(text.split())
    assert whole_message(said).usage_metadata["output_tokens"] == 5


@given(text=st.text(), end=st.sampled_from(["", "?", " ?", ".", "？", "  "]))
def test_normalising_is_idempotent_and_blind_to_case_space_and_the_mark_at_the_end(text, end):
    normal = normalise_question(text)
    assert normalise_question(normal) == normal
    if normal.strip("?. "):
        assert normalise_question(f" {text}{end}") == normal
    assert normalise_question("Who is  the Ｐope ?") == normalise_question("who is the pope")
    assert normalise_question("who is the pope's?") != normalise_question("who is the popes?")
