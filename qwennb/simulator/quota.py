"""How fast one may ask, and what happens beyond.

Two kinds of server are told apart. A hosted one refuses: `rate`, `tokens_per_minute`, `in_flight` and `slope` answer
429 at once. A self-hosted one queues: beyond `slots`, a question waits for its turn, however long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal

__all__ = ["Bucket", "Meter", "Quota", "Refused", "RetryForm", "retry_after_headers"]

RetryForm = Literal["seconds", "ms", "date", "none"]
Limit = Literal["rate", "tokens", "in_flight", "slope"]


@dataclass(frozen=True, slots=True)
class Quota:
    """How fast a simulated account may ask, and what happens beyond. None is without limit.

    A hosted server refuses with 429; a self-hosted one (`slots`) lets wait.

    Parameters
    ----------
    rate, burst : float, optional
        Requests a second, and how many may come at once (one second's worth without it).
    tokens_per_minute : float, optional
        Input and output together.
    in_flight : int, optional
        Requests at a time.
    slope : float, optional
        By how many requests a second the rate may grow each second, counted from the first question.
    slots : int, optional
        How many are answered at a time, while the others wait.
    retry_after : float or str, optional
        What a refusal says of the time to wait; the true wait without it.
    retry_form : {"seconds", "ms", "date", "none"}, optional
        How it says so; as the real server does without it.

    Examples
    --------
    >>> from qwennb.simulator import Quota, Simulator
    >>> with Simulator("vllm", quota=Quota(slots=1), latency=0.01) as sim:
    ...     answers = Qwen(endpoint=f"vllm+{sim.base_url}").ask_many(["one", "two", "three"])
    ...     [answer.error for answer in answers]
    [None, None, None]
    """

    rate: float | None = None
    burst: float | None = None
    tokens_per_minute: float | None = None
    in_flight: int | None = None
    slope: float | None = None
    slots: int | None = None
    retry_after: float | str | None = None
    retry_form: RetryForm | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A question over the quota: which limit, and how long until it would fit."""

    limit: Limit
    wait: float


class Bucket:
    """A token bucket that starts full."""

    def __init__(self, rate: float, size: float, now: float) -> None:
        self._rate, self._size, self._level, self._at = rate, size, size, now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until *amount* would be there; 0 when it is."""
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (min(amount, self._size) - self._level) / self._rate - 1e-9)

    def take(self, amount: float) -> None:
        """Take it; the level may go below zero when more is taken than was asked for."""
        self._level -= amount


class Meter:
    """Holds one account's questions against its `Quota`. The quota may be changed while it runs."""

    def __init__(self, quota: Quota, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._served = 0
        self._waiting = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self.set(quota)

    def set(self, quota: Quota) -> None:
        """Another quota from now on; buckets start full."""
        now = self._clock()
        self.quota = quota
        self._requests = (
            None if quota.rate is None else Bucket(quota.rate, quota.burst or max(1.0, quota.rate), now)
        )
        per_minute = quota.tokens_per_minute
        self._tokens = None if per_minute is None else Bucket(per_minute / 60, per_minute, now)
        self._slope: tuple[float, int] | None = None
        self._wake()

    def admit(self, tokens: int) -> Refused | None:
        """None when the question may be answered (and is counted), else why not."""
        now, quota = self._clock(), self.quota
        if quota.in_flight is not None and self._served + self._waiting >= quota.in_flight:
            return Refused("in_flight", 1.0)
        if quota.slope is not None and (wait := self._slope_wait(quota.slope, now)) > 0:
            return Refused("slope", wait)
        if self._requests is not None and (wait := self._requests.wait(1, now)) > 0:
            return Refused("rate", wait)
        if self._tokens is not None and (wait := self._tokens.wait(tokens, now)) > 0:
            return Refused("tokens", wait)
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)
        if self._slope is not None:
            self._slope = (self._slope[0], self._slope[1] + 1)
        return None

    def spend(self, tokens: int) -> None:
        """Count the output once it is known."""
        if self._tokens is not None:
            self._tokens.take(tokens)

    def _slope_wait(self, slope: float, now: float) -> float:
        """A rate that grows by *slope* each second admits slope·(t+1)²/2 questions by time t."""
        if self._slope is None:
            self._slope = (now, 0)
        started, admitted = self._slope
        due: float = (2 * (admitted + 1) / slope) ** 0.5 - 1
        return max(0.0, due - (now - started))

    async def enter(self) -> None:
        """Take a place among those being answered, after waiting for one where slots are few."""
        if self.quota.slots is not None and self._served >= self.quota.slots:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            self._waiting += 1
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # given a place at the very moment it hung up
                    self.leave()
                raise
            finally:
                self._waiting -= 1
        else:
            self._served += 1

    def leave(self) -> None:
        """Give the place back."""
        self._served -= 1
        self._wake()

    def _wake(self) -> None:
        while self._queue and (self.quota.slots is None or self._served < self.quota.slots):
            turn = self._queue.popleft()
            if not turn.done():
                self._served += 1
                turn.set_result(None)


def retry_after_headers(wait: float | str | None, form: RetryForm, now: float) -> list[tuple[str, str]]:
    """How long to wait, in the form asked for. A str is sent as it stands. *now* is the wall clock."""
    if wait is None or form == "none":
        return []
    if isinstance(wait, str):
        return [("retry-after", wait)]
    if form == "ms":
        return [("retry-after-ms", str(max(1, round(wait * 1000))))]
    if form == "date":
        return [("retry-after", formatdate(now + wait, usegmt=True))]
    return [("retry-after", f"{wait:.0f}" if wait == int(wait) else f"{wait:.3f}")]
