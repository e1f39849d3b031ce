"""How questions are asked, one at a time or by batch, and what the attempts at one have used so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

from qwennb.answer import Answer, Cost, Usage
from qwennb.cache import BatchOrders, Memory
from qwennb.config import CacheMode
from qwennb.endpoints import Batches, BatchTerms, Endpoint
from qwennb.engine.budget import Budget, Ledger
from qwennb.errors import QwenError
from qwennb.request import Request


@dataclass(frozen=True, slots=True)
class CallContext:
    """How a question is asked: where, from which memory, for how long and how much. Nothing of it is in the key."""

    endpoint: Endpoint
    memory: Memory
    mode: CacheMode = "on"
    timeout: float = 600.0
    budgets: tuple[Budget, ...] = ()
    ledger: Ledger | None = None
    direct: bool = False
    concurrency: int = 256
    pace: float = 0.8
    warn: Callable[[str], None] = lambda _: None

    @property
    def is_limited(self) -> bool:
        """True where money may run out, so that each request needs a bound."""
        return any(map(attrgetter("is_limited"), self.budgets))


@dataclass(frozen=True, slots=True)
class BatchTask:
    """What one run asks, how, and who is told what came of it. `request` makes the question of a key, `found` hears its outcome."""

    context: CallContext
    orders: BatchOrders
    batches: Batches
    terms: BatchTerms
    model: str
    request: Callable[[str], Request]
    found: Callable[[str, Answer | QwenError], None]
    clock: Callable[[], float]


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
