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
from qwennb.cache import Order, Orders
from qwennb.catalog import estimate_tokens
from qwennb.endpoints import BatchTerms, batch_line
from qwennb.engine.engine import Asking
from qwennb.errors import BudgetExceeded, QwenError, RequestRefused, WindowExceeded
from qwennb.request import Request


@dataclass(frozen=True, slots=True)
class Parcel:
    """As many questions as fit into one file: what is handed in, what is left over, what can't be asked."""

    order: Order
    bound: float
    left: list[str]
    refused: list[tuple[str, QwenError]]


class Packing:
    """Packs the questions of one run. Used on a thread of its own: the loop has other things to do."""

    def __init__(
        self,
        asking: Asking,
        terms: BatchTerms,
        orders: Orders,
        model: str,
        request: Callable[[str], Request],
        clock: Callable[[], float],
    ) -> None:
        self._asking = asking
        self._place = asking.place
        self._terms = terms
        self._orders = orders
        self._model = model
        self._request = request
        self._clock = clock

    def parcel(self, keys: list[str]) -> Parcel:
        """The first of *keys*, written into a file to be uploaded."""
        created = self._clock()
        order_id = f"{time.time_ns():x}"
        taken: list[str] = []
        refused: list[tuple[str, QwenError]] = []
        size, bound, place = 0, 0.0, 0
        with self._orders.new_upload(order_id) as file:
            for place, key in enumerate(keys):
                try:
                    question = self._request(key)
                    line = self._checked(question, batch_line(self._place, question)) + b"\n"
                    worst = self._bound(question)
                except QwenError as error:
                    refused.append((key, error))
                    continue
                if len(taken) == self._terms.lines or size + len(line) > self._terms.file_bytes:
                    break
                if (too_dear := self._too_dear(bound, worst)) is not None:
                    refused += [(key, too_dear) for key in keys[place:]]
                    place = len(keys)
                    break
                file.write(line)
                taken.append(key)
                size, bound = size + len(line), bound + worst
            else:
                place = len(keys)
        endpoint = self._place.identity(self._model)
        name = hashlib.sha256("\n".join([endpoint, *sorted(taken)]).encode()).hexdigest()
        order = Order(
            order_id, name, endpoint, self._model, created, questions=len(taken), keys=frozenset(taken)
        )
        if not taken:
            self._orders.upload(order_id).unlink()
        return Parcel(order, bound, keys[place:], refused)

    def _checked(self, question: Request, line: bytes) -> bytes:
        most, short = self._terms.max_input, question.key[:12]
        if len(line) >= self._terms.line_bytes:
            raise RequestRefused(
                f"Question {short} takes {len(line):,} bytes; a line of a batch at {self._place} may have "
                f'{self._terms.line_bytes:,}. Ask it with lane="live".'
            )
        if most is not None and len(line) > most:
            tokens = estimate_tokens("\n".join(message.text for message in question.messages)).tokens
            if tokens > most:
                raise WindowExceeded(
                    f"Question {short} has about {tokens:,} tokens; a batch at {self._place} takes {most:,}. "
                    'Ask it with lane="live", or shorten it.'
                )
        return line

    def _bound(self, question: Request) -> float:
        if not self._asking.is_limited:
            return 0.0
        worst = self._place.bound(question)
        return worst if self._terms.share is None else worst * self._terms.share

    def _too_dear(self, bound: float, worst: float) -> BudgetExceeded | None:
        for budget in self._asking.budgets:
            worst = budget.needed(worst)
            left = budget.left - budget.reserved - budget.needed(bound)
            if worst > left + 1e-12:
                return BudgetExceeded(
                    f"The next question of the batch may cost up to {money(worst)}, and {money(max(left, 0.0))} of the budget of "
                    f"{money(budget.limit)} is not set aside yet. Give max_tokens= or thinking= to bound it closer, or a higher budget=."
                )
        return None
