"""How many requests a server can work on at once, where it never refuses and only queues.

A server of one's own takes everything: beyond its slots, each request more makes all of them wait. So the window is
steered by latency, a round at a time (as many answers as the window is wide, all sent since the last change). While
the mean latency stays at its base, the window grows, by half a round until something gets in its way, then by a tenth;
when requests begin to wait, it holds.

When they seem to wait long, twice in a row, a round at half the window looks again: with no queue, its mean is the base as it is now.
If answers have merely grown longer, nothing changes but the base; else the window goes back to what the server works
on, by Little's law: the window times the base over the mean. So the base is only ever measured, never guessed from
rounds that a queue or chance has coloured, and a round is believed only as far as its own spread allows.
"""

from __future__ import annotations

import math

# Measured in simulated time (tests/engine/test_limiter.py, tests/benchmarks/queueing.py); `chosen` is what neither tells
# from its neighbours.
# fmt: off
CLEAR = 0.1  # of the mean above the base: nothing waits; chosen
CROWDED = 0.2  # a fifth of the time is waiting; at a tenth, a server's slots are not kept busy
ROOM = 1.1  # a little queue keeps every slot busy; with none they are not
FIRST_GROWTH = 1.5  # a round, until something waits; chosen
LATER_GROWTH = 1.1  # with 1.5 for good, a look is due so often that slots stand empty
DOUBT = 2.0  # standard errors; without, answers of very different lengths are steered badly
PATIENCE = 4  # rounds that a doubtful one may go on for; chosen
BELIEVED = 2  # crowded rounds in a row; one may be this machine having stood still: at 1, 75 % of a rate and not 82 %
LOOK = 24  # answers that a look at half the window takes at least; at 4, likewise
# fmt: on


class LatencyWindow:
    """Takes latencies, gives windows."""

    def __init__(self) -> None:
        self._base: float | None = None
        self._growth = FIRST_GROWTH
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
        self._base, _ = self._mean_and_error()
        # Not below a quarter at a time: one hiccup of a minute would leave a window below one, and minutes of climbing.
        return window * min(max(self._base / mean * ROOM, 0.25), 1.0)

    def _mean_and_error(self) -> tuple[float, float]:
        mean = self._sum / self._count
        return mean, math.sqrt(max(self._squares / self._count - mean * mean, 0.0) / self._count)

    def _after_round(self, window: float) -> float | None:
        """Choose the next window; None when the round can't be believed yet."""
        mean, error = self._mean_and_error()
        if self._base is None:
            self._base = mean
        waiting = mean - self._base
        if waiting <= CROWDED * mean:
            self._crowded = 0
        if waiting <= CLEAR * mean:
            return window * self._growth
        if waiting <= DOUBT * error and self._rounds < PATIENCE:
            return None
        self._growth = LATER_GROWTH
        if waiting <= CROWDED * mean:
            return window
        self._crowded += 1
        if self._crowded < BELIEVED:
            return window
        self._crowded = 0
        self._looking = (window, mean)
        return max(window / 2, 1.0)
