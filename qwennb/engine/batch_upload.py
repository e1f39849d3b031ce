"""Packing questions into files to be uploaded: as many as the endpoint's limits and the budget allow, each one checked.

What can't be asked by batch is refused here, row by row, before anything is sent: one line too long would have the
endpoint refuse the whole file. Of the rows that the budget does not reach, none is asked.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from qwennb.answer import money
from qwennb.cache import BatchOrder, BatchOrders
from qwennb.catalog import estimate_tokens
from qwennb.endpoints import BatchTerms, batch_line
from qwennb.engine.flight import CallContext
from qwennb.errors import BudgetExceeded, QwenError, RequestRefused, WindowExceeded
from qwennb.request import Request


@dataclass(frozen=True, slots=True)
class BatchChunk:
    """As many questions as fit into one file: what is handed in, what is left over, what can't be asked."""

    order: BatchOrder
    bound: float
    left: list[str]
    refused: list[tuple[str, QwenError]]


class BatchUpload:
    """Packs the questions of one run. Used on a thread of its own: the loop has other things to do."""

    def __init__(
        self,
        context: CallContext,
        terms: BatchTerms,
        orders: BatchOrders,
        model: str,
        request: Callable[[str], Request],
        clock: Callable[[], float],
    ) -> None:
        self._context = context
        self._endpoint = context.endpoint
        self._terms = terms
        self._orders = orders
        self._model = model
        self._request = request
        self._clock = clock

    def chunk(self, keys: list[str]) -> BatchChunk:
        """The first of *keys*, written into a file to be uploaded."""
        created = self._clock()
        order_id = f"{time.time_ns():x}"
        taken: list[str] = []
        refused: list[tuple[str, QwenError]] = []
        size, bound, server = 0, 0.0, 0
        with self._orders.new_upload(order_id) as file:
            for server, key in enumerate(keys):
                try:
                    question = self._request(key)
                    line = self._check_line(question, batch_line(self._endpoint, question)) + b"\n"
                    worst = self._worst_cost(question)
                except QwenError as error:
                    refused.append((key, error))
                    continue
                if len(taken) == self._terms.lines or size + len(line) > self._terms.file_bytes:
                    break
                if (too_dear := self._too_dear(bound, worst)) is not None:
                    refused += [(key, too_dear) for key in keys[server:]]
                    server = len(keys)
                    break
                file.write(line)
                taken.append(key)
                size, bound = size + len(line), bound + worst
            else:
                server = len(keys)
        endpoint = self._endpoint.identity(self._model)
        name = hashlib.sha256("\n".join([endpoint, *sorted(taken)]).encode()).hexdigest()
        order = BatchOrder(
            order_id, name, endpoint, self._model, created, questions=len(taken), keys=frozenset(taken)
        )
        if not taken:
            self._orders.upload(order_id).unlink()
        return BatchChunk(order, bound, keys[server:], refused)

    def _check_line(self, question: Request, line: bytes) -> bytes:
        most, short = self._terms.max_input, question.key[:12]
        if len(line) >= self._terms.line_bytes:
            raise RequestRefused(
                f"Question {short} takes {len(line):,} bytes; a line of a batch at {self._endpoint} may have "
                f'{self._terms.line_bytes:,}. Ask it with lane="live".'
            )
        if most is not None and len(line) > most:
            tokens = estimate_tokens("\n".join(message.text for message in question.messages)).tokens
            if tokens > most:
                raise WindowExceeded(
                    f"Question {short} has about {tokens:,} tokens; a batch at {self._endpoint} takes {most:,}. "
                    'Ask it with lane="live", or shorten it.'
                )
        return line

    def _worst_cost(self, question: Request) -> float:
        if not self._context.is_limited:
            return 0.0
        worst = self._endpoint.worst_cost(question)
        return worst if self._terms.share is None else worst * self._terms.share

    def _too_dear(self, bound: float, worst: float) -> BudgetExceeded | None:
        for budget in self._context.budgets:
            worst = budget.bound_for(worst)
            left = budget.left - budget.reserved - budget.bound_for(bound)
            if worst > left + 1e-12:
                return BudgetExceeded(
                    f"The next question of the batch may cost up to {money(worst)}, and {money(max(left, 0.0))} of the budget of "
                    f"{money(budget.limit)} is not set aside yet. Give max_tokens= or thinking= to bound it closer, or a higher budget=."
                )
        return None
