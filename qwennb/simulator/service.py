"""From a request to its answer: the one path that every question takes.

    stranger? → key → form → model → what this server refuses → a fault in wait → the quota → a slot → the reply → its shape → the bytes

The ledger is told at each step, and at the end how it went.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .batches import BatchDesk
from .connection import Exchange, Header
from .delivery import Delivery, encode
from .dialects import SimulatedDialect
from .dialects.llama_cpp import SimulatedLlamaCpp
from .faults import Fault, FaultPlan
from .fields import Fields
from .models import SimModel
from .openapi import describe_server
from .options import Options
from .parsed_request import Asked
from .problem import Problem
from .quota import Meter, Refused, retry_after_headers
from .refusals import first_refusal
from .replies import Reply, ScriptReader, count_tokens, invent
from .request_log import Outcome, RequestLog, content_key
from .sabotage import ON_REPLY, ON_WIRE, Wreck
from .tokens import Counts, count_prompt
from .trial import Case

__all__ = ["Service"]

BATCH_WINDOW = 262_144
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
OVER = {
    "rate": Problem(
        429, "Requests rate limit exceeded, please try again later.", "limit_requests", "limit_requests"
    ),
    "slope": Problem(429, "Request rate increased too quickly.", "limit_burst_rate", "limit_burst_rate"),
    "in_flight": Problem(
        429, "Too many requests in progress.", "Throttling.Concurrency", "Throttling.Concurrency"
    ),
    "tokens": Problem(
        429,
        "Allocated quota exceeded, please increase your quota limit.",
        "insufficient_quota",
        "insufficient_quota",
    ),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds before an answer, and for each of its tokens."""

    latency: float = 0.0
    per_token: float = 0.0


class Service:
    """One simulated server, without its sockets."""

    def __init__(
        self,
        dialect: SimulatedDialect,
        *,
        seed: int,
        api_key: str | None,
        options: Options,
        ledger: RequestLog,
        meter: Meter,
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self.dialect = dialect
        self.script = ScriptReader()
        self.plan = FaultPlan()
        self._seed, self._key, self._options = seed, api_key, options
        self._ledger, self._meter, self.pace, self._clock = ledger, meter, pace, clock
        self._batches: BatchDesk | None = None
        if dialect.has_batches:
            self._batches = BatchDesk(options=options, clock=clock, answer_line=self._batch_line)

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request, whatever it is."""
        index = self._ledger.open(exchange.method, exchange.path, exchange.headers)
        outcome: Outcome = "abandoned"
        exchange.seal = self._ledger.lock
        exchange.sealed = lambda: self._ledger.close(index, "delivered")
        try:
            outcome = await self._route(exchange, index)
        finally:
            self._ledger.close(index, outcome)

    async def _route(self, exchange: Exchange, index: int) -> Outcome:
        if (reason := stranger(exchange.headers)) is not None:
            return await self._page(exchange, index, 403, {"error": reason})
        if exchange.method == "POST" and exchange.path == f"{self.dialect.base}/chat/completions":
            return await self._chat(exchange, index)
        if exchange.method == "GET" and exchange.path == "/openapi.json":
            return await self._page(exchange, index, 200, describe_server(self.dialect, self._key))
        body = parse_json(exchange.body) if exchange.body else None
        inner = exchange.path.removeprefix(self.dialect.base)
        open_to_all = exchange.path in ("/health", "/") or exchange.path.endswith("/models")
        case = Case(self.dialect, self._options, self._key, exchange.headers, body, {})
        if not open_to_all and (refused := first_refusal(case, early=True)) and refused[1].status == 401:
            return await self._refuse(exchange, self._refusal(index, refused[0].name, refused[1]))
        if self._batches is not None and inner.startswith(("/files", "/batches")):
            return await self._desk(exchange, index, inner)
        status, page = self.dialect.side(
            exchange.method, exchange.path, exchange.query, body
        ) or self.dialect.nothing_here(exchange.method, exchange.path)
        return await self._page(exchange, index, status, page)

    async def _desk(self, exchange: Exchange, index: int, inner: str) -> Outcome:
        assert self._batches is not None
        found = self._batches.handle(exchange.method, inner, exchange.headers, exchange.body)
        if isinstance(found, Problem):
            return await self._refuse(exchange, self._refusal(index, "batch", found))
        status, page = found or self.dialect.nothing_here(exchange.method, exchange.path)
        return await self._page(exchange, index, status, page)

    async def _chat(self, exchange: Exchange, index: int) -> Outcome:
        verdict = self._judge(index, parse_json(exchange.body), exchange.headers)
        if isinstance(verdict, Problem):
            return await self._refuse(exchange, verdict)
        asked = verdict
        fault = self.plan.draw(asked)
        if fault is not None and fault.problem is not None:
            return await self._strike(exchange, index, fault, fault.problem)
        if (over := self._meter.admit(asked.counts.prompt)) is not None:
            return await self._over(exchange, index, over)
        await self._meter.enter()
        try:
            return await self._tell(exchange, index, asked, fault)
        finally:
            self._meter.leave()

    def _judge(self, index: int, sent: Any, headers: Mapping[str, str]) -> Asked | Problem:
        """The question in a body, or why it is refused; the ledger is told which."""
        number = self._ledger.note_question(index)
        seen: dict[str, Any] = {}
        key = ""
        if isinstance(sent, dict):
            fields = Fields(sent, self.dialect.tree(sent))
            key = content_key(sent, headers.get("x-sample", ""))
            seen = fields.seen
            self._ledger.note(
                index, body=sent, key=key, read=frozenset(fields.read), ignored=frozenset(fields.ignored)
            )
        if isinstance(self.dialect, SimulatedLlamaCpp) and self.dialect.still_loading():
            return self._refusal(index, "loading", Problem(503, "Loading model"))
        case = Case(self.dialect, self._options, self._key, headers, sent, seen)
        if (refused := first_refusal(case, early=True)) is not None:
            return self._refusal(index, refused[0].name, refused[1])
        model = self.dialect.model(sent.get("model"))
        assert model is not None
        asked = self._read_question(number, model, seen, sent, headers, key)
        if (refused := first_refusal(replace(case, asked=asked), early=False)) is not None:
            return self._refusal(index, refused[0].name, refused[1])
        return asked

    def _refusal(self, index: int, name: str, problem: Problem) -> Problem:
        self._ledger.note(index, status=problem.status, refusal=name)
        return problem

    def _batch_line(self, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One line of a batch: judged and answered like a live question, written down as method BATCH."""
        index = self._ledger.open("BATCH", f"{self.dialect.base}/chat/completions", {})
        headers = {"authorization": f"Bearer {self._key or 'batch'}"}
        verdict = self._judge(index, {**sent, "stream": False}, headers)
        if isinstance(verdict, Asked) and verdict.counts.prompt > BATCH_WINDOW:
            text = f"Range of input length should be [1, {BATCH_WINDOW}]"
            verdict = self._refusal(index, "batch window", Problem(400, text, "invalid_parameter_error"))
        fault = None if isinstance(verdict, Problem) else self.plan.draw(verdict, but=ON_WIRE)
        if fault is not None and fault.problem is not None:
            self._ledger.note(index, fault=fault.name)
            verdict = self._refusal(index, "", fault.problem)
        if isinstance(verdict, Problem):
            self._ledger.close(index, "delivered")
            return verdict.status, self.dialect.error(verdict)
        delivery, _ = self._say(index, verdict, fault)
        self._ledger.close(index, "delivered")
        return 200, delivery.body

    def _read_question(
        self,
        number: int,
        model: SimModel,
        seen: dict[str, Any],
        sent: dict[str, Any],
        headers: Mapping[str, str],
        key: str,
    ) -> Asked:
        thinking = self.dialect.thinks(seen, model)
        return Asked(
            index=number,
            dialect=self.dialect.name,
            model=model,
            body=seen,
            sent=sent,
            headers=headers,
            key=key,
            seed=self._seed,
            thinking=thinking,
            messages=seen["messages"],
            counts=self.dialect.prompt(count_prompt(seen, thinking), model),
            constraint=self.dialect.constraint(seen),
            budget=self.dialect.budget(seen) if thinking else None,
        )

    async def _tell(self, exchange: Exchange, index: int, asked: Asked, fault: Fault | None) -> Outcome:
        delivery, fault = self._say(index, asked, fault)
        if fault is not None and fault.problem is not None:
            return await self._strike(exchange, index, fault, fault.problem)
        outcome: Outcome = "delivered" if fault is None or fault.kind.whole else "broken"
        exchange.sealed = lambda: self._ledger.close(index, outcome)
        if fault is not None and fault.name in ON_WIRE:
            await Wreck(exchange, delivery, fault, asked, self.dialect).happen()
        else:
            await self._send(exchange, delivery)
        return outcome

    def _say(self, index: int, asked: Asked, fault: Fault | None) -> tuple[Delivery, Fault | None]:
        """The reply to a question in its shape, and the fault that its script may bring along."""
        said = self.script.reply(asked)
        reply = invent(asked) if said is None else said
        fault = fault or reply.fault
        if fault is not None and fault.name in ON_REPLY:
            reply = ON_REPLY[fault.name](reply)
        more = range(1, asked.body.get("n") or 1)
        replies = [reply, *(reply if said is not None else invent(asked, draw) for draw in more)]
        counts = sum_counts([count_tokens(one, asked) for one in replies])
        self._meter.spend(counts.completion)
        voices = [self.dialect.adapt_reply(one, asked) for one in replies]
        delivery = self.dialect.deliver(asked, voices, counts, reply.usage is not False, asked.index)
        self.dialect.note_delivery(asked, counts, reply.ending)
        self._slow(delivery, reply, counts)
        self._ledger.note(
            index,
            status=200,
            whole=fault is None or fault.kind.whole,
            answer=reply.text,
            usage=self.dialect.usage(counts),
            fault=None if fault is None else fault.name,
        )
        return delivery, fault

    def _slow(self, delivery: Delivery, reply: Reply, counts: Counts) -> None:
        """Put the waits into the delivery."""
        delivery.wait = self.pace.latency + reply.delay
        if delivery.events is None:
            delivery.wait += self.pace.per_token * counts.completion
        elif self.pace.per_token:
            each = self.pace.per_token
            delivery.events = [replace(e, wait=e.wait + each * e.tokens) for e in delivery.events]

    async def _send(self, exchange: Exchange, delivery: Delivery) -> None:
        """Send it, each event when it is due: what is late puts off nothing that comes after it."""
        clock = asyncio.get_running_loop().time
        due = clock() + delivery.wait
        if delivery.wait:
            await asyncio.sleep(delivery.wait)
        if delivery.events is None:
            await exchange.send(200, encode(delivery.body), delivery.head)
            return
        await exchange.begin(200, delivery.head)
        together = b""
        for event in delivery.events:
            if event.wait:
                await exchange.write(together)
                together = b""
                due += event.wait
                await asyncio.sleep(max(due - clock(), 0.0))
            together += event.encode
            if len(together) > 16_384:
                await exchange.write(together)
                together = b""
        await exchange.end(together)

    # What is not an answer.

    async def _page(self, exchange: Exchange, index: int, status: int, page: Any) -> Outcome:
        self._ledger.note(index, status=status)
        if isinstance(page, bytes):
            kind, body = "application/octet-stream", page
        elif isinstance(page, str):
            kind, body = "text/plain; charset=utf-8", page.encode()
        else:
            kind, body = "application/json", encode(page)
        await exchange.send(status, b"" if exchange.method == "HEAD" else body, [("content-type", kind)])
        return "delivered"

    async def _refuse(self, exchange: Exchange, problem: Problem, headers: Iterable[Header] = ()) -> Outcome:
        own = [("content-type", "application/json"), *self.dialect.error_headers(problem), *headers]
        await exchange.send(problem.status, encode(self.dialect.error(problem)), own)
        return "delivered"

    async def _strike(self, exchange: Exchange, index: int, fault: Fault, problem: Problem) -> Outcome:
        self._ledger.note(index, status=problem.status, fault=fault.name)
        return await self._refuse(
            exchange, problem, retry_after_headers(fault.retry_after, fault.retry_form, self._clock())
        )

    async def _over(self, exchange: Exchange, index: int, over: Refused) -> Outcome:
        quota = self._meter.quota
        wait = over.wait if quota.retry_after is None else quota.retry_after
        problem = self._refusal(index, f"quota: {over.limit}", OVER[over.limit])
        form = quota.retry_form or self.dialect.retry_form
        return await self._refuse(exchange, problem, retry_after_headers(wait, form, self._clock()))


def sum_counts(counts: list[Counts]) -> Counts:
    """The usage of several choices: one prompt, all completions."""
    first, *more = counts
    for other in more:
        first = replace(
            first,
            completion=first.completion + other.completion,
            reasoning=first.reasoning + other.reasoning,
            cost=None if first.cost is None else first.cost + (other.cost or 0.0),
        )
    return first


def parse_json(body: bytes) -> Any:
    """The JSON in a body; None when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def stranger(headers: Any) -> str | None:
    """Why this caller is turned away: a web page, or a name that was rebound to this machine."""
    if "origin" in headers:
        return "requests from web pages are refused"
    host = headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return None if name.lower() in HOSTS else f"the Host header must be localhost, not {name!r}"
