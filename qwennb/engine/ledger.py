"""What was spent, for good: by model, endpoint, day and notebook.

Each paid attempt is added up here and written with the next batch of answers by the writer thread. What is read back
is the sum over all processes that share the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from qwennb.answer import Cost, Usage
from qwennb.cache import Spending, Writer
from qwennb.endpoints import Place


class Ledger:
    """Records spending for one notebook (or script, or none)."""

    def __init__(self, writer: Writer, notebook: str = "", *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._writer = writer
        self._notebook = notebook
        self._now = now

    def record(self, model: str, place: Place, usage: Usage, cost: Cost | None) -> None:
        """One attempt that was answered, whole or not, and so was paid for."""
        self._add(model, place, requests=1, input=usage.input, output=usage.output, micros=round((cost or 0.0) * 1e6), unknown_cost=int(cost is None))

    def maybe_billed(self, model: str, place: Place) -> None:
        """One attempt that may have been paid for without an answer."""
        self._add(model, place, maybe_billed=1)

    def _add(self, model: str, place: Place, **figures: int) -> None:
        day = self._now().date().isoformat()
        self._writer.spend(Spending(day=day, notebook=self._notebook, model=model, endpoint=place.name, **figures))
