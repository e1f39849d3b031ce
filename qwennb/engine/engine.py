"""How a request becomes an answer: the river in one file.

`Engine.answer` is the whole of it: what is remembered is recalled; a twin of a question under way joins it; else the
question is asked, each attempt in a slot of the endpoint's limiter and within the budget, until a whole and valid
answer has come, which is kept before anyone sees it.

The engine lives on one event loop, in one thread, and holds what all clients of the process share: flights, limiters
and retry quotas. What differs from question to question comes in an `Asking`.
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
from qwennb.endpoints import Place, Transport, Wire
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
class Asking:
    """How a question is asked: where, from which memory, for how long and how much. Nothing of it is in the key."""

    place: Place
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
class Errand:
    """One question on its way: what is asked and how, who listens, until when, and what it has used so far."""

    request: Request
    asking: Asking
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

    async def answer(self, request: Request, asking: Asking) -> Answer:
        """The answer to *request*: remembered, or asked for."""
        if (known := await self._just_now(request, asking)) is not None:
            return known
        return await self._flight(request, asking).outcome()

    async def stream(self, request: Request, asking: Asking) -> AsyncIterator[Chunk | Answer]:
        """The pieces of the answer as they arrive, and the answer itself as the last."""
        if (known := await self._just_now(request, asking)) is not None:
            yield Chunk(text=known.text, reasoning=known.reasoning)
            yield known
            return
        flight = self._flight(request, asking)
        async with aclosing(flight.pieces()) as pieces:
            async for chunk in pieces:
                yield chunk
        yield await flight.outcome()

    def limiter(self, asking: Asking, model: str) -> Limiter:
        """The limiter that questions to this place share."""
        place = asking.place
        quota = place.quota(model)
        most = min(asking.concurrency, place.most or asking.concurrency)
        # A provider's quota is for each model; a server of one's own has one set of slots for all of them.
        name = (place.base_url, place.key, model if quota is not None else None, most)
        if name not in self._limiters:
            self._limiters[name] = Limiter(
                most=most,
                pace=quota.rpm / 60 * asking.pace if quota is not None else None,
                tokens_a_minute=quota.tpm * asking.pace if quota is not None else None,
                queues=not place.hosted,
            )
        return self._limiters[name]

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()
        await self._direct.close()

    # ------------------------------------------------------------------ flights

    async def _just_now(self, request: Request, asking: Asking) -> Answer | None:
        # Asked and kept between the caller's look into the cache and now: it must not be paid for twice.
        identity = asking.place.identity(request.model)
        if asking.mode != "on" or (request.key, identity, asking.memory.folder) not in self._recent:
            return None
        return await asyncio.to_thread(asking.memory.recall, request, identity, "on")

    def _flight(self, request: Request, asking: Asking) -> Flight:
        name = flight_name(request, asking)
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = Flight()
            flight.drains = asking.place.bills_cancelled(request.model)
            errand = Errand(
                request,
                asking,
                name.identity,
                flight,
                self.limiter(asking, request.model),
                self._retries.setdefault(asking.place.base_url, Retry()).question(),
                asyncio.get_running_loop().time() + asking.timeout,
            )
            flight.start(self._ask_on_account(errand), lambda: self._land(name))
        return flight

    def _land(self, name: FlightName) -> None:
        del self._flights[name]

    # ------------------------------------------------------------------ asking

    async def _ask_on_account(self, errand: Errand) -> Answer:
        """Ask; an error knows what its attempts have cost."""
        try:
            return await self._ask(errand)
        except QwenError as error:
            errand.spent.charge(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as unforeseen:  # let through, some of it would end the loop
            failed = QwenError(
                f"Asking {errand.request.key[:12]} failed with what qwennb did not foresee: {in_words(unforeseen)}. Please report it."
            )
            errand.spent.charge(failed)
            raise failed from unforeseen

    async def _ask(self, errand: Errand) -> Answer:
        """Ask until a whole, valid answer has come; keep it; only then give it away."""
        request, asked, complaints = errand.request, errand.request, 0
        while True:
            wire, draft = await self._whole(asked, errand)
            try:
                data, complaint = _read(request, draft)
                if complaint is None:
                    answer = self._answer(errand, wire, draft, data)
                    if answer.complete:
                        await self._keep(answer, errand.asking)
                    return answer
                _give_up_if_pointless(complaint, complaints, draft, errand)
                complaints += 1
                asked = _with_complaint(request, draft, complaint)
            finally:
                errand.limiter.settled()

    def _answer(self, errand: Errand, wire: Wire, draft: Draft, data: Any) -> Answer:
        """*draft* as the answer to the errand's question, with what all its attempts have used."""
        request, spent = errand.request, errand.spent
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
            endpoint=errand.identity,
            served_by=draft.served_by or "",
            finish_reason=draft.finish_reason or "stop",
            attempts=spent.attempts,
            created=self._now(),
            defaults=wire.defaults,
        )

    async def _keep(self, answer: Answer, asking: Asking) -> None:
        if asking.mode == "off":
            return
        await asking.memory.keep(answer, asking.warn)
        self._recent[answer.key, answer.endpoint, asking.memory.folder] = None
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    async def _whole(self, request: Request, errand: Errand) -> tuple[Wire, Draft]:
        """Attempts at *request* (the errand's own, or with a complaint), until one brings a whole answer or no other would."""
        limiter, loop = errand.limiter, asyncio.get_running_loop()
        wire = await _written(request, errand.asking)
        attempt, failure = 0, None
        while True:
            attempt += 1
            errand.alone = 0.0
            _have_patience(errand, attempt, max(limiter.pause, limiter.believed_wait))
            if max(limiter.pause, limiter.believed_wait) > errand.deadline - loop.time():
                raise _kept_waiting(errand, max(limiter.pause, limiter.named_wait), failure)
            try:
                draft = await self._attempt(wire, request, errand)
                errand.retry.answered()
                return wire, draft
            except EndpointError as error:
                failure = error
                if isinstance(error, Incomplete):
                    wire = errand.asking.place.dialect.stream_instead(wire)
                # What somebody has been shown can't be taken back.
                if _only_waited(error) and limiter.answers_within(errand.asking.timeout):
                    _have_patience(errand, attempt, errand.asking.timeout)
                    if errand.deadline > loop.time():
                        attempt -= 1
                        continue
                wait = None if errand.flight.listened else errand.retry.wait(error, attempt)
                if wait is not None and isinstance(error, RateLimited):
                    _have_patience(errand, attempt, max(wait, errand.alone))
                if wait is None or loop.time() + max(wait, errand.alone) >= errand.deadline:
                    raise
                errand.flight.restart()
                await asyncio.sleep(max(wait, errand.alone))

    async def _attempt(self, wire: Wire, request: Request, errand: Errand) -> Draft:
        """One call over the wire, within the budgets and in a slot that is given back whatever comes."""
        asking, limiter = errand.asking, errand.limiter
        place, loop = asking.place, asyncio.get_running_loop()
        size = float(estimate_tokens(request.question).tokens) if limiter.counts_tokens else 0.0
        used, began, ticket, whole = 0, None, (0, 0), False
        async with Reservation(
            asking.budgets, place.bound(request) if asking.is_limited else 0.0
        ) as reservation:
            try:
                async with asyncio.timeout_at(errand.deadline) as limit:
                    ticket = await limiter.enter(size)
                    while not reservation.holds:  # while it waited, more was reported than bounds allow
                        limiter.leave(reserved=size)
                        await reservation.renew()
                        ticket = await limiter.enter(size)
                    began = loop.time()
                    errand.spent.attempts += 1
                    fold = await self._received(wire, errand, limit)
                draft = place.dialect.settled(fold.draft(), request)
                usage = draft.usage or _estimated(draft, request)
                cost = place.cost(request.model, usage, draft.cost)
                reservation.cost, used = cost, usage.total
                errand.spent.add(usage, cost)
                if asking.ledger is not None:
                    asking.ledger.record(request.model, place, usage, cost)
                draft = _judged(draft, fold, request, place)
                limiter.succeeded(loop.time() - began, ticket)
                whole = True
                return draft
            except TimeoutError:
                if began is not None:
                    limiter.failed()
                reservation.maybe_billed = began is not None
                raise _timed_out(errand, loop.time(), began) from None
            except asyncio.CancelledError:
                reservation.maybe_billed = began is not None
                raise
            except EndpointError as error:
                reservation.maybe_billed = error.maybe_billed and reservation.cost is None
                errand.is_told_to_wait = error.retry_after is not None
                if isinstance(error, RateLimited) or (error.status in (503, 529) and error.retry_after):
                    errand.alone = limiter.refused(error.retry_after, ticket)
                elif error.transient:
                    limiter.failed()
                raise
            finally:
                if began is not None:
                    limiter.leave(reserved=size, used=used, answered=whole)
                if reservation.maybe_billed:
                    errand.spent.maybe_billed = True
                    if asking.ledger is not None:
                        asking.ledger.maybe_billed(request.model, place)

    async def _received(self, wire: Wire, errand: Errand, limit: asyncio.Timeout) -> Fold:
        """What comes back over the wire, shown to the flight piece by piece; *limit* is drawn in while nothing comes."""
        asking, fold, loop = errand.asking, Fold(), asyncio.get_running_loop()
        place, transport = asking.place, self._direct if asking.direct else self._sdk
        name = str(place)
        limit.reschedule(min(errand.deadline, loop.time() + IDLE_SECONDS))
        errand.heard = None
        async with aclosing(transport.send(place.call(wire))) as payloads:
            async for payload in payloads:
                errand.heard = loop.time()
                errand.flight.show(fold.add(place.dialect.read(payload, name)))
                if not payload.last:
                    limit.reschedule(min(errand.deadline, loop.time() + IDLE_SECONDS))
        return fold


def flight_name(request: Request, asking: Asking) -> FlightName:
    """The name of the flight that *request* would join."""
    place = asking.place
    identity = place.identity(request.model)
    return FlightName(request.key, identity, place.base_url, place.key, asking.mode, asking.memory)


def _read(request: Request, draft: Draft) -> tuple[Any, ValueError | None]:
    """What *draft* says in the form that was asked for; or what is wrong with it."""
    try:
        return read_draft(request, draft), None
    except ValueError as complaint:
        return None, complaint


def _give_up_if_pointless(complaint: ValueError, complaints: int, draft: Draft, errand: Errand) -> None:
    """Raise InvalidAnswer where asking again with *complaint* would not help, or can't be done."""
    short = errand.request.key[:12]
    if draft.finish_reason == "length":
        raise InvalidAnswer(
            f"The answer to {short} was cut off before its form was whole; give a larger max_tokens=."
        ) from None
    if complaints == REASKS or errand.flight.listened:
        raise InvalidAnswer(
            f"The answer to {short} does not fit what was asked for after {complaints + 1} attempts: {complaint}. "
            "Loosen the form, or say in the prompt what goes where."
        ) from None


def _kept_waiting(errand: Errand, pause: float, failure: EndpointError | None) -> EndpointError:
    """The error of a question that can't wait for a pause to end: the server's own wish, or ours after failures."""
    seconds = f"{pause:.0f} s" if pause >= 10 else f"{pause:.1f} s"
    if errand.is_told_to_wait or (failure is None and errand.limiter.is_told):
        happened = f"asks to wait {seconds}"
    elif failure is not None:
        return failure
    else:
        happened = f"has refused or failed too often, and is left alone for {seconds}"
    return RateLimited(
        f"{errand.asking.place} {happened}, longer than this request may take. Ask again later, or give a longer timeout=."
    )


def _have_patience(errand: Errand, attempt: int, wait: float) -> None:
    """Of many questions none is given up for want of a turn while others are answered: its time begins anew.

    A question of its own keeps its deadline: somebody waits for it.
    """
    asking, now = errand.asking, asyncio.get_running_loop().time()
    if (
        asking.direct
        and attempt < MOST_REFUSALS
        and now + wait >= errand.deadline
        and errand.limiter.answers_within(asking.timeout)
        and not errand.limiter.believed_wait
    ):
        errand.deadline = now + asking.timeout


def _only_waited(error: EndpointError) -> bool:
    """True for a question that never got its turn."""
    return isinstance(error, TimedOut) and error.status is None and not error.maybe_billed


def _timed_out(errand: Errand, now: float, began: float | None) -> TimedOut:
    place, short, timeout = errand.asking.place, errand.request.key[:12], errand.asking.timeout
    seconds = min(timeout, timeout if now >= errand.deadline else IDLE_SECONDS)
    waited = "an answer" if began is not None else "its turn at the endpoint's limit"
    happened = f"gave nothing for {seconds:g} s while {short} waited for {waited}"
    if began is not None and errand.heard is not None:
        silence = now - errand.heard
        if silence < seconds / 2:
            happened = f"was still writing its answer to {short} after {now - began:.3g} s"
        else:
            happened = f"gave nothing for {silence:.1g} s while {short} waited for the rest of its answer"
    return TimedOut(
        f"{place} {happened}. Give a longer timeout=.", maybe_billed=began is not None, transient=False
    )


async def _written(request: Request, asking: Asking) -> Wire:
    # Pictures are scaled and encoded: not on the loop, where every other answer would wait for it.
    if asking.place.server is not None:
        await asyncio.to_thread(asking.place.ready)
    if request.media:
        return await asyncio.to_thread(asking.place.write, request, stream=not asking.direct)
    return asking.place.write(request, stream=not asking.direct)


def _judged(draft: Draft, fold: Fold, request: Request, place: Place) -> Draft:
    """*draft*, if it is a whole answer; else the error that says what is wrong with it."""
    reason = draft.finish_reason
    if reason is None:
        # Some servers give no reason at the end of a whole answer; only its usage tells it from half of one.
        whole = fold.ended and draft.usage is not None and bool(draft.text or draft.tool_calls)
        if not (whole and place.dialect.null_finish_is_stop):
            raise place.dialect.cut(str(place))
        draft = replace(draft, finish_reason="tool_calls" if draft.tool_calls else "stop")
    if reason == "content_filter":
        raise ContentFiltered(
            f"{place} stopped the answer to {request.key[:12]} by its content filter. Rephrase the question."
        )
    if reason in ("error", "aborted"):
        raise place.dialect.cut(str(place), told=True)
    if reason == "length" and (draft.text.strip() or draft.tool_calls):
        refuse_half(draft, request, place)
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
            f"{place} used up max_tokens before it began its answer to {request.key[:12]}. Give a larger max_tokens=, or thinking=False.",
            transient=False,
        )
    raise Incomplete(f"{place} gave an empty answer to {request.key[:12]}.")


def _estimated(draft: Draft, request: Request) -> Usage:
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
