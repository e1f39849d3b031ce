"""What was spent, for good: by model, endpoint, day and notebook.

Paid attempts are added up in memory and written by the writer thread, a quarter of a second later at the most, so that
no answer waits for it. What is read back is the sum over all processes that share the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from qwennb.answer import Cost, Usage
from qwennb.cache import Memory, Spending
from qwennb.endpoints import Endpoint
from qwennb.errors import CacheError

DELAY = 0.25

_now = partial(datetime.now, UTC)


class Ledger:
    """Records spending for one notebook (or script, or none) in one folder."""

    def __init__(self, memory: Memory, notebook: str = "", *, now: Callable[[], datetime] = _now) -> None:
        self._memory = memory
        self._notebook = notebook
        self._now = now
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str, str], list[int]] = {}

    def record(self, model: str, endpoint: Endpoint, usage: Usage, cost: Cost | None) -> None:
        """One attempt that was answered, whole or not, and so was paid for."""
        nanos = 0 if cost is None else round(cost * 1e9)
        self._add(model, endpoint, 1, usage.input, usage.output, nanos, int(cost is None), 0)

    def maybe_billed(self, model: str, endpoint: Endpoint) -> None:
        """One attempt that may have been paid for without an answer."""
        self._add(model, endpoint, 0, 0, 0, 0, 0, 1)

    def flush(self) -> None:
        """Have the writer write what is not yet written."""
        with contextlib.suppress(CacheError):  # closed meanwhile: what it owed was written on closing
            self._memory.writer.run(lambda _: self._write(), lambda _: None)

    def _add(self, model: str, endpoint: Endpoint, *more: int) -> None:
        """On the engine's loop."""
        account = (self._now().date().isoformat(), model, endpoint.name)
        with self._lock:
            first = not self._sums
            sums = self._sums.setdefault(account, [0] * len(more))
            for position, number in enumerate(more):
                sums[position] += number
        if first:
            asyncio.get_running_loop().call_later(DELAY, self.flush)

    def _write(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, {}
        if sums:
            self._memory.spendings.add(
                Spending(day, self._notebook, model, endpoint, *figures)
                for (day, model, endpoint), figures in sums.items()
            )
