"""Reads a log of runs, from its shards or from the parquet files that they were compacted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from router_graph.trajectories.assembly import assemble
from router_graph.trajectories.damage import LogReport
from router_graph.trajectories.log_index import LogIndex, checked_lines
from router_graph.trajectories.records import Line, RunRecord
from router_graph.trajectories.shards import LogError, decode, shards_in
from router_graph.trajectories.upgrade import upgraded

Source = str | Path | Iterable[str | Path]
"""A folder that runs were recorded in or compacted to, a shard, or several of them."""


def read_lines(source: Source, *, report: LogReport | None = None) -> Iterator[Line]:
    """Every good line of the shards, in the order in which each was written. What is damaged is skipped and counted.

    Raises `LogError` where there is no shard.
    """
    told = report or LogReport()
    for path in shards_in(source):
        told.shards += 1
        for raw, run in checked_lines(path, told):
            told.bytes += len(raw)
            if run is not None:
                yield upgraded(decode(raw))
    if report is None:
        told.warn()


def read_runs(
    source: Source, *, where: Callable[[RunRecord], bool] | None = None, report: LogReport | None = None
) -> Iterator[RunRecord]:
    """Each run, in the order in which they began to be written, with its lines from all shards put together.

    One run at a time is in memory, and where the lines lie: 8 bytes for each. What is damaged, written again or lost is
    counted in `report`, or else said once in the log of the process. Raises `LogError`, at once, where there is nothing
    to read.
    """
    from router_graph.trajectories.compacted import is_compacted, read_compacted

    if isinstance(source, str | Path) and is_compacted(Path(source)):
        return _chosen(read_compacted(Path(source), report=report or LogReport()), where)
    told = report or LogReport()
    index = indexed(source, told)
    if report is None:
        told.warn()
    return _chosen(_closing(index, told), where)


def indexed(source: Source, report: LogReport) -> LogIndex:
    """Where all lines lie. Raises `LogError` where no line can be read."""
    index = LogIndex(shards_in(source), report)
    if not report.lines:
        if report.damages:
            raise LogError(f"No run can be read: {report.damages[0]}.")
        raise LogError(f"There are no runs in {index.shards[0]}: it is empty; record some first.")
    return index


def runs_of(index: LogIndex, runs: Iterable[str], report: LogReport) -> Iterator[RunRecord]:
    """Some runs of an index, put together. One whose lines lack what they should have is damage."""
    for run in runs:
        try:
            record = assemble(run, index.lines(run), report)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"the run {run} cannot be put together ({type(error).__name__}: {error})"
            report.add(index.shard_of(run), 0, why)
            continue
        yield record


def _closing(index: LogIndex, report: LogReport) -> Iterator[RunRecord]:
    try:
        yield from runs_of(index, index.runs, report)
    finally:
        index.close()


def _chosen(runs: Iterator[RunRecord], where: Callable[[RunRecord], bool] | None) -> Iterator[RunRecord]:
    return runs if where is None else (run for run in runs if where(run))
