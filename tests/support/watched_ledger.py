"""A ledger under watch: its invariants before every change, and which reservation a request belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextvars import ContextVar

from router_graph.budget import Amount
from router_graph.ledger import Entry, Ledger
from router_graph.pool import LiteLLMTransport, Price, Request, Usage
from support.model_server import Row

RESERVATION: ContextVar[str] = ContextVar("reservation")
"""The ledger's key of the call that the current task is in."""


class KeyedTransport(LiteLLMTransport):
    """LiteLLM, with the reservation of each request in its header x-request-key."""

    def arguments(self, request: Request) -> dict:
        return {**super().arguments(request), "extra_headers": {"x-request-key": RESERVATION.get()}}


def watched(ledger: Ledger, broken: list[str]) -> Ledger:
    """The ledger, which writes down in `broken` whenever it holds more than its budget allows."""
    reserve, put = ledger.areserve, ledger._put

    async def areserve(amount: Amount, **how) -> str:
        key = await reserve(amount, **how)
        RESERVATION.set(key)
        return key

    def checked_put(key: str, entry: Entry) -> None:
        put(key, entry)
        broken.extend(problems(ledger))

    ledger.areserve, ledger._put = areserve, checked_put
    return ledger


def problems(ledger: Ledger) -> list[str]:
    """How the budget is exceeded now, by all calls or by those that may not use the answer's reserve."""
    found = []
    entries = ledger.entries.values()
    for for_answer in (True, False):
        held = Amount()
        for entry in entries:
            if for_answer or entry["purpose"] != "answer":
                held += Amount(**entry["reserved" if entry["state"] == "reserved" else "spent"])
        for field, limit in ledger.budget.limits(for_answer=for_answer).items():
            if limit is not None and getattr(held, field) > limit:
                found.append(f"{field}: {getattr(held, field)} of {limit}, for_answer={for_answer}")
    return found


def check_bill(ledger: Ledger, meter: Iterable[Row], price: Price) -> Counter[str]:
    """Every metered request has its own entry, which holds what was metered, or as an estimate no less and no more than
    was reserved. Returns how many entries were exact, estimated, and without a request.
    """
    entries, rows = ledger.entries, list(meter)
    assert not [key for key, entry in entries.items() if entry["state"] == "reserved"]
    assert ledger.reserved == Amount()
    assert max(Counter(row.key for row in rows).values(), default=1) == 1, "one reservation paid for two requests"
    metered = {row.key: Usage(row.prompt, row.completion, row.cached, 0, row.reasoning) for row in rows}
    assert metered.keys() <= entries.keys(), "a request was sent that no entry pays for"
    kinds: Counter[str] = Counter()
    exact, exact_metered = Amount(), Amount()
    for key, entry in entries.items():
        usage, spent, reserved = metered.get(key, Usage()), Amount(**entry["spent"]), Amount(**entry["reserved"])
        billed = Amount(price.cost(usage), usage.tokens)
        if entry["state"] == "released":
            assert key not in metered
            kinds["released"] += 1
        elif entry["estimated"]:
            assert billed.picousd <= spent.picousd <= reserved.picousd, (entry, usage)
            assert billed.tokens <= spent.tokens <= reserved.tokens, (entry, usage)
            kinds["estimated"] += 1
        else:
            assert entry["usage"] is None or Usage(**entry["usage"]) == usage
            exact += Amount(spent.picousd, spent.tokens)
            exact_metered += billed
            kinds["exact" if usage.tokens else "refused"] += 1
    assert exact == exact_metered
    return kinds
