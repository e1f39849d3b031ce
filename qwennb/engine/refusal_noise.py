"""Refusals that have nothing to do with the pace, and how they are told from a limit.

A limit refuses less when it is asked more slowly; a lottery does not. (An aggregator passes on the refusals of whoever
it happened to ask; a gateway drops a share of everything.) Heeding them slows everything down and helps nothing: each
lowers the pace, and the next comes all the same.

To begin with, a few refusals are let pass where the server names no time to wait: if they are a limit, more follow at
once. When too many have come, nothing is let pass any more, and each refusal is held against what went through
before. One that comes though much less was let through, and with fewer in flight, is unexplained. After a few of them
the share refused is taken for what is usual here: as many, and some more, are let pass and slow nobody down. Beyond
that it is a limit again. What goes without a pace is measured too: where no more comes through than with one, it was
a limit all along. The usual share only falls by counting; it rises by nothing but unexplained refusals, else a limit
would be got used to.
"""

from __future__ import annotations

import math

# Measured in simulated time (tests/engine/test_limiter_noise.py, test_limiter_words.py); `chosen` is what no test tells from
# its neighbours.
# fmt: off
FIRST_SHARE = 0.1  # of all that goes, taken for usual to begin with; at 0 not one of the first few refusals passes
FIRST_CREDIT = 5.0  # refusals that pass before anything is known; at 0 none does
CREDIT = 8.0  # refusals on end that chance may bring; at 5 a quota of 50 a second is met too often
MARGIN = 0.02  # of all that goes; with none, refusals that come in a bunch are taken for a limit
UNEXPLAINED = 2  # refusals, until they are noise; after one, a limit of 20 a second passes for it
MOST_NEEDED = 16  # it doubles each time that it was no noise; if it does not, a tide is taken for noise again and again
TOLD = 8  # refusals from which a share can be told; from none, a quota passes for noise
MOST = 0.3  # of all, where a wait is named: where more is refused than this, slower is right whatever the reason
# The same where none is named: slower is right only if it helps. Without it a server that refuses everything is asked
# 630 times a second for as long as it does; at 0.6 a few times.
MOST_UNNAMED = 0.6
DOUBT = 1.5  # standard errors that a share may be larger; without, refusals that come in a bunch are a limit
SURE = 12.0  # so many refusals were due between two, and none came: what there was is over
# fmt: on


class RefusalNoise:
    """Counts what is sent and refused; knows the share that is usual."""

    def __init__(self) -> None:
        self.usual = FIRST_SHARE
        self._credit = self._most_credit = FIRST_CREDIT
        self.sent = 0.0  # requests that went, for a share of them
        self._refused = 0.0
        self._unexplained = self._latest = 0
        self._needed = UNEXPLAINED

    @property
    def is_known(self) -> bool:
        """True where refusals that have nothing to do with the pace were found."""
        return self._most_credit == CREDIT and self.usual > 0

    def note_refusal(self, number: int) -> bool:
        """Request *number* was refused; True where that is no more than is usual.

        What counts is how many went between it and the one refused before, not when the two came back: of many in
        flight the refusals come in a bunch.
        """
        gap, self._latest = max(number - self._latest, 0), max(number, self._latest)
        self._refused += 1
        if self.is_known and self.usual * gap > SURE:
            self.usual = 0.0
        if not self.usual:
            return False
        self._credit = min(self._credit + (2 * self.usual + MARGIN) * gap, self._most_credit) - 1
        if self._credit < 0:
            return False
        if self._refused >= TOLD:
            self.usual, self._most_credit = min(self.usual, self._share()), CREDIT
        return True

    def note_real_limit(self) -> None:
        """Treat the last refusal as a real rate limit: nothing passes for noise until it is measured anew."""
        if not self.is_known:
            self.usual = 0.0
        self._credit = CREDIT / 2
        self.sent = self._refused = 0.0
        self._unexplained = 0

    def note_unexplained(self, *, is_named: bool = True) -> bool:
        """Refused though no more was asked than had passed before; True when this makes it noise.

        *is_named*: the server said how long to wait, as one with a limit would.
        """
        self._unexplained += 1
        most = MOST if is_named else MOST_UNNAMED
        if self._unexplained < self._needed or self._refused > most * self.sent:
            return False
        self.usual = self._share()
        self._most_credit = self._credit = CREDIT
        self._unexplained = 0
        return True

    def note_trial(self, passed_more: bool) -> None:
        """A limit was met after going without a pace; *passed_more*: more was let through than with one, as noise would have it."""
        if passed_more:
            self._needed = UNEXPLAINED
        else:
            self.usual, self._needed = 0.0, min(2 * self._needed, MOST_NEEDED)

    def _share(self) -> float:
        """Of what was sent, refused: as much as it may well be."""
        return (self._refused + DOUBT * math.sqrt(self._refused)) / max(self.sent, 1.0)
