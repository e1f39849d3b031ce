"""How a request becomes an answer: the river in one file.

`Engine.answer` is the whole of it: what is remembered is recalled; a twin of a question under way joins it; else the
question is asked, each attempt in a slot of the endpoint's limiter and within the budget, until a whole and valid
answer has come, which is kept before anyone sees it.

The engine lives on one event loop, in one thread, and holds what all clients of the process share: flights, limiters
and retry quotas. What differs from question to question comes in an `CallContext`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from qwennb.answer import Answer, Chunk, Cost, Draft, Fold, Usage, read_draft
from qwennb.cache import Memory
from qwennb.catalog import estimate_tokens
from qwennb.config import CacheMode, Secret
from qwennb.endpoints import Endpoint, Transport, Wire
from qwennb.engine.budget import Budget, Reservation
from qwennb.engine.flight import Flight
from qwennb.engine.half import refuse_half
from qwennb.engine.ledger import Ledger
from qwennb.engine.limiter import Limiter
from qwennb.engine.retry import Retry, Tries
from qwennb.errors import (
    ContentFiltered,
    EndpointError,
    Incomplete,
    InvalidAnswer,
    QwenError,
    RateLimited,
    TimedOut,
    in_words,
)
from qwennb.request import Message, Request, Text

REASKS = 2
IDLE_SECONDS = 300.0
MOST_REFUSALS = 100  # of one question; with more than half of all refused at random, one in 10^30 has so many
RECENT = 4096


class FlightName(NamedTuple):
    """What tells one flight from another: the same question, to the same server with the same API key, in the same mode and folder."""

    key: str
    identity: str
    base_url: str
    api_key: Secret | None  # shows itself nowhere
    mode: CacheMode
    memory: Memory


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
        return any(budget.is_limited for budget in self.budgets)


@dataclass(slots=True)
class Spent:
    """What the attempts at one answer have used together."""

    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    unknown: bool = False
    maybe_billed: bool = False
    answered: bool = False

    def charge(self, error: QwenError) -> None:
        """Note on *error* what was used before it."""
        cost = None if self.maybe_billed else self.total if self.answered else 0.0
        error.charge(self.attempts, (self.usage.input, self.usage.output), cost)

    def add(self, usage: Usage, cost: Cost | None) -> None:
        """One attempt more that was answered."""
        self.answered = True
        self.usage = self.usage + usage if self.attempts > 1 else usage
        if cost is None:
            self.unknown = True
        else:
            source = (
                "table" if cost.estimated or (self.cost is not None and self.cost.estimated) else cost.source
            )
            self.cost = Cost((self.cost or 0.0) + cost, source)

    @property
    def total(self) -> Cost | None:
        """All that it cost; None when the price of any part is unknown."""
        return None if self.unknown else self.cost


@dataclass(slots=True)
class Job:
    """One question on its way: what is asked and how, who listens, until when, and what it has used so far."""

    request: Request
    context: CallContext
    identity: str
    flight: Flight
    limiter: Limiter
    retry: Tries
    deadline: float
    spent: Spent = field(default_factory=Spent)
    alone: float = 0.0  # seconds that it must wait by itself, while others may go
    is_told_to_wait: bool = False  # by the server, and not by a pause of our own
    heard: float | None = None  # when the newest piece of this attempt's answer came


class Engine:
    """What all clients of a process share on the loop."""

    def __init__(
        self,
        sdk: Transport,
        direct: Transport,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
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
        if (known := await self._just_now(request, context)) is not None:
            return known
        return await self._flight(request, context).outcome()

    async def stream(self, request: Request, context: CallContext) -> AsyncIterator[Chunk | Answer]:
        """The pieces of the answer as they arrive, and the answer itself as the last."""
        if (known := await self._just_now(request, context)) is not None:
            yield Chunk(text=known.text, reasoning=known.reasoning)
            yield known
            return
        flight = self._flight(request, context)
        async with aclosing(flight.pieces()) as pieces:
            async for chunk in pieces:
                yield chunk
        yield await flight.outcome()

    def limiter(self, context: CallContext, model: str) -> Limiter:
        """The limiter that questions to this place share."""
        endpoint = context.endpoint
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
        return self._limiters[name]

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()
        await self._direct.close()

    # ------------------------------------------------------------------ flights

    async def _just_now(self, request: Request, context: CallContext) -> Answer | None:
        # Asked and kept between the caller's look into the cache and now: it must not be paid for twice.
        identity = context.endpoint.identity(request.model)
        if context.mode != "on" or (request.key, identity, context.memory.folder) not in self._recent:
            return None
        return await asyncio.to_thread(context.memory.recall, request, identity, "on")

    def _flight(self, request: Request, context: CallContext) -> Flight:
        name = flight_name(request, context)
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = Flight()
            flight.drains = context.endpoint.bills_cancelled(request.model)
            job = Job(
                request,
                context,
                name.identity,
                flight,
                self.limiter(context, request.model),
                self._retries.setdefault(context.endpoint.base_url, Retry()).question(),
                asyncio.get_running_loop().time() + context.timeout,
            )
            flight.start(self._ask_on_account(job), lambda: self._land(name))
        return flight

    def _land(self, name: FlightName) -> None:
        del self._flights[name]

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
        request, asked, complaints = job.request, job.request, 0
        while True:
            wire, draft = await self._whole(asked, job)
            try:
                data, complaint = _read(request, draft)
                if complaint is None:
                    answer = self._answer(job, wire, draft, data)
                    if answer.complete:
                        await self._keep(answer, job.context)
                    return answer
                _give_up_if_pointless(complaint, complaints, draft, job)
                complaints += 1
                asked = _with_complaint(request, draft, complaint)
            finally:
                job.limiter.answer_stored()

    def _answer(self, job: Job, wire: Wire, draft: Draft, data: Any) -> Answer:
        """*draft* as the answer to the errand's question, with what all its attempts have used."""
        request, spent = job.request, job.spent
        return Answer(
            request=request,
            # A choice, out of whatever it was wrapped in.
            text=data if request.choices is not None and isinstance(data, str) else draft.text,
            data=data,
            reasoning=draft.reasoning,
            reasoning_blocks=draft.reasoning_blocks,
            tool_calls=draft.tool_calls,
            logprobs=draft.logprobs,
            sources=draft.sources,
            usage=spent.usage,
            cost=spent.total,
            endpoint=job.identity,
            served_by=draft.served_by or "",
            finish_reason=draft.finish_reason or "stop",
            attempts=spent.attempts,
            created=self._now(),
            defaults=wire.defaults,
        )

    async def _keep(self, answer: Answer, context: CallContext) -> None:
        if context.mode == "off":
            return
        await context.memory.keep(answer, context.warn)
        self._recent[answer.key, answer.endpoint, context.memory.folder] = None
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    async def _whole(self, request: Request, job: Job) -> tuple[Wire, Draft]:
        """Attempts at *request* (the errand's own, or with a complaint), until one brings a whole answer or no other would."""
        limiter, loop = job.limiter, asyncio.get_running_loop()
        wire = await _write(request, job.context)
        attempt, failure = 0, None
        while True:
            attempt += 1
            job.alone = 0.0
            _have_patience(job, attempt, max(limiter.pause, limiter.believed_wait))
            if max(limiter.pause, limiter.believed_wait) > job.deadline - loop.time():
                raise _waiting_error(job, max(limiter.pause, limiter.named_wait), failure)
            try:
                draft = await self._attempt(wire, request, job)
                job.retry.note_answer()
                return wire, draft
            except EndpointError as error:
                failure = error
                if isinstance(error, Incomplete):
                    wire = job.context.endpoint.dialect.stream_instead(wire)
                # What somebody has been shown can't be taken back.
                if _only_waited(error) and limiter.answers_within(job.context.timeout):
                    _have_patience(job, attempt, job.context.timeout)
                    if job.deadline > loop.time():
                        attempt -= 1
                        continue
                wait = None if job.flight.has_listener else job.retry.wait(error, attempt)
                if wait is not None and isinstance(error, RateLimited):
                    _have_patience(job, attempt, max(wait, job.alone))
                if wait is None or loop.time() + max(wait, job.alone) >= job.deadline:
                    raise
                job.flight.restart()
                await asyncio.sleep(max(wait, job.alone))

    async def _attempt(self, wire: Wire, request: Request, job: Job) -> Draft:
        """One call over the wire, within the budgets and in a slot that is given back whatever comes."""
        context, limiter = job.context, job.limiter
        endpoint, loop = context.endpoint, asyncio.get_running_loop()
        size = float(estimate_tokens(request.question).tokens) if limiter.counts_tokens else 0.0
        used, began, ticket, whole = 0, None, (0, 0), False
        async with Reservation(
            context.budgets, endpoint.worst_cost(request) if context.is_limited else 0.0
        ) as reservation:
            try:
                async with asyncio.timeout_at(job.deadline) as limit:
                    ticket = await limiter.enter(size)
                    while not reservation.holds:  # while it waited, more was reported than bounds allow
                        limiter.leave(reserved=size)
                        await reservation.renew()
                        ticket = await limiter.enter(size)
                    began = loop.time()
                    _have_patience(
                        job, job.spent.attempts, context.timeout
                    )  # what it waited is not the answer's time
                    job.spent.attempts += 1
                    fold = await self._receive(wire, job, limit)
                draft = endpoint.dialect.normalise(fold.draft(), request)
                usage = draft.usage or _estimate_usage(draft, request)
                cost = endpoint.cost(request.model, usage, draft.cost)
                reservation.cost, used = cost, usage.total
                job.spent.add(usage, cost)
                if context.ledger is not None:
                    context.ledger.record(request.model, endpoint, usage, cost)
                draft = _judge(draft, fold, request, endpoint)
                limiter.note_success(loop.time() - began, ticket)
                whole = True
                return draft
            except TimeoutError:
                if began is not None:
                    limiter.note_failure()
                reservation.maybe_billed = began is not None
                raise _time_out_error(job, loop.time(), began) from None
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
                if reservation.maybe_billed:
                    job.spent.maybe_billed = True
                    if context.ledger is not None:
                        context.ledger.maybe_billed(request.model, endpoint)

    async def _receive(self, wire: Wire, job: Job, limit: asyncio.Timeout) -> Fold:
        """What comes back over the wire, shown to the flight piece by piece; *limit* is drawn in while nothing comes."""
        context, fold, loop = job.context, Fold(), asyncio.get_running_loop()
        endpoint, transport = context.endpoint, self._direct if context.direct else self._sdk
        name = str(endpoint)
        limit.reschedule(min(job.deadline, loop.time() + IDLE_SECONDS))
        job.heard = None
        async with aclosing(transport.send(endpoint.call(wire))) as payloads:
            async for payload in payloads:
                job.heard = loop.time()
                job.flight.show(fold.add(endpoint.dialect.read(payload, name)))
                if not payload.last:
                    limit.reschedule(min(job.deadline, loop.time() + IDLE_SECONDS))
        return fold


def flight_name(request: Request, context: CallContext) -> FlightName:
    """The name of the flight that *request* would join."""
    endpoint = context.endpoint
    identity = endpoint.identity(request.model)
    return FlightName(request.key, identity, endpoint.base_url, endpoint.key, context.mode, context.memory)


def _read(request: Request, draft: Draft) -> tuple[Any, ValueError | None]:
    """What *draft* says in the form that was asked for; or what is wrong with it."""
    try:
        return read_draft(request, draft), None
    except ValueError as complaint:
        return None, complaint


def _give_up_if_pointless(complaint: ValueError, complaints: int, draft: Draft, job: Job) -> None:
    """Raise InvalidAnswer where asking again with *complaint* would not help, or can't be done."""
    short = job.request.key[:12]
    if draft.finish_reason == "length":
        raise InvalidAnswer(
            f"The answer to {short} was cut off before its form was whole; give a larger max_tokens=."
        ) from None
    if complaints == REASKS or job.flight.has_listener:
        raise InvalidAnswer(
            f"The answer to {short} does not fit what was asked for after {complaints + 1} attempts: {complaint}. "
            "Loosen the form, or say in the prompt what goes where."
        ) from None


def _waiting_error(job: Job, pause: float, failure: EndpointError | None) -> EndpointError:
    """The error of a question that can't wait for a pause to end: the server's own wish, or ours after failures."""
    seconds = f"{pause:.0f} s" if pause >= 10 else f"{pause:.1f} s"
    if job.is_told_to_wait or (failure is None and job.limiter.is_told):
        happened = f"asks to wait {seconds}"
    elif failure is not None:
        return failure
    else:
        happened = f"has refused or failed too often, and is left alone for {seconds}"
    return RateLimited(
        f"{job.context.endpoint} {happened}, longer than this request may take. Ask again later, or give a longer timeout=."
    )


def _have_patience(job: Job, attempt: int, wait: float) -> None:
    """Of many questions none is given up for want of a turn while others are answered: its time begins anew.

    A question of its own keeps its deadline: somebody waits for it.
    """
    context, now = job.context, asyncio.get_running_loop().time()
    if (
        context.direct
        and attempt < MOST_REFUSALS
        and now + wait >= job.deadline
        and job.limiter.answers_within(context.timeout)
        and not job.limiter.believed_wait
    ):
        job.deadline = now + context.timeout


def _only_waited(error: EndpointError) -> bool:
    """True for a question that never got its turn."""
    return isinstance(error, TimedOut) and error.status is None and not error.maybe_billed


def _time_out_error(job: Job, now: float, began: float | None) -> TimedOut:
    endpoint, short, timeout = job.context.endpoint, job.request.key[:12], job.context.timeout
    seconds = min(timeout, timeout if now >= job.deadline else IDLE_SECONDS)
    waited = "an answer" if began is not None else "its turn at the endpoint's limit"
    happened = f"gave nothing for {seconds:g} s while {short} waited for {waited}"
    if began is not None and job.heard is not None:
        silence = now - job.heard
        if silence < seconds / 2:
            happened = f"was still writing its answer to {short} after {now - began:.3g} s"
        else:
            happened = f"gave nothing for {silence:.1g} s while {short} waited for the rest of its answer"
    return TimedOut(
        f"{endpoint} {happened}. Give a longer timeout=.", maybe_billed=began is not None, transient=False
    )


async def _write(request: Request, context: CallContext) -> Wire:
    # Pictures are scaled and encoded: not on the loop, where every other answer would wait for it.
    if context.endpoint.server is not None:
        await asyncio.to_thread(context.endpoint.ready)
    if request.media:
        return await asyncio.to_thread(context.endpoint.write, request, stream=not context.direct)
    return context.endpoint.write(request, stream=not context.direct)


def _judge(draft: Draft, fold: Fold, request: Request, endpoint: Endpoint) -> Draft:
    """*draft*, if it is a whole answer; else the error that says what is wrong with it."""
    reason = draft.finish_reason
    if reason is None:
        # Some servers give no reason at the end of a whole answer; only its usage tells it from half of one.
        whole = fold.ended and draft.usage is not None and bool(draft.text or draft.tool_calls)
        if not (whole and endpoint.dialect.null_finish_is_stop):
            raise endpoint.dialect.cut(str(endpoint))
        draft = replace(draft, finish_reason="tool_calls" if draft.tool_calls else "stop")
    if reason == "content_filter":
        raise ContentFiltered(
            f"{endpoint} stopped the answer to {request.key[:12]} by its content filter. Rephrase the question."
        )
    if reason in ("error", "aborted"):
        raise endpoint.dialect.cut(str(endpoint), told=True)
    if reason == "length" and (draft.text.strip() or draft.tool_calls):
        refuse_half(draft, request, endpoint)
        return draft
    if reason != "length" and (draft.text or draft.tool_calls):
        if draft.tool_calls and draft.finish_reason == "stop":
            draft = replace(draft, finish_reason="tool_calls")
        return draft
    if draft.reasoning and request.settings.thinking is False and reason == "stop":
        # Some servers put every word into the thought when thinking is off.
        return replace(draft, text=draft.reasoning, reasoning="")
    if reason == "length":
        raise Incomplete(
            f"{endpoint} used up max_tokens before it began its answer to {request.key[:12]}. Give a larger max_tokens=, or thinking=False.",
            transient=False,
        )
    raise Incomplete(f"{endpoint} gave an empty answer to {request.key[:12]}.")


def _estimate_usage(draft: Draft, request: Request) -> Usage:
    # By estimate even where the exact vocabulary is installed: a recorded figure must not depend on an extra.
    said = draft.text + draft.reasoning + "".join(call.arguments for call in draft.tool_calls)
    asked = "\n".join(message.text for message in request.messages)
    return Usage(input=estimate_tokens(asked).tokens, output=estimate_tokens(said).tokens, estimated=True)


def _with_complaint(request: Request, draft: Draft, complaint: ValueError) -> Request:
    """*request* with the answer that did not fit and what was wrong with it; it has no name of its own in the cache."""
    said = Message("assistant", (Text(draft.text or "(empty)"),))
    told = Message(
        "user",
        (
            Text(
                f"That does not fit: {complaint}. Answer again, in the form that was asked for, and nothing else."
            ),
        ),
    )
    return replace(request, messages=(*request.messages, said, told))
