"""One question under way: until when it is asked, what came of its attempts, and everybody who waits for it.

Whoever asks what is already being asked joins the flight: its pieces so far, then each new one, then its outcome, an
error included. When the last one waiting has gone, the flight is cancelled, or, where cancelling saves no money, left
to finish and be remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qwennb.answer import Answer, Chunk
from qwennb.cache import Memory
from qwennb.config import CacheMode, Secret
from qwennb.engine.budget import Spent
from qwennb.engine.context import CallContext
from qwennb.engine.limiter import Limiter
from qwennb.engine.retry import Retry
from qwennb.errors import EndpointError, InvalidAnswer, RateLimited, TimedOut
from qwennb.request import Request

REASKS = 2  # complaints about one answer; chosen: what two did not mend is rarely mended by a third, and each is paid for
# Seconds; chosen: as long as DashScope lets a reply that is not streamed take. Before its first piece an answer has half of its
# timeout= where that is more: a model on a slow machine is silent while it reads a long document.
LONGEST_SILENCE = 300.0
MOST_REFUSALS = 100  # of one question; with more than half of all refused at random, one in 10^30 has so many


class FlightName(NamedTuple):
    """What tells one flight from another: the same question, to the same server with the same API key, in the same mode and folder."""

    key: str
    identity: str
    base_url: str
    api_key: Secret | None  # shows itself nowhere
    mode: CacheMode
    memory: Memory


class Flight:
    """A task that does the *asking*, with listeners. Used on the engine's loop only.

    *drains* says whether it goes on when nobody waits any more, because cancelling saves no money. *landed* is called once it
    is over, whatever the outcome: from then on nobody may join it.
    """

    def __init__(
        self, asking: Coroutine[Any, Any, Answer], drains: Callable[[], bool], landed: Callable[[], object]
    ) -> None:
        self._task = asyncio.get_running_loop().create_task(asking)
        self._task.add_done_callback(self._end)
        self._waiters: list[asyncio.Future[None]] = []
        self._pieces: list[Chunk] = []
        self._queues: list[asyncio.Queue[Chunk | None]] = []
        self._waiting = 0
        self._drains = drains
        self._landed: Callable[[], object] | None = landed

    def _end(self, task: asyncio.Task[Answer]) -> None:
        self._land()
        for queue in self._queues:
            queue.put_nowait(None)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody warns when all who waited have gone

    @property
    def has_listener(self) -> bool:
        """True when somebody has been shown a piece: it can't be taken back by asking again."""
        return bool(self._queues) and bool(self._pieces)

    def show(self, chunk: Chunk) -> None:
        """Pass *chunk* on to the listeners."""
        if chunk.text or chunk.reasoning or chunk.tool_calls:
            self._pieces.append(chunk)
            for queue in self._queues:
                queue.put_nowait(chunk)

    def restart(self) -> None:
        """Forget the pieces of an attempt that failed before anyone listened."""
        self._pieces.clear()

    async def outcome(self) -> Answer:
        """Wait for the answer; the error, if that is what comes of it."""
        self._waiting += 1
        try:
            if not self._task.done():
                waiter: asyncio.Future[None] = self._task.get_loop().create_future()
                self._waiters.append(waiter)
                await waiter
            return self._task.result()
        finally:
            self._leave()

    async def pieces(self) -> AsyncGenerator[Chunk, None]:
        """The pieces so far, then each new one, until it is over."""
        queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        for chunk in self._pieces:
            queue.put_nowait(chunk)
        if self._task.done():
            queue.put_nowait(None)
        self._queues.append(queue)
        self._waiting += 1
        try:
            while (chunk_or_end := await queue.get()) is not None:
                yield chunk_or_end
        finally:
            self._queues.remove(queue)
            self._leave()

    def _leave(self) -> None:
        self._waiting -= 1
        if self._waiting == 0 and not self._task.done() and not self._drains():
            self._land()  # at once: who asks the same before the task has ended must not share its end
            self._task.cancel()

    def _land(self) -> None:
        landed, self._landed = self._landed, None
        if landed is not None:
            landed()


@dataclass(slots=True)
class Job:
    """One question under way: what is asked and how, who listens, until when, and what came of its attempts so far."""

    request: Request
    context: CallContext
    identity: str
    limiter: Limiter
    retry: Retry
    deadline: float
    flight: Flight = field(init=False)
    spent: Spent = field(default_factory=Spent)
    failures: dict[type[EndpointError], int] = field(default_factory=dict)  # by kind
    alone: float = 0.0  # seconds that it must wait by itself, while others may go
    is_told_to_wait: bool = False  # by the server, and not by a pause of our own
    heard: float | None = None  # when the newest piece of this attempt's answer came
    first: float | None = None  # when its first came, where somebody listens
    request_id: str = ""  # how the server calls it, likewise

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
        silence = LONGEST_SILENCE if self.heard is not None else max(LONGEST_SILENCE, timeout / 2)
        seconds = min(timeout, timeout if now >= self.deadline else silence)
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
