"""Sending: at a rate or from streams, each request once, by the endpoint's own streaming way.

Requests at a rate go when they are due, whether or not earlier ones are answered, and their latency counts from then. Were
it to count from the sending, a server (or this machine) that falls behind would look fast just when its callers wait
longest. A stream has one request under way at a time, and its next is due when that is over.

The engine's limiter, its retries, its flights and the cache are left out on purpose: they would be measured in place of the
server. Its budget holds: a request whose bound does not fit is not sent, and ends the stage there, since to wait until
others are settled would change the load that is measured.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from random import Random

from qwennb.answer import Fold, money
from qwennb.endpoints import Transport, Wire
from qwennb.engine import CallContext, Reservation, are_limited, check_whole, estimate_usage
from qwennb.errors import BudgetExceeded, EndpointError, TimedOut, Unreachable
from qwennb.load.measures import Stage, StageRun, Timing
from qwennb.request import Request

PAUSE = 1.0  # seconds that a stream waits after an error, so that a server which refuses is not hammered
MOST_STREAMS = 256  # that a climb ends with; chosen: as many as a client has under way by default
ENOUGH = 1.1  # times as many tokens a second, for twice the streams; less is no gain
TOO_MANY = 0.05  # of all requests, failed


class Load:
    """Sends the requests of stages, and measures. *question* makes the request of each number."""

    def __init__(
        self,
        question: Callable[[int], Request],
        context: CallContext,
        transport: Transport,
        clock: Callable[[], float],
        *,
        seed: int = 0,
    ) -> None:
        self._question, self._context, self._transport, self._clock = question, context, transport, clock
        self._numbers = itertools.count(1)
        self._random = Random(seed)
        self._wires: dict[str, Wire] = {}  # of requests with pictures: made once
        self.runs: list[StageRun] = []

    async def try_once(self) -> None:
        """Send one request alone: where nobody is there, or none would be answered, that is one sentence and no load."""
        request = self._question(next(self._numbers))
        if over := self._over_budget(request):
            raise BudgetExceeded(f"{over} Give a smaller --max-tokens or a higher --budget.")
        timing = Timing(0, 0.0)
        await self._send(request, timing, self._clock())
        if timing.error is not None:
            raise timing.error

    async def run(self, stages: Iterable[Stage]) -> None:
        """Send what *stages* say; `runs` has what came of it so far, whenever this is left."""
        for stage in stages:
            run = StageRun(stage)
            self.runs.append(run)
            await self._send_all(stage.warm_up, run, run.warm)
            run.is_warm = True
            if not run.stopped:
                await self._send_all(stage, run, run.timings)
            if run.stopped:
                return

    async def _send_all(self, stage: Stage, run: StageRun, timings: list[Timing]) -> None:
        """Send what *stage* says, and wait for what is under way at its end."""
        zero = self._clock()
        try:
            async with asyncio.TaskGroup() as group:
                if stage.streams:
                    turns = itertools.islice(itertools.count(), stage.requests)
                    for _ in range(stage.streams):
                        group.create_task(self._stream(stage, turns, run, timings, zero))
                else:
                    await self._send_at_rate(stage, run, timings, zero, group)
        finally:
            ends = [self._clock() - zero if one.end is None else one.end for one in timings]
            run.window = max(ends, default=0.0)

    async def _stream(
        self, stage: Stage, turns: Iterator[int], run: StageRun, timings: list[Timing], zero: float
    ) -> None:
        """Send one request after the other, until the stage's are used up or its time is over."""
        while not run.stopped:
            due = self._clock() - zero
            if (stage.seconds is not None and due >= stage.seconds) or next(turns, None) is None:
                return
            if await self._send_next(run, timings, due, zero) is not None:
                await asyncio.sleep(PAUSE)

    async def _send_at_rate(
        self, stage: Stage, run: StageRun, timings: list[Timing], zero: float, group: asyncio.TaskGroup
    ) -> None:
        """Send each request when it is due, whatever became of those before it."""
        for due in itertools.islice(stage.due_times(self._random), stage.requests):
            if stage.seconds is not None and due >= stage.seconds:
                return
            if (early := due - (self._clock() - zero)) > 0:
                await asyncio.sleep(early)
            if run.stopped:
                return
            group.create_task(self._send_next(run, timings, due, zero))

    async def _send_next(
        self, run: StageRun, timings: list[Timing], due: float, zero: float
    ) -> EndpointError | None:
        """Send one request, and give its error. What does not fit the budget, or would fail for every other too, ends the stage."""
        timing = Timing(next(self._numbers), due)
        request = self._question(timing.number)
        if over := self._over_budget(request):
            run.stopped = run.stopped or over
            return None
        timings.append(timing)
        await self._send(request, timing, zero)
        # A server that takes no connection for a while may be what load does to it.
        if timing.error is not None and timing.error.fatal and not isinstance(timing.error, Unreachable):
            run.stopped = run.stopped or str(timing.error)
        return timing.error

    def _over_budget(self, request: Request) -> str:
        """Say why *request* does not fit a budget now; empty where it does."""
        for budget in self._context.budgets:
            if budget.is_limited and not budget.fits(bound := self._context.endpoint.worst_cost(request)):
                return (
                    f"The next request may cost up to {money(bound)}, and of the budget of {money(budget.limit)} "
                    f"{money(budget.spent + budget.maybe_billed)} is spent and {money(budget.reserved)} set aside for requests under way."
                )
        return ""

    async def _send(self, request: Request, timing: Timing, zero: float) -> None:
        """Send *request* once, and write down when what came of it."""
        context, endpoint = self._context, self._context.endpoint
        wire = await self._write(request)
        bound = endpoint.worst_cost(request) if are_limited(context.budgets) else 0.0
        async with Reservation(context.budgets, bound) as reservation:
            try:
                async with asyncio.timeout(context.timeout):
                    fold = await self._receive(wire, timing, zero)
                draft = endpoint.dialect.normalise(fold.draft(), request)
                timing.usage = draft.usage or estimate_usage(draft, request)
                timing.cost = endpoint.cost(request.model, timing.usage, draft.cost)
                reservation.cost, timing.finish_reason = timing.cost, draft.finish_reason
                if context.ledger is not None:
                    context.ledger.record(request.model, endpoint, timing.usage, timing.cost)
                if (
                    draft.finish_reason != "length"
                ):  # what ends where it was told to, a thought too, was answered
                    check_whole(draft, fold, request, endpoint)
            except TimeoutError:
                timing.error = TimedOut(
                    f"{endpoint} did not end an answer within {context.timeout:g} s. Give a longer --timeout.",
                    maybe_billed=True,
                )
            except EndpointError as error:
                timing.error = error
            except asyncio.CancelledError:
                reservation.maybe_billed = timing.sent is not None and timing.usage is None
                raise
            finally:
                if timing.error is not None:
                    timing.end = self._clock() - zero
                    reservation.maybe_billed = timing.error.maybe_billed and timing.usage is None
                if reservation.maybe_billed and context.ledger is not None:
                    context.ledger.record(request.model, endpoint, None)

    async def _write(self, request: Request) -> Wire:
        """Write *request* as it goes over the wire; pictures are scaled once, and not on the loop."""
        endpoint = self._context.endpoint
        if not request.media:
            return endpoint.write(request, stream=True)
        if request.key not in self._wires:
            self._wires[request.key] = await asyncio.to_thread(endpoint.write, request, stream=True)
        return self._wires[request.key]

    async def _receive(self, wire: Wire, timing: Timing, zero: float) -> Fold:
        """Read the reply piece by piece, and note when its first, its last and its end came."""
        endpoint, fold, clock = self._context.endpoint, Fold(), self._clock
        call = endpoint.call(wire)
        timing.sent = now = clock() - zero
        async with aclosing(self._transport.send(call)) as payloads:
            async for payload in payloads:
                now = clock() - zero
                chunk = fold.add(endpoint.dialect.read(payload, call.endpoint))
                says = bool(chunk.text or chunk.tool_calls)
                if says or chunk.reasoning:
                    if timing.first is None:
                        timing.first = now
                    elif timing.last is not None:
                        timing.longest_pause = max(timing.longest_pause, now - timing.last)
                    timing.last = now
                if says and timing.first_of_answer is None:
                    timing.first_of_answer = now
        timing.end = now
        return fold


def climb(load: Load, stage: Stage) -> Iterator[Stage]:
    """Double the streams, from one, until that brings no more tokens a second, or too much fails."""
    streams, before = 1, 0.0
    while streams <= MOST_STREAMS:
        most = stage.requests and max(stage.requests, 2 * streams)
        yield replace(stage, streams=streams, requests=most)
        run = load.runs[-1]
        now = run.a_second(run.output_tokens)
        if now < ENOUGH * before or run.errors.total() > TOO_MANY * len(run.timings):
            return
        streams, before = 2 * streams, now
