"""The files of a log: one JSONL shard per process and day, in `<folder>/<date>/<host>-<pid>-<random>.jsonl`.

A line of a shard is `CRC JSON\\n`: eight hexadecimal digits of the CRC-32 (zlib's) of the bytes of the JSON, a space,
and the JSON object of a `Line`, which begins with `v` and `run`. So a torn or changed line is seen without parsing it,
and `cut -d' ' -f2-` gives plain JSONL.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from router_graph.errors import RouterError
from router_graph.trajectories.cut import each_text
from router_graph.trajectories.records import SCHEMA, Line

SUFFIX = ".jsonl"
BESIDE = ("rewards", "labels", "forks")
"""Folders in a log that are not the log's: scores of its runs, what people said of its steps, and what they tried."""
_OTHERS = frozenset(BESIDE)
_CRC = 9
"""Bytes before the JSON: the digits and the space."""
_HEAD = re.compile(rb'\{"v":(\d{1,9}),"run":"([^"\\]*)"')
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.]+")


class LogError(RouterError):
    """A log of runs that cannot be written, read or converted as asked."""


def new_shard_path(folder: Path) -> Path:
    """A path that no other process has, under today's date (UTC)."""
    host = _NOT_IN_NAMES.sub("_", socket.gethostname())[:60] or "host"
    return folder / today() / f"{host}-{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"


def today() -> str:
    """The date in UTC, as in 2026-01-31."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def shards_in(source: str | Path | Iterable[str | Path]) -> list[Path]:
    """The shards of a log: all `*.jsonl` below a folder but those in `BESIDE`, or the files; sorted, each once.

    Raises `LogError` where there is none.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise LogError(f"There is no {path}; give the folder that runs were recorded in, or one of its shards.")
        found = sorted(_below(path)) if path.is_dir() else [path]
        if not found:
            raise LogError(f"There are no runs in {path}: no file in it ends with {SUFFIX}; record some first.")
        return found
    return sorted({one for each in source for one in shards_in(each)})


def _below(folder: Path) -> Iterator[Path]:
    return (one for one in folder.rglob(f"*{SUFFIX}") if _OTHERS.isdisjoint(one.relative_to(folder).parts))


def encode(line: Mapping[str, Any]) -> bytes:
    """The line as bytes, with its line break. What JSON cannot say becomes text; infinity and NaN become null."""
    body = as_json({"v": line.get("v", SCHEMA), "run": line["run"], **line})
    return b"%08x %b\n" % (zlib.crc32(body), body)


def as_json(value: Any) -> bytes:
    """JSON in UTF-8, of whatever a log may hold. Raises `RecursionError` for what is nested hundreds deep."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # keys that are no text, huge numbers, halves of surrogate pairs
        from router_graph.state import plain  # LangGraph with it, which a reader does not need

        return orjson.dumps(each_text(plain(value), _as_utf8))


def _as_utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def body_of(raw: bytes) -> bytes | None:
    """The JSON of a line whose checksum is right; None for any other."""
    raw = raw.removesuffix(b"\n")
    body = raw[_CRC:]
    if raw[_CRC - 1 : _CRC] != b" " or raw[: _CRC - 1] != b"%08x" % zlib.crc32(body):
        return None
    return body


def head_of(body: bytes) -> tuple[int, str] | None:
    """The schema and the run of a line, without parsing all of it. None where it is no line of a log."""
    if match := _HEAD.match(body):
        return int(match[1]), match[2].decode()
    try:
        line = orjson.loads(body)
        return int(line["v"]), str(line["run"])
    except (ValueError, TypeError, KeyError):
        return None


def decode(raw: bytes) -> Line:
    """The line of bytes that `encode` made, or of a body that `head_of` knows. Raises `ValueError` for others."""
    line: Line = orjson.loads(raw[_CRC:] if raw[_CRC - 1 : _CRC] == b" " else raw)
    return line
