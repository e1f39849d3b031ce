"""The figure that was drawn last.

A notebook's matplotlib shows each figure when its cell ends, and closes it: afterwards nobody can ask for it. So it is
noted just before.
"""

from __future__ import annotations

import sys
from typing import Any


class Figures:
    """Remembers one figure."""

    def __init__(self) -> None:
        self._last: Any = None

    def note(self) -> None:
        """Note the open figure: a cell has run, and matplotlib is about to show and close it."""
        if (drawn := _open()) is not None:
            self._last = drawn

    @property
    def last(self) -> Any:
        """The figure that is open, else the last one that was; None before the first."""
        return _open() or self._last


def _open() -> Any:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot.gcf() if pyplot is not None and pyplot.get_fignums() else None


FIGURES = Figures()
