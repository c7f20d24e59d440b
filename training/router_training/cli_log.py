"""What the commands of `polyroute train` read: runs, right answers and scores. What is skipped is told on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_training.errors import ConfigError, DataError

if TYPE_CHECKING:
    from router_graph.trajectories.records import RunRecord
    from router_training.labelled import Labels
    from router_training.recipe import OfflineRecipe
    from router_training.rewards.gold import Questions
    from router_training.rewards.scoring import RewardRecord


class Log:
    """A log that can be read again and again, a run at a time. Damage is told once."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self._told = False

    def __iter__(self) -> Iterator[RunRecord]:
        from router_graph.trajectories.damage import LogReport
        from router_graph.trajectories.reader import read_runs

        report = LogReport()
        yield from read_runs(self.source, report=report)
        if report.damaged and not self._told:
            from kb_tools import terminal

            self._told = True
            lines = f"{report.damaged:,} line{'' if report.damaged == 1 else 's'} of the log"
            first = f" The first is {report.damages[0]}." if report.damages else ""
            terminal.note(f"{lines} could not be read and went unused; see `polyroute runs check`.{first}")


def questions_of(path: Path | None) -> Questions:
    """The right answers of a file; without one, those that runs bring along."""
    from router_training.rewards.gold import Questions

    return Questions() if path is None else Questions.load(path)


def scores_path(log: Path, given: Path | None, version: str = "") -> Path:
    """The file of scores that is meant. Raises `DataError` where there is none, or several, or no log."""
    from router_training.rewards.saved import FOLDER

    if given is not None:
        if not given.is_file():
            raise DataError(f"There are no scores in {given}; write them with `polyroute train reward {log}`.")
        return given
    if not log.exists():
        raise DataError(f"There is no {log}; give the folder that runs were recorded in, or one of its shards.")
    folder = (log if log.is_dir() else log.parent) / FOLDER
    found = sorted(one for one in folder.glob("*") if one.suffix in (".jsonl", ".parquet"))
    if version:
        found = [one for one in found if version in (one.stem, one.stem.rpartition("-")[0])]
    if not found:
        which = f" of version {version!r}" if version else ""
        raise DataError(
            f"The log {log} has no scores{which}; make them first: polyroute train reward {log} --reward verifiable."
        )
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise DataError(f"{folder} has several files of scores ({names}); say which with --scores.")
    return found[0]


def scores_paths(log: Path, given: Path | None, recipe: OfflineRecipe) -> list[Path]:
    """The file of the recipe's scores; where credit is mixed, that of whole runs as well. Raises `TrainingError`."""
    if recipe.credit.by != "mixed":
        return [scores_path(log, given, recipe.reward.version)]
    if not recipe.reward.whole:
        raise ConfigError(
            "Credit that is mixed needs two rewards; name the one of whole runs, as in reward.whole=router_r1, and the "
            "one of their steps, as in reward.version=verifiable."
        )
    whole = scores_path(log, None, recipe.reward.whole)
    return [scores_path(log, given, recipe.reward.version or "verifiable"), whole]


def scores_of(path: Path) -> list[RewardRecord]:
    """What steps and runs were worth. Raises `DataError`."""
    from router_training.rewards.saved import load

    return list(load(path))


def labels_of(folder: Path) -> Labels:
    """What people said of steps. Lines that are none are told. Raises `DataError` where nobody said anything."""
    from kb_tools import terminal
    from router_graph.trajectories.damage import LogReport
    from router_graph.trajectories.labels import read_labels
    from router_training.labelled import Labels

    report = LogReport()
    found = read_labels(folder, report=report)
    if report.damaged:
        lines = f"{report.damaged:,} line{'' if report.damaged == 1 else 's'}"
        terminal.note(f"{lines} of the labels could not be read; the first is {report.damages[0]}.")
    if not found:
        raise DataError(f"There are no labels in {folder}; give some in the viewer: polyroute runs view.")
    return Labels.read(found)


def about_scores(path: Path) -> dict[str, Any]:
    """The reward's name, version and parameters, and its scale of costs; empty where the file does not say."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            told = json.loads((pq.read_schema(path).metadata or {}).get(b"about", b"{}"))
        else:
            with path.open(encoding="utf-8") as file:
                told = json.loads(file.readline() or "{}").get("about")
    except (ValueError, AttributeError, UnicodeDecodeError):
        return {}
    return dict(told) if isinstance(told, dict) else {}


def seen_questions(folder: Path) -> set[str]:
    """The marks of the questions that a policy was trained on; empty where its folder does not say."""
    from router_training.prepared import load_trained_on

    told = load_trained_on(folder.expanduser())
    return set() if told is None else set(told["questions"])


def sides(runs: list[RunRecord], folder: Path) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of questions that a policy was trained on, and the others. Raises `DataError` without any others."""
    from kb_tools import terminal
    from router_training.prepared import question_mark, unseen

    seen = seen_questions(folder)
    fresh = unseen(runs, seen)
    known = [run for run in runs if question_mark(run) in seen]
    if known:
        terminal.note(f"{len(known):,} runs were left out: the policy was trained on their questions.")
    return known, fresh
