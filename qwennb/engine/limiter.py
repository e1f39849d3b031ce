"""How many requests may be under way at one endpoint, and how fast they may follow one another.

One limiter is shared by everything that asks the same endpoint with the same key. A request goes when five things
allow it:

    the gate      shut for the whole fleet while the server has said "wait" (Retry-After), or keeps failing
    the window    requests in flight; it starts at 8, grows by half a round trip until something is refused, then by a
                  few a round trip. Where a server queues instead of refusing, latency steers it (latency_window.py). What
                  a window lets through is spread over the round trip, so that when a limit is met few are under way
                  to meet it too
    the pace      requests a second, once it is known: from a quota, or measured between refusals (rate_estimate.py)
    the tokens    a minute's quota of tokens, where one is known; reserved by estimate, settled by what was used
    the disk      what was answered and is not kept yet counts against the most that may be under way: where the disk is
                  slow, the asking waits for it, and a crash never costs more than that many answers

A refusal that has nothing to do with how much was asked shuts no gate and slows nothing down (refusal_noise.py): the
request that it struck waits alone. No request is ever failed by the limiter: it waits, until its own deadline.

A server's word is kept for half a minute. Where it named more (a mistaken clock names years), one request goes then, and
all others wait for what comes of it: an answer opens the gate, the same word again is believed.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from qwennb.engine.latency_window import LatencyWindow
from qwennb.engine.rate_estimate import RateEstimate
from qwennb.engine.refusal_noise import RefusalNoise

# Measured in simulated time: what a rule's absence costs is what tests/engine/test_limiter.py and test_limiter_noise.py
# then show. `chosen` is what no test tells from its neighbours.
# fmt: off
START = 8.0  # requests in flight before anything is known; chosen: no provider refuses so few
QUEUE_START = 4.0  # likewise where latency steers; at 8, more than twice the slots are in flight
GROWTH = 0.5  # of a request for each answer while ramping, which is half the window in a round trip; chosen
STEP = 4.0  # requests a round trip once a limit was met; with none, 1,000 slow answers take 71 s, of at most 67.5
SPREAD = 0.7  # of the round trip, over which a window goes; at once, a quota refuses 68 of 1,500, of at most 20
CAREFUL = 0.1  # seconds of spreading at least, once something was refused; without, 57 of 200, of at most 25
FIRST_PAUSE = 1.0  # seconds, after failures, and at most where no time is named: always, chance costs 2.7 times
SHORTEST_PAUSE = 0.1  # some name the milliseconds until one more would fit: kept so, 31 of 200, of at most 25
LATE = 0.004  # seconds that a loop which woke late may catch up; with none, 20,000 quick answers take too long
DOUBLINGS = 5  # of the pause after failures, to 32 s and half as long again at the most; chosen
LONGEST_NAMED = 30.0  # seconds of a named wait, before one request goes and sees; chosen: a wrong clock named years
STREAK = 12  # failures in a row, nothing between them, that shut the gate; else an outage costs too many requests
USED = 0.7  # of the window in flight: less tells nothing of what more would wait; else few open it to 256
# fmt: on


# When a request went: its number, and how many were in flight with it.
Ticket = tuple[int, int]


@dataclass(slots=True)
class Tokens:
    """A minute's quota of tokens: refills steadily, may be overdrawn by a settlement."""

    a_minute: float
    left: float = 0.0
    seen: float = 0.0

    def refill(self, now: float) -> None:
        """Bring what is left up to *now*."""
        if not self.seen:
            self.left = self.a_minute / 6
        self.left = min(
            self.a_minute / 6,
            self.left + max(now - self.seen, 0) * self.a_minute / 60 if self.seen else self.left,
        )
        self.seen = now

    def wait_for(self, wanted: float) -> float:
        """Seconds until *wanted* tokens are there. More than the bucket holds goes when it is full."""
        short = min(wanted, self.a_minute / 6) - self.left
        return max(short, 0) * 60 / self.a_minute


class Limiter:
    """The gate, window, pace and token quota of one endpoint. Used on the engine's loop only."""

    def __init__(
        self,
        *,
        most: int = 256,
        pace: float | None = None,
        tokens_a_minute: float | None = None,
        queues: bool = False,
        clock: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._jitter = jitter
        self._most = most
        self._latencies = LatencyWindow() if queues else None
        self._window = min(START if not queues else QUEUE_START, float(most))
        self._ramping = True
        self._rate = RateEstimate(pace)
        self._noise = RefusalNoise()
        self._next = 0.0
        self._tokens = Tokens(tokens_a_minute) if tokens_a_minute else None
        self.counts_tokens = bool(tokens_a_minute)  # so that a request's size matters
        self._gate = 0.0
        self._pauses = 0
        self._named = 0.0  # when a wait is over that was named and is longer than the gate is shut
        self.is_told = False  # the gate is shut by the server's word
        self.pause_is_news = False  # the gate was shut, and nobody has told so yet
        self._words = 0  # such words on end, with no answer between them
        self._probe: int | None = None  # from this number on an answer tells that it is over
        self._answered_at: float | None = None
        self._streak = 0
        self._waiting: deque[tuple[asyncio.Future[Ticket], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._latency: float | None = None
        self._number = 0
        self._measured_from = 0
        self._careful = False
        self._unkept = 0
        self.in_flight = 0
        self.refusals = 0

    @property
    def window(self) -> int:
        """How many requests may be in flight now."""
        if self._probe is not None:
            return 1
        return max(int(self._window), 1)

    @property
    def pause(self) -> float:
        """Seconds until the gate opens; 0 when it is open."""
        return max(self._gate - self._clock(), 0.0)

    @property
    def named_wait(self) -> float:
        """Seconds that the server has named, where they are more than it is left alone for."""
        return max(self._named - self._clock(), 0.0)

    @property
    def believed_wait(self) -> float:
        """Seconds that the server has named more than once, with no answer between, as far as they are not over."""
        return self.named_wait if self._words > 1 and self.pause else 0.0

    @property
    def believed_pause(self) -> float:
        """Seconds until the gate opens, or until a wait that is believed is over; 0 when a request may go."""
        pause = max(self._gate - self._clock(), 0.0)
        return max(pause, self.believed_wait) if pause else 0.0

    def answers_within(self, seconds: float) -> bool:
        """Whether anything was answered in the last *seconds*."""
        return self._answered_at is not None and self._clock() - self._answered_at < seconds

    async def enter(self, tokens: float = 0.0) -> Ticket:
        """Wait for a slot. Give it back with `leave`; the ticket tells `note_refusal` when the request went."""
        is_first = not self._waiting
        if is_first and self._wait(tokens) == 0.0:
            return self._take(tokens)
        turn: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, tokens))
        if is_first:  # else whoever is first is looked at when it may go
            self._grant()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(reserved=tokens)
            raise

    def leave(self, *, reserved: float = 0.0, used: float = 0.0, answered: bool = False) -> None:
        """Give a slot back; *used* tokens replace the *reserved* ones. What was *answered* has yet to be stored."""
        self.in_flight -= 1
        self._unkept += answered
        if self._tokens is not None:
            self._tokens.left += reserved - used
        self._grant()

    def answer_stored(self) -> None:
        """An answer was kept, or won't be."""
        self._unkept -= 1
        self._grant()

    def note_success(self, latency: float, ticket: Ticket | None = None) -> None:
        """An answer came after *latency* seconds: the window grows, and so does a measured pace."""
        now = self._answered_at = self._clock()
        if self._probe is not None and (ticket is None or ticket[0] >= self._probe):
            self._probe, self._named, self._words = None, 0.0, 0
        self._latency = latency if self._latency is None else 0.9 * self._latency + 0.1 * latency
        self._streak = self._pauses = 0
        if self._latencies is not None:
            self._window = self._latencies.window(
                self._window, latency, now, used=self.in_flight >= USED * self.window
            )
        elif self._ramping:
            self._window += GROWTH
        elif self.in_flight >= self.window // 2:
            self._window += STEP / self._window
        self._window = min(self._window, float(self._most))
        if self._rate.rate is not None:
            self._rate.note_answer(now, self._gate)

    def note_refusal(self, wait: float | None, ticket: Ticket) -> float:
        """Handle a refusal that may name a wait. Returns the seconds this request alone must wait (0: the shared gate handles it)."""
        now = self._clock()
        self.refusals += 1
        number, in_flight = ticket
        if number >= self._measured_from:
            self._rate.take_back()
        is_noise = self._noise.note_refusal(number) and (wait is None or self._noise.is_known)
        if is_noise or not self._is_limit(now, in_flight, is_named=wait is not None):
            return self._first_pause if wait is None else min(wait, LONGEST_NAMED)
        self.is_told = wait is not None
        if wait is None:
            wait = self._first_pause
        elif wait > LONGEST_NAMED:
            self._words += now >= self._gate
            self._named, self._probe = max(self._named, now + wait), self._number
            wait = LONGEST_NAMED
        self.pause_is_news |= now >= self._gate
        self._gate = max(self._gate, now + max(wait, SHORTEST_PAUSE))
        self._grant()
        return 0.0

    def note_failure(self) -> None:
        """A request failed for reasons of the server's own. Many in a row shut the gate, so that an outage costs little."""
        self._streak += 1
        now = self._clock()
        if self._streak >= STREAK and now >= self._gate:
            self.is_told, self.pause_is_news = False, True
            self._gate = now + FIRST_PAUSE * 2 ** min(self._pauses, DOUBLINGS) * (0.5 + self._jitter())
            self._pauses += 1
            self._grant()

    def _is_limit(self, now: float, in_flight: int, *, is_named: bool) -> bool:
        """Slow down for a limit that was met; False where it turns out that refusals have another reason."""
        if self._rate.is_too_soon(now):
            return True  # still the same trouble: slowing down again for it would be too much
        was_free = self._rate.is_free
        verdict = self._rate.note_refusal(
            now, 1 / self._gap if self._gap else float(in_flight), is_named=is_named
        )
        if was_free:
            self._noise.note_trial(self._rate.found_more)
        if verdict == "limit":
            self._noise.note_real_limit()
        elif verdict == "unexplained" and self._noise.note_unexplained(is_named=is_named):
            self._ramping = self._latencies is None
            self._rate.set_free(now)
            self._measured_from = self._number
            return False
        self._measured_from = self._number
        self._ramping = False
        self._careful = True
        return True

    @property
    def _first_pause(self) -> float:
        """Choose the pause where the server names none: a round trip, within bounds."""
        if self._latency is None:
            return FIRST_PAUSE
        return min(max(self._latency, SHORTEST_PAUSE), FIRST_PAUSE)

    def _take(self, tokens: float) -> Ticket:
        self.in_flight += 1
        self._number += 1
        if self._rate.begun is None:
            self._rate.begun = self._clock()
        self._rate.passed += 1
        self._noise.sent += 1
        if (gap := self._gap) is not None:
            self._next = max(self._next, self._clock() - LATE) + gap
        if self._tokens is not None:
            self._tokens.left -= tokens
        return self._number - 1, self.in_flight

    @property
    def _gap(self) -> float | None:
        """Tell the seconds between one request and the next; None while nothing is known."""
        latency = self._latency
        if latency is not None and self._careful:
            latency = max(latency, CAREFUL)
        spread = SPREAD * latency / self._window if latency is not None else None
        if self._rate.rate is None:
            return spread
        return max(1 / self._rate.rate, spread or 0.0)

    def _wait(self, tokens: float) -> float | None:
        """Tell the seconds until a request may go; None: when another leaves."""
        most = 1 if self._probe is not None else max(int(self._window), 1)
        if self.in_flight >= most or self.in_flight + self._unkept >= self._most:
            return None
        now = self._clock()
        wait = max(self._gate, self._next) - now
        if self._tokens is not None:
            self._tokens.refill(now)
            wait = max(wait, self._tokens.wait_for(tokens))
        return max(wait, 0.0)

    def _grant(self) -> None:
        """Let those go who may, and see to it that the next in line is looked at when it may."""
        while self._waiting:
            turn, tokens = self._waiting[0]
            if turn.done():  # cancelled while it waited
                self._waiting.popleft()
                continue
            wait = self._wait(tokens)
            if wait != 0.0:
                if wait is not None and self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(max(wait, 0.001), self._ring)
                return
            self._waiting.popleft()
            turn.set_result(self._take(tokens))

    def _ring(self) -> None:
        """Look again: a timer may be early."""
        self._timer = None
        self._grant()
