"""`qwennb.batches()`: what was handed in by `lane="batch"` and is not fetched yet, in this cache."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from qwennb.cache import BatchOrder, BatchOrders
from qwennb.client import Qwen
from qwennb.endpoints import Batch, Batches
from qwennb.errors import BadInput
from qwennb.frames.default import default_client

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchUnderWay:
    """One batch under way. `id` is the endpoint's number; empty where it was lost and is found with the next call."""

    id: str
    endpoint: str
    model: str
    questions: int
    created: datetime
    _order: BatchOrder = field(repr=False)
    _client: Qwen = field(repr=False)

    @property
    def status(self) -> str:
        """How it stands at the endpoint: "in_progress, 12 of 400 answered"."""
        batch = self._ask(lambda batches: batches.get(self.id)) if self.id else None
        return "unknown" if batch is None else _state_text(batch)

    def cancel(self) -> None:
        """Have the endpoint end it. What is answered by then is charged, and fetched by the column's next call."""
        if not self.id:
            raise BadInput(
                "The number of this batch is not known yet. Run the column once more; it finds it."
            )
        self._ask(lambda batches: batches.cancel(self.id))

    def forget(self) -> None:
        """Remove it from this cache. The endpoint goes on with it; its answers are not fetched."""
        BatchOrders(self._client.session.config.cache_dir).drop(self._order)

    def _ask(self, do: Callable[[Batches], Awaitable[T]]) -> T:
        endpoint = self._client.endpoint
        if endpoint.identity(self.model) != self.endpoint:
            raise BadInput(
                f"This batch was handed in at {self.endpoint}, and the client asks at {endpoint}. Give batches() that endpoint's client."
            )

        async def asked() -> T:
            batches = Batches(endpoint)
            try:
                return await do(batches)
            finally:
                await batches.close()

        return self._client.session.runtime().bridge.run(asked())


def batches(client: Qwen | None = None) -> list[BatchUnderWay]:
    """The batches under way in the cache of *client*, or of the default one, the oldest first."""
    if client is not None and not isinstance(client, Qwen):
        raise BadInput(f"batches() takes a client, a Qwen, not {type(client).__name__}.")
    client = default_client() if client is None else client
    return [
        BatchUnderWay(
            order.batch,
            order.endpoint,
            order.model,
            order.questions,
            datetime.fromtimestamp(order.created, UTC),
            order,
            client,
        )
        for order in BatchOrders(client.session.config.cache_dir).under_way()
    ]


def _state_text(batch: Batch) -> str:
    counted = f", {batch.answered + batch.failed:,} of {batch.total:,} answered" if batch.total else ""
    return f"{batch.status}{counted}"
