"""A run of a column while it lasts: how far it is, what it costs, and a button that stops it.

What stays is one line. It is the same in every kernel, watched or not, live or from memory, so a run that is over
within a second shows nothing else, and where nobody looks no widget is ever made.

The button is pressed while the cell runs, so its message must not wait for the cell (`beside`). Where nobody could hear
it, it is off, and says that the kernel can be interrupted.
"""

from __future__ import annotations

import threading
from typing import Any

import ipywidgets as widgets

from qwennb.answer import markup, money
from qwennb.frames import Progress
from qwennb.notebook.widgets.beside import answers_beside_the_cell, is_heard_beside_the_cell
from qwennb.notebook.widgets.static import OutputSlot, close, somebody_looks

PATIENCE = 1.0  # seconds before a run is worth watching
STOP = "Stop this run: what is finished is kept, and the same call asks only for the rest."
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
            self._spot.show(*_line(f"{progress.unique:,} questions are being asked."), self._panel.box)
        elif progress.batches and not self._shown:
            # Its place in the cell, the same for a run that is over at once: the line comes when polars is done.
            self._shown = "A column is being asked."
            self._spot.show(*_line(self._shown))

    def end(self) -> None:
        assert self._last is not None
        self._show_line(self._last)
        if self._panel is not None:
            close(self._panel.box)

    def _show_line(self, progress: Progress) -> None:
        if progress.line != self._shown or self._panel is not None:
            self._shown = progress.line
            self._spot.show(*_line(progress.line))


class ProgressPanel:
    """The widget: figures, and Stop."""

    def __init__(self, progress: Progress) -> None:
        self._stop = progress.stop
        self._bar = widgets.IntProgress(
            layout=widgets.Layout(width="auto", flex="1 1 auto"), tooltip="How much of the run is done"
        )
        self._figures = {name: widgets.Label() for name in _figures(progress)}
        self._button = widgets.Button(description="Stop", icon="stop", tooltip=STOP)
        self._hint = widgets.Label()
        answers_beside_the_cell(self._button)
        self._button.on_click(self._on_press)
        names = [widgets.Label(name) for name in self._figures]
        pairs = [widgets.HBox([n, v]) for n, v in zip(names, self._figures.values(), strict=True)]
        for name in names:
            name.style.text_color = "var(--jp-ui-font-color2, #616161)"
        table = widgets.GridBox(
            pairs, layout=widgets.Layout(grid_template_columns="repeat(auto-fit, minmax(230px, 1fr))")
        )
        head = widgets.HBox([self._bar, self._button], layout=widgets.Layout(align_items="center"))
        self.box = widgets.VBox([head, table, self._hint])
        self.see(progress)

    def see(self, progress: Progress) -> None:
        """Show how far it is."""
        self._stop = progress.stop
        self._bar.max, self._bar.value = max(progress.unique, 1), progress.done
        for name, text in _figures(progress).items():
            self._figures[name].value = text
        is_heard = is_heard_beside_the_cell()
        if self._button.description == "Stop":
            self._button.disabled = not is_heard
        self._hint.value = "" if is_heard else INTERRUPT
        self._hint.layout.display = "none" if is_heard else None

    def _on_press(self, _: Any) -> None:
        self._stop()
        self._button.disabled = True
        self._button.description = "Stopping …"


def _figures(progress: Progress) -> dict[str, str]:
    """What is to be seen. Each text has one dollar at most: two would make a formula of what stands between."""
    left, end = progress.seconds_left, progress.cost_at_the_end
    return {
        "Answered": f"{progress.done:,} of {progress.unique:,}",
        "Rows": f"{progress.rows:,}",
        "From cache": f"{progress.cached:,}",
        "Failed": f"{progress.failed:,}",
        "Answers a minute": f"{progress.per_minute:,.0f}",
        "Tokens in": f"{progress.tokens[0]:,}",
        "Tokens out": f"{progress.tokens[1]:,}",
        "Cost so far": money(progress.cost),
        "Cost at the end": "not known yet"
        if end is None and progress.cost is not None
        else _about(money(end)),
        "Time left": "not known yet" if left is None else _about(_span(left)),
        "Model": markup.spell_label(progress.model),
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
