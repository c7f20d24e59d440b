"""The bill: it adds up exactly, says what is not certain, and cannot steer a terminal."""

from __future__ import annotations

import json
import re
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from router_graph.bill import format_bill
from router_graph.budget import PICO, Amount
from router_graph.ledger import Ledger

AMOUNT = st.builds(Amount, st.integers(0, 10**14), st.integers(0, 10**9), st.just(1), st.integers(0, 10**6))
CALL = st.tuples(
    AMOUNT, st.sampled_from(["model", "policy"]), st.sampled_from("abc"), st.sampled_from(["settle", "open"])
)


def booked(*calls) -> Ledger:
    ledger = Ledger()
    for amount, purpose, name, end in calls:
        key = ledger.reserve(amount, purpose=purpose, name=name)
        if end == "settle":
            ledger.settle(key, amount)
        elif end == "fail":
            ledger.settle(key, amount, estimated=True, error="ModelTimeoutError")
        elif end == "release":
            ledger.release(key)
    return ledger


def usd(line: str) -> Decimal:
    return Decimal(re.search(r"([\d,.]+) USD$", line)[1].replace(",", ""))


@settings(deadline=None, derandomize=True)
@given(st.lists(CALL, max_size=12))
def test_the_lines_add_up_to_the_total_exactly_and_the_total_is_the_ledgers(calls):
    ledger = booked(*calls)
    *lines, last = format_bill(ledger.entries).splitlines()
    charged = [line for line in lines if not line.startswith("reserved")]
    assert sum(map(usd, charged), Decimal(0)) == usd(last) == Decimal(ledger.spent.picousd) / PICO
    assert sum(map(usd, lines), Decimal(0)) - usd(last) == Decimal(ledger.reserved.picousd) / PICO


def test_calls_of_one_purpose_and_name_share_a_line_in_order_of_time():
    amount = Amount(1_500_000, 20, 1)
    ledger = booked(*[(amount, "policy", "small", "settle")] * 3, (amount, "model", "large", "settle"))
    assert format_bill(ledger.entries).splitlines() == [
        "policy  small  3 calls  60 tokens  0.0000045 USD",
        "model   large  1 call   20 tokens  0.0000015 USD",
        "total          4 calls  80 tokens  0.0000060 USD",
    ]


def test_what_failed_what_was_not_sent_what_is_open_and_what_is_estimated_are_told_apart():
    calls = [(Amount(10**9, 10, 1), "model", "m", end) for end in ("settle", "fail", "release", "open")]
    line, reserved, total = format_bill(booked(*calls).entries).splitlines()
    assert "4 calls (1 failed, 1 not sent, 1 under way)  ~20 tokens" in line
    assert "~0.002 USD" in line
    assert re.fullmatch(r"reserved +1 call +10 tokens +at most 0\.001 USD", reserved)
    assert "~0.002 USD" in total


def test_entries_that_went_through_json_give_the_same_bill():
    entries = booked((Amount(7, 3, 1), "model", "m", "fail"), (Amount(9, 3, 1), "model", "n", "settle")).entries
    assert format_bill(json.loads(json.dumps(entries))) == format_bill(entries)


def test_no_calls_make_a_bill_of_nothing():
    assert format_bill({}) == "total  0 calls  0 tokens  0.00 USD"


def test_a_name_cannot_steer_the_terminal_or_add_a_line():
    name = "m\x1b[31m\ntotal  0 calls\u202e"
    bill = format_bill(booked((Amount(1, 1, 1), "model", name, "settle")).entries)
    assert len(bill.splitlines()) == 2
    assert bill.replace("\n", "").isprintable()
