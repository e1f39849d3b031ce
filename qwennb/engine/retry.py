"""Whether to ask again after a failure, and when.

A table says how often each kind of failure is worth another attempt. The wait is drawn evenly between nothing and a
bound that doubles (full jitter), so that a fleet which failed together does not come back together. A server's own
"wait so long" is kept by the limiter's gate, for everybody. A quota that failures drain and answers refill keeps an
outage from being answered with a storm.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from qwennb.errors import EndpointError, Incomplete, RateLimited, ServerFailed, TimedOut, Unreachable

# Attempts in all. RateLimited has no bound of its own: the limiter paces it and the request's deadline ends it.
ATTEMPTS: dict[type[EndpointError], int] = {
    RateLimited: 1_000_000,
    ServerFailed: 10,
    Unreachable: 4,
    TimedOut: 4,
    Incomplete: 3,
}
MAYBE_BILLED_ATTEMPTS = 3  # each of them may be paid for
FIRST_WAIT = 0.25
LONGEST_WAIT = 16.0
QUOTA = 400.0
RETRY_COST = 1.0
REFILL = 0.5  # for each answer


class Retry:
    """The policy of one endpoint, with its quota."""

    def __init__(self, *, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._quota = QUOTA

    def wait(self, error: EndpointError, attempt: int) -> float | None:
        """Seconds to wait before attempt *attempt* + 1; None: give up."""
        if not error.transient:
            return None
        if isinstance(error, RateLimited):
            return 0.0
        most = next((n for kind, n in ATTEMPTS.items() if isinstance(error, kind)), 1)
        if error.maybe_billed:
            most = min(most, MAYBE_BILLED_ATTEMPTS)
        if attempt >= most or self._quota < RETRY_COST:
            return None
        self._quota -= RETRY_COST
        bound = min(FIRST_WAIT * 2.0**attempt, LONGEST_WAIT)
        return max(self._jitter() * bound, error.retry_after or 0.0)

    def answered(self) -> None:
        """An answer came: the quota refills."""
        self._quota = min(self._quota + REFILL, QUOTA)
