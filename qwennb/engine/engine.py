"""How a request becomes an answer: the river in one file.

`Engine.answer` is the whole of it: what is remembered is recalled; a twin of a question under way joins it; else the
question is asked, each attempt in a slot of the endpoint's limiter and within the budget, until a whole and valid
answer has come, which is kept before anyone sees it.

The engine lives on one event loop, in one thread, and holds what all clients of the process share: flights, limiters
and retry quotas. What differs from question to question comes in a `CallContext`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qwennb.answer import Answer, Chunk, Draft, Fold, Usage, read_draft
from qwennb.catalog import estimate_tokens
from qwennb.endpoints import Transport, Wire, count_letters
from qwennb.engine.budget import Reservation, are_limited
from qwennb.engine.context import CallContext
from qwennb.engine.drafts import (
    add_complaint,
    adds_likelihoods,
    build_answer,
    check_whole,
    estimate_usage,
)
from qwennb.engine.flight import LONGEST_SILENCE, Flight, FlightName, Job
from qwennb.engine.limiter import Limiter
from qwennb.engine.retry import Retry
from qwennb.errors import EndpointError, Incomplete, QwenError, RateLimited, TimedOut, in_words
from qwennb.request import Request

if TYPE_CHECKING:
    from qwennb.tracing import PauseReason, Trace

LETTERS_A_TOKEN = 4  # of ordinary English; a pace is corrected by what the server reports
RECENT = 4096  # names, a hundred bytes each; chosen: more than can be asked between a look into the cache and the asking

_now = partial(datetime.now, UTC)


class Engine:
    """What all clients of a process share on the loop."""

    def __init__(
        self,
        sdk: Transport,
        direct: Transport,
        *,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._sdk = sdk
        self._direct = direct
        self._now = now
        self._flights: dict[FlightName, Flight] = {}
        self._recent: dict[tuple[str, str, Path], None] = {}  # what was kept last: names, and no answers
        self._limiters: dict[tuple[object, ...], Limiter] = {}
        self._retries: dict[str, Retry] = {}

    async def answer(self, request: Request, context: CallContext) -> Answer:
        """The answer to *request*: remembered, or asked for."""
        if (known := await self._recall_recent(request, context)) is not None:
            return known
        return await self._join(request, context).outcome()

    async def stream(self, request: Request, context: CallContext) -> AsyncIterator[Chunk | Answer]:
        """The pieces of the answer as they arrive, and the answer itself as the last."""
        if (known := await self._recall_recent(request, context)) is not None:
            yield Chunk(text=known.text, reasoning=known.reasoning)
            yield known
            return
        flight = self._join(request, context)
        async with aclosing(flight.pieces()) as pieces:
            async for chunk in pieces:
                yield chunk
        yield await flight.outcome()

    def limiter(self, context: CallContext, model: str) -> Limiter:
        """The limiter that questions to this server and model, with this key, share."""
        endpoint = context.endpoint
        asked_for = (endpoint.base_url, endpoint.key, model, context.concurrency, context.pace)
        if (known := self._limiters.get(asked_for)) is not None:
            return known
        quota = endpoint.quota(model)
        most = min(context.concurrency, endpoint.most or context.concurrency)
        # A provider's quota is for each model; a server of one's own has one set of slots for all of them.
        name = (endpoint.base_url, endpoint.key, model if quota is not None else None, most)
        if name not in self._limiters:
            self._limiters[name] = Limiter(
                most=most,
                pace=quota.rpm / 60 * context.pace if quota is not None else None,
                tokens_a_minute=quota.tpm * context.pace if quota is not None else None,
                queues=not endpoint.hosted,
            )
        self._limiters[asked_for] = self._limiters[name]
        return self._limiters[name]

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()
        await self._direct.close()

    # ------------------------------------------------------------------ flights

    async def _recall_recent(self, request: Request, context: CallContext) -> Answer | None:
        """Recall what was asked and kept between the caller's look into the cache and now: it must not be paid for twice."""
        identity = context.endpoint.identity(request.model)
        if context.mode != "on" or (request.key, identity, context.memory.folder) not in self._recent:
            return None
        known = await asyncio.to_thread(context.memory.recall, request, identity, "on")
        if known is not None and context.trace is not None:
            context.trace.recall(known)
        return known

    def _join(self, request: Request, context: CallContext) -> Flight:
        """Join the flight of *request*, or start it."""
        endpoint = context.endpoint
        identity = endpoint.identity(request.model)
        name = FlightName(
            request.key, identity, endpoint.base_url, endpoint.key, context.mode, context.memory
        )
        if (flight := self._flights.get(name)) is not None:
            if context.trace is not None:
                context.trace.join(request)
            return flight
        if (retry := self._retries.get(endpoint.base_url)) is None:
            retry = self._retries[endpoint.base_url] = Retry()
        limiter = self.limiter(context, request.model)
        deadline = asyncio.get_running_loop().time() + context.timeout
        job = Job(request, context, identity, limiter, retry, deadline)
        job.flight = self._flights[name] = Flight(
            self._ask_on_account(job),
            drains=partial(endpoint.bills_cancelled, request.model),
            landed=partial(self._flights.pop, name),
        )
        return job.flight

    # ------------------------------------------------------------------ asking

    async def _ask_on_account(self, job: Job) -> Answer:
        """Ask; an error knows what its attempts have cost."""
        try:
            return await self._ask(job)
        except QwenError as error:
            job.spent.charge(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as unforeseen:  # let through, some of it would end the loop
            failed = QwenError(
                f"Asking {job.request.key[:12]} failed with what qwennb did not foresee: {in_words(unforeseen)}. Please report it."
            )
            job.spent.charge(failed)
            raise failed from unforeseen

    async def _ask(self, job: Job) -> Answer:
        """Ask until a whole, valid answer has come; keep it; only then give it away."""
        asked, complaints = job.request, 0
        while True:
            wire, draft = await self._ask_until_whole(asked, job)
            try:
                data = read_draft(job.request, draft)
            except ValueError as complaint:
                job.check_complaint(complaint, complaints, is_cut=draft.finish_reason == "length")
                complaints += 1
                asked = add_complaint(job.request, draft, complaint)
                if job.context.trace is not None:
                    job.context.trace.retry(job.request.key, job.spent.attempts + 1, 0.0, "InvalidAnswer")
            else:
                answer = build_answer(
                    job.request, draft, data, job.spent, job.identity, self._now(), wire.defaults
                )
                if answer.complete and job.context.mode != "off":
                    await self._keep(answer, job.context)
                return answer
            finally:
                job.limiter.answer_stored()

    async def _keep(self, answer: Answer, context: CallContext) -> None:
        """Keep *answer*, and remember its name for who looked into the cache before."""
        await context.memory.keep(answer, context.warn)
        self._recent[answer.key, answer.endpoint, context.memory.folder] = None
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    async def _ask_until_whole(self, request: Request, job: Job) -> tuple[Wire, Draft]:
        """Attempt *request* (the job's own, or with a complaint), until an answer is whole or no other would be."""
        limiter, loop = job.limiter, asyncio.get_running_loop()
        wire = await _write(request, job.context)
        attempt, failure = 0, None
        while True:
            attempt += 1
            job.alone = 0.0
            if (pause := limiter.believed_pause) >= job.deadline - loop.time():
                job.extend_deadline(loop.time(), attempt, pause)
                if pause > job.deadline - loop.time():
                    raise job.waiting_error(max(pause, limiter.named_wait), failure)
            try:
                draft = await self._attempt(wire, request, job)
                job.retry.refill()
                return wire, draft
            except EndpointError as error:
                failure = error
                if "logprobs" in str(error) and adds_likelihoods(request, wire.defaults):
                    wire = _without_likelihoods(wire)
                    continue
                if isinstance(error, Incomplete):
                    wire = job.context.endpoint.dialect.stream_instead(wire)
                if _only_waited(error) and limiter.answers_within(job.context.timeout):
                    job.extend_deadline(loop.time(), attempt, job.context.timeout)
                    if job.deadline > loop.time():
                        attempt -= 1
                        continue
                # What somebody has been shown can't be taken back.
                wait = None if job.flight.has_listener else job.retry.wait(error, attempt, job.failures)
                if wait is None:
                    raise
                wait = max(wait, job.alone)
                if isinstance(error, RateLimited):
                    job.extend_deadline(loop.time(), attempt, wait)
                if loop.time() + wait >= job.deadline:
                    raise
                if job.context.trace is not None:
                    kind = type(error).__name__
                    job.context.trace.retry(job.request.key, job.spent.attempts + 1, wait, kind)
                job.flight.restart()
                await asyncio.sleep(wait)

    async def _attempt(self, wire: Wire, request: Request, job: Job) -> Draft:
        """Make one call over the wire, within the budgets and in a slot that is given back whatever comes."""
        context, limiter, trace = job.context, job.limiter, job.context.trace
        endpoint, loop = context.endpoint, asyncio.get_running_loop()
        size = float(_guess_tokens(request)) if limiter.counts_tokens else 0.0
        used, began, ticket, whole = 0, None, (0, 0), False
        bound = endpoint.worst_cost(request) if are_limited(context.budgets) else 0.0
        async with Reservation(context.budgets, bound) as reservation:
            try:
                async with asyncio.timeout_at(job.deadline) as limit:
                    ticket = await limiter.enter(size)
                    while not reservation.holds:  # while it waited, more was reported than bounds allow
                        limiter.leave(reserved=size)
                        await reservation.renew()
                        ticket = await limiter.enter(size)
                    began = loop.time()
                    if context.direct:  # what it waited is not the answer's time
                        job.extend_deadline(began, job.spent.attempts, context.timeout)
                    job.spent.attempts += 1
                    if trace is not None:
                        trace.send(job.request.key, request, endpoint, job.spent.attempts)
                    fold = await self._receive(wire, job, limit)
                draft = endpoint.dialect.normalise(fold.draft(), request)
                usage = draft.usage or estimate_usage(draft, request)
                cost = endpoint.cost(request.model, usage, draft.cost)
                reservation.cost, used = cost, usage.total
                job.spent.add(usage, cost)
                if context.ledger is not None:
                    context.ledger.record(request.model, endpoint, usage, cost)
                draft = check_whole(draft, fold, request, endpoint)
                limiter.note_success(loop.time() - began, ticket)
                whole = True
                if trace is not None:
                    _tell_answer(trace, job, draft, usage, cost, began, loop.time())
                return draft
            except TimeoutError:
                if began is not None:
                    limiter.note_failure()
                reservation.maybe_billed = began is not None
                raise job.timeout_error(loop.time(), began) from None
            except asyncio.CancelledError:
                reservation.maybe_billed = began is not None
                raise
            except EndpointError as error:
                reservation.maybe_billed = error.maybe_billed and reservation.cost is None
                job.is_told_to_wait = error.retry_after is not None
                if isinstance(error, RateLimited) or (error.status in (503, 529) and error.retry_after):
                    job.alone = limiter.note_refusal(error.retry_after, ticket)
                elif error.transient:
                    limiter.note_failure()
                raise
            finally:
                if began is not None:
                    limiter.leave(reserved=size, used=used, answered=whole)
                    if trace is not None and not whole:
                        _tell_failure(trace, job, loop.time() - began, maybe_billed=reservation.maybe_billed)
                if reservation.maybe_billed:
                    job.spent.maybe_billed = True
                    if context.ledger is not None:
                        context.ledger.record(request.model, endpoint, None)

    async def _receive(self, wire: Wire, job: Job, limit: asyncio.Timeout) -> Fold:
        """Show the flight what comes back over the wire, piece by piece; *limit* is drawn in while nothing comes."""
        context, fold, loop = job.context, Fold(), asyncio.get_running_loop()
        endpoint, transport = context.endpoint, self._direct if context.direct else self._sdk
        limit.reschedule(min(job.deadline, loop.time() + max(LONGEST_SILENCE, context.timeout / 2)))
        job.heard = job.first = None
        call, trace = endpoint.call(wire), context.trace
        async with aclosing(transport.send(call)) as payloads:
            async for payload in payloads:
                job.heard = loop.time()
                if trace is not None and job.first is None:
                    job.first, job.request_id = job.heard, payload.headers.get("x-request-id", "")
                job.flight.show(fold.add(endpoint.dialect.read(payload, call.endpoint)))
                if not payload.last:
                    limit.reschedule(min(job.deadline, loop.time() + LONGEST_SILENCE))
        return fold


def _tell_answer(
    trace: Trace, job: Job, draft: Draft, usage: Usage, cost: float | None, began: float, now: float
) -> None:
    is_streamed = not job.context.direct and job.first is not None
    trace.answer(
        job.request.key,
        job.spent.attempts,
        draft,
        usage,
        cost,
        seconds=now - began,
        first_seconds=(job.first or now) - began if is_streamed else None,
        request_id=job.request_id,
    )


def _tell_failure(trace: Trace, job: Job, seconds: float, *, maybe_billed: bool) -> None:
    """Tell of the error that an attempt is left with, and of a pause that the endpoint is given for it."""
    error, limiter = sys.exception() or Incomplete(), job.limiter
    trace.fail(job.request.key, job.spent.attempts, error, seconds=seconds, maybe_billed=maybe_billed)
    if limiter.pause_is_news and limiter.pause:
        limiter.pause_is_news = False
        reason: PauseReason = (
            "told" if limiter.is_told else "limit" if isinstance(error, RateLimited) else "outage"
        )
        trace.pause(job.context.endpoint, limiter.pause, reason)


def _without_likelihoods(wire: Wire) -> Wire:
    """Leave likelihoods out, as a server is asked that refuses them though others of its kind take them."""
    body, defaults = dict(wire.body), dict(wire.defaults)
    for name in ("logprobs", "top_logprobs"):
        body.pop(name, None)
        defaults.pop(name, None)
    return replace(wire, body=body, defaults=defaults)


def _guess_tokens(request: Request) -> int:
    """Guess the tokens of the question, for a pace in tokens a minute; of documents by their length, which takes no time."""
    return estimate_tokens(request.question).tokens + count_letters(request.media) // LETTERS_A_TOKEN


def _only_waited(error: EndpointError) -> bool:
    """Tell a question that never got its turn."""
    return isinstance(error, TimedOut) and error.status is None and not error.maybe_billed


async def _write(request: Request, context: CallContext) -> Wire:
    # Pictures are scaled and encoded: not on the loop, where every other answer would wait for it.
    if context.endpoint.server is not None:
        await asyncio.to_thread(context.endpoint.ready)
    if request.media:
        return await asyncio.to_thread(context.endpoint.write, request, stream=not context.direct)
    return context.endpoint.write(request, stream=not context.direct)
