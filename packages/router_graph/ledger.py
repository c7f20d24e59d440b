"""Reserve, then settle: the bill of a run, which never exceeds its budget and counts nothing twice.

The entries are plain data. Merged by id, an entry only moves forward (reserved → settled or released), so that any
number of copies (parallel branches, a resumed run, a fork of a checkpoint) merge to the same bill in any order.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast

from typing_extensions import TypedDict

from router_graph.budget import Amount, Budget
from router_graph.errors import BudgetExceededError, LedgerError

Purpose = Literal["answer", "policy", "model", "knowledge_base", "judge", "embedding"]
"""What a call was for. Only `answer` may use the answer's reserve."""

State = Literal["reserved", "settled", "released"]


class Entry(TypedDict):
    """One call, as the ledger keeps it."""

    state: State
    purpose: Purpose
    name: str
    """The model or knowledge base that was asked."""
    reserved: dict[str, int]
    """The most that the call can take; see `Amount`."""
    spent: dict[str, int]
    """What it took. Zero until it is settled."""
    usage: dict[str, int] | None
    """Its tokens by kind; see `router_graph.pool.Usage`. None where there are none."""
    estimated: bool
    """True where the provider did not say, and we counted."""
    error: str | None
    at: float
    """When it was reserved, in seconds since 1970."""


Entries = dict[str, Entry]


def merge_entries(one: Mapping[str, Entry] | None, other: Mapping[str, Entry] | None) -> Entries:
    """A reducer for graph state: the union by id, of each entry the version that is further on."""
    merged: Entries = dict(one or {})
    for key, entry in (other or {}).items():
        known = merged.get(key)
        if known is None or (known != entry and _progress(entry) > _progress(known)):
            merged[key] = entry
    return merged


def _progress(entry: Entry) -> tuple[int, str]:
    # Settled beats released: if two copies disagree, money that may have been spent counts. The text breaks ties alike
    # in every order.
    return ("reserved", "released", "settled").index(entry["state"]), repr(sorted(entry.items()))


def total(entries: Mapping[str, Entry], field: Literal["reserved", "spent"]) -> Amount:
    """What is reserved and not yet settled, or what is spent."""
    chosen = (e for e in entries.values() if e["state"] == ("reserved" if field == "reserved" else "settled"))
    return sum((Amount(**e[field]) for e in chosen), Amount())


class Ledger:
    """The live account of one run: every reservation of this process goes through it, from any thread or task.

    `entries` is what a checkpoint held. `on_change` sees every entry as it changes, before the change takes effect: a
    journal that writes it down makes the account survive a crash.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        entries: Mapping[str, Entry] | None = None,
        *,
        on_change: Callable[[str, Entry], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(budget, Budget | None):
            raise LedgerError(f"A ledger keeps a Budget, as in Ledger(Budget(usd=1)), and not {budget!r}.")
        self.budget = budget or Budget()
        self._entries: Entries = dict(entries or {})
        self._spent, self._reserved = total(self._entries, "spent"), total(self._entries, "reserved")
        self._on_change = on_change
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def __str__(self) -> str:
        from router_graph.bill import format_bill

        return format_bill(self.entries)

    @property
    def entries(self) -> Entries:
        """A copy of all entries, for graph state."""
        with self._changed:
            return dict(self._entries)

    def entry(self, key: str) -> Entry:
        """The entry of a key."""
        with self._changed:
            return self._entries[key]

    @property
    def spent(self) -> Amount:
        """What settled calls took."""
        with self._changed:
            return self._spent

    @property
    def reserved(self) -> Amount:
        """What calls under way may still take."""
        with self._changed:
            return self._reserved

    def left(self, *, for_answer: bool = False) -> dict[str, int | None]:
        """What may still be reserved, by field of `Amount`; None is no limit, and never below 0."""
        with self._changed:
            held = self._spent + self._reserved
        limits = self.budget.limits(for_answer=for_answer)
        return {f: None if limit is None else max(0, limit - getattr(held, f)) for f, limit in limits.items()}

    def absorb(self, entries: Mapping[str, Entry]) -> None:
        """Take over what another copy of this account knows, as after a resume. `on_change` does not see it."""
        with self._changed:
            self._entries = merge_entries(self._entries, entries)
            self._spent, self._reserved = total(self._entries, "spent"), total(self._entries, "reserved")
            self._wake()

    def reserve(
        self, amount: Amount, *, purpose: Purpose, name: str, wait_s: float = 0.0, key: str | None = None
    ) -> str:
        """Set the most that a call can take aside; the key to settle or release it with.

        Where other reservations stand in the way and not what is spent, waits up to `wait_s` seconds for one to be
        settled below its worst case. Raises `BudgetExceededError`.
        """
        deadline = time.monotonic() + wait_s
        with self._changed:
            while (opened := self._try_to_open(amount, purpose, name, key, deadline)) is None:
                self._changed.wait(deadline - time.monotonic())
            return opened

    async def areserve(
        self, amount: Amount, *, purpose: Purpose, name: str, wait_s: float = 0.0, key: str | None = None
    ) -> str:
        """`reserve`, without holding up the event loop."""
        deadline = time.monotonic() + wait_s
        while True:
            with self._changed:
                if (opened := self._try_to_open(amount, purpose, name, key, deadline)) is not None:
                    return opened
                waiter = (asyncio.get_running_loop(), asyncio.Event())
                self._waiting.add(waiter)
            try:
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the wake-up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(deadline - time.monotonic()):
                        await waiter[1].wait()
            finally:
                with self._changed:
                    self._waiting.discard(waiter)

    def settle(
        self,
        key: str,
        spent: Amount,
        *,
        usage: dict[str, int] | None = None,
        estimated: bool = False,
        error: str | None = None,
    ) -> None:
        """Book what a call took, a failed one too. Settling twice is an error, so that no call is booked twice."""
        self._close(key, "settled", spent, usage=usage, estimated=estimated, error=error)

    def release(self, key: str, *, error: str | None = None) -> None:
        """Give a reservation back whose call took nothing."""
        self._close(key, "released", Amount(), usage=None, estimated=False, error=error)

    @contextlib.contextmanager
    def reservation(self, amount: Amount, *, purpose: Purpose, name: str, wait_s: float = 0.0) -> Iterator[str]:
        """A reservation for the block. If it ends unsettled, the worst case is booked: the money may be gone."""
        key = self.reserve(amount, purpose=purpose, name=name, wait_s=wait_s)
        try:
            yield key
        except BaseException as error:
            self._settle_worst_case(key, type(error).__name__)
            raise
        self._settle_worst_case(key, None)

    def settle_dangling(self) -> int:
        """Book the worst case of every reservation that nobody will settle any more, as after a crash; how many."""
        with self._changed:
            dangling = [key for key, entry in self._entries.items() if entry["state"] == "reserved"]
            for key in dangling:
                self._settle_worst_case(key, "interrupted")
        return len(dangling)

    def bill(self) -> list[dict[str, Any]]:
        """A row for each call, in order of time."""
        rows = sorted(self.entries.values(), key=lambda entry: entry["at"])
        return [
            {
                "at": entry["at"],
                "purpose": entry["purpose"],
                "name": entry["name"],
                "state": entry["state"],
                "usd": Amount(**entry["spent"]).usd,
                "tokens": entry["spent"]["tokens"],
                "estimated": entry["estimated"],
                "error": entry["error"],
            }
            for entry in rows
        ]

    def _settle_worst_case(self, key: str, error: str | None) -> None:
        with self._changed:
            entry = self._entries[key]
            if entry["state"] == "reserved":
                self.settle(key, Amount(**entry["reserved"]), estimated=True, error=error)

    def _try_to_open(self, amount: Amount, purpose: Purpose, name: str, key: str | None, deadline: float) -> str | None:
        """The key of the new reservation, or None where it is worth waiting until the deadline."""
        short = self._short_of(amount, purpose)
        if short is None:
            return self._open(amount, purpose, name, key)
        if not short.can_wait or time.monotonic() >= deadline:
            raise short.error(name)
        return None

    def _short_of(self, amount: Amount, purpose: Purpose) -> _Short | None:
        whole = self.budget.limits(for_answer=True)
        for field, limit in self.budget.limits(for_answer=purpose == "answer").items():
            asked = getattr(amount, field)
            if limit is None or asked == 0:
                continue
            free = limit - getattr(self._spent, field)
            now = free - getattr(self._reserved, field)
            if asked > now:
                return _Short(field, asked, max(0, now), (whole[field] or 0) - limit, can_wait=asked <= free)
        return None

    def _open(self, amount: Amount, purpose: Purpose, name: str, key: str | None) -> str:
        if any(value < 0 for value in amount.as_dict().values()):
            raise LedgerError(f"A reservation for {name!r} is negative ({amount}); amounts are 0 or more.")
        key = key or uuid.uuid4().hex
        if key in self._entries:
            raise LedgerError(f"The key {key!r} is in the ledger already; every call needs its own.")
        self._put(
            key,
            Entry(
                state="reserved",
                purpose=purpose,
                name=name,
                reserved=amount.as_dict(),
                spent=Amount().as_dict(),
                usage=None,
                estimated=False,
                error=None,
                at=self._clock(),
            ),
        )
        return key

    def _close(
        self,
        key: str,
        state: State,
        spent: Amount,
        *,
        usage: dict[str, int] | None,
        estimated: bool,
        error: str | None,
    ) -> None:
        if any(value < 0 for value in spent.as_dict().values()):
            raise LedgerError(f"A settlement is negative ({spent}); amounts are 0 or more.")
        with self._changed:
            entry = self._entries.get(key)
            if entry is None or entry["state"] != "reserved":
                was = "unknown" if entry is None else entry["state"]
                raise LedgerError(f"The reservation {key!r} is {was}; only an open one can be {state}.")
            outcome = {"state": state, "spent": spent.as_dict(), "usage": usage, "estimated": estimated, "error": error}
            self._put(key, cast(Entry, {**entry, **outcome}))
            self._wake()

    def _put(self, key: str, entry: Entry) -> None:
        if self._on_change is not None:
            self._on_change(key, entry)  # written down first: a crash after it must not lose it
        before = self._entries.get(key)
        self._entries[key] = entry
        if before is None:
            self._reserved += Amount(**entry["reserved"])
        else:
            self._reserved -= Amount(**before["reserved"])
            self._spent += Amount(**entry["spent"])

    def _wake(self) -> None:
        self._changed.notify_all()
        for loop, event in self._waiting:
            with contextlib.suppress(RuntimeError):  # its event loop was closed while it waited
                loop.call_soon_threadsafe(event.set)


class _Short:
    """By how much a reservation does not fit."""

    def __init__(self, field: str, asked: int, free: int, kept: int, *, can_wait: bool) -> None:
        self.field, self.asked, self.free, self.kept, self.can_wait = field, asked, free, kept, can_wait

    def error(self, name: str) -> BudgetExceededError:
        def shown(value: int) -> str:
            if self.field == "picousd":
                return f"{Amount(picousd=value).usd:.6g} USD"
            if self.field == "milliseconds":
                return f"{value / 1000:g} s of calls"
            return f"{value} {self.field[:-1] if value == 1 else self.field}"

        mend = "give a larger budget"
        if self.field in ("picousd", "tokens"):
            mend = f"shorten the messages or max_tokens, or {mend}"
        kept = f" ({shown(self.kept)} more for purpose='answer')" if self.kept else ""
        told = f"{name!r} may take {shown(self.asked)}, and what is left is {shown(self.free)}{kept}; {mend}."
        error = BudgetExceededError(told)
        error.field = self.field
        return error
