"""A tab: the calls of one node on the account of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_graph.budget import Amount
from router_graph.ledger import Entries, Entry, Ledger, Purpose, total


class Tab(Ledger):
    """A ledger that books on another one and knows which entries came through it.

    Its budget is the account's; its `entries`, `spent`, `reserved` and `bill` are its own calls alone. A node of a
    graph returns `tab.entries`, however many siblings book beside it.
    """

    def __init__(self, account: Ledger) -> None:
        self.budget = account.budget  # and nothing else of a ledger's own: it keeps no entries
        self._account = account
        self._keys: list[str] = []

    @property
    def entries(self) -> Entries:
        """The entries that were opened through this tab."""
        return {key: self._account.entry(key) for key in self._keys}

    @property
    def spent(self) -> Amount:
        """What its settled calls took."""
        return total(self.entries, "spent")

    @property
    def reserved(self) -> Amount:
        """What its calls under way may still take."""
        return total(self.entries, "reserved")

    def left(self, *, for_answer: bool = False) -> dict[str, int | None]:
        """What is left of the account."""
        return self._account.left(for_answer=for_answer)

    def absorb(self, entries: Mapping[str, Entry]) -> None:
        """As the account's."""
        self._account.absorb(entries)

    def entry(self, key: str) -> Entry:
        """As the account's."""
        return self._account.entry(key)

    def reserve(
        self, amount: Amount, *, purpose: Purpose, name: str, wait_s: float = 0.0, key: str | None = None
    ) -> str:
        """As the account's."""
        opened = self._account.reserve(amount, purpose=purpose, name=name, wait_s=wait_s, key=key)
        self._keys.append(opened)
        return opened

    async def areserve(
        self, amount: Amount, *, purpose: Purpose, name: str, wait_s: float = 0.0, key: str | None = None
    ) -> str:
        """As the account's."""
        opened = await self._account.areserve(amount, purpose=purpose, name=name, wait_s=wait_s, key=key)
        self._keys.append(opened)
        return opened

    def settle(self, key: str, spent: Amount, **outcome: Any) -> None:
        """As the account's."""
        self._account.settle(key, spent, **outcome)

    def release(self, key: str, *, error: str | None = None) -> None:
        """As the account's."""
        self._account.release(key, error=error)

    def settle_dangling(self) -> int:
        """Book the worst case of its own calls that nobody will settle any more; how many."""
        dangling = [key for key, entry in self.entries.items() if entry["state"] == "reserved"]
        for key in dangling:
            self._settle_worst_case(key, "interrupted")
        return len(dangling)

    def _settle_worst_case(self, key: str, error: str | None) -> None:
        entry = self.entry(key)
        if entry["state"] == "reserved":
            self.settle(key, Amount(**entry["reserved"]), estimated=True, error=error)
