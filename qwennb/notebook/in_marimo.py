"""marimo: a front end without IPython, where a cell's value is what it shows.

A panel is a cell's value like any other, an answer is drawn from its inert nodes (marimo's own Markdown would fetch icons
and draw diagrams), and a column shows marimo's own bar while it runs and leaves its line below the cell.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from qwennb.notebook.widgets.static import somebody_looks

if TYPE_CHECKING:
    from qwennb.frames import Progress


def is_marimo() -> bool:
    """Tell whether a notebook of marimo runs here, and not a script that imports it."""
    marimo = sys.modules.get("marimo")
    return bool(marimo is not None and marimo.running_in_notebook())


def is_watched() -> bool:
    """Tell whether somebody is there who can press a button."""
    return somebody_looks() or is_marimo()


PATIENCE = 1.0  # seconds before a run is worth watching
_bars: dict[int, Any] = {}


def see(progress: Progress) -> None:
    """A run is this far. On the thread of the run, so that it is shown in the right cell."""
    from qwennb.notebook.widgets.progress import headline

    marimo = sys.modules["marimo"]  # its notebook runs here
    bar = _bars.get(progress.run)
    if progress.finished:
        if bar is not None:
            _bars.pop(progress.run).__exit__(None, None, None)
        print(progress.line)  # noqa: T201 - below the cell
        return
    if bar is None:
        if progress.seconds < PATIENCE:
            return
        bar = marimo.status.progress_bar(
            total=progress.unique, title=progress.model, show_rate=False, show_eta=False, remove_on_exit=True
        )
        _bars[progress.run] = bar
    bar.progress.total = progress.unique
    bar.progress.update(
        progress.done - bar.progress.current, subtitle=" · ".join(filter(None, headline(progress)[1:]))
    )
