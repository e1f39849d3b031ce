"""Runs of columns in a notebook: watched while they last, told in one line when they are over.

Columns know nothing of notebooks: they tell a watcher how far they are, and this is the notebook's. They are loaded with
the first column and not with the extension.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from qwennb.notebook.place import is_console
from qwennb.watchers import watchers

if TYPE_CHECKING:
    from qwennb.frames import Progress, WrittenProgress
    from qwennb.notebook.widgets.progress import Runs


class Columns:
    """What one notebook does about its columns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: Any = None
        self._runs: Runs | None = None
        self._lines: dict[int, WrittenProgress] = {}

    def load(self, shell: Any) -> None:
        """Watch every run from now on. A terminal is left its own bar."""
        self._shell = shell
        if getattr(shell, "kernel", None) is not None:
            watchers[:] = [self.see]

    def unload(self) -> None:
        """Watch no more."""
        watchers[:] = [watcher for watcher in watchers if watcher != self.see]

    def cell_begins(self, _: Any) -> None:
        """The kernel has put its own handler of interrupts in place for this cell: a plan made earlier needs ours."""
        if (frames := sys.modules.get("qwennb.frames")) is not None:
            frames.INTERRUPTS.listen()

    def cell_ended(self, _: Any) -> None:
        """Whatever ran in this cell is over, and told in it."""
        if (frames := sys.modules.get("qwennb.frames")) is not None:
            frames.EVALUATIONS.settle(at_once=True)
        if self._runs is not None:
            self._runs.settle()

    def see(self, progress: Progress) -> None:
        """A run is this far. On the thread of the run."""
        with self._lock:
            if self._is_written(progress):
                return
            if self._runs is None:
                from qwennb.notebook.widgets.progress import Runs

                self._runs = Runs()
        self._runs.see(progress)

    def _is_written(self, progress: Progress) -> bool:
        """Write *progress* as in a terminal, where the front end is one; tell whether it is."""
        if progress.run not in self._lines:
            if not is_console(self._shell):
                return False
            from qwennb.frames import WrittenProgress

            self._lines[progress.run] = WrittenProgress(sys.stdout, "bar", always=True)
        self._lines[progress.run].write(progress)
        if progress.finished:
            del self._lines[progress.run]
        return True
