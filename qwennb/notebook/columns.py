"""Runs of columns in a notebook: watched while they last, told in one line when they are over.

Columns know nothing of notebooks: they tell a watcher how far they are, and this is the notebook's. It is made known to
them when they are loaded, which happens with the first column and not with the extension.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from qwennb import registration

if TYPE_CHECKING:
    from qwennb.frames import Progress
    from qwennb.notebook.widgets.progress import Runs


class Columns:
    """What one notebook does about its columns."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: Runs | None = None
        self._is_on = False

    def load(self, shell: Any) -> None:
        """Watch every run from now on. A terminal is left its own bar."""
        self._is_on = getattr(shell, "kernel", None) is not None
        if self._is_on:
            registration.when_columns_are_loaded(self._watch)

    def unload(self) -> None:
        """Watch no more."""
        was_on, self._is_on = self._is_on, False
        if was_on and (frames := sys.modules.get("qwennb.frames")) is not None:
            frames.watch(None)

    def cell_begins(self, _: Any) -> None:
        """The kernel has put its own handler of interrupts in place for this cell: a plan made earlier needs ours."""
        if (frames := sys.modules.get("qwennb.frames")) is not None:
            frames.INTERRUPTS.listen()

    def cell_ended(self, _: Any) -> None:
        """Whatever ran in this cell is over, and told in it."""
        if self._runs is not None:
            sys.modules["qwennb.frames"].EVALUATIONS.settle(at_once=True)
            self._runs.settle()

    def see(self, progress: Progress) -> None:
        """A run is this far. On the thread of the run."""
        with self._lock:
            if self._runs is None:
                from qwennb.notebook.widgets.progress import Runs

                self._runs = Runs()
        self._runs.see(progress)

    def _watch(self) -> None:
        if self._is_on:
            from qwennb.frames import watch

            watch(self.see)
