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
    """One request that the simulator has seen: what came, what was made of it, how it ended.

    Attributes
    ----------
    index : int
        Its number, counted from 0.
    method, path, headers : str, str, Mapping
        Where it went, and its headers; secret ones by their hash.
    body, key : Any, str
        What was asked, and the sha256 of it. The same question as a stream and whole has one key.
    asking : bool
        Whether it is a question to a model.
    read, ignored : frozenset of str
        The fields, dotted, that this server reads of it, and those that it does not know.
    status, refusal, fault : int, str, str or None
        What was answered; which rule refused it; which fault struck.
    answer, usage, whole : str, Mapping, bool
        What the model said, the tokens that were counted, and whether what was made is a whole answer.
    outcome : {"open", "delivered", "broken", "abandoned"}
        Still being answered; its last byte left; a fault cut it; the caller hung up.
    delivered, paid : bool
        Whether the last byte left while the caller was there, and whether that was a whole answer to a question.
    arrived, finished, seconds : float or None
        When it came and ended, on the log's clock, and the time between.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("vllm") as sim:
    ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello", temperature=0)
    ...     entry = sim.ledger.last()
    >>> entry.path, entry.status, entry.paid
    ('/v1/chat/completions', 200, True)
    >>> entry.body["temperature"]
    0
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
    """Every request that a simulator has seen, in order, and how many came to what.

    It may be read from any thread at any time; what it gives is a snapshot. An answer is *delivered* when its last byte left
    while the caller was there, and *paid* when that was a whole answer: what is paid for twice is money lost.

    Attributes
    ----------
    unique : int
        How many different questions were paid for.
    duplicates : dict of str to int
        Questions that were paid for more than once, by key: how many times too often.
    in_flight, peak : int
        Questions being answered at this moment, and the most that ever were.
    lock : context manager
        Held while the last bytes of an answer leave.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("vllm") as sim:
    ...     qwen = Qwen(endpoint=f"vllm+{sim.base_url}")
    ...     answers = qwen.ask_many(["one", "two", "one"])
    >>> sim.ledger.count("asked"), sim.ledger.unique, sim.ledger.duplicates
    (2, 2, {})
    """

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
        """Give all requests in order of arrival.

        Parameters
        ----------
        path : str, optional
            Only those whose path ends so.

        Returns
        -------
        list of Entry
            The newest 200,000 at most; the counts know all.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     [entry.status for entry in sim.ledger.entries("/chat/completions")]
        [200]
        """
        with self._changed:
            both = [*self._closed, *(Entry(**known) for known in self._open.values())]
        both.sort(key=lambda entry: entry.index)
        return both if path is None else [entry for entry in both if entry.path.endswith(path)]

    def asks(self) -> list[Entry]:
        """Give the questions to a model, in order of arrival.

        Returns
        -------
        list of Entry
            Side routes, such as the list of models, are left out.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     [entry.body["messages"][0]["content"] for entry in sim.ledger.asks()]
        ['Hello']
        """
        return [entry for entry in self.entries() if entry.asking]

    def paid(self) -> list[Entry]:
        """Give the whole answers that were delivered, in order of arrival.

        Returns
        -------
        list of Entry
            The questions to which they belong.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     len(sim.ledger.paid())
        1
        """
        return [entry for entry in self.entries() if entry.paid]

    def last(self) -> Entry:
        """Give the newest question, or the newest request where nothing was asked.

        Returns
        -------
        Entry
            What came, and what was made of it.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     sim.ledger.last().answer == answer.text
        True
        """
        entries = self.entries()
        return next((entry for entry in reversed(entries) if entry.asking), entries[-1])

    def count(self, what: str = "arrived") -> int:
        """Count the requests that came to something.

        Parameters
        ----------
        what : str
            "arrived", "asked", "finished", "delivered", "paid", "broken", "abandoned" or "status 429".

        Returns
        -------
        int
            How many, since the start or the last `clear`.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm", faults=[]) as sim:
        ...     sim.fault("429", times=1, retry_after=0)
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     sim.ledger.count("status 429"), sim.ledger.count("paid")
        (1, 1)
        """
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
        """Wait until so many of something have been counted.

        Parameters
        ----------
        n : int
            How many.
        what : str
            As in `count`.
        timeout : float
            The most seconds that it waits.

        Raises
        ------
        TimeoutError
            If they did not come, with the number that did.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     sim.ledger.wait_for(1, "paid")
        ...     sim.ledger.wait_for(2, "paid", timeout=0.01)
        Traceback (most recent call last):
            ...
        TimeoutError: waited 0.01 s for 2 paid; counted 1
        """
        if not self._wait(lambda: self._counts[what] >= n, timeout):
            raise TimeoutError(f"waited {timeout} s for {n} {what}; counted {self.count(what)}")

    def wait_idle(self, timeout: float = 30.0) -> None:
        """Wait until nothing is being answered.

        Parameters
        ----------
        timeout : float
            The most seconds that it waits.

        Raises
        ------
        TimeoutError
            If something still is, with the number.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     sim.ledger.wait_idle()
        """
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
        """Forget everything, and count from 0 again.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     sim.ledger.clear()
        ...     sim.ledger.count("asked")
        0
        """
        with self._changed:
            self._forget()


def content_key(body: Any, sample: str = "") -> str:
    """sha256 of the canonical body: what was asked, however it was to be delivered. Another *sample* is another question."""
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in NOT_CONTENT}
    if sample:
        body = [body, sample]
    return hashlib.sha256(_CANONICAL.encode(body).encode()).hexdigest()


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: f"sha256:{hashlib.sha256(value.encode()).hexdigest()}" if name in SECRET_HEADERS else value
        for name, value in headers.items()
    }
