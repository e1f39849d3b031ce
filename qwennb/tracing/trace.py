"""One run, told to those who listen. Without listeners there is none: whoever asks has None in its place.

What happens on the engine's thread is told there, the beginning and the end on the thread of whoever asks: so the span that
is current where a question is asked is found, and is the parent of what the engine does for it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from qwennb.answer import Answer, Draft, Usage
from qwennb.errors import EndpointError
from qwennb.request import Request
from qwennb.tracing.events import (
    Answered,
    BatchFetched,
    BatchSent,
    Event,
    Failed,
    Joined,
    Paused,
    PauseReason,
    Recalled,
    Retried,
    RunEnded,
    RunKind,
    RunStarted,
    Sent,
)
from qwennb.tracing.logs import LOG, write_log
from qwennb.tracing.subscriber import Subscriber

_runs = itertools.count(1)

Hear = Callable[[Event, Any], None]
"""Hears an event, and what it is about: a request, a draft, a context; never what may be shown without being asked for."""


class Whereabouts(Protocol):
    """An endpoint, as events name it."""

    @property
    def provider(self) -> str:
        """What kind of server it is."""
        ...

    @property
    def host(self) -> str:
        """Its host, and its port where it has one."""
        ...


class Totals(NamedTuple):
    """What a run came to."""

    rows: int = 1
    unique: int = 1
    done: int = 0
    recalled: int = 0
    failed: int = 0
    tokens: tuple[int, int] = (0, 0)
    cost: float | None = 0.0
    model: str = ""
    error: str = ""


@dataclass(slots=True)
class RequestCount:
    """What a trace counts itself: requests and money, now."""

    sent: int = 0
    under_way: int = 0
    most_at_once: int = 0
    refused: int = 0
    spent: float | None = 0.0
    tokens: tuple[int, int] = (0, 0)


class Trace:
    """One run. `with` tells its beginning and its end; *settle* waits, not for long, until who listens has heard it."""

    def __init__(
        self,
        hearers: Sequence[Hear],
        kind: RunKind,
        model: str,
        *,
        verb: str = "",
        rows: int = 1,
        unique: int = 1,
        budget: float | None = None,
        origin: Context | None = None,
        settle: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run = next(_runs)
        self.read_totals: Callable[[], Totals] | None = None
        """What the run came to, where more is known of it than its requests."""
        self._error = ""  # the class of what ended it early
        self._settle = settle
        self._hearers = list(hearers)
        self._kind: RunKind = kind
        self._verb, self._model, self._rows, self._unique, self._budget = verb, model, rows, unique, budget
        self._origin = origin
        self._clock = clock
        self._began = 0.0
        self._count = RequestCount()
        self._known: Answer | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def begin(self) -> None:
        """Tell that it begins."""
        self._began = self._clock()
        started = RunStarted(
            self.run, self._began, self._kind, self._verb, self._model, self._rows, self._unique, self._budget
        )
        self._tell(started, self._origin)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self.note_error(error)
        self.end(waits=not _is_stop(error))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self.note_error(error)
        self.end(waits=False)
        if not _is_stop(error):
            await asyncio.to_thread(self._settle)

    def note_error(self, error: BaseException) -> None:
        """Note what has ended it early."""
        self._error = self._error or _error_name(error)

    def end(self, *, waits: bool = True) -> None:
        """Tell that it is over, and what it came to; with *waits*, until that was heard."""
        count, now = self._count, self._clock()
        totals = self.read_totals() if self.read_totals else self._own_totals()
        self._tell(
            RunEnded(
                self.run,
                now,
                self._kind,
                self._verb,
                totals.model or self._model,
                totals.rows,
                totals.unique,
                totals.done,
                totals.recalled,
                totals.failed,
                totals.tokens,
                None if totals.cost is None else float(totals.cost),
                count.sent,
                count.refused,
                count.most_at_once,
                count.spent,
                now - self._began,
                self._error or totals.error,
            )
        )
        if waits and not totals.error:
            self._settle()

    def _own_totals(self) -> Totals:
        if (known := self._known) is not None:
            return Totals(1, 1, 1, 1, 0, (known.usage.input, known.usage.output), known.cost)
        return Totals(1, 1, 1, 0, int(bool(self._error)), self._count.tokens, self._count.spent)

    # ------------------------------------------------------------------ what is known

    def recall(self, answer: Answer) -> None:
        """Tell that *answer* was known."""
        self._known = answer
        self._tell(Recalled(self.run, self._clock(), answer.key, 1))

    def recall_many(self, count: int) -> None:
        """Tell that so many answers were known."""
        self._tell(Recalled(self.run, self._clock(), "", count))

    def join(self, request: Request) -> None:
        """Tell that *request* is under way for somebody else."""
        self._tell(Joined(self.run, self._clock(), request.key))

    # ------------------------------------------------------------------ requests, on the engine's thread

    def send(self, key: str, request: Request, endpoint: Whereabouts, attempt: int) -> None:
        """Tell that *request* goes out, for the answer called *key*."""
        with self._lock:
            count = self._count
            count.sent += 1
            count.under_way += 1
            count.most_at_once = max(count.most_at_once, count.under_way)
        sent = Sent(
            self.run,
            self._clock(),
            key,
            request.model,
            str(endpoint),
            endpoint.provider,
            endpoint.host,
            attempt,
        )
        self._tell(sent, request)

    def answer(
        self,
        key: str,
        attempt: int,
        draft: Draft,
        usage: Usage,
        cost: float | None,
        *,
        seconds: float,
        first_seconds: float | None,
        request_id: str,
    ) -> None:
        """Tell what an attempt has brought."""
        self.spend(usage, cost)
        with self._lock:
            self._count.under_way -= 1
        answered = Answered(
            self.run,
            self._clock(),
            key,
            attempt,
            seconds,
            first_seconds,
            usage.input,
            usage.output,
            usage.cached,
            usage.reasoning,
            None if cost is None else float(cost),
            draft.finish_reason or "",
            plain_id(draft.served_by),
            plain_id(draft.id),
            plain_id(request_id),
        )
        self._tell(answered, draft)

    def fail(
        self, key: str, attempt: int, error: BaseException, *, seconds: float, maybe_billed: bool
    ) -> None:
        """Tell that an attempt has brought nothing but *error*."""
        said = error if isinstance(error, EndpointError) else EndpointError()
        with self._lock:
            self._count.under_way -= 1
            self._count.refused += said.status == 429
        failed = Failed(
            self.run,
            self._clock(),
            key,
            attempt,
            seconds,
            _error_name(error),
            said.status,
            said.retry_after,
            plain_id(said.request_id),
            maybe_billed,
        )
        self._tell(failed)

    def retry(self, key: str, attempt: int, wait: float, error: str) -> None:
        """Tell that attempt number *attempt* will follow, after *error*."""
        self._tell(Retried(self.run, self._clock(), key, attempt, wait, error))

    def pause(self, endpoint: object, seconds: float, reason: PauseReason) -> None:
        """Tell that *endpoint* is left alone."""
        self._tell(Paused(self.run, self._clock(), str(endpoint), seconds, reason))

    def spend(self, usage: Usage, cost: float | None) -> None:
        """RequestCount what an answer used."""
        with self._lock:
            count = self._count
            count.tokens = (count.tokens[0] + usage.input, count.tokens[1] + usage.output)
            count.spent = None if cost is None or count.spent is None else count.spent + float(cost)

    # ------------------------------------------------------------------ batches

    def hand_in(self, batch: str, endpoint: object, model: str, questions: int) -> None:
        """Tell that a batch was handed in."""
        self._tell(BatchSent(self.run, self._clock(), plain_id(batch), str(endpoint), model, questions))

    def fetch(self, batch: str, endpoint: object, state: str, questions: int, lines: int) -> None:
        """Tell that a batch was fetched."""
        self._tell(
            BatchFetched(self.run, self._clock(), plain_id(batch), str(endpoint), state, questions, lines)
        )

    def _tell(self, event: Event, subject: Any = None) -> None:
        for hear in list(self._hearers):
            try:
                hear(event, subject)
            except Exception as error:  # a handler or an exporter of somebody's: it must not cost an answer
                self._hearers.remove(hear)
                LOG.warning("run %d is told no more to one who listens: %s", self.run, type(error).__name__)


def open_trace(
    subscriber: Subscriber | None,
    kind: RunKind,
    model: str,
    *,
    verb: str = "",
    rows: int = 1,
    unique: int = 1,
    budget: float | None = None,
    origin: Context | None = None,
) -> Trace | None:
    """Make the trace of a run for those who listen now; None where nobody does.

    *origin* is where the run was asked for, for one that begins on a thread that knows nothing of it.
    """
    if not (hearers := find_hearers(subscriber)):
        return None
    settle = (lambda: None) if subscriber is None else subscriber.settle
    return Trace(
        hearers,
        kind,
        model,
        verb=verb,
        rows=rows,
        unique=unique,
        budget=budget,
        origin=origin,
        settle=settle,
    )


def find_hearers(subscriber: Subscriber | None) -> list[Hear]:
    """Find who listens now: the client's own *subscriber*, the log, OpenTelemetry where somebody has set it up."""
    hearers: list[Hear] = []
    if subscriber is not None:
        hearers.append(subscriber.hear)
    if LOG.isEnabledFor(logging.INFO):
        hearers.append(write_log)
    if "opentelemetry.trace" in sys.modules:
        from qwennb.tracing.spans import find_spans

        if (spans := find_spans()) is not None:
            hearers.append(spans.hear)
    return hearers


def _is_stop(error: BaseException | None) -> bool:
    """Tell whether somebody wants to go, and must not be held up by who listens."""
    return error is not None and not isinstance(error, Exception)


def _error_name(error: BaseException) -> str:
    """Name what ended something by its class; "Stopped" where somebody left."""
    return type(error).__name__ if isinstance(error, Exception) else "Stopped"


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@+")


def plain_id(said: str | None) -> str:
    """What an endpoint calls something, as far as it is a name: a server may write anything there."""
    return said if said is not None and len(said) <= 100 and _PLAIN.issuperset(said) else ""
