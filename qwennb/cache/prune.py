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
from qwennb.cache.store import Store
from qwennb.errors import BadInput


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer as it is kept. `cost` is what it did cost in US dollars, None where nobody knows."""

    name: Name
    model: str
    created: datetime
    cost: float | None
    size: int

    @property
    def endpoint(self) -> str:
        """The endpoint that answered, without the model that a server of one's own is told by."""
        return self.name.endpoint.partition(":")[0]


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


def plan_prune(
    memory: Memory,
    *,
    before: datetime | None = None,
    model: str | None = None,
    endpoint: str | None = None,
    everything: bool = False,
) -> PrunePlan:
    """Plan what to forget: older than *before*, of *model*, from *endpoint* (its name, or its whole identity); all that is given.

    *everything* goes without a rule, and only then.
    """
    ruled = any(rule is not None for rule in (before, model, endpoint))
    if ruled == everything:
        raise BadInput("Say which answers: older than a day, of a model, from an endpoint; or all of them.")
    names: list[Name] = []
    size, cost, unpriced = 0, 0.0, 0
    models: Counter[str] = Counter()
    for answer in list_kept(memory):
        if before is not None and answer.created >= before:
            continue
        if model is not None and answer.model != model:
            continue
        if endpoint is not None and endpoint not in (answer.endpoint, answer.name.endpoint):
            continue
        names.append(answer.name)
        size += answer.size
        cost += answer.cost or 0.0
        unpriced += answer.cost is None
        models[answer.model] += 1
    return PrunePlan(tuple(names), size, cost, unpriced, tuple(models.most_common()))


def prune(memory: Memory, plan: PrunePlan) -> int:
    """Forget what *plan* names; how many answers went. Comes back once it is done on the writer's thread."""
    removed: list[int] = []
    failed: list[BaseException] = []

    def job(store: Store) -> None:
        removed.append(store.remove(plan.names))

    def note_error(error: BaseException | None) -> None:
        failed.extend([error] if error is not None else [])

    memory.writer.run(job, note_error)
    memory.writer.flush()
    if failed:
        raise failed[0]
    return removed[0]
