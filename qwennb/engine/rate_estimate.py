"""Requests a second that an endpoint takes: known from a quota, or measured.

Between two refusals exactly as much was let through as the server's bucket refilled, so that is its rate. From there
the pace creeps up to find a limit that was raised: ever faster while nothing is refused, and more gently each time that
the limit is found where it was. Where it is found higher, it is rising, and the pace goes with it.

A refusal is explained by the pace when about as much was let through as ever before, or when the same was measured
thrice. One that came after much less is not: see `noise`.
"""

from __future__ import annotations

from typing import Literal

Verdict = Literal["limit", "unexplained", "open"]

# Measured in simulated time (tests/engine/test_limiter.py, test_limiter_noise.py); `chosen` is what no test tells from its
# neighbours.
# fmt: off
SHRINK = 0.7  # of the rate, where too little passed to measure one; chosen
GROWTH = 0.05  # requests a second more for each answer, doubling every PATIENCE seconds without a refusal; chosen
PATIENCE = 4.0  # seconds; where nothing doubles, a limit that rises all the time is followed too late
FASTEST = 0.5  # requests a second for each answer; chosen: at 100 a second it doubles in two seconds, and no more
MOST_DOUBLINGS = 10.0  # beyond FASTEST in any case: an hour without a refusal must not overflow
MEASURE = 0.3  # seconds between two refusals that tell a rate; with none, a limit beside random refusals is not held
ENOUGH = 3  # requests, likewise; from one, a limit lowered to single requests is found too late
LESS = 0.75  # of what passed before: below, a refusal is unexplained; without it, bad luck at first slows down for good
FAR_LESS = 0.5  # likewise, where too little came to be measured; without it, three of ten refused slow down for good
HIGHER = 1.1  # than the last time: the limit rises; without it, one that comes and goes is followed too late
MORE = 1.25  # than the last time: going without a pace was right; never so, a limit beside random refusals is not held
ALIKE = 0.15  # two measurements of one limit differ by no more; chosen
FOUND = 2  # measurements like the one before: there is a limit, whatever passed before
STEADIEST = 3  # measurements alike that make the growth gentler; with none, a limit of single requests is met too often
# fmt: on


class RateEstimate:
    """Counts what is let through between refusals; `rate` is None while nothing is known."""

    def __init__(self, quota: float | None) -> None:
        self._quota = quota
        self.rate = quota
        self.is_free = False
        self.passed = 0  # requests that went since the last refusal, those refused taken back
        self.begun: float | None = None  # when the first request went
        self._since: float | None = None  # the last refusal
        self._last: float | None = None  # measurement, and the middle of its time
        self._middle = 0.0
        self._rise = 0.0  # a second, each second
        self._proven = 0.0  # the most that is known to have passed
        self.found_more = False  # the last measurement is well above the one before it
        self._alike = 0  # measurements like the one before, on end

    def set_free(self, now: float) -> None:
        """The refusals seem to have another reason: see what passes without a pace."""
        self.rate, self.is_free = self._quota, True
        self._since, self.passed, self._rise = now, 0, 0.0

    def take_back(self) -> None:
        """One of those that went since the last refusal was refused itself."""
        self.passed -= 1

    def note_answer(self, now: float, open_since: float) -> None:
        """An answer came, and the gate has been open since *open_since*: a little faster."""
        assert self.rate is not None
        if self._since is None:
            return
        quiet = max(now - max(self._since, open_since), 0.0)
        steady = min(self._alike, STEADIEST)
        doublings = min(quiet / PATIENCE / (1 + steady / 2), MOST_DOUBLINGS)
        self.rate += min(GROWTH * 2 ** (doublings - steady), FASTEST) + self._rise / self.rate
        self._clamp()

    def is_too_soon(self, now: float) -> bool:
        """True where a refusal is still the same trouble as the last, and tells no rate."""
        return self._since is not None and now - self._since < MEASURE

    def note_refusal(self, now: float, going: float, *, is_named: bool = True) -> Verdict:
        """The pace becomes what was let through since the last refusal; *going* is how fast requests went.

        *is_named*: the server said how long to wait. After such a wait little comes through before the next refusal, and
        that tells nothing.
        """
        free, self.is_free = self.is_free, False
        since, self._since = self._since, now
        passed, self.passed = self.passed, 0
        self._rise, self.found_more = 0.0, False
        if since is None:
            if self.begun is not None and now > self.begun:
                self._proven = passed / (now - self.begun)
            return "limit"
        if passed < ENOUGH:
            # Again before anything could be measured: far too fast.
            self.rate = self._last if free and self._last else (self.rate or going) * SHRINK
            return "unexplained" if not is_named and self.rate < FAR_LESS * self._proven else "open"
        return self._weigh(passed / (now - since), (now + since) / 2, now)

    def _weigh(self, rate: float, middle: float, now: float) -> Verdict:
        last, self._last = self._last, rate
        if last is not None and abs(rate - last) <= ALIKE * last:
            self._alike += 1
        else:
            self._alike = 0
            if last is not None and rate > HIGHER * last:
                self._rise = (rate - last) / (middle - self._middle)
        self._middle = middle
        self.found_more = last is not None and rate > MORE * last
        self.rate = rate + self._rise * (now - middle)
        self._clamp()
        if self._alike >= FOUND:
            self._proven = rate
        elif rate < LESS * self._proven:
            return "open" if self._alike else "unexplained"
        self._proven = max(self._proven, rate)
        return "limit"

    def _clamp(self) -> None:
        if self._quota is not None and self.rate is not None:
            self.rate = min(self.rate, self._quota)
