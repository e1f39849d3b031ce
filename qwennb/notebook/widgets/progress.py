"""A run of a column while it lasts: how far it is, what it costs, and a button that stops it.

What stays is one line. It is the same in every kernel, watched or not, live or from memory, so a run that is over
within a second shows nothing else, and where nobody looks no panel is ever made.

The button is pressed while the cell runs, so its message must not wait for the cell: see `beside.py`. Where nobody could
hear the button it is off, and says that the kernel can be interrupted. A panel whose kernel is gone says so.
"""

from __future__ import annotations

import threading

import traitlets

from qwennb.answer import markup, money
from qwennb.frames import Progress
from qwennb.notebook.widgets.beside import is_heard_beside_the_cell
from qwennb.notebook.widgets.panel import Panel, intent
from qwennb.notebook.widgets.static import OutputSlot, somebody_looks

PATIENCE = 1.0  # seconds before a run is worth watching
INTERRUPT = (
    "A button can't be heard here while a cell runs: interrupt the kernel instead. What is finished is kept."
)


class Runs:
    """The runs of one notebook, each in the cell that it runs in."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._runs: dict[int, _ShownRun] = {}

    def see(self, progress: Progress) -> None:
        """A run is this far. On the thread of the run, so that it is shown in the right cell."""
        with self._lock:
            if progress.run not in self._runs:
                self._runs[progress.run] = _ShownRun()
            self._runs[progress.run].see(progress)
            if progress.finished:
                self._end(progress.run)

    def settle(self) -> None:
        """The cell is over, and so are its runs, but for those of a thread that goes on."""
        with self._lock:
            for number in [number for number, run in self._runs.items() if not run.goes_on]:
                self._end(number)

    def _end(self, number: int) -> None:
        self._runs.pop(number).end()


class _ShownRun:
    """One run: a line, or a panel that becomes one."""

    def __init__(self) -> None:
        self._spot = OutputSlot()
        self._is_watched = somebody_looks()
        self._panel: ProgressPanel | None = None
        self._shown = ""
        self._last: Progress | None = None
        self._thread = threading.current_thread()

    @property
    def goes_on(self) -> bool:
        """Whether it does not end with the cell: polars brings more rows, or it runs on a thread of the user's own."""
        if self._last is not None and self._last.batches:
            return not self._last.finished
        in_cell = self._last is None or self._thread is threading.main_thread()
        return not in_cell and self._thread.is_alive()

    def see(self, progress: Progress) -> None:
        self._last = progress
        if self._panel is not None:
            self._panel.see(progress)
        elif progress.finished:
            self._show_line(progress)
        elif self._is_watched and progress.seconds >= PATIENCE:
            self._panel = ProgressPanel(progress)
            self._spot.show(*_line(f"{progress.unique:,} questions are being asked."), self._panel)
        elif progress.batches and not self._shown:
            # Its place in the cell, the same for a run that is over at once: the line comes when polars is done.
            self._shown = "A column is being asked."
            self._spot.show(*_line(self._shown))

    def end(self) -> None:
        assert self._last is not None
        self._show_line(self._last)
        if self._panel is not None:
            self._panel.close()

    def _show_line(self, progress: Progress) -> None:
        if progress.line != self._shown or self._panel is not None:
            self._shown = progress.line
            self._spot.show(*_line(progress.line))


class ProgressPanel(Panel):
    """The run in a line, with Stop; the rest of its figures behind it."""

    kind, title = "progress", "Progress"
    shown = traitlets.Dict().tag(sync=True)

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._is_stopped = False
        super().__init__(name=f"run {progress.run}")
        self.draw()

    def see(self, progress: Progress) -> None:
        """Show how far it is, soon: on a thread of the panel's, for the run is not to wait for a browser."""
        self._progress = progress
        self.refresh()

    @intent
    def stop(self) -> None:
        """Stop the run: what is finished is kept, and the same call asks only for the rest."""
        if not self._is_stopped:
            self._is_stopped = True
            self._progress.stop()

    def draw(self) -> None:
        """Say it in a message: one is sent for each drawing, however many figures there are."""
        progress = self._progress
        self.shown = {
            "share": progress.done / max(progress.unique, 1),
            "line": headline(progress),
            "figures": _figures(progress),
            "note": progress.note,
            "stops": "stopping" if self._is_stopped else "heard" if is_heard_beside_the_cell() else INTERRUPT,
        }


def headline(progress: Progress) -> list[str]:
    """The line: how far, how fast, what it costs so far and is still to cost, and how long it takes."""
    left, rest = progress.seconds_left, progress.cost_of_the_rest
    cost = money(progress.cost) + ("" if rest is None else f", about {money(rest)} to come")
    return [
        f"{progress.done:,} of {progress.unique:,}",
        f"{progress.per_minute:,.0f} a minute",
        cost,
        "" if left is None else f"about {_span(left)} left",
        f"{progress.failed:,} failed" if progress.failed else "",
    ]


def _figures(progress: Progress) -> dict[str, str]:
    left, end = progress.seconds_left, progress.cost_at_the_end
    unknown = end is None and progress.cost is not None
    return {
        "Answered": f"{progress.done:,} of {progress.unique:,}",
        "Rows": f"{progress.rows:,}",
        "From cache": f"{progress.cached:,}",
        "Failed": f"{progress.failed:,}",
        "Answers a minute": f"{progress.per_minute:,.0f}",
        "Tokens in": f"{progress.tokens[0]:,}",
        "Tokens out": f"{progress.tokens[1]:,}",
        "Cost so far": money(progress.cost),
        "Cost at the end": "not known yet" if unknown else _about(money(end)),
        "Time left": "not known yet" if left is None else _about(_span(left)),
        "Model": progress.model,
    }


def _about(text: str) -> str:
    return f"about {text}" if text[:1] in "$0123456789" else text


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _line(text: str) -> tuple[str, str]:
    return markup.literal(text), markup.plain(text)
