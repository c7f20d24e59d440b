"""What the viewer starts is recorded: questions into the log that it shows, forks beside it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from router_graph.trajectories.compacted import is_compacted
from router_graph.viewer.problems import Problem

if TYPE_CHECKING:
    from router_graph.settings_live import Router
    from router_graph.trajectories.recorder import Recorder

FORKS = "forks"


class Recording:
    """The recorders of one viewer, made when they are needed. Close it at the end."""

    def __init__(self, log: Path, beside: Path, router: Router | None) -> None:
        self._log, self._beside, self._router = log, beside, router
        self._made: dict[Path, Recorder] = {}
        self._lock = threading.Lock()

    @property
    def takes_questions(self) -> bool:
        """Whether the log is one that runs can be added to."""
        return not self._log.exists() or (self._log.is_dir() and not is_compacted(self._log))

    def of_questions(self) -> Recorder:
        """Into the log: by the router's own recorder, where that writes there. Raises `Problem`, `SettingsError`."""
        if not self.takes_questions:
            raise Problem(409, f"{self._log} is no folder that runs are recorded in; view one, to ask there.")
        own = None if self._router is None else self._router.recorder
        if own is not None and own.writer.folder.resolve() == self._log.resolve():
            return own
        return self._of(self._log)

    def of_forks(self) -> Recorder:
        """Beside the log. Raises `SettingsError`."""
        return self._of(self._beside / FORKS)

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for one in self._made.values():
                one.close()

    def _of(self, folder: Path) -> Recorder:
        from router_graph.trajectories.recorder import Recorder

        with self._lock:
            if folder not in self._made:
                self._made[folder] = Recorder(folder)
            return self._made[folder]
