"""What was spent, for good: by model, endpoint, day and notebook.

Paid attempts are added up in memory and written by the writer thread, between one batch of answers and the next: at
leisure each at once, in a rush many together. What is read back is the sum over all processes that share the folder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from qwennb.answer import Cost, Usage
from qwennb.cache import Memory, Spending
from qwennb.endpoints import Place


class Ledger:
    """Records spending for one notebook (or script, or none) in one folder."""

    def __init__(
        self, memory: Memory, notebook: str = "", *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._memory = memory
        self._notebook = notebook
        self._now = now
        self._lock = threading.Lock()
        self._pending: dict[Spending, Spending] = {}

    def record(self, model: str, place: Place, usage: Usage, cost: Cost | None) -> None:
        """One attempt that was answered, whole or not, and so was paid for."""
        nothing = self._nothing(model, place)
        self._add(
            nothing, replace(nothing, requests=1, input=usage.input, output=usage.output).with_cost(cost)
        )

    def maybe_billed(self, model: str, place: Place) -> None:
        """One attempt that may have been paid for without an answer."""
        nothing = self._nothing(model, place)
        self._add(nothing, replace(nothing, maybe_billed=1))

    def _nothing(self, model: str, place: Place) -> Spending:
        return Spending(
            day=self._now().date().isoformat(), notebook=self._notebook, model=model, endpoint=place.name
        )

    def _add(self, account: Spending, more: Spending) -> None:
        with self._lock:
            first = not self._pending
            self._pending[account] = self._pending.get(account, account) + more
        if first:
            self._memory.writer.run(lambda _: self._write(), lambda _: None)

    def _write(self) -> None:
        with self._lock:
            rows, self._pending = list(self._pending.values()), {}
        self._memory.spendings.add(rows)
