"""How questions are asked, one at a time or by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwennb.answer import Answer
from qwennb.cache import BatchOrders, Memory
from qwennb.config import CacheMode
from qwennb.endpoints import Batches, BatchTerms, Endpoint
from qwennb.engine.budget import Budget, Ledger
from qwennb.errors import QwenError
from qwennb.request import Request

if TYPE_CHECKING:  # loaded where somebody listens
    from qwennb.tracing import Trace


@dataclass(frozen=True, slots=True)
class CallContext:
    """How a question is asked: where, from which memory, for how long and how much. Nothing of it is in the key.

    `trace` hears what happens to it; None where nobody listens.
    """

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
    trace: Trace | None = None


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
