"""Money that may be spent, reserved before a request goes and settled when its cost is known.

A request reserves its upper bound. While reservations fill the budget, fewer requests run at once, down to one; when
not even one bound fits, it stops there, with what to type. So what servers report never adds up to more than the
limit. An attempt that may have been billed without an answer keeps its reservation: `maybe_billed` lists them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from qwennb.answer import money
from qwennb.errors import BudgetExceeded

WARN_AT = 0.8


class Budget:
    """One limit in US dollars. Used on the engine's loop only; its figures may be read anywhere."""

    def __init__(self, limit: float, *, warn: Callable[[str], None] = lambda _: None) -> None:
        self.limit = limit
        self.spent = 0.0
        self.reserved = 0.0
        self.maybe_billed = 0.0
        self._warn = warn
        self._warned = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def left(self) -> float:
        """What is neither spent nor held for attempts that may have been billed."""
        return self.limit - self.spent - self.maybe_billed

    async def reserve(self, bound: float) -> None:
        """Set *bound* aside, waiting for other requests to settle if need be."""
        while self.reserved + bound > self.left + 1e-12:
            if self.reserved <= 1e-12:
                self._wake()  # the next in line may want less, or is told the same
                raise BudgetExceeded(
                    f"The next request may cost up to {money(bound)} and {money(max(self.left, 0.0))} of the budget of "
                    f"{money(self.limit)} is left. Give max_tokens= or thinking= to bound it closer, or a higher budget=."
                )
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        self.reserved += bound

    def settle(self, bound: float, cost: float | None, *, maybe_billed: bool = False) -> None:
        """Replace the reservation of *bound* by what it did cost; None: nothing came, so nothing is known of a cost."""
        self.reserved = max(self.reserved - bound, 0.0)
        if cost is not None:
            self.spent += cost
        elif maybe_billed:
            self.maybe_billed += bound
        if not self._warned and self.spent + self.maybe_billed >= WARN_AT * self.limit:
            self._warned = True
            self._warn(
                f"{money(self.spent + self.maybe_billed)} of the budget of {money(self.limit)} is spent."
            )
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class Reservation:
    """A bound set aside in every one of *budgets* for the time of one attempt, which settles it with what it cost."""

    __slots__ = ("_bound", "_budgets", "_reserved", "cost", "maybe_billed")

    def __init__(self, budgets: Sequence[Budget], bound: float) -> None:
        self._budgets = budgets
        self._bound = bound
        self._reserved: list[Budget] = []
        self.cost: float | None = None
        self.maybe_billed = False

    async def __aenter__(self) -> Self:
        try:
            for budget in self._budgets:
                await budget.reserve(self._bound)
                self._reserved.append(budget)
        except BaseException:
            self._settle()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle()

    def _settle(self) -> None:
        for budget in self._reserved:
            budget.settle(self._bound, self.cost, maybe_billed=self.maybe_billed)
