"""Searches that are made once: what a knowledge base found is kept in a file, so that a long pass can be resumed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from router_graph.knowledge import Knowledge, Searchable, knowledge_by_name
from router_graph.state import Hit
from router_training.errors import DataError

_Key = tuple[str, str, str, int, tuple[str, ...] | None, tuple[str, ...]]


class Searches:
    """Asks knowledge bases, each question once.

    `versions` names the state of each knowledge base, as of its index: hits of another version are not taken from the
    file. What failed is not kept, so that it is asked again the next time. A line that was torn when a pass broke off
    is skipped. Raises `DataError` where the file is none of ours.
    """

    def __init__(
        self,
        knowledge: Sequence[Knowledge | Searchable] | Mapping[str, Any],
        *,
        file: str | Path | None = None,
        versions: Mapping[str, str] | None = None,
        at_once: int = 8,
    ) -> None:
        self.knowledge = knowledge_by_name(knowledge)
        self.asked = 0
        """Searches that were really made."""
        self.problems: dict[str, str] = {}
        """By knowledge base: what went wrong last."""
        self._versions = dict(versions or {})
        self._known: dict[_Key, list[Hit]] = {}
        self._under_way: dict[_Key, asyncio.Future[list[Hit] | None]] = {}
        self._room = asyncio.Semaphore(at_once)
        self._file = None
        if file is not None:
            path = Path(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            is_torn = self._read(path)
            self._file = path.open("a", encoding="utf-8")
            if is_torn:
                self._file.write("\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def search(
        self, kb: str, query: str, k: int, *, images: Sequence[str] = (), within: Sequence[str] | None = None
    ) -> list[Hit] | None:
        """The hits, as `Knowledge.search` finds them; None where the search failed (`problems` says why)."""
        allowed = None if within is None else tuple(within)
        key: _Key = (kb, self._versions.get(kb, ""), query, k, allowed, tuple(map(_name, images)))
        if key in self._known:
            return self._known[key]
        if key in self._under_way:
            return await asyncio.shield(self._under_way[key])
        future = self._under_way[key] = asyncio.get_running_loop().create_future()
        hits: list[Hit] | None = None
        try:
            async with self._room:
                hits = await self._search(key, images)
        finally:
            del self._under_way[key]
            future.set_result(hits)
        if hits is not None:
            self._keep(key, hits)
        return hits

    async def _search(self, key: _Key, images: Sequence[str]) -> list[Hit] | None:
        kb, _, query, k, within, _ = key
        knowledge = self.knowledge[kb]
        self.asked += 1
        try:
            async with asyncio.timeout(knowledge.timeout_s):
                return await knowledge.search(query, k, images=images, within=within)
        except Exception as error:  # whatever a foreign knowledge base raises: the others go on
            self.problems[kb] = f"{type(error).__name__}: {error}"
            return None

    def _keep(self, key: _Key, hits: list[Hit]) -> None:
        self._known[key] = hits
        if self._file is not None:
            self._file.write(json.dumps({"key": key, "hits": hits}, ensure_ascii=False) + "\n")
            self._file.flush()

    def _read(self, path: Path) -> bool:
        """Take over what the file has; whether its last line is torn."""
        if not path.exists():
            return False
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        broken = 0
        for line in filter(None, lines):
            try:
                row = json.loads(line)
                kb, version, query, k, within, images = row["key"]
                allowed = None if within is None else tuple(within)
                self._known[kb, version, query, k, allowed, tuple(images)] = row["hits"]
            except (ValueError, KeyError, TypeError):
                broken += 1
        if broken and not self._known:
            raise DataError(f"{path} holds no searches; give another file, or a name that is not there yet.")
        return lines[-1] != ""


def _name(image: str) -> str:
    """Names a picture in the file, which need not hold it."""
    return hashlib.sha256(image.encode()).hexdigest()[:16]
