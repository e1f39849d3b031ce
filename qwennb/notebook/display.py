"""Where an answer is seen while it grows.

In a notebook: one display, updated at most five times a second (mathematics makes a browser fall behind at twenty),
and a last time with the whole. The first piece is shown at once; a piece that has to wait is shown by a timer, however
long the next one takes. What never grew, an answer from memory, is one display that is never updated: tools that
compare notebooks look at the first. In a terminal the text is written as it comes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from qwennb.answer import Page, markup, under_way
from qwennb.terminal import drop_controls

EVERY = 0.2


class Screen:
    """What an answer is shown on. This one shows nothing."""

    def step(self) -> None:
        """Begin another question of the same cell."""

    def grow(self, text: str, reasoning: str) -> None:
        """Show more of the answer."""

    def end(self, page: Page) -> None:
        """Show the whole answer."""

    def close(self) -> None:
        """Show nothing from here on."""


class Cell(Screen):
    """The output of a notebook's cell."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._handle: Any = None
        self._plain: list[str] = []
        self._text, self._reasoning = markup.Growing(), markup.Growing()
        self._shown = 0.0
        self._timer: threading.Timer | None = None

    def grow(self, text: str, reasoning: str) -> None:
        """Take a piece in; show it now, or with the next ones."""
        with self._lock:
            self._plain.append(text)
            self._text.add(text)
            self._reasoning.add(reasoning)
            wait = self._shown + EVERY - self._clock() if self._handle is not None else 0.0
            if wait <= 0:
                self._show()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._later)
                self._timer.daemon = True
                self._timer.start()

    def step(self) -> None:
        """Begin another question of the same cell: what it says is shown afresh."""
        with self._lock:
            self._begin()

    def end(self, page: Page) -> None:
        """Show the whole, in place of what grew."""
        self.close()
        self._publish(page.bundle())

    def close(self) -> None:
        """Let no timer come after this."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            self._begin()

    def _later(self) -> None:
        with self._lock:
            if self._timer is None:
                return
            self._timer = None
            self._show()

    def _show(self) -> None:
        self._plain = ["".join(self._plain)]
        shown = under_way(self._text, self._reasoning)
        self._publish({"text/markdown": shown, "text/plain": markup.plain(self._plain[0]) or "…"}, grows=True)
        self._shown = self._clock()

    def _begin(self) -> None:
        self._plain = []
        self._text, self._reasoning = markup.Growing(), markup.Growing()

    def _publish(self, bundle: dict[str, Any], *, grows: bool = False) -> None:
        from IPython.display import DisplayHandle, display

        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif grows:
            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display(bundle, raw=True)
        else:
            display(bundle, raw=True)  # type: ignore[no-untyped-call]


class Terminal(Screen):
    """A terminal: text as it comes, then the footer."""

    def __init__(self, write: Callable[[str], Any] | None = None) -> None:
        self._stream = write or sys.stdout.write
        self._grown = False

    def grow(self, text: str, reasoning: str) -> None:
        """Write what is new. An escape sequence that comes in two pieces has lost its first character."""
        if text:
            self._grown = True
            self._stream(drop_controls(text))
            sys.stdout.flush()

    def end(self, page: Page) -> None:
        """Write the rest."""
        shown = page.plain()
        if self._grown:
            mark = "\n[interrupted]" if page.answer.finish_reason == "interrupted" else ""
            shown = f"{mark}\n\n[{markup.plain(page.footer())}]"
        self._stream(drop_controls(shown + "\n"))


def screen_of(shell: Any, *, quiet: bool) -> Screen:
    """Choose the screen that *shell* has."""
    if quiet:
        return Screen()
    return Cell() if hasattr(shell, "kernel") else Terminal()


def show_in_one_line(error: BaseException) -> BaseException:
    """Make a notebook show *error* in one line: it says all there is to know.

    Its text may quote anything. A kernel can't send what is not Unicode, and would show no error at all.
    """
    said = str(error)
    if isinstance(error, KeyboardInterrupt) and not said:
        said = "stopped; what had come stands above and is not remembered."
    error.args = (markup.plain(said),)
    line = f"{type(error).__name__}: {error.args[0]}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error
