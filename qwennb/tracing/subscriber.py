"""Calls a function of the user's with each event: one at a time, in order, on a thread of its own.

On that thread it can do no harm: what it raises is told once and costs no answer, what it waits for holds up nobody. Where
more events wait for it than there is room for, the newest are left out, and that is told. A thread lasts as long as there
is something to call it with.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from qwennb.errors import in_words, where_raised
from qwennb.tracing.events import Event

MOST = 100_000  # events that wait; chosen: some 30 MB, and a minute of what a column of the fastest endpoint brings
IDLE = (
    0.5  # seconds after which a thread without events ends; chosen: a run's events follow each other faster
)
PATIENCE = (
    1.0  # seconds that a run's end waits for its events to be heard; chosen: what nobody minds once a run
)


class Subscriber:
    """Calls *function*; *warn* notes what the user is to be told of it."""

    def __init__(self, function: Callable[[Event], object], warn: Callable[[str], None]) -> None:
        self._function = function
        self._warn = warn
        self._waiting: deque[Event] = deque()
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        self._put = self._heard = 0
        self._told: set[str] = set()

    def hear(self, event: Event, _: Any = None) -> None:
        """Have the function called with *event*, soon. Never waits, on whatever thread."""
        with self._turn:
            if len(self._waiting) >= MOST:
                self._tell(
                    "slow", f"on_event= is too slow: with {MOST:,} events waiting, newer ones are left out."
                )
                return
            self._waiting.append(event)
            self._put += 1
            if self._thread is None or not self._thread.is_alive():  # a forked child has none
                self._thread = threading.Thread(target=self._work, name="qwennb-events", daemon=True)
                self._thread.start()
            self._turn.notify_all()

    def settle(self, seconds: float = PATIENCE) -> None:
        """Wait until everything that happened so far was heard, or for so many *seconds*."""
        if threading.current_thread() is self._thread:  # it asks something itself
            return
        with self._turn:
            wanted = self._put
            self._turn.wait_for(lambda: self._heard >= wanted, seconds)

    def _work(self) -> None:
        while (event := self._next()) is not None:
            try:
                self._function(event)
            except BaseException as error:  # whatever it is, it ends no run
                self._tell(
                    "raised",
                    f"on_event= raised {in_words(error)}{where_raised(error.__traceback__)}. Every answer is kept; it is "
                    "called on, and this is told once.",
                )
            with self._turn:
                self._heard += 1
                self._turn.notify_all()

    def _next(self) -> Event | None:
        with self._turn:
            if not self._turn.wait_for(lambda: self._waiting, IDLE):
                self._thread = None
                return None
            return self._waiting.popleft()

    def _tell(self, kind: str, words: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._warn(words)
