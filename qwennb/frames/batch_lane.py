"""`lane="batch"`: a column's questions go to the endpoint as a file, at a part of the price, and come back hours later.

The lane is in no key. What is known is recalled as ever, what is asked goes through `engine.BatchRun`, and every answer
lands in the cache under the same key: the same column comes out, whichever lane ran. A run that is left (Stop, an
interrupt, a dead kernel) leaves its batch at the endpoint, and the same call takes up there. `batches()` lists what is
under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from qwennb.answer import Answer
from qwennb.cache import BatchOrder, BatchOrders
from qwennb.client import Qwen
from qwennb.endpoints import Batch, Batches
from qwennb.engine import BatchRun
from qwennb.errors import BadInput, QwenError, UnsupportedOption
from qwennb.frames.default import default_client
from qwennb.frames.outcome import Outcome
from qwennb.frames.prompts import Prompt
from qwennb.request import Request

if TYPE_CHECKING:
    from qwennb.frames.asking import ColumnAsker, PromptBatch
    from qwennb.frames.progress import Tally

T = TypeVar("T")


class QuestionInBatch(NamedTuple):
    """A question that was handed in: in the newest words, or in so much *older* ones, with another key and prompt."""

    key: str
    prompt: Prompt
    older: int = 0


def list_handed_in(asker: ColumnAsker) -> frozenset[str]:
    """The keys of what was handed in at the endpoint and is not fetched yet."""
    identity = asker.context().endpoint.identity(asker.template().model)
    orders = BatchOrders(asker.session.config.cache_dir).under_way(identity)
    return frozenset[str]().union(*(order.keys for order in orders))


def ask_by_batch(asker: ColumnAsker, waiting: Sequence[int], batch: PromptBatch) -> None:
    """Have those of *batch* that are *waiting* answered by batch."""
    context, session = asker.context(), asker.session
    if batch.tally.trace is not None:
        context = replace(context, trace=batch.tally.trace)
    if context.mode == "off":
        raise UnsupportedOption(
            'lane="batch" needs the cache: the answers are fetched into it, perhaps by another kernel. Leave cache="off" out, or lane=.'
        )
    questions = {
        batch.keys[index]: QuestionInBatch(batch.keys[index], batch.prompts[index]) for index in waiting
    }
    in_older_words: dict[str, QuestionInBatch] = {}
    if handed_in := list_handed_in(asker):
        _, in_batches = asker.recall(batch.prompts, batch.keys, handed_in)
        in_older_words = {key: one for key, one in in_batches.items() if one.older and key in questions}
    newer = {one.key: key for key, one in in_older_words.items()}
    questions |= {one.key: one for one in in_older_words.values()}
    ordered: dict[str, asyncio.Future[Outcome]] = {}

    def request(key: str) -> Request:
        _, prompt, older = questions[key]
        return asker.build_request(prompt, key, check=True, older=older)

    def deliver(key: str, said: Answer | QwenError) -> None:
        row = ordered[newer.get(key, key)]
        if not row.done():
            row.set_result(_outcome_of(asker, key, said, is_older=key in newer))

    orders, model = BatchOrders(session.config.cache_dir), asker.template().model
    run = BatchRun(context, orders, model, request, deliver, tell=batch.tally.note)

    async def order(key: str) -> Outcome:
        ordered[key] = asyncio.get_running_loop().create_future()
        return await ordered[key]

    async def one(index: int) -> None:
        await batch.once(index, partial(order, batch.keys[index]))

    async def all_of_them() -> None:
        rows = [asyncio.ensure_future(one(index)) for index in waiting]
        try:
            await asyncio.sleep(0)  # each row has said by now whether it is its own to order, or another's
            if ordered:
                older = {key: one.key for key, one in in_older_words.items() if key in ordered}
                await run.run(list(ordered), older)
            await asyncio.gather(*rows)
        finally:
            for row in rows:
                row.cancel()

    _watch(asker, run, all_of_them(), batch.tally)


def _watch(asker: ColumnAsker, run: BatchRun, work: Coroutine[Any, Any, None], tally: Tally) -> None:
    """Wait for *work*; who leaves before the end is told what goes on without them."""
    try:
        asker.wait(work, tally)
    except KeyboardInterrupt as interrupt:
        if run.words:
            interrupt.add_note(run.words)
        raise
    except QwenError as error:
        if run.words:
            error.add_note(run.words)
        raise error.with_traceback(None) from None
    if tally.stopped and run.words:
        asker.session.warn(f"Stopped waiting. {run.words}")
    asker.session.emit_warnings()


def _outcome_of(asker: ColumnAsker, key: str, said: Answer | QwenError, *, is_older: bool) -> Outcome:
    if isinstance(said, Answer):
        return asker.read_answer(key, said, is_older=is_older)
    return Outcome.from_error(key, said, asker.template().model, str(asker.session.endpoint))


# ---------------------------------------------------------------------- what is under way


@dataclass(frozen=True, slots=True)
class BatchUnderWay:
    """One batch that was handed in and is not fetched yet.

    Attributes
    ----------
    id : str
        The endpoint's number; empty where it was lost, and is found with the next call.
    endpoint, model : str
        Where it was handed in, and whom it asks.
    questions : int
        How many it holds.
    created : datetime
        When it was handed in.
    status : str
        How it stands at the endpoint, which is asked: "in_progress, 12 of 400 answered".

    Examples
    --------
    >>> for batch in qwennb.batches():
    ...     print(batch.created, batch.questions, batch.status)
    """

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
        """Have the endpoint end it. What is answered by then is charged, and fetched by the column's next call.

        Raises
        ------
        BadInput
            If its number is not known yet, or `batches` was given another endpoint's client.

        Examples
        --------
        >>> for batch in qwennb.batches():
        ...     batch.cancel()
        """
        if not self.id:
            raise BadInput(
                "The number of this batch is not known yet. Run the column once more; it finds it."
            )
        self._ask(lambda batches: batches.cancel(self.id))

    def forget(self) -> None:
        """Remove it from this cache. The endpoint goes on with it; its answers are not fetched.

        Examples
        --------
        >>> for batch in qwennb.batches():
        ...     batch.forget()
        """
        BatchOrders(self._client.session.config.cache_dir).drop(self._order)

    def _ask(self, do: Callable[[Batches], Awaitable[T]]) -> T:
        endpoint = self._client.endpoint
        if endpoint.identity(self.model) != self.endpoint:
            raise BadInput(
                f"This batch was handed in at {self.endpoint}, and the client asks at {endpoint}. Give batches() that endpoint's client."
            )

        async def send() -> T:
            batches = Batches(endpoint)
            try:
                return await do(batches)
            finally:
                await batches.close()

        return self._client.session.runtime().bridge.run(send())


def batches(client: Qwen | None = None) -> list[BatchUnderWay]:
    """List what was handed in by `lane="batch"` and is not fetched yet, the oldest first.

    Parameters
    ----------
    client : Qwen, optional
        The client whose cache is looked at; by default the one that columns ask.

    Returns
    -------
    list of BatchUnderWay
        Each has `id`, `endpoint`, `model`, `questions`, `created`, `status`, and can `cancel()` and `forget()` itself.

    Raises
    ------
    BadInput
        It is no client.

    Examples
    --------
    >>> qwennb.batches(qwen)
    []
    """
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
