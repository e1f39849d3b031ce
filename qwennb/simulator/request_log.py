"""What the simulator has seen and what it has delivered, one `Entry` a request.

The serving thread writes, tests read: every public method takes the lock and gives a snapshot. `wait_for` sleeps on a
condition, so that a test never has to guess how long something takes.

An answer is *delivered* when its last byte was handed to the operating system while the caller was still
connected, and *paid* when what was delivered is a whole answer: a paid answer that is asked for again is money lost.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Entry", "RequestLog", "content_key"]

Outcome = Literal["open", "delivered", "broken", "abandoned"]
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
NOT_CONTENT = frozenset({"stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: what came, what was made of it, how it ended.

    `index` counts all requests from 0. `key` is the sha256 of the canonical body without `stream` and `stream_options`
    (the same question asked both ways is one question). `read` and `ignored` are dotted field names.
    `outcome` is "open" while being answered, "delivered", "broken" (a fault cut it) or "abandoned" (the caller hung up).
    """

    index: int
    method: str
    path: str
    headers: Mapping[str, str]
    arrived: float
    body: Any = None
    key: str = ""
    asking: bool = False
    read: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    status: int | None = None
    refusal: str | None = None
    fault: str | None = None
    whole: bool = False
    usage: Mapping[str, Any] | None = None
    answer: str | None = None
    outcome: Outcome = "open"
    finished: float | None = None

    @property
    def delivered(self) -> bool:
        """The last byte went out while the caller was there."""
        return self.outcome == "delivered"

    @property
    def paid(self) -> bool:
        """A whole answer to a question was delivered."""
        return self.asking and self.whole and self.delivered and self.status == 200

    @property
    def seconds(self) -> float | None:
        """From arrival to the end."""
        return None if self.finished is None else self.finished - self.arrived


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class RequestLog:
    """Every request in order. Keeps the last *keep* entries; the counts are exact for ever."""

    def __init__(self, *, keep: int = 200_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._closed: deque[Entry] = deque(maxlen=keep)
        self._waiting = 0
        self._forget()

    def _forget(self) -> None:
        self._open: dict[int, dict[str, Any]] = {}  # an Entry is made when it is read or closed
        self._closed.clear()
        self._counts: Counter[str] = Counter()
        self._paid: Counter[str] = Counter()
        self._in_flight = 0
        self._peak = 0
        self._next = 0

    # Written by the serving thread.

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held while the last bytes of an answer leave, so that nobody reads that it has not."""
        return self._changed

    def open(self, method: str, path: str, headers: Mapping[str, str]) -> int:
        """A request has arrived; its number."""
        with self._changed:
            index, self._next = self._next, self._next + 1
            self._open[index] = {
                "index": index,
                "method": method,
                "path": path,
                "headers": _without_secrets(headers),
                "arrived": self._clock(),
            }
            self._counts["arrived"] += 1
            if self._waiting:
                self._changed.notify_all()
        return index

    def note_question(self, index: int) -> int:
        """This one is a question to a model; how many were asked before it."""
        with self._changed:
            number = self._counts["asked"]
            self._counts["asked"] += 1
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            self.note(index, asking=True)
        return number

    def note(self, index: int, **facts: Any) -> None:
        """Add what has become known of a request."""
        known = self._open.get(index)
        if known is not None:  # a reset may have come between
            known.update(facts)

    def close(self, index: int, outcome: Outcome) -> None:
        """A request has ended."""
        with self._changed:
            known = self._open.pop(index, None)
            if known is None:
                return
            entry = Entry(**known, outcome=outcome, finished=self._clock())
            self._closed.append(entry)
            self._counts[outcome] += 1
            self._counts["finished"] += 1
            self._counts[f"status {entry.status}"] += 1
            if entry.asking:
                self._in_flight -= 1
            if entry.paid:
                self._counts["paid"] += 1
                self._paid[entry.key] += 1
            if self._waiting:
                self._changed.notify_all()

    # Read by anybody.

    def entries(self, path: str | None = None) -> list[Entry]:
        """All entries in order of arrival; with *path*, those whose path ends so."""
        with self._changed:
            both = [*self._closed, *(Entry(**known) for known in self._open.values())]
        both.sort(key=lambda entry: entry.index)
        return both if path is None else [entry for entry in both if entry.path.endswith(path)]

    def asks(self) -> list[Entry]:
        """The questions to a model, in order of arrival."""
        return [entry for entry in self.entries() if entry.asking]

    def paid(self) -> list[Entry]:
        """The whole answers that were delivered, in order of arrival."""
        return [entry for entry in self.entries() if entry.paid]

    def last(self) -> Entry:
        """The newest question, or the newest request when nothing was asked."""
        entries = self.entries()
        return next((entry for entry in reversed(entries) if entry.asking), entries[-1])

    def count(self, what: str = "arrived") -> int:
        """How many: "arrived", "asked", "finished", "delivered", "paid", "broken", "abandoned" or "status 429"."""
        with self._changed:
            return self._counts[what]

    @property
    def unique(self) -> int:
        """How many different questions were paid for."""
        with self._changed:
            return len(self._paid)

    @property
    def duplicates(self) -> dict[str, int]:
        """Questions that were paid for more than once: key → how many times too often."""
        with self._changed:
            return {key: times - 1 for key, times in self._paid.items() if times > 1}

    @property
    def in_flight(self) -> int:
        """Questions being answered at this moment."""
        with self._changed:
            return self._in_flight

    @property
    def peak(self) -> int:
        """The most questions that were ever in flight together."""
        with self._changed:
            return self._peak

    def wait_for(self, n: int, what: str = "finished", timeout: float = 30.0) -> None:
        """Return once *n* of *what* have been counted (words as in `count`), or raise TimeoutError."""
        if not self._wait(lambda: self._counts[what] >= n, timeout):
            raise TimeoutError(f"waited {timeout} s for {n} {what}; counted {self.count(what)}")

    def wait_idle(self, timeout: float = 30.0) -> None:
        """Return once nothing is being answered, or raise TimeoutError."""
        if not self._wait(lambda: not self._open, timeout):
            raise TimeoutError(f"waited {timeout} s; {len(self._open)} requests are still being answered")

    def _wait(self, holds: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            self._waiting += 1
            try:
                return self._changed.wait_for(holds, timeout)
            finally:
                self._waiting -= 1

    def clear(self) -> None:
        """Forget everything and count from 0 again."""
        with self._changed:
            self._forget()


def content_key(body: Any) -> str:
    """sha256 of the canonical body: what was asked, however it was to be delivered."""
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in NOT_CONTENT}
    return hashlib.sha256(_CANONICAL.encode(body).encode()).hexdigest()


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: f"sha256:{hashlib.sha256(value.encode()).hexdigest()}" if name in SECRET_HEADERS else value
        for name, value in headers.items()
    }
