"""Whether to ask again after a failure, and when.

A table says how often each kind of failure is worth another attempt: the third failure of its kind ends a question, not
the third of any. The wait is drawn evenly between nothing and a bound that doubles (full jitter), so that a fleet
which failed together does not come back together. A server's own
"wait so long" is kept by the limiter's gate, for everybody. A quota that failures drain and answers refill keeps an
outage from being answered with a storm.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from qwennb.engine.limiter import LONGEST_NAMED
from qwennb.errors import EndpointError, Incomplete, RateLimited, ServerFailed, TimedOut, Unreachable

# Failures of one kind. A 429 is not among them: the limiter says how long to wait, and the request's deadline ends it.
ATTEMPTS: dict[type[EndpointError], int] = {
    ServerFailed: 10,
    Unreachable: 4,
    TimedOut: 5,
    Incomplete: 3,
}
MAYBE_BILLED_ATTEMPTS = 3  # each of them may be paid for
GATEWAYS = (408, 504)  # their "too late" comes from in front of the model, and is rarely billed
MOST_ATTEMPTS = 10
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

    def refill(self) -> None:
        """Give back a part of the quota, because an answer came."""
        self._quota = min(self._quota + REFILL, QUOTA)

    def wait(
        self, error: EndpointError, attempt: int, failures: dict[type[EndpointError], int]
    ) -> float | None:
        """Seconds to wait before attempt *attempt* + 1; None: give up. *failures* counts those of the question, by kind."""
        if not error.transient:
            return None
        if isinstance(error, RateLimited):
            return 0.0
        kind, most = next((row for row in ATTEMPTS.items() if isinstance(error, row[0])), (EndpointError, 1))
        if error.maybe_billed and error.status not in GATEWAYS:
            most = min(most, MAYBE_BILLED_ATTEMPTS)
        alike = failures[kind] = failures.get(kind, 0) + 1
        if alike >= most or attempt >= MOST_ATTEMPTS or self._quota < RETRY_COST:
            return None
        self._quota -= RETRY_COST
        bound = min(FIRST_WAIT * 2.0**attempt, LONGEST_WAIT)
        return max(self._jitter() * bound, min(error.retry_after or 0.0, LONGEST_NAMED))
