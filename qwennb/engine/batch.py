"""Questions by batch: handed in, left alone for hours, fetched; by this kernel or by another.

    keys → which are under way already? → the others, as files within the endpoint's limits → orders, on the disk
         → batches at the endpoint → looked at now and then → lines, in any order → answers, kept → the caller

Nothing is paid for twice, whenever the process dies:

    before the upload, or after it         no batch was made of it: it costs nothing, and is handed in anew
    after the order was written            the order names the uploaded file. The endpoint's list tells whether a batch
                                           was made of that file: if so it is taken up, if not it is handed in anew
    after the number was written           the batch is looked at by its number
    while answers are fetched              the order is closed after the last one is durable; what was kept stays so
    the cache folder is lost               a batch carries the hash of its questions as its name: the same questions, asked
                                           again, find it in the endpoint's list

Who asks holds a claim on the folder while it hands in and while it fetches, so that two kernels don't do it at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from qwennb.answer import Answer
from qwennb.cache import BatchOrder, BatchOrders
from qwennb.endpoints import Batch, Batches, BatchTerms, batch_terms
from qwennb.engine.batch_download import BatchDownload
from qwennb.engine.batch_upload import pack_chunk
from qwennb.engine.budget import Reservation
from qwennb.engine.context import BatchTask, CallContext
from qwennb.errors import (
    BadInput,
    CacheError,
    EndpointError,
    Incomplete,
    QwenError,
    RequestRefused,
    Stopped,
    TimedOut,
    Unreachable,
)
from qwennb.request import Request

T = TypeVar("T")

TRIES = 4
CLAIM_SECONDS = 0.1
FRESH = 120.0  # seconds after which an endpoint's list surely has a batch that was made
LOOKS = 3  # into the list for a batch that may be too fresh for it
ADOPTED = 30 * 86_400.0  # seconds; older batches' answers may be gone


def patience(look: int) -> float:
    """Seconds before look number *look* at a batch: half a second at first, a minute in the end."""
    return min(0.5 * 1.5 ** min(look, 40), 60.0)


@dataclass(slots=True)
class Pending:
    """An order at the endpoint, and the money set aside for it by this run."""

    order: BatchOrder
    reservation: Reservation | None = None
    batch: Batch | None = None


class BatchRun:
    """One run of questions by batch. `under_way` are the orders that go on when it is left.

    *request* makes the question of a key, *found* is told each outcome.
    """

    def __init__(
        self,
        context: CallContext,
        orders: BatchOrders,
        model: str,
        request: Callable[[str], Request],
        found: Callable[[str, Answer | QwenError], None],
        *,
        terms: BatchTerms | None = None,
        batches: Batches | None = None,
        tell: Callable[[str], None] = lambda words: None,
        wait: Callable[[int], float] = patience,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = context.endpoint
        self._orders = orders
        terms = terms or batch_terms(context.endpoint)  # an endpoint without batches is refused first
        self._batches = batches or Batches(context.endpoint)
        self._task = BatchTask(context, orders, self._batches, terms, model, request, found, clock)
        self._tell = tell
        self._wait = wait
        self.under_way: list[Pending] = []

    async def run(self, keys: Sequence[str], older: Mapping[str, str] | None = None) -> None:
        """Have the questions *keys* answered. One that is under way by its *older* key, in other words, is not handed in."""
        task, older = self._task, older or {}
        names = [*keys, *older.values()]
        download, identity = BatchDownload(task, set(names)), self._endpoint.identity(task.model)
        # What another run fetched while this one waited for its claim is here now, and must not be ordered again.
        since = 0.0 if task.context.mode == "on" else task.clock()
        try:
            async with AsyncExitStack() as money_set_aside:
                async with self._claim():
                    here = download.recall(names, identity, since)
                    names = [name for name in names if name not in here]
                    left = await self._take_up(names, identity, download)
                    nowhere = [key for key in keys if key in left and older.get(key, key) in left]
                    await self._hand_in(nowhere, money_set_aside)
                await self._fetch(download)
        finally:
            await self._batches.close()

    @property
    def words(self) -> str:
        """What goes on at the endpoint, for a user who leaves."""
        numbers = [each.order.batch for each in self.under_way if each.order.batch]
        if not numbers:
            return ""
        named = ", ".join(numbers[:3]) + (" …" if len(numbers) > 3 else "")
        what = f"Batch {named} goes on" if len(numbers) == 1 else f"{len(numbers)} batches ({named}) go on"
        return (
            f"{what} at {self._endpoint}. The same call takes up where this one left, in any kernel with this cache; "
            "qwennb.batches() lists what is under way, and can cancel it."
        )

    # ------------------------------------------------------------------ what is under way already

    async def _take_up(self, keys: list[str], identity: str, download: BatchDownload) -> Collection[str]:
        """Find the orders that hold some of *keys*; those that are done are fetched. The keys that are in none."""
        self._orders.sweep(self._task.clock())
        left = dict.fromkeys(keys)
        for order in await self._orders_under_way(identity):
            mine = order.keys & left.keys()
            if not mine:
                continue
            batch = await self._patiently(partial(self._batches.get, order.batch))
            if batch is None:
                self._unknown(order, len(mine))
                continue
            if batch.state == "waiting":
                self.under_way.append(Pending(order, batch=batch))
                answered = mine
            else:  # it ended before this run began: what it has no line for is asked anew
                answered = await download.fetch(order, batch)
            for key in answered & mine:
                del left[key]
        return left.keys()

    async def _orders_under_way(self, endpoint: str) -> list[BatchOrder]:
        """List the orders under way, each with its batch's number; those of which no batch was made are dropped."""
        known = []
        for order in self._orders.under_way(endpoint):
            if not order.batch:
                batch = await self._find_batch(order)
                if batch is None:
                    self._orders.drop(order)
                    await self._batches.delete(order.file)
                    continue
                order = self._note_number(order, batch)
            known.append(order)
        return known

    async def _find_batch(self, order: BatchOrder) -> Batch | None:
        """Find the batch that was made of the order's file, if one was: its number may have been lost on the way."""
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(self._wait(look + 2))
            async for batch in self._batches.all():
                if batch.file == order.file:
                    return batch
            if self._task.clock() - order.created > FRESH:
                break
        return None

    def _unknown(self, order: BatchOrder, questions: int) -> None:
        if self._task.clock() - order.created > ADOPTED:
            self._orders.drop(order)
            return
        raise BadInput(
            f"Batch {order.batch}, which holds {questions:,} of these questions, is not known to {self._endpoint} with this key. "
            "Use the key that it was handed in with; or let it go, with qwennb.batches() and its forget(), and ask again."
        )

    # ------------------------------------------------------------------ handing in

    async def _hand_in(self, keys: list[str], money_set_aside: AsyncExitStack) -> None:
        task, listed = self._task, None
        while keys:
            chunk = await asyncio.to_thread(pack_chunk, task, keys)
            keys = chunk.left
            for key, error in chunk.refused:
                task.found(key, error)
            order = chunk.order
            if not order.keys:
                continue
            if listed is None:
                listed = [] if task.context.mode == "refresh" else await self._patiently(self._find_lost)
            lost = next((batch for batch in listed if batch.name == _batch_name(order)), None)
            if lost is not None:
                self._tell(f"batch {lost.id} holds the same questions: taken up")
                order = replace(order, file=lost.file, batch=lost.id, created=lost.created or order.created)
                await asyncio.to_thread(self._note, order)
                self.under_way.append(Pending(order, batch=lost))
                continue
            reservation = Reservation(task.context.budgets, chunk.bound)
            await money_set_aside.enter_async_context(reservation)
            self._tell(f"sending {order.questions:,} questions")
            file = await self._patiently(partial(self._batches.upload, self._orders.upload(order.id)))
            self._orders.upload(order.id).unlink(missing_ok=True)
            order = replace(order, file=file)
            await asyncio.to_thread(self._note, order)
            reservation.maybe_billed = True
            self.under_way.append(each := Pending(order, reservation))
            making = asyncio.ensure_future(self._make(each))
            try:
                await asyncio.shield(making)
            except asyncio.CancelledError:
                await asyncio.wait([making])  # a number that is lost has to be looked for: rather wait for it
                raise
            except (EndpointError, BadInput):
                self.under_way.remove(each)
                raise

    async def _find_lost(self) -> list[Batch]:
        """Batches of ours that this folder knows nothing of."""
        known = {*self._orders.fetched_batches(), *(order.batch for order in self._orders.under_way())}
        lost: list[Batch] = []
        async for batch in self._batches.all():
            is_fresh = not batch.created or batch.created > self._task.clock() - ADOPTED
            if is_fresh and batch.id not in known and batch.state in ("waiting", "done"):
                lost.append(batch)
        return lost

    def _note(self, order: BatchOrder) -> None:
        self._orders.write(order, map(self._task.request, sorted(order.keys)))

    async def _make(self, each: Pending) -> None:
        """Have a batch made of the order's file, and its number noted."""
        order = each.order
        about = f"{order.questions} questions to {order.model}"
        for attempt in range(1, TRIES + 1):
            try:
                batch: Batch | None = await self._batches.create(
                    order.file, self._task.terms, _batch_name(order), about
                )
            except (EndpointError, BadInput) as error:
                if not _passes(error):
                    assert each.reservation is not None
                    each.reservation.maybe_billed = False
                    self._orders.drop(order)
                    await self._batches.delete(order.file)
                    raise
                # It may have been made, though no answer came.
                with suppress(EndpointError):
                    batch = await self._find_batch(order)
                    if batch is not None:
                        break
                if attempt == TRIES:
                    raise
                await asyncio.sleep(self._wait(attempt))
            else:
                break
        assert batch is not None
        each.order, each.batch = self._note_number(order, batch), batch
        if (trace := self._task.context.trace) is not None:
            trace.hand_in(batch.id, self._endpoint, order.model, order.questions)

    def _note_number(self, order: BatchOrder, batch: Batch) -> BatchOrder:
        order = replace(order, batch=batch.id)
        try:
            self._orders.write(order)
        except CacheError as error:  # it can still be found in the endpoint's list
            self._task.context.warn(f"The number of batch {batch.id} could not be noted: {error}")
        return order

    # ------------------------------------------------------------------ waiting and fetching

    async def _fetch(self, download: BatchDownload) -> None:
        look, trouble = 0, ""
        while self.under_way:
            self._tell(self._standing(trouble))
            await asyncio.sleep(self._wait(look))
            look, trouble = look + 1, ""
            for each in list(self.under_way):
                try:
                    batch = await self._batches.get(each.order.batch)
                except EndpointError as error:
                    if not _passes(error):
                        raise
                    trouble = f"; {error}"  # it may be away for hours: the batch goes on without us
                    continue
                if batch is None:
                    self._unknown(each.order, each.order.questions)
                    raise Incomplete(f"{self._endpoint} no longer knows batch {each.order.batch}. Ask again.")
                each.batch = batch
                if batch.state == "waiting":
                    continue
                async with self._claim():
                    answered = await download.fetch(each.order, batch, each.reservation)
                self.under_way.remove(each)
                for key in each.order.keys - answered:
                    download.say(key, _missing_line(batch, self._endpoint))

    def _standing(self, trouble: str) -> str:
        total = sum(each.order.questions for each in self.under_way)
        answered = sum(each.batch.answered + each.batch.failed for each in self.under_way if each.batch)
        first = self.under_way[0].order.batch
        what = f"batch {first}" if len(self.under_way) == 1 else f"{len(self.under_way)} batches"
        return f"{what} at {self._endpoint}: {answered:,} of {total:,} answered{trouble}"

    # ------------------------------------------------------------------ the ways of the world

    @asynccontextmanager
    async def _claim(self) -> AsyncIterator[None]:
        while (claim := self._orders.claim()) is None:
            self._tell("another run is handing in or fetching its answers")
            await asyncio.sleep(CLAIM_SECONDS)
        with claim:
            yield

    async def _patiently(self, do: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(1, TRIES + 1):
            try:
                return await do()
            except EndpointError as error:
                if attempt == TRIES or not error.transient:
                    raise
                await asyncio.sleep(max(error.retry_after or 0.0, self._wait(attempt)))
        raise AssertionError


def _batch_name(order: BatchOrder) -> str:
    return f"qwennb-{order.name[:32]}"


def _passes(error: QwenError) -> bool:
    """Tell what may be over in a while."""
    return isinstance(error, EndpointError) and (error.transient or isinstance(error, Unreachable))


def _missing_line(batch: Batch, endpoint: object) -> QwenError:
    """Say why a question has no line in the files of *batch*."""
    match batch.state:
        case "failed":
            return RequestRefused(
                f"{endpoint} refused batch {batch.id}{f': {batch.complaint}' if batch.complaint else ''}. Nothing of it was answered."
            )
        case "expired":
            return TimedOut(
                f"Batch {batch.id} ran out of time at {endpoint} before this question was answered. Ask again: what was answered is kept."
            )
        case "cancelled":
            return Stopped(
                f"Batch {batch.id} was cancelled before this question was answered. Ask again, if you like."
            )
        case _:
            return Incomplete(
                f"{endpoint} left this question out of the answers of batch {batch.id}. Ask again."
            )
