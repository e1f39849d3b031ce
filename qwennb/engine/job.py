"""One question on its way: how it is asked, until when, what it has used so far, and what is said when it is given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

from qwennb.answer import Cost, Usage
from qwennb.cache import Memory
from qwennb.config import CacheMode
from qwennb.endpoints import Endpoint
from qwennb.engine.budget import Budget
from qwennb.engine.flight import Flight
from qwennb.engine.ledger import Ledger
from qwennb.engine.limiter import Limiter
from qwennb.engine.retry import Retry
from qwennb.errors import EndpointError, InvalidAnswer, QwenError, RateLimited, TimedOut
from qwennb.request import Request

REASKS = 2  # complaints about one answer; chosen: what two did not mend is rarely mended by a third, and each is paid for
IDLE_SECONDS = 300.0  # of silence; chosen: as long as DashScope lets a reply that is not streamed take
MOST_REFUSALS = 100  # of one question; with more than half of all refused at random, one in 10^30 has so many


@dataclass(frozen=True, slots=True)
class CallContext:
    """How a question is asked: where, from which memory, for how long and how much. Nothing of it is in the key."""

    endpoint: Endpoint
    memory: Memory
    mode: CacheMode = "on"
    timeout: float = 600.0
    budgets: tuple[Budget, ...] = ()
    ledger: Ledger | None = None
    direct: bool = False
    concurrency: int = 256
    pace: float = 0.8
    warn: Callable[[str], None] = lambda _: None

    @property
    def is_limited(self) -> bool:
        """True where money may run out, so that each request needs a bound."""
        return any(map(attrgetter("is_limited"), self.budgets))


@dataclass(slots=True)
class Spent:
    """What the attempts at one answer have used together. `cost` is None until one was answered, or where a price is unknown."""

    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    maybe_billed: bool = False
    answered: bool = False

    def add(self, usage: Usage, cost: Cost | None) -> None:
        """Add one attempt that was answered."""
        self.usage = self.usage + usage if self.attempts > 1 else usage
        if not self.answered:
            self.cost = cost
        elif cost is None or self.cost is None:
            self.cost = None
        else:
            source = "table" if cost.estimated or self.cost.estimated else cost.source
            self.cost = Cost(self.cost + cost, source)
        self.answered = True

    def charge(self, error: QwenError) -> None:
        """Note on *error* what was used before it."""
        cost = None if self.maybe_billed else self.cost if self.answered else 0.0
        error.charge(self.attempts, (self.usage.input, self.usage.output), cost)


@dataclass(slots=True)
class Job:
    """One question under way: what is asked and how, who listens, until when, and what came of its attempts so far."""

    request: Request
    context: CallContext
    identity: str
    flight: Flight
    limiter: Limiter
    retry: Retry
    deadline: float
    spent: Spent = field(default_factory=Spent)
    failures: dict[type[EndpointError], int] = field(default_factory=dict)  # by kind
    alone: float = 0.0  # seconds that it must wait by itself, while others may go
    is_told_to_wait: bool = False  # by the server, and not by a pause of our own
    heard: float | None = None  # when the newest piece of this attempt's answer came

    def extend_deadline(self, now: float, attempt: int, wait: float) -> None:
        """Let its time begin anew where it would be over after *wait*: none of many is given up for want of a turn.

        Only while others are answered. A question of its own keeps its deadline: somebody waits for it.
        """
        context = self.context
        if (
            context.direct
            and attempt < MOST_REFUSALS
            and now + wait >= self.deadline
            and self.limiter.answers_within(context.timeout)
            and not self.limiter.believed_wait
        ):
            self.deadline = now + context.timeout

    def check_complaint(self, complaint: ValueError, complaints: int, *, is_cut: bool) -> None:
        """Raise InvalidAnswer where asking again with *complaint* would not help, or can't be done."""
        short = self.request.key[:12]
        if is_cut:
            raise InvalidAnswer(
                f"The answer to {short} was cut off before its form was whole; give a larger max_tokens=."
            ) from None
        if complaints == REASKS or self.flight.has_listener:
            raise InvalidAnswer(
                f"The answer to {short} does not fit what was asked for after {complaints + 1} attempts: {complaint}. "
                "Loosen the form, or say in the prompt what goes where."
            ) from None

    def waiting_error(self, pause: float, failure: EndpointError | None) -> EndpointError:
        """Make the error of a question that can't wait for a *pause* to end: the server's own wish, or ours after failures."""
        seconds = f"{pause:.0f} s" if pause >= 10 else f"{pause:.1f} s"
        if self.is_told_to_wait or (failure is None and self.limiter.is_told):
            happened = f"asks to wait {seconds}"
        elif failure is not None:
            return failure
        else:
            happened = f"has refused or failed too often, and is left alone for {seconds}"
        return RateLimited(
            f"{self.context.endpoint} {happened}, longer than this request may take. Ask again later, or give a longer timeout=."
        )

    def timeout_error(self, now: float, began: float | None) -> TimedOut:
        """Make the error of a question whose time is over; *began*: when its attempt got its turn, if it did."""
        endpoint, short, timeout = self.context.endpoint, self.request.key[:12], self.context.timeout
        seconds = min(timeout, timeout if now >= self.deadline else IDLE_SECONDS)
        waited = "an answer" if began is not None else "its turn at the endpoint's limit"
        happened = f"gave nothing for {seconds:g} s while {short} waited for {waited}"
        if began is not None and self.heard is not None:
            silence = now - self.heard
            if silence < seconds / 2:
                happened = f"was still writing its answer to {short} after {now - began:.3g} s"
            else:
                happened = f"gave nothing for {silence:.1g} s while {short} waited for the rest of its answer"
        return TimedOut(
            f"{endpoint} {happened}. Give a longer timeout=.", maybe_billed=began is not None, transient=False
        )
