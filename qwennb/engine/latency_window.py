"""How many requests a server can work on at once, where it never refuses and only queues.

A server of one's own takes everything: beyond its slots, each request more makes all of them wait. So the window is
steered by latency, a round at a time (as many answers as the window is wide, all sent since the last change). While
the mean latency stays at its base, the window grows, faster the longer nothing gets in its way; when requests begin to
wait, it holds.

When they seem to wait long, twice in a row, a round at half the window looks again: with no queue, its mean is the base as it is now.
If answers have merely grown longer, nothing changes but the base; else the window goes back to what the server works
on, by Little's law: the window times the base over the mean. So the base is only ever measured, never guessed from
rounds that a queue or chance has coloured, and a round is believed only as far as its own spread allows.
"""

from __future__ import annotations

import math

CLEAR = 0.1  # of the mean above the base: nothing waits
CROWDED = 0.2  # a fifth of the time is waiting
ROOM = 1.1  # a little queue keeps every slot busy
FIRST_GROWTH, GAIN, MOST_GROWTH = 1.1, 1.15, 1.5
DOUBT = 2.0  # standard errors
PATIENCE = 4  # rounds that a doubtful one may go on for
BELIEVED = 2  # crowded rounds in a row; one alone may be this machine, or the way there, having stood still
LOOK = 24  # answers that a look at half the window takes at least
MEMORY = 400  # answers of former looks that a base still rests on, while they agree


class LatencyWindow:
    """Takes latencies, gives windows."""

    def __init__(self) -> None:
        self._base: float | None = None
        self._rests_on = 0
        self._growth = MOST_GROWTH
        self._since = 0.0
        self._crowded = 0  # rounds in a row
        self._looking: tuple[float, float] | None = None  # the window and the mean that are in question
        self._begin()

    def window(self, window: float, latency: float, now: float, *, used: bool) -> float:
        """The window after an answer that took *latency*; *used* says whether the window is what holds requests back."""
        if now - latency < self._since:
            return window  # sent under another window
        self._count += 1
        self._sum += latency
        self._squares += latency * latency
        least = LOOK if self._looking is not None else 4.0
        if self._count < max(window, least) * self._rounds:
            return window
        wanted = (
            self._after_look() if self._looking is not None else self._after_round(window) if used else window
        )
        if wanted is None:
            self._rounds += 1
            return window
        self._begin()
        if wanted != window:
            self._since = now
        return wanted

    def _begin(self) -> None:
        self._count, self._rounds = 0, 1
        self._sum = self._squares = 0.0

    def _after_look(self) -> float:
        assert self._looking is not None
        window, mean = self._looking
        self._looking = None
        self._learn(*self._mean_and_error())
        assert self._base is not None
        return window * min(max(self._base / mean * ROOM, 0.25), 1.0)

    def _learn(self, mean: float, error: float) -> None:
        """Take the mean of a round without a queue into the base; in its place, where the two can't both be true."""
        if self._base is None or abs(mean - self._base) > max(DOUBT * error, CLEAR * mean):
            self._base, self._rests_on = mean, self._count
            return
        self._base = (self._base * self._rests_on + self._sum) / (self._rests_on + self._count)
        self._rests_on = min(self._rests_on + self._count, MEMORY)

    def _mean_and_error(self) -> tuple[float, float]:
        mean = self._sum / self._count
        return mean, math.sqrt(max(self._squares / self._count - mean * mean, 0.0) / self._count)

    def _after_round(self, window: float) -> float | None:
        """Choose the next window; None when the round can't be believed yet."""
        mean, error = self._mean_and_error()
        if self._base is None:
            self._learn(mean, error)
        assert self._base is not None
        waiting = mean - self._base
        if waiting <= CROWDED * mean:
            self._crowded = 0
        if waiting <= max(CLEAR * mean, error / 2):
            grown = window * self._growth
            self._growth = min(self._growth * GAIN, MOST_GROWTH)
            return grown
        if waiting <= DOUBT * error and self._rounds < PATIENCE:
            return None
        self._growth = FIRST_GROWTH
        if waiting <= CROWDED * mean:
            return window
        self._crowded += 1
        if self._crowded < BELIEVED:
            return window
        self._crowded = 0
        self._looking = (window, mean)
        return max(window / 2, 1.0)
