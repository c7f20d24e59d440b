"""Where knowledge bases lie: a folder that Chroma keeps, or a Chroma server. One writer at a time for a folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from kb_tools.errors import KBFormatError, KBInputError, KBLockedError, KBStorageError

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

FORMAT = 1
"""Raise it when an older version of this package could no longer read what a newer one writes."""
_STAMP = "polyroute.json"
_LOCK = "writer.lock"
_HOLDER = "writer.json"

_open_stores: dict[str, Store] = {}
_open_lock = threading.Lock()


class Store:
    """Chroma behind one location. Opened through `Store.open`, shared by all who open the same location in a process,
    because Chroma's local client is shared by path as well."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.is_server = location.startswith(("http://", "https://"))
        self._users = 0
        self._client: ClientAPI | None = None
        self._mutex = threading.RLock()
        self._writing = threading.Lock()
        self._writer = None if self.is_server else FileLock(Path(location) / _LOCK, timeout=0, thread_local=False)
        self._idle = threading.Condition()
        self._sessions = 0
        self._reopening = False
        self._depth = threading.local()
        self._closed = False
        self._is_writer = False
        self.writes = threading.RLock()
        """Held through each write: two at once would announce their revisions out of order, and readers miss one."""
        self.vectors_read: dict[str, int] = {}
        """By the id of a collection, the last generation of the client that has read its vectors."""
        self.generation = 0
        """Counts the clients that were closed: a collection handle of an older generation must not be used."""

    @classmethod
    def open(cls, location: str | Path) -> Store:
        """The store of a folder or of `http://host:port`. Nothing is created or contacted yet."""
        text = _checked_location(str(location))
        with _open_lock:
            store = _open_stores.setdefault(text, cls(text))
            store._users += 1
            return store

    def close(self) -> None:
        """Let go of the store; the last one to do so ends the client and frees the writer's lock."""
        # Whoever opens the folder meanwhile waits: Chroma shares clients by path, and would give the one that ends.
        with _open_lock:
            self._users -= 1
            if self._users > 0:
                return
            with self._idle:
                self._closed = True
                self._idle.wait_for(lambda: self._sessions == 0 and not self._reopening)
            with self._writing, self._mutex:
                self._close_client()
                if self._writer is not None and self._writer.is_locked:
                    with contextlib.suppress(OSError):
                        (Path(self.location) / _HOLDER).unlink()
                    self._writer.release(force=True)
            _open_stores.pop(self.location, None)

    @property
    def exists(self) -> bool:
        """False for a folder in which nobody has written yet."""
        return self.is_server or (Path(self.location) / "chroma.sqlite3").exists()

    @property
    def sees_all_writes(self) -> bool:
        """True where no other process can have written past this client: it is the writer, or asks a server."""
        return self.is_server or self._is_writer

    @property
    def cache(self) -> Path:
        """Where derived data lies: in the folder itself, or for a server in the user's cache."""
        if self.is_server:
            return user_cache_path("polyroute") / "servers" / urlsplit(self.location).netloc.replace(":", "_")
        return Path(self.location) / "derived"

    @property
    def client(self) -> ClientAPI:
        """The Chroma client. Raises `KBStorageError` where the server does not answer or the folder is unusable."""
        with self._mutex:
            self._check_open()
            if self._client is None:
                self._client = self._connect()
            return self._client

    def acquire_writer(self) -> None:
        """Become the one writer of the folder until `close`; a crash frees the lock. No-op for a server, which takes
        several. Raises `KBLockedError` while another process writes."""
        if self._writer is None:
            return
        with self._writing:
            self._check_open()
            if self._is_writer:
                return
            folder = Path(self.location)
            with self._translated():
                folder.mkdir(parents=True, exist_ok=True)
                self._check_format()
                try:
                    self._writer.acquire()
                except Timeout:
                    raise KBLockedError(
                        f"{self._holder()} is writing to {self.location}; try again when it is done, "
                        "or serve the folder with `chroma run --path` for several writers."
                    ) from None
                try:
                    (folder / _HOLDER).write_text(json.dumps({"pid": os.getpid(), "since": int(time.time())}))
                    if not (folder / _STAMP).exists():
                        (folder / _STAMP).write_text(
                            json.dumps({"format": FORMAT, "written_by": f"polyroute {metadata.version('polyroute')}"})
                        )
                    # Another process may have written since this client read its index; to write on top would
                    # corrupt it.
                    self.reopen()
                except BaseException:
                    self._writer.release(force=True)
                    raise
            self._is_writer = True

    @contextlib.contextmanager
    def session(self, *, translate: bool = True) -> Iterator[None]:
        """Use the client inside: it stays open meanwhile, and what Chroma, its HTTP client or the disk raise becomes
        one sentence of ours, unless `translate` is off. May be nested."""
        depth = getattr(self._depth, "value", 0)
        if depth == 0:
            with self._idle:
                self._idle.wait_for(lambda: not self._reopening)
                self._check_open()
                self._sessions += 1
        self._depth.value = depth + 1
        try:
            with self._translated() if translate else contextlib.nullcontext():
                yield
        finally:
            self._depth.value = depth
            if depth == 0:
                with self._idle:
                    self._sessions -= 1
                    self._idle.notify_all()

    def reopen(self) -> None:
        """Take a new client, once no thread uses the old one. Not inside a session."""
        with self._idle:
            self._idle.wait_for(lambda: not self._reopening)
            self._reopening = True
            self._idle.wait_for(lambda: self._sessions == 0)
        try:
            with self._mutex:
                self._close_client()
        finally:
            with self._idle:
                self._reopening = False
                self._idle.notify_all()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        import chromadb.errors
        import httpx

        try:
            yield
        except (OSError, httpx.HTTPError, chromadb.errors.ChromaError) as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: Exception) -> Exception:
        text = " ".join(str(error).split())
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        # 778 is SQLite's IOERR_WRITE: a quota, or a file size limit.
        if full or any(sign in text for sign in ("disk is full", "No space left", "File too large", "(code: 778)")):
            return KBStorageError(
                f"No space is left for {self.location}; what was acknowledged before is kept. "
                "Free some space and run the same again."
            )
        if self.is_server and (type(error).__module__.startswith("httpx") or "connect" in text.lower()):
            return KBStorageError(
                f"The Chroma server at {self.location} does not answer ({text[:200]}); "
                "start it with `chroma run --path FOLDER --host HOST --port PORT`."
            )
        if isinstance(error, PermissionError):
            return KBStorageError(f"{self.location} cannot be written or read: {text[:200]}.")
        return KBStorageError(f"Chroma could not work on {self.location}: {text[:300]}")

    def _connect(self) -> ClientAPI:
        import chromadb
        from chromadb.api.shared_system_client import SharedSystemClient
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        with self._translated():
            if not self.is_server:
                if _forked:
                    raise KBStorageError(
                        "Chroma cannot be used in a fork of a process that used it; start the process with "
                        "multiprocessing.get_context('spawn')."
                    )
                self._check_format()
                try:
                    return chromadb.PersistentClient(self.location, settings=settings)
                except BaseException:
                    # Chroma keeps the client that failed to start, and would give it to the next who asks.
                    SharedSystemClient._identifier_to_system.pop(self.location, None)
                    raise
            parts = urlsplit(self.location)
            if not parts.hostname:
                raise KBInputError(f"{self.location!r} names no host; write it as http://host:port.")
            try:
                return chromadb.HttpClient(
                    parts.hostname,
                    port=parts.port or (443 if parts.scheme == "https" else 8000),
                    ssl=parts.scheme == "https",
                    settings=settings,
                )
            except ValueError as error:  # Chroma's word for a server that is down
                raise self._storage_error(ConnectionError(f"could not connect: {error}")) from error

    def _check_open(self) -> None:
        if self._closed:
            raise KBInputError(f"The catalog of {self.location} was closed; open it again.")

    def _check_format(self) -> None:
        try:
            stamp = json.loads((Path(self.location) / _STAMP).read_text())
        except FileNotFoundError:
            return
        except ValueError as error:
            raise KBFormatError(f"{_STAMP} in {self.location} cannot be read ({error}).") from error
        check_format(stamp.get("format"), self.location, str(stamp.get("written_by", "a newer polyroute")))

    def _holder(self) -> str:
        try:
            holder: dict[str, Any] = json.loads((Path(self.location) / _HOLDER).read_text())
            since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
            return f"Process {holder['pid']} (since {since})"
        except (OSError, ValueError, KeyError):
            return "Another process"

    def _close_client(self) -> None:
        if self._client is not None:
            # The protocol that Chroma gives as its client's type lacks this method.
            self._client.close()  # type: ignore[attr-defined]
            self._client = None
            self.generation += 1


def _checked_location(text: str) -> str:
    if text.startswith(("http://", "https://")):
        return text
    if not text.strip():
        raise KBInputError("The location is empty; give a folder, or http://host:port of a Chroma server.")
    if re.match(r"(?i)[a-z][a-z0-9+.-]*://", text):
        raise KBInputError(f"{text!r} is no location; give a folder, or http://host:port of a Chroma server.")
    if re.fullmatch(r"[\w.-]+:\d+/?", text):
        raise KBInputError(f"{text!r} looks like a server; write http://{text}.")
    path = Path(text).expanduser().resolve()
    if path.is_file():
        raise KBInputError(f"{path} is a file; give a folder for knowledge bases.")
    return str(path)


def check_format(found: object, where: str, writer: str) -> None:
    """Raise `KBFormatError` for a format that only a newer version can read."""
    if isinstance(found, int) and found > FORMAT:
        raise KBFormatError(
            f"{where} was written by {writer} in format {found}, and this version reads up to {FORMAT}; "
            "upgrade with `pip install -U polyroute`."
        )


_forked = False


def _after_fork() -> None:
    """Chroma's threads do not come along into the child, and its clients would wait for them forever."""
    global _forked, _open_lock
    _forked = _forked or any(store._client is not None and not store.is_server for store in _open_stores.values())
    for store in _open_stores.values():
        store._closed = True
        store._idle, store._mutex, store._writing = threading.Condition(), threading.RLock(), threading.Lock()
        store._sessions, store._reopening = 0, False
        _inherited.append(store)  # to end its client would wait as well
    _open_stores.clear()
    _open_lock = threading.Lock()


_inherited: list[Store] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
