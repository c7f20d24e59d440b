"""The accounts of a process: one live ledger for each run, whoever asks for it."""

from __future__ import annotations

import hashlib
import re
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from langchain_core.runnables import RunnableConfig, ensure_config

from router_graph.budget import Budget
from router_graph.errors import LedgerError
from router_graph.journal import Journal
from router_graph.ledger import Entries, Entry, Ledger, merge_entries


class Accounts:
    """Ledgers by the id of their account. Parallel branches, retries, resumes and forks of a run share one budget.

    With a `folder`, each account keeps a journal there: it survives the death of the process, and one process at a
    time has it open. Of the accounts that nobody holds and where nothing is under way, the `keep` used last stay open,
    with two files each; the others are read from their journals when they are asked for again.

    Without a folder, an account lives in this process only, and grows by about a kilobyte with each call until
    `close`: a server closes it when the run is over. What a checkpoint holds is given to `open`; of a step that a crash
    cut off, no checkpoint knows, only a journal.

    `budget` is for accounts that are opened without one; `fsync` is the journal's.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        budget: Budget | None = None,
        fsync: bool = False,
        keep: int = 64,
    ) -> None:
        self._folder = None if folder is None else Path(folder)
        self._budget = budget or Budget()
        self._fsync = fsync
        self._keep = keep
        self._opening = threading.RLock()
        self._live: weakref.WeakValueDictionary[str, _Account] = weakref.WeakValueDictionary()
        self._kept: dict[str, _Account] = {}
        """In order of use. Without a folder all of them, because what they spent must not be forgotten."""
        self._busy: dict[str, _Account] = {}
        """Those with calls under way, of which perhaps nobody holds more than the key."""
        self._journals: dict[str, Journal] = {}

    def open(
        self, account_id: str, budget: Budget | None = None, *, entries: Mapping[str, Entry] | None = None
    ) -> Ledger:
        """The live ledger of an account, always the same one while the account is open.

        `entries` is what a checkpoint knows of the account. A call that it holds as reserved and that is not under way
        in this process broke off: its worst case is booked. So it is for what the journal holds as reserved.

        Raises `LedgerError` where the account is open with another budget, or in another process, or its journal is
        damaged.
        """
        with self._opening:
            account = self._live.get(account_id)
            if account is None:
                account = self._live[account_id] = self._opened(account_id, budget or self._budget)
            elif budget is not None and budget != account.budget:
                raise LedgerError(
                    f"The account {account_id!r} is open with the budget {account.budget!r}, not {budget!r}; "
                    "leave the budget out, or close the account first."
                )
            self._kept.pop(account_id, None)
            self._kept[account_id] = account
            if entries:
                account.take_over(entries)
            return account

    def find(self, account_id: str, *, entries: Mapping[str, Entry] | None = None) -> Ledger | None:
        """The live ledger of an account that is open in this process; `entries` as for `open`."""
        with self._opening:
            return self.open(account_id, entries=entries) if account_id in self._live else None

    def for_config(
        self,
        config: RunnableConfig | None = None,
        budget: Budget | None = None,
        *,
        entries: Mapping[str, Entry] | None = None,
    ) -> Ledger:
        """`open` for the thread of a graph's config; without one, of the node or runnable that is running.

        Raises `LedgerError` where the config names no thread.
        """
        thread = ensure_config(config).get("configurable", {}).get("thread_id")
        if thread is None or thread == "":
            raise LedgerError(
                "The config names no thread, so there is no account to book on; "
                'invoke the graph with {"configurable": {"thread_id": ...}}, or open an account by an id of your own.'
            )
        return self.open(str(thread), budget, entries=entries)

    def path(self, account_id: str) -> Path | None:
        """Where the journal of an account lies, whether or not there is one yet; None where there is no folder."""
        if self._folder is None:
            return None
        # The digest tells ids apart that a file system would not; the words before it are for people.
        digest = hashlib.sha256(account_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        words = re.sub(r"[^a-z0-9]+", "-", account_id[:40].lower()).strip("-")
        return self._folder / f"{words or 'account'}.{digest}.jsonl"

    def close(self, account_id: str | None = None) -> None:
        """Let go of an account, or of all; of one that is not open, nothing happens.

        Calls that are still under way are booked at their worst case, and its ledger takes no more. Without a folder,
        what it spent is forgotten, but by the checkpoints.
        """
        with self._opening:
            chosen = list(self._live) if account_id is None else [account_id]
            errors = [error for name in chosen if (error := self._close(name)) is not None]
            self._close_unused_journals()
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, account_id: str, budget: Budget) -> _Account:
        path = self.path(account_id)
        if path is None:
            return _Account(account_id, budget, None, self._busy)
        while len(self._kept) >= max(1, self._keep):
            del self._kept[next(iter(self._kept))]  # whoever still holds its ledger keeps it alive, and `open` finds it
        # The journal may still be ours, of an account that nobody held any more.
        journal = self._journals.pop(account_id, None) or Journal(path, fsync=self._fsync)
        self._close_unused_journals()
        account = _Account(account_id, budget, journal, self._busy)
        self._journals[account_id] = journal
        return account

    def _close_unused_journals(self) -> None:
        for name in [name for name in self._journals if name not in self._live]:
            self._journals.pop(name).close()

    def _close(self, account_id: str) -> LedgerError | None:
        self._kept.pop(account_id, None)
        account = self._live.pop(account_id, None)
        try:
            return None if account is None else account.end()
        finally:
            if account_id in self._journals:
                self._journals.pop(account_id).close()


class _Account(Ledger):
    """A ledger that writes to its journal, if it has one, and is kept in `busy` while calls are under way."""

    def __init__(self, account_id: str, budget: Budget, journal: Journal | None, busy: dict[str, _Account]) -> None:
        self._id = account_id
        self._journal = journal
        self._busy = busy
        self._under_way: set[str] = set()
        self._is_closed = False
        if journal is None:
            super().__init__(budget)
            return
        journal.acquire()
        try:
            super().__init__(budget, journal.load())
            self.settle_dangling()
        except BaseException:
            journal.close()
            raise

    def take_over(self, entries: Mapping[str, Entry]) -> None:
        """Add what a checkpoint knows, and the journal does not. What is under way here, this process knows best."""
        with self._changed:
            news: Entries = {}
            for key, entry in entries.items():
                ours = self._entries.get(key)
                if ours is None:
                    news[key] = _ended(entry)
                elif ours["state"] != "reserved" and ours != entry:
                    further = merge_entries({key: ours}, {key: entry})[key]
                    if further is not ours:
                        news[key] = further
            for key, entry in news.items():
                self._write(key, entry)
            if news:
                self.absorb(news)

    def end(self) -> LedgerError | None:
        """Book what is under way and take no more; the error that booking met, if any."""
        self._is_closed = True
        try:
            self.settle_dangling()
        except LedgerError as error:
            return error  # the journal still holds the calls as reserved: they are booked when it is opened
        finally:
            self._busy.pop(self._id, None)
        return None

    def _put(self, key: str, entry: Entry) -> None:
        is_new = entry["state"] == "reserved"
        if is_new and self._is_closed:
            raise LedgerError(f"The account {self._id!r} is closed; open it again.")
        self._write(key, entry)
        super()._put(key, entry)
        if is_new:
            self._under_way.add(key)
            self._busy[self._id] = self
        else:
            self._under_way.discard(key)
            if not self._under_way:
                self._busy.pop(self._id, None)

    def _write(self, key: str, entry: Entry) -> None:
        if self._journal is not None:
            self._journal.append(key, entry)


def _ended(entry: Entry) -> Entry:
    """The entry, or if it was left reserved its worst case."""
    if entry["state"] != "reserved":
        return entry
    return {**entry, "state": "settled", "spent": entry["reserved"], "estimated": True, "error": "interrupted"}
