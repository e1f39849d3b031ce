"""Fetching a batch: its lines, in any order, become answers, which are kept, each under its own key.

A line is read as a live reply would be: by the same dialect, with the same judgement of what is a whole answer, and the
same validation. What differs is the price. An answer that does not fit its form is not asked for again here: that is for
the next call, because a second batch would take hours more.

All answers of the order are kept, also those that the caller has not asked for this time. The order is closed when
every line was read and every answer is on the disk; a kernel that dies before begins again, and pays nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from qwennb.answer import Answer, Draft, Fold, read_draft
from qwennb.cache import BatchOrder, Name
from qwennb.endpoints import Batch, line_reply, was_asked
from qwennb.engine.budget import Reservation, Spent
from qwennb.engine.context import BatchTask
from qwennb.engine.drafts import build_answer, check_whole, estimate_usage
from qwennb.errors import EndpointError, InvalidAnswer, QwenError, ValidatorFailed
from qwennb.request import Request

TRIES = 5
TOGETHER = 500  # answers that become durable together

Line = Mapping[str, Any]


class BatchDownload:
    """Fetches the batches of *task*, and tells what came of the keys that are *wanted*."""

    def __init__(self, task: BatchTask, wanted: set[str]) -> None:
        self._task = task
        self._wanted = wanted
        self._lost = 0

    def say(self, key: str, outcome: Answer | QwenError) -> None:
        """Tell the outcome of *key*, if it is wanted, and only once."""
        if key in self._wanted:
            self._wanted.discard(key)
            self._task.found(key, outcome)

    async def fetch(
        self, order: BatchOrder, batch: Batch, reservation: Reservation | None = None
    ) -> frozenset[str]:
        """Keep the answers of *batch*, which is over; the keys that it has a line for. Under a claim."""
        now = self._task.orders.get(order)
        if now is None or now.fetched:  # another run was faster
            return self.recall(order.keys & self._wanted, order.endpoint, order.created)
        # What a table at hand asks for is asked as it asks; what none does is as it was written down.
        others = order.keys - self._wanted
        questions = (
            {question.key: question for question in self._task.orders.questions(order)} if others else {}
        )
        seen: set[str] = set()
        for file in filter(None, (batch.answers, batch.errors)):
            for attempt in range(1, TRIES + 1):
                try:
                    await self._read(file, order, questions, seen, reservation)
                    break
                except EndpointError as error:
                    if attempt == TRIES or not error.transient:
                        raise
        if reservation is not None:
            reservation.cost = reservation.cost or 0.0
        if not self._lost:
            await asyncio.to_thread(self._task.orders.close, order)
            await self._task.batches.delete(order.file)
        if (trace := self._task.context.trace) is not None:
            trace.fetch(batch.id, self._task.context.endpoint, batch.state, order.questions, len(seen))
        return frozenset(seen)

    async def _read(
        self,
        file: str,
        order: BatchOrder,
        questions: Mapping[str, Request],
        seen: set[str],
        reservation: Reservation | None,
    ) -> None:
        some: dict[str, Line] = {}
        async for line in self._task.batches.lines(file):
            key = line.get("custom_id")
            if isinstance(key, str) and key in order.keys and key not in seen and was_asked(line):
                some.setdefault(key, line)
            if len(some) == TOGETHER:
                await self._keep(some, order, questions, reservation)
                seen.update(some)
                some = {}
        await self._keep(some, order, questions, reservation)
        seen.update(some)

    async def _keep(
        self,
        lines: Mapping[str, Line],
        order: BatchOrder,
        questions: Mapping[str, Request],
        reservation: Reservation | None,
    ) -> None:
        context = self._task.context
        here = self._find_kept_since(
            order.created, lines, order.endpoint
        )  # a kernel died while it was fetching
        outcomes: dict[str, Answer | QwenError] = {}
        for key, line in lines.items():
            request = self._task.request(key) if key in self._wanted else questions.get(key)
            if request is None:
                continue
            try:
                outcomes[key] = self._answer(
                    request, line, None if key in here else reservation, new=key not in here
                )
            except QwenError as error:
                error.attempts = 1
                outcomes[key] = error
        whole = [a for k, a in outcomes.items() if k not in here and isinstance(a, Answer) and a.complete]
        kept = await asyncio.gather(*(context.memory.keep(answer, context.warn) for answer in whole))
        self._lost += kept.count(False)
        for key, outcome in outcomes.items():
            self.say(key, outcome)

    def _answer(self, request: Request, line: Line, reservation: Reservation | None, *, new: bool) -> Answer:
        context, endpoint = self._task.context, self._task.context.endpoint
        fold = Fold()
        fold.add(endpoint.dialect.read(line_reply(endpoint, line), str(endpoint)))
        draft = endpoint.dialect.normalise(fold.draft(), request)
        usage = draft.usage or estimate_usage(draft, request)
        cost = endpoint.cost(request.model, usage, draft.cost, batch=True)
        if new and context.ledger is not None:
            context.ledger.record(request.model, endpoint, usage, cost)
        if new and context.trace is not None:
            context.trace.spend(usage, cost)
        if reservation is not None:
            reservation.cost = (reservation.cost or 0.0) + (cost or 0.0)
        try:
            draft = check_whole(draft, fold, request, endpoint)
            data = _data_in(draft, request)
        except QwenError as error:
            error.charge(1, (usage.input, usage.output), cost)
            raise
        return build_answer(
            request,
            draft,
            data,
            Spent(1, usage, cost),
            endpoint.identity(request.model),
            datetime.now(UTC),
            endpoint.dialect.defaults(request, endpoint.abilities(request.model)),
        )

    def recall(self, keys: Iterable[str], endpoint: str, since: float) -> frozenset[str]:
        """Tell the answers that were kept since then, by whatever run; whose they are."""
        found: set[str] = set()
        for key in self._find_kept_since(since, keys, endpoint):
            try:
                answer: Answer | QwenError | None = self._task.context.memory.recall(
                    self._task.request(key), endpoint, "on"
                )
            except ValidatorFailed as error:
                answer = error
            if answer is not None:
                self.say(key, answer)
                found.add(key)
        return frozenset(found)

    def _find_kept_since(self, since: float, keys: Iterable[str], endpoint: str) -> set[str]:
        values = self._task.context.memory.store.get_many([Name(key, endpoint) for key in keys])
        return {name.key for name, value in values.items() if _creation_time(value) >= since}


def _data_in(draft: Draft, request: Request) -> Any:
    try:
        return read_draft(request, draft)
    except ValueError as complaint:
        raise InvalidAnswer(_does_not_fit(request, complaint, draft.finish_reason)) from None


def _does_not_fit(request: Request, complaint: ValueError, reason: str | None) -> str:
    if reason == "length":
        return f"The answer to {request.key[:12]} was cut off before its form was whole; give a larger max_tokens=."
    return (
        f"The answer to {request.key[:12]} does not fit what was asked for: {complaint}. A batch does not ask again by "
        'itself; the same call does, in a new batch, or at once with lane="live".'
    )


def _creation_time(record: bytes) -> float:
    return datetime.fromisoformat(orjson.loads(record)["answer"]["created"]).timestamp()
