"""Money: what may be spent, reserved before a request goes and settled when its cost is known; and what was spent.

A request reserves its upper bound. While reservations fill the budget, fewer requests run at once, down to one; when
not even one bound fits, it stops there, with what to type. So what servers report never adds up to more than the
limit. An attempt that may have been billed without an answer keeps its reservation: `maybe_billed` lists them.

A bound rests on the price and the length of a request. A server that reports more than that is believed: from then on,
that many times the bound is set aside for each request, for those under way too.

What was spent is kept for good, by model, endpoint, day and notebook (`Ledger`). Paid attempts are added up in memory and
written by the writer thread, a quarter of a second later at the most, so that no answer waits for it. What is read back is
the sum over all processes that share the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Self

from qwennb.answer import Cost, Usage, money
from qwennb.cache import Memory, Spending
from qwennb.endpoints import Endpoint
from qwennb.errors import BudgetExceeded, CacheError, QwenError

WARN_AT = 0.8
LEAST = (
    1e-9  # dollars set aside for what should cost nothing: what it is reported to cost can be held against it
)
DELAY = 0.25  # seconds until what was spent is written

_now = partial(datetime.now, UTC)


class Budget:
    """One limit in US dollars, or only an account. Used on the engine's loop only; its figures may be read anywhere."""

    def __init__(self, limit: float = math.inf, *, warn: Callable[[str], None] = lambda _: None) -> None:
        self.limit = limit
        self.is_limited = limit < math.inf  # False for what only counts
        self.spent = 0.0
        self.maybe_billed = 0.0
        self._set_aside = 0.0  # bounds, as they were given
        self._under_way = 0
        self._times = 1.0  # what servers report, at the most, for each dollar of a bound
        self._warn = warn
        self._warned = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def left(self) -> float:
        """What is neither spent nor held for attempts that may have been billed."""
        return self.limit - self.spent - self.maybe_billed

    @property
    def reserved(self) -> float:
        """What is set aside for requests under way."""
        return self._set_aside * self._times

    def bound_for(self, bound: float) -> float:
        """What is to be set aside for a request whose price and length allow *bound*."""
        return max(bound, LEAST) * self._times if self._times > 1 else bound

    def fits(self, bound: float) -> bool:
        """Tell whether what is needed for *bound* can be set aside at once."""
        return self.reserved + self.bound_for(bound) <= self.left + 1e-12

    async def reserve(self, bound: float) -> None:
        """Set aside what is needed for *bound*, waiting for other requests to settle if need be."""
        while self.is_limited and not self.fits(bound):
            if not self._under_way:
                self._wake()  # the next in line may want less, or is told the same
                raise BudgetExceeded(
                    f"The next request may cost up to {money(self.bound_for(bound))}{self._why} and "
                    f"{money(max(self.left, 0.0))} of the budget of {money(self.limit)} is left. Give max_tokens= or thinking= to bound it closer, or a higher budget=."
                )
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
        self._set_aside += max(bound, LEAST)
        self._under_way += 1

    def settle(self, bound: float, cost: float | None, *, maybe_billed: bool = False) -> None:
        """Replace the reservation of *bound* by what it did cost; None: nothing came, so nothing is known of a cost."""
        self._under_way -= 1
        self._set_aside = max(self._set_aside - max(bound, LEAST), 0.0) if self._under_way else 0.0
        if cost is not None:
            self.spent += cost
            if self.is_limited:
                self._believe(cost, bound)
        elif maybe_billed:
            self.maybe_billed += bound
        if self.is_limited and not self._warned and self.spent + self.maybe_billed >= WARN_AT * self.limit:
            self._warned = True
            self._warn(
                f"{money(self.spent + self.maybe_billed)} of the budget of {money(self.limit)} is spent."
            )
        if self._waiting:
            self._wake()

    def _believe(self, cost: float, bound: float) -> None:
        """Expect of every request as many times its bound as this *cost* is of its *bound*, where it is more."""
        times = cost / max(bound, LEAST)
        if times <= self._times * (1 + 1e-9):
            return
        if self._times == 1:
            self._warn(
                f"A request was reported to cost {money(cost)}, and its price and length allow {money(bound)}: from now on "
                f"{times:,.3g} times the bound is set aside for each, to keep the budget of {money(self.limit)}."
            )
        self._times = times

    @property
    def _why(self) -> str:
        return f", {self._times:,.3g} times its bound, as was reported before," if self._times > 1 else ""

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


@dataclass(slots=True)
class Reservation:
    """A bound set aside in every one of *budgets* for the time of one attempt, which settles it with what it cost."""

    budgets: Sequence[Budget]
    bound: float
    cost: float | None = None
    maybe_billed: bool = False
    _reserved: list[Budget] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """False where what is set aside has come to be more than what is left."""
        for budget in self._reserved:
            if budget.is_limited and budget.reserved > budget.left + 1e-12:
                return False
        return True

    async def renew(self) -> None:
        """Let go of what was set aside, and wait for as much as is needed now."""
        await self.__aexit__()
        await self.__aenter__()

    async def __aenter__(self) -> Self:
        try:
            for budget in self.budgets:
                await budget.reserve(self.bound)
                self._reserved.append(budget)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        reserved, self._reserved = self._reserved, []
        for budget in reserved:
            budget.settle(self.bound, self.cost, maybe_billed=self.maybe_billed)


def are_limited(budgets: Sequence[Budget]) -> bool:
    """Tell whether money may run out, so that each request needs a bound."""
    return any(map(attrgetter("is_limited"), budgets))


@dataclass(slots=True)
class Spent:
    """What the attempts at one answer have used together. `cost` is None until one was answered, or where a price is unknown."""

    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    maybe_billed: bool = False
    answered: bool = False

    def add(self, usage: Usage, cost: Cost | None) -> None:
        """Add one attempt that was answered."""
        self.usage = self.usage + usage if self.attempts > 1 else usage
        if not self.answered:
            self.cost = cost
        elif cost is None or self.cost is None:
            self.cost = None
        else:
            source = "table" if cost.estimated or self.cost.estimated else cost.source
            self.cost = Cost(self.cost + cost, source)
        self.answered = True

    def charge(self, error: QwenError) -> None:
        """Note on *error* what was used before it."""
        cost = None if self.maybe_billed else self.cost if self.answered else 0.0
        error.charge(self.attempts, (self.usage.input, self.usage.output), cost)


class Ledger:
    """Records spending for one notebook (or script, or none) in one folder."""

    def __init__(self, memory: Memory, notebook: str = "", *, now: Callable[[], datetime] = _now) -> None:
        self._memory = memory
        self._notebook = notebook
        self._now = now
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str, str], list[int]] = {}

    def record(self, model: str, endpoint: Endpoint, usage: Usage | None, cost: Cost | None = None) -> None:
        """Add one attempt that was answered, whole or not; without *usage*, one that may have been paid for all the same.

        On the engine's loop.
        """
        if usage is None:
            figures = (0, 0, 0, 0, 0, 1)
        else:
            nanos = 0 if cost is None else round(cost * 1e9)
            figures = (1, usage.input, usage.output, nanos, int(cost is None), 0)
        account = (self._now().date().isoformat(), model, endpoint.name)
        with self._lock:
            first = not self._sums
            sums = self._sums.setdefault(account, [0] * len(figures))
            for position, number in enumerate(figures):
                sums[position] += number
        if first:
            asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Have the writer write what is not yet written."""
        with contextlib.suppress(CacheError):  # closed meanwhile: what it owed was written on closing
            self._memory.writer.run(lambda _: self._write(), lambda _: None)

    def _write(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, {}
        if sums:
            self._memory.spendings.add(
                Spending(day, self._notebook, model, endpoint, *figures)
                for (day, model, endpoint), figures in sums.items()
            )
