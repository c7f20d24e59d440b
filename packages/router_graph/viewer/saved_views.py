"""Filters that somebody gave a name, kept beside the log in `labels/views.json`."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from router_graph.viewer.filters import where
from router_graph.viewer.listing import SORTS
from router_graph.viewer.problems import Problem

_LONGEST, _MOST = 100, 200
_lock = threading.Lock()


def views_in(folder: Path) -> list[dict[str, str]]:
    """Those that there are, by name. A file that is none counts as empty: views can be made again."""
    try:
        found = json.loads((folder / "labels" / "views.json").read_text(encoding="utf-8"))
        return sorted(
            ({key: str(one[key]) for key in ("name", "filter", "sort")} for one in found), key=lambda one: one["name"]
        )
    except (OSError, ValueError, TypeError, KeyError):
        return []


def keep(folder: Path, name: str, given: Any) -> dict[str, str]:
    """Write a view down, in the place of one of that name. Raises `Problem`, `FilterError`."""
    if not isinstance(given, dict) or not all(isinstance(given.get(key, ""), str) for key in ("filter", "sort")):
        raise Problem(400, 'A view is JSON, as in {"filter": "right=false", "sort": "-at"}.')
    view = {"name": name, "filter": given.get("filter", ""), "sort": given.get("sort", "") or "-at"}
    if not name.strip() or len(name) > _LONGEST:
        raise Problem(400, f"The name of a view has 1 to {_LONGEST} characters.")
    if view["sort"].removeprefix("-") not in SORTS:
        raise Problem(400, f"Runs are not sorted by {view['sort'][:40]!r}; use {', '.join(SORTS)}.")
    where(view["filter"])
    with _lock:
        others = [one for one in views_in(folder) if one["name"] != name]
        if len(others) >= _MOST:
            raise Problem(400, f"There are {_MOST} views already; delete one.")
        _write(folder, [*others, view])
    return view


def forget(folder: Path, name: str) -> None:
    """Remove a view. Raises `Problem` (404) where there is none of that name."""
    with _lock:
        views = views_in(folder)
        others = [one for one in views if one["name"] != name]
        if len(others) == len(views):
            raise Problem(404, f"There is no view {name[:_LONGEST]!r}.")
        _write(folder, others)


def _write(folder: Path, views: list[dict[str, str]]) -> None:
    path = folder / "labels" / "views.json"
    new = path.with_name(f".views.{os.getpid()}.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(views, ensure_ascii=False, indent=1), encoding="utf-8", errors="replace")
        new.replace(path)
    except OSError as error:
        raise Problem(
            409, f"Nothing can be written beside this log ({error.strerror}); views are kept in {path}."
        ) from None
