"""Packing questions into files to be uploaded: as many as the endpoint's limits and the budget allow, each one checked.

What can't be asked by batch is refused here, row by row, before anything is sent: one line too long would have the
endpoint refuse the whole file. Of the rows that the budget does not reach, none is asked.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from qwennb.answer import money
from qwennb.cache import BatchOrder
from qwennb.catalog import estimate_tokens
from qwennb.endpoints import batch_line, is_read, measure
from qwennb.engine.budget import are_limited
from qwennb.engine.context import BatchTask
from qwennb.errors import BudgetExceeded, QwenError, RequestRefused, WindowExceeded
from qwennb.request import Document, Pdf, Request


@dataclass(frozen=True, slots=True)
class BatchChunk:
    """As many questions as fit into one file: what is handed in, what is left over, what can't be asked."""

    order: BatchOrder
    bound: float
    left: list[str]
    refused: list[tuple[str, QwenError]]


def pack_chunk(task: BatchTask, keys: list[str]) -> BatchChunk:
    """Write the first of *keys* into a file to be uploaded. Not for the loop, which has other things to do."""
    endpoint, created = task.context.endpoint, task.clock()
    order_id = f"{time.time_ns():x}"
    taken: list[str] = []
    refused: list[tuple[str, QwenError]] = []
    size, bound, at = 0, 0.0, 0
    with task.orders.new_upload(order_id) as file:
        for at, key in enumerate(keys):
            try:
                question = task.request(key)
                line = _check_line(task, question, batch_line(endpoint, question)) + b"\n"
                worst = _worst_cost(task, question)
            except QwenError as error:
                refused.append((key, error))
                continue
            if len(taken) == task.terms.lines or size + len(line) > task.terms.file_bytes:
                break
            if (too_dear := _too_dear(task, bound, worst)) is not None:
                refused += [(key, too_dear) for key in keys[at:]]
                at = len(keys)
                break
            file.write(line)
            taken.append(key)
            size, bound = size + len(line), bound + worst
        else:
            at = len(keys)
    identity = endpoint.identity(task.model)
    name = hashlib.sha256("\n".join([identity, *sorted(taken)]).encode()).hexdigest()
    order = BatchOrder(
        order_id, name, identity, task.model, created, questions=len(taken), keys=frozenset(taken)
    )
    if not taken:
        task.orders.upload(order_id).unlink()
    return BatchChunk(order, bound, keys[at:], refused)


def _check_line(task: BatchTask, question: Request, line: bytes) -> bytes:
    most, short = task.terms.max_input, question.key[:12]
    if len(line) >= task.terms.line_bytes:
        raise RequestRefused(
            f"Question {short} takes {len(line):,} bytes; a line of a batch at {task.context.endpoint} may have "
            f'{task.terms.line_bytes:,}. Ask it with lane="live".'
        )
    if most is not None and len(line) > most:
        texts = [message.text for message in question.messages]
        texts += [
            measure(one).text for one in question.media if isinstance(one, Pdf | Document) and is_read(one)
        ]
        tokens = estimate_tokens("\n".join(texts)).tokens
        if tokens > most:
            raise WindowExceeded(
                f"Question {short} has about {tokens:,} tokens; a batch at {task.context.endpoint} takes {most:,}. "
                'Ask it with lane="live", or shorten it.'
            )
    return line


def _worst_cost(task: BatchTask, question: Request) -> float:
    if not are_limited(task.context.budgets):
        return 0.0
    worst = task.context.endpoint.worst_cost(question)
    return worst if task.terms.share is None else worst * task.terms.share


def _too_dear(task: BatchTask, bound: float, worst: float) -> BudgetExceeded | None:
    for budget in task.context.budgets:
        worst = budget.bound_for(worst)
        left = budget.left - budget.reserved - budget.bound_for(bound)
        if worst > left + 1e-12:
            return BudgetExceeded(
                f"The next question of the batch may cost up to {money(worst)}, and {money(max(left, 0.0))} of the budget of "
                f"{money(budget.limit)} is not set aside yet. Give max_tokens= or thinking= to bound it closer, or a higher budget=."
            )
    return None
