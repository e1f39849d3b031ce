"""Forgetting on purpose: what is kept, which of it a rule means, and what it would cost to have it again.

Answers were paid for, so nothing is ever evicted. Somebody has to ask for it, is told first what it means, and what
was planned is what goes: an answer that came after the plan stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson

from qwennb.cache.memory import Memory
from qwennb.cache.record import Name


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer as it is kept. `cost` is what it did cost in US dollars, None where nobody knows."""

    name: Name
    model: str
    created: datetime
    cost: float | None
    size: int


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which are meant: asked before a time, of a model, from an endpoint (its name, or its whole identity); all that is given."""

    before: datetime | None = None
    model: str | None = None
    endpoint: str | None = None

    def means(self, created: datetime, model: str, endpoint: str) -> bool:
        """Tell whether what was asked then, of this model and endpoint, is meant."""
        return (
            (self.before is None or created < self.before)
            and self.model in (None, model)
            and self.endpoint in (None, endpoint, endpoint.partition(":")[0])
        )


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What would be forgotten. `cost` is what asking again would cost at the price of then; `unpriced` answers are not in it."""

    names: tuple[Name, ...]
    size: int
    cost: float
    unpriced: int
    models: tuple[tuple[str, int], ...]

    def __len__(self) -> int:
        return len(self.names)


def list_kept(memory: Memory) -> Iterator[Kept]:
    """List every answer, sorted by key. A record that can't be read is left out."""
    for name, value in memory.store.items():
        try:
            record = orjson.loads(value)
            answer, cost = record["answer"], record["answer"].get("cost")
            yield Kept(
                name=name,
                model=record["request"]["model"],
                created=datetime.fromisoformat(answer["created"]),
                cost=None if cost is None else float(cost[0]),
                size=len(value),
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            continue


def plan_prune(memory: Memory, rule: PruneRule) -> PrunePlan:
    """Plan what to forget by *rule*."""
    names: list[Name] = []
    models: Counter[str] = Counter()
    size, cost, unpriced = 0, 0.0, 0
    for one in list_kept(memory):  # there may be a million, of which the names alone are held
        if rule.means(one.created, one.model, one.name.endpoint):
            names.append(one.name)
            models[one.model] += 1
            size, cost, unpriced = size + one.size, cost + (one.cost or 0.0), unpriced + (one.cost is None)
    return PrunePlan(tuple(names), size, cost, unpriced, tuple(models.most_common()))


def prune(memory: Memory, plan: PrunePlan) -> int:
    """Forget what *plan* names; how many answers went. Comes back once it is done on the writer's thread."""
    removed: list[int] = []
    failed: list[BaseException | None] = []
    memory.writer.run(lambda store: removed.append(store.remove(plan.names)), failed.append)
    memory.writer.flush()
    if failed[0] is not None:
        raise failed[0]
    return removed[0]
