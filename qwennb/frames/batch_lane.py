"""`lane="batch"`: a column's questions go to the endpoint as a file, at a part of the price, and come back hours later.

The lane is in no key. What is known is recalled as ever, what is asked goes through `engine.BatchRun`, and every answer
lands in the cache under the same key: the same column comes out, whichever lane ran. A run that is left (Stop, an
interrupt, a dead kernel) leaves its batch at the endpoint, and the same call takes up there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from qwennb.answer import Answer
from qwennb.cache import BatchOrders
from qwennb.engine import BatchRun
from qwennb.errors import QwenError, UnsupportedOption
from qwennb.frames.outcome import Outcome
from qwennb.request import Request

if TYPE_CHECKING:
    from qwennb.frames.asking import ColumnAsker
    from qwennb.frames.progress import Tally
    from qwennb.frames.prompt_batch import PromptBatch


def ask_by_batch(asker: ColumnAsker, waiting: Sequence[int], prompt_batch: PromptBatch) -> None:
    """Have those of *inquiry* that are *waiting* answered by batch."""
    context, session = asker.context, asker.session
    if context.mode == "off":
        raise UnsupportedOption(
            'lane="batch" needs the cache: the answers are fetched into it, perhaps by another kernel. Leave cache="off" out, or lane=.'
        )
    run = BatchRun(context, BatchOrders(session.config.cache_dir), tell=prompt_batch.tally.note)
    by_key = {prompt_batch.keys[index]: prompt_batch.questions[index] for index in waiting}
    ordered: dict[str, asyncio.Future[Outcome]] = {}

    def request(key: str) -> Request:
        return asker.request(by_key[key], key)

    def deliver(key: str, said: Answer | QwenError) -> None:
        if not ordered[key].done():
            ordered[key].set_result(_outcome_of(asker, key, said))

    async def order(key: str) -> Outcome:
        ordered[key] = asyncio.get_running_loop().create_future()
        return await ordered[key]

    async def one(index: int) -> None:
        await prompt_batch.once(index, partial(order, prompt_batch.keys[index]), asker.is_durable)

    async def all_of_them() -> None:
        rows = [asyncio.ensure_future(one(index)) for index in waiting]
        try:
            await asyncio.sleep(0)  # each row has said by now whether it is its own to order, or another's
            if ordered:
                await run.run(list(ordered), asker.request_template.model, request, deliver)
            await asyncio.gather(*rows)
        finally:
            for row in rows:
                row.cancel()

    _watch(asker, run, all_of_them, prompt_batch.tally)


def _watch(asker: ColumnAsker, run: BatchRun, work: Callable[[], object], tally: Tally) -> None:
    """Wait for *work*; who leaves before the end is told what goes on without them."""
    session = asker.session
    try:
        asker.wait(session.runtime().bridge.start(work()), tally)  # type: ignore[arg-type]
    except KeyboardInterrupt as interrupt:
        if run.words:
            interrupt.add_note(run.words)
        raise
    except QwenError as error:
        if run.words:
            error.add_note(run.words)
        raise error.with_traceback(None) from None
    if tally.stopped and run.words:
        session.warn(f"Stopped waiting. {run.words}")
    session.emit_warnings()


def _outcome_of(asker: ColumnAsker, key: str, said: Answer | QwenError) -> Outcome:
    if isinstance(said, Answer):
        return asker.outcome(key, said)
    return Outcome.from_error(key, said, asker.request_template.model, str(asker.session.endpoint))
