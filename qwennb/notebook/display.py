"""How an answer is seen while it grows, in its place.

In a notebook: one display, updated at most five times a second (mathematics makes a browser fall behind at twenty),
and a last time with the whole. The first piece is shown at once; a piece that has to wait is shown by a timer, however
long the next one takes. What never grew, an answer from memory, is one display that is never updated: tools that
compare notebooks look at the first. In a terminal the thought and the text are written as they come, broken at words.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from qwennb.answer import Page, markup, under_way
from qwennb.notebook.place import AnswerPlace, CellPlace, TerminalPlace

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

    def __init__(self, place: CellPlace, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._lock = threading.Lock()
        self._plain: list[str] = []
        self._text, self._reasoning = markup.Growing(), markup.Growing()
        self._shown = 0.0
        self._timer: threading.Timer | None = None

    def grow(self, text: str, reasoning: str) -> None:
        """Take a piece in; show it now, or with the next ones."""
        self._place.stop_waiting()
        with self._lock:
            self._plain.append(text)
            self._text.add(text)
            self._reasoning.add(reasoning)
            wait = self._shown + EVERY - self._clock() if not self._place.is_empty else 0.0
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
        self._place.publish(page.bundle())

    def close(self) -> None:
        """Let no timer come after this."""
        self._place.stop_waiting()
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
        self._place.publish(
            {"text/markdown": shown, "text/plain": markup.plain(self._plain[0]) or "…"}, grows=True
        )
        self._shown = self._clock()

    def _begin(self) -> None:
        self._plain = []
        self._text, self._reasoning = markup.Growing(), markup.Growing()


class Terminal(Screen):
    """A terminal: the thought, quoted, and the text as they come, then the footer."""

    def __init__(self, place: TerminalPlace) -> None:
        self._place = place
        self._parts = {"reasoning": place.wrapper("> "), "text": place.wrapper()}
        self._grows = ""  # the part that comes

    def step(self) -> None:
        """Begin another question of the same cell."""
        self._end_part()

    def grow(self, text: str, reasoning: str) -> None:
        """Write what is new."""
        self._place.stop_waiting()
        for part, piece in (("reasoning", reasoning), ("text", text)):
            if piece:
                if part != self._grows:
                    self._end_part()
                    self._grows = part
                self._place.write(self._parts[part].add(piece))

    def end(self, page: Page) -> None:
        """Write the rest."""
        if self._grows == "text":
            mark = "\n[interrupted]" if page.answer.finish_reason == "interrupted" else ""
            shown = f"{mark}\n\n[{markup.plain(page.footer())}]"
        else:
            self._end_part()
            shown = page.plain()
        lines = self._parts["text"]
        self._place.write(lines.end() + lines.add(f"{shown}\n"))

    def close(self) -> None:
        """Write nothing from here on but the end."""
        self._place.stop_waiting()

    def _end_part(self) -> None:
        if self._grows:
            self._place.write(f"{self._parts[self._grows].end()}\n\n")
        self._parts = {"reasoning": self._place.wrapper("> "), "text": self._place.wrapper()}
        self._grows = ""


def screen_of(place: AnswerPlace) -> Screen:
    """Choose how an answer is seen in *place*."""
    if isinstance(place, CellPlace):
        return Cell(place)
    return Terminal(place) if isinstance(place, TerminalPlace) else Screen()
