"""From a request to its answer: the one path that every question takes.

    stranger? → key → form → model → what this server refuses → a fault in wait → the quota → a slot → the reply → its shape → the bytes

The ledger is told at each step, and at the end how it went.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .asked import Asked
from .connection import Exchange, Header
from .delivery import Delivery, encode
from .dialects import Dialect
from .dialects.llama_cpp import LlamaCpp
from .dialects.openrouter import OpenRouter
from .faults import FAULTS, Fault, FaultPlan
from .fields import Fields
from .ledger import Ledger, Outcome, content_key
from .models import SimModel
from .options import Options
from .problem import Problem
from .quota import Meter, Refused, retry_after_headers
from .refusals import Case, first_refusal
from .replies import Reply, ScriptReader, counted, invent
from .sabotage import ON_REPLY, ON_WIRE, Wreck
from .tokens import Counts, count_prompt

__all__ = ["Service"]

HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
OVER = {
    "rate": Problem(429, "Requests rate limit exceeded, please try again later.", "limit_requests", "limit_requests"),
    "slope": Problem(429, "Request rate increased too quickly.", "limit_burst_rate", "limit_burst_rate"),
    "in_flight": Problem(429, "Too many requests in progress.", "Throttling.Concurrency", "Throttling.Concurrency"),
    "tokens": Problem(429, "Allocated quota exceeded, please increase your quota limit.", "insufficient_quota", "insufficient_quota"),
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
        dialect: Dialect,
        *,
        seed: int,
        api_key: str | None,
        options: Options,
        ledger: Ledger,
        meter: Meter,
        pace: Pace,
        clock: Callable[[], float],
    ) -> None:
        self.dialect = dialect
        self.script = ScriptReader()
        self.plan = FaultPlan()
        self._seed, self._key, self._options = seed, api_key, options
        self._ledger, self._meter, self._pace, self._clock = ledger, meter, pace, clock

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
        body = parsed(exchange.body) if exchange.body else None
        open_to_all = exchange.path in ("/health", "/") or exchange.path.endswith("/models")
        case = self._case(exchange, body, {})
        if not open_to_all and (refused := first_refusal(case, early=True)) and refused[1].status in (401, 402):
            return await self._refuse(exchange, index, refused[1], refusal=refused[0].name)
        status, page = self.dialect.side(
            exchange.method, exchange.path, exchange.query, body
        ) or self.dialect.nothing_here(exchange.method, exchange.path)
        return await self._page(exchange, index, status, page)

    def _case(self, exchange: Exchange, sent: Any, body: dict[str, Any], asked: Asked | None = None) -> Case:
        return Case(self.dialect, self._options, self._key, exchange.headers, sent, body, asked)

    async def _chat(self, exchange: Exchange, index: int) -> Outcome:
        number = self._ledger.asked(index)
        sent = parsed(exchange.body)
        fields = Fields(sent, self.dialect.tree(sent)) if isinstance(sent, dict) else None
        seen = {} if fields is None else fields.seen
        if fields is not None:
            key = content_key(sent)
            self._ledger.note(
                index, body=sent, key=key, read=frozenset(fields.read), ignored=frozenset(fields.ignored)
            )
        if isinstance(self.dialect, LlamaCpp) and self.dialect.still_loading():
            return await self._refuse(exchange, index, Problem(503, "Loading model"), refusal="loading")
        if (refused := first_refusal(self._case(exchange, sent, seen), early=True)) is not None:
            return await self._refuse(exchange, index, refused[1], refusal=refused[0].name)
        model = self.dialect.model(sent.get("model"))
        assert model is not None
        asked = self._asked(number, model, seen, sent, exchange, key)
        if (refused := first_refusal(self._case(exchange, sent, seen, asked), early=False)) is not None:
            return await self._refuse(exchange, index, refused[1], refusal=refused[0].name)
        fault = self.plan.draw(asked)
        if fault is not None and fault.problem is not None:
            return await self._strike(exchange, index, fault, fault.problem)
        if (over := self._meter.admit(asked.counts.prompt)) is not None:
            return await self._over(exchange, index, over)
        async with self._meter.slot():
            return await self._tell(exchange, index, asked, fault)

    def _asked(
        self, number: int, model: SimModel, seen: dict[str, Any], sent: dict[str, Any], exchange: Exchange, key: str
    ) -> Asked:
        thinking = self.dialect.thinks(seen, model)
        return Asked(
            index=number,
            dialect=self.dialect.name,
            model=model,
            body=seen,
            sent=sent,
            headers=exchange.headers,
            key=key,
            seed=self._seed,
            thinking=thinking,
            counts=self.dialect.prompt(count_prompt(seen, thinking), model),
            constraint=self.dialect.constraint(seen),
            budget=self.dialect.budget(seen) if thinking else None,
        )

    async def _tell(self, exchange: Exchange, index: int, asked: Asked, fault: Fault | None) -> Outcome:
        reply = self.script.reply(asked)
        scripted = reply is not None
        reply = invent(asked) if reply is None else reply
        fault = fault or reply.fault
        if fault is not None and fault.problem is not None:
            return await self._strike(exchange, index, fault, fault.problem)
        if fault is not None and fault.name in ON_REPLY:
            reply = ON_REPLY[fault.name](reply)
        counts = counted(reply, asked)
        shown = [self.dialect.voiced(reply, asked)]
        for draw in range(1, asked.body.get("n") or 1):
            other = reply if scripted else invent(asked, draw)
            shown.append(self.dialect.voiced(other, asked))
            more = counted(other, asked)
            counts = replace(
                counts, completion=counts.completion + more.completion, reasoning=counts.reasoning + more.reasoning
            )
        self._meter.spend(counts.completion)
        delivery = self.dialect.deliver(asked, shown, counts, reply.usage is not False, asked.index)
        if isinstance(self.dialect, OpenRouter):
            self.dialect.remember(self.dialect.identity(asked, asked.index), counts, reply.ending)
        whole = fault is None or fault.kind.whole
        self._ledger.note(
            index,
            status=200,
            whole=whole,
            answer=reply.text,
            usage=self.dialect.usage(counts),
            fault=None if fault is None else fault.name,
        )
        self._slow(delivery, reply, counts)
        if not whole:
            exchange.sealed = lambda: self._ledger.close(index, "broken")
        if fault is not None and fault.name in ON_WIRE:
            await Wreck(exchange, delivery, fault, asked, self.dialect).happen()
            return "delivered" if whole else "broken"
        await self._send(exchange, delivery)
        return "delivered"

    def _slow(self, delivery: Delivery, reply: Reply, counts: Counts) -> None:
        """Put the waits into the delivery."""
        delivery.wait = self._pace.latency + reply.delay
        if delivery.events is None:
            delivery.wait += self._pace.per_token * counts.completion
        elif self._pace.per_token:
            each = self._pace.per_token
            delivery.events = [replace(e, wait=e.wait + each * e.tokens) for e in delivery.events]

    async def _send(self, exchange: Exchange, delivery: Delivery) -> None:
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
                await asyncio.sleep(event.wait)
            together += event.encoded
            if len(together) > 16_384:
                await exchange.write(together)
                together = b""
        await exchange.end(together)

    # What is not an answer.

    async def _page(self, exchange: Exchange, index: int, status: int, page: Any) -> Outcome:
        text = isinstance(page, str)
        self._ledger.note(index, status=status, whole=True)
        kind = ("content-type", "text/plain; charset=utf-8" if text else "application/json")
        body = page.encode() if text else encode(page)
        await exchange.send(status, b"" if exchange.method == "HEAD" else body, [kind])
        return "delivered"

    async def _refuse(
        self, exchange: Exchange, index: int, problem: Problem, *, refusal: str | None = None, headers: list[Header] | None = None
    ) -> Outcome:
        self._ledger.note(index, status=problem.status, refusal=refusal)
        all_headers = [("content-type", "application/json"), *self.dialect.error_headers(problem), *(headers or [])]
        await exchange.send(problem.status, encode(self.dialect.error(problem)), all_headers)
        return "delivered"

    async def _strike(self, exchange: Exchange, index: int, fault: Fault, problem: Problem) -> Outcome:
        self._ledger.note(index, fault=fault.name)
        waits = retry_after_headers(fault.retry_after, fault.retry_form, self._clock())
        return await self._refuse(exchange, index, problem, headers=waits)

    async def _over(self, exchange: Exchange, index: int, over: Refused) -> Outcome:
        quota = self._meter.quota
        wait = over.wait if quota.retry_after is None else quota.retry_after
        waits = retry_after_headers(wait, quota.retry_form or self.dialect.retry_form, self._clock())
        return await self._refuse(exchange, index, OVER[over.limit], refusal=f"quota: {over.limit}", headers=waits)


def parsed(body: bytes) -> Any:
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


def check_tables() -> None:
    """Every kind of fault is carried out in exactly one place."""
    for name, kind in FAULTS.items():
        ways = (kind.problem is not None) + (name in ON_REPLY) + (name in ON_WIRE)
        assert ways == 1 or name == "partial", name
