"""Where the lines of each run lie: one pass over the shards, so that runs are read one by one and not all at once."""

from __future__ import annotations

import re
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.records import Line
from router_graph.trajectories.shards import LogError, body_of, decode, head_of
from router_graph.trajectories.upgrade import unreadable, upgraded

_OFFSET_BITS = 44
_LONGEST = 1 << 28
"""Bytes of a line; a longer one was not written by us, and could fill the memory."""
_OPEN_FILES = 64
_NO_LINE = "it is no line of a log"
_LOOKS_LIKE_ONE = re.compile(rb"[0-9a-f]{8} ")


class LogIndex:
    """The places of all good lines, by run, in the order in which runs began to be written.

    It takes 8 bytes of memory a line and about 300 a run, whatever the log's size.
    """

    def __init__(self, shards: Sequence[Path], report: LogReport) -> None:
        self.shards = list(shards)
        self.checksums: list[tuple[int, int]] = []
        """Of each shard: bytes, and the CRC-32 of all of them."""
        self._places: dict[str, array[int]] = {}
        self._files: OrderedDict[int, BinaryIO] = OrderedDict()
        for number, path in enumerate(self.shards):
            self._add(number, path, report)

    @property
    def runs(self) -> list[str]:
        """Their ids."""
        return list(self._places)

    def shard_of(self, run: str) -> Path:
        """The first one that it is in."""
        return self.shards[self._places[run][0] >> _OFFSET_BITS]

    def lines(self, run: str) -> list[Line]:
        """All of a run, by time; those of one time as they were written."""
        lines = [self._read(place) for place in self._places[run]]
        lines.sort(key=lambda line: line["at"])
        return lines

    def close(self) -> None:
        """Close the files."""
        while self._files:
            self._files.popitem()[1].close()

    def _add(self, number: int, path: Path, report: LogReport) -> None:
        offset, checksum = 0, 0
        places, base = self._places, number << _OFFSET_BITS
        found = LogReport()
        for raw, run in checked_lines(path, found):
            if run is not None:
                places.setdefault(run, array("Q")).append(base | offset)
            offset += len(raw)
            checksum = zlib.crc32(raw, checksum)
        self.checksums.append((offset, checksum))
        report.shards += 1
        report.bytes += offset
        report.lines += found.lines
        if found.damaged and not found.lines and all(one.why == _NO_LINE for one in found.damages):
            report.add(path, 0, "it is no shard of a log")
            return
        report.damaged += found.damaged - len(found.damages)
        for one in found.damages:
            report.add(one.path, one.line_number, one.why)

    def _read(self, place: int) -> Line:
        number, offset = place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
        try:
            file = self._open(number)
            file.seek(offset)
            raw = file.readline()
        except OSError as error:
            raise LogError(f"{self.shards[number]} cannot be read ({error.strerror or error}).") from None
        if body_of(raw) is None:
            raise LogError(f"{self.shards[number]} was changed while it was read; read it again.")
        return upgraded(decode(raw))

    def _open(self, number: int) -> BinaryIO:
        """The shard; of those that are open, the one that was not used for longest is closed."""
        file = self._files.pop(number, None)
        if file is None:
            file = self.shards[number].open("rb")
            while len(self._files) >= _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files[number] = file
        return file


def checked_lines(path: Path, report: LogReport) -> Iterator[tuple[bytes, str | None]]:
    """Each line as it stands, and its run; None where it is empty, or cannot be read, which is counted.

    Raises `LogError` where the file cannot be read.
    """
    number = 0
    try:
        with path.open("rb") as file:
            while raw := file.readline(_LONGEST):
                number += 1
                run, why = checked(raw)
                if why is not None:
                    report.add(path, number, why)
                else:
                    report.lines += run is not None
                yield raw, run
    except OSError as error:
        raise LogError(f"{path} cannot be read ({error.strerror or error}).") from None


def checked(raw: bytes) -> tuple[str | None, str | None]:
    """The run of a line as it stands in a shard, or why it cannot be read; neither where it is empty."""
    body = body_of(raw)
    if body is not None:
        head = head_of(body)
        if head is None:
            return None, "there is no run in it"
        why = unreadable(head[0])
        return (head[1], None) if why is None else (None, why)
    if raw == b"\n":
        return None, None
    if not _LOOKS_LIKE_ONE.match(raw):
        return None, _NO_LINE
    if not raw.endswith(b"\n"):
        return None, "it is torn: it was being written when the process ended, or still is"
    return None, "its checksum is wrong, so that it was changed after it was written"
