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
        good = LogReport()
        for line_number, raw, body in checked_lines(path, good):
            if body is not None:
                head = head_of(body)
                why = "there is no run in it" if head is None else unreadable(head[0])
                if head is None or why is not None:
                    good.add(path, line_number, str(why))
                else:
                    good.lines += 1
                    places.setdefault(head[1], array("Q")).append(base | offset)
            offset += len(raw)
            checksum = zlib.crc32(raw, checksum)
        self.checksums.append((offset, checksum))
        report.shards += 1
        report.bytes += offset
        report.lines += good.lines
        if good.damaged and not good.lines and all("no line of a log" in one.why for one in good.damages):
            report.add(path, 0, "it is no shard of a log")
            return
        report.damaged += good.damaged - len(good.damages)
        for one in good.damages:
            report.add(one.path, one.line_number, one.why)

    def _read(self, place: int) -> Line:
        number, offset = place >> _OFFSET_BITS, place & ((1 << _OFFSET_BITS) - 1)
        file = self._files.pop(number, None)
        if file is None:
            file = self.shards[number].open("rb")
            while len(self._files) >= _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files[number] = file
        file.seek(offset)
        body = body_of(file.readline())
        if body is None:
            raise LogError(f"{self.shards[number]} was changed while it was read; read it again.")
        return upgraded(decode(body))


def checked_lines(path: Path, report: LogReport) -> Iterator[tuple[int, bytes, bytes | None]]:
    """The number, the bytes, and the JSON of each line; None where it is damaged, which is counted, or empty.

    Raises `LogError` where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(_LONGEST):
                number += 1
                body = body_of(raw)
                if body is None and raw != b"\n":
                    report.add(path, number, _why(raw))
                yield number, raw, body
    except OSError as error:
        raise LogError(f"{path} cannot be read ({error.strerror or error}).") from None


def _why(raw: bytes) -> str:
    if not _LOOKS_LIKE_ONE.match(raw):
        return "it is no line of a log"
    if not raw.endswith(b"\n"):
        return "it is torn: it was being written when the process ended, or still is"
    return "its checksum is wrong, so that it was changed after it was written"
