"""Asks the questions of one column: what is known is looked up in bulk, the rest goes through the engine.

This is the one file of the room that reaches behind the client's front door, for the engine, the loop and the checks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import polars as pl

from qwennb.answer import Answer, read_form
from qwennb.cache import ShortBeside, read_short, read_short_beside
from qwennb.client import Options, Qwen
from qwennb.collector import BULK, MANY
from qwennb.engine import Asking
from qwennb.errors import (
    BudgetExceeded,
    EndpointError,
    InvalidAnswer,
    NotRecorded,
    QwenError,
    ValidatorFailed,
    in_words,
)
from qwennb.frames.evaluation import Answers, Scopes, Shelf
from qwennb.frames.form import Form
from qwennb.frames.inquiry import Inquiry, Question, work_together
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.lane import ask_by_batch
from qwennb.frames.mould import Mould
from qwennb.frames.outcome import Beside, Outcome, confidence_of
from qwennb.frames.progress import Tally
from qwennb.request import Image, Request, Schema

SLICE = 0.1  # seconds between two looks at whether somebody wants to stop
CHUNK = 4_000  # questions looked up at a time: what is made of them stays in the processor's cache


class Asker:
    """One column's call: its client, its mould and its budget. Lasts as long as the plan that it stands in."""

    def __init__(
        self,
        client: Qwen,
        options: Options,
        form: Form,
        *,
        concurrency: int | None = None,
        lane: str = "live",
        beside: bool = False,
    ) -> None:
        self.client = client
        self.options = client.settled(options)
        self.form = form
        self.answers = Answers()
        self.lane = lane
        self.beside = beside  # whether what came beside the answers is wanted too
        self._concurrency = concurrency
        self._lock = threading.RLock()
        self._moulds: dict[str, Mould] = {}  # by system text, where it differs from row to row

    @property
    def mode(self) -> str:
        """The cache mode of this call."""
        return self.client._mode(self.options)

    @property
    def mould(self) -> Mould:
        """What the requests are made with. Finds the endpoint, if no one has yet."""
        with self._lock:
            return self._mould

    def mould_of(self, question: Question) -> Mould:
        """What the request of *question* is made with."""
        if question.system is None:
            return self.mould
        with self._lock:
            if question.system not in self._moulds:
                self._moulds[question.system] = self._mould_with(question.system)
            return self._moulds[question.system]

    @cached_property
    def _mould(self) -> Mould:
        return self._mould_with(self.options.system)

    def _mould_with(self, system: str | None) -> Mould:
        options = self.options
        return Mould(
            self.client._model(options),
            system,
            settings=options.settings(),
            schema=None if options.schema is None else Schema.of(options.schema),
            choices=options.choices,
        )

    @property
    def asking(self) -> Asking:
        """How it is asked; one for all batches, because the budget is in it."""
        with self._lock:
            return self._asking

    @cached_property
    def _asking(self) -> Asking:
        asking = self.client._asking(self.options, direct=True)
        self.client._check(self._mould.sample, asking)
        return asking

    def keys(self, questions: Sequence[Question]) -> list[str]:
        """The keys of the requests of *questions*."""
        mould = self.mould
        return [
            mould.key(question.text)
            if question.image is None and question.system is None
            else self.mould_of(question).request(question.text, question.image).key
            for question in questions
        ]

    def recalled(self, keys: Sequence[str], first: Question | None = None) -> dict[str, Outcome]:
        """Those of *keys* that the cache knows in this mode. *first* is the question of the first of them, for an error."""
        mode, model = self.mode, self.mould.model
        if mode in ("off", "refresh"):
            return {}
        request = None if first is None else self.mould_of(first).request(first.text, first.image, keys[0])
        identity = self.client.identity(model, keys, mode, request, words=False)
        found: dict[str, Outcome] = {}
        for key, candidates in self.client.memory.known(keys, identity, mode).items():
            outcome = self._read(key, model, candidates[0])
            if outcome.error is not None:
                others = (self._read(key, model, value) for value in candidates[1:])
                outcome = next((other for other in others if other.error is None), outcome)
            if outcome.error is None or mode == "replay" or isinstance(outcome.error, ValidatorFailed):
                found[key] = outcome
        return found

    def outcomes(
        self, questions: Sequence[Question], scopes: Scopes, tally: Tally, *, batches: bool
    ) -> list[Outcome | None]:
        """The outcome of each question, in order; None for those that were not asked because it was stopped.

        With *batches*, more questions of the same evaluation may follow, and what was found is remembered for them.
        """
        with BULK:
            keys = self.keys(questions)
            tally.expect(keys)
            inquiry = Inquiry(questions, keys, self._shelf(), scopes, tally)
            self._look_up(inquiry, batches=batches)
        waiting = inquiry.open
        if waiting and self.mode == "replay":
            for place in waiting:
                inquiry.came(place, self._missed(questions[place], keys[place], compare=place == waiting[0]))
            self.client.memory.miss(o.key for p in waiting if (o := inquiry.outcomes[p]) and _is_missing(o))
        elif waiting and not tally.stopped:
            if self.lane == "batch":
                ask_by_batch(self, waiting, inquiry)
            else:
                self._ask(waiting, inquiry)
        return inquiry.outcomes

    def _look_up(self, inquiry: Inquiry, *, batches: bool) -> None:
        """Fill *inquiry* with what the cache knows."""
        keys, missing = inquiry.keys, inquiry.open
        for some in _chunks(_by_key(missing, keys), CHUNK):  # neighbours share pages of the store
            if inquiry.tally.stopped:
                break
            found = self.recalled([keys[place] for place in some], inquiry.questions[some[0]])
            for place in some:
                inquiry.outcomes[place] = found.get(keys[place])
            if batches:
                inquiry.remember(found.values())
        self._note(inquiry, missing)
        inquiry.recalled()

    def _note(self, inquiry: Inquiry, looked_up: Sequence[int]) -> None:
        """Tell the memory which of its answers were used, in the order of the rows, and which no longer fit."""
        used: list[tuple[str, str]] = []
        pictures: list[Image] = []
        unusable: list[str] = []
        for place in looked_up:
            if (outcome := inquiry.outcomes[place]) is None:
                continue
            if outcome.error is not None:
                unusable.append(outcome.key)
                continue
            used.append((outcome.key, outcome.endpoint))
            if (image := inquiry.questions[place].image) is not None:
                pictures.append(image)
        self.client.memory.note(used, pictures)
        self.client.memory.miss(unusable)

    def request(self, question: Question, key: str) -> Request:
        """The request that *question* makes; what its model can't take is refused."""
        request = self.mould_of(question).request(question.text, question.image, key)
        if len(question.text) + len(question.system or "") > _SURELY_FITS:
            self.client._check(request, self.asking)
        return request

    def outcome(self, key: str, answer: Answer) -> Outcome:
        """What *answer* means in this column."""
        try:
            value = self.form.value(answer.text, answer.data)
        except ValidatorFailed as broken:
            error: InvalidAnswer = broken
        except Exception as complaint:
            error = InvalidAnswer(f"The answer to {key[:12]} does not fit its column: {complaint}.")
        else:
            return _outcome(key, value, answer, self._beside(answer) if self.beside else None)
        if not answer.cached:
            error.charge(answer.attempts, (answer.usage.input, answer.usage.output), answer.cost)
        return Outcome.failed(key, error, answer.model, answer.endpoint)

    def _beside(self, answer: Answer | ShortBeside) -> Beside:
        choices = self.options.choices
        label = None if choices is None else read_form(self.mould.sample, answer.text)
        return Beside(
            answer.reasoning, answer.logprobs, answer.sources, confidence_of(answer.logprobs or (), label)
        )

    def _ask(self, waiting: list[int], inquiry: Inquiry) -> None:
        asking = self.asking
        ended: list[QwenError] = []
        places = iter(waiting)
        most = min(self._concurrency or asking.concurrency, asking.concurrency, len(waiting))

        async def worker() -> None:
            for place in places:
                if inquiry.tally.stopped or (ended and not isinstance(ended[0], BudgetExceeded)):
                    return
                key = inquiry.keys[place]
                if ended:  # the rows beyond the budget are told so, and nothing is asked for them
                    inquiry.came(place, Outcome(key, error=ended[0], cost=0.0))
                    continue
                ask = partial(self._one, inquiry.questions[place], key, asking)
                outcome = await inquiry.once(place, ask, self._is_durable)
                if outcome.error is not None and _ends_all(outcome.error) and not ended:
                    ended.append(outcome.error)

        with MANY:
            work = work_together(worker() for _ in range(most))
            self._wait(self.client._house.bridge.start(work), inquiry.tally)
        self.client._tell()
        if ended and not isinstance(ended[0], BudgetExceeded):
            raise ended[0].with_traceback(None)

    def _wait(self, future: concurrent.futures.Future[None], tally: Tally) -> None:
        """Wait, and look every now and then whether somebody wants it to stop."""
        interrupts = INTERRUPTS.count
        bridge = self.client._house.bridge
        on_main = threading.current_thread() is threading.main_thread()
        try:
            while True:
                try:
                    future.result(SLICE)
                    return None
                except concurrent.futures.TimeoutError:
                    if future.done():
                        return future.result()
                bridge.look()
                tally.show()
                if tally.stopped:
                    future.cancel()
                    concurrent.futures.wait([future], SLICE)
                    return None
                if not on_main and INTERRUPTS.count != interrupts:
                    INTERRUPTS.leave_it_to_polars()
                    raise KeyboardInterrupt
        except BaseException:
            future.cancel()
            raise

    async def _one(self, question: Question, key: str, asking: Asking) -> Outcome:
        try:
            request = self.request(question, key)
            answer = await (await self.client._house.engine()).answer(request, asking)
            return self.outcome(key, answer)
        except QwenError as error:
            return Outcome.failed(key, error, self.mould.model, str(asking.place))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as unforeseen:  # it must not cost the other rows theirs
            return Outcome.failed(
                key,
                QwenError(
                    f"Question {key[:12]} failed with what qwennb did not foresee: {in_words(unforeseen)}."
                ),
            )

    def _is_durable(self, outcome: Outcome) -> bool:
        return self.mode == "on" and outcome.error is None

    def _shelf(self) -> Shelf:
        place = self.client.identity(self.mould.model, (), self.mode)
        # The form is no part of a key: two columns may read the same answer as different types.
        return (
            place,
            self.client.server(self.mode),
            self.beside,
            self.mode,
            self.client.config.cache_dir,
            self.form.dtype,
            *map(id, self.form.reader),
        )

    def _read(self, key: str, model: str, value: bytes) -> Outcome:
        try:
            answer = read_short_beside(value) if self.beside else read_short(value)
            text, usage, cost = answer.text, answer.usage, answer.cost
            return Outcome(
                key,
                self.form.value(text, read_form(self._mould.sample, text)),
                None,
                model,
                sys.intern(answer.endpoint),
                usage.input,
                usage.output,
                None if cost is None else cost[0],
                answer.attempts,
                sys.intern(answer.finish_reason),
                True,
                self._beside(answer) if isinstance(answer, ShortBeside) else None,
            )
        except ValidatorFailed as error:
            return Outcome.failed(key, error, model)
        except Exception as error:
            return Outcome(
                key,
                error=InvalidAnswer(
                    f'The recorded answer to {key[:12]} no longer fits: {error}. Record it again with cache="refresh".'
                ),
            )

    def _missed(self, question: Question, key: str, *, compare: bool) -> Outcome:
        """The outcome of a row without a recorded answer: what could never be asked fails as it did then."""
        if len(question.text) + len(question.system or "") > _SURELY_FITS:
            try:
                self.client.check_recorded_window(
                    self.mould_of(question).request(question.text, question.image, key)
                )
            except QwenError as error:
                return Outcome.failed(key, error)
        return Outcome.failed(key, self._not_recorded(question, key, compare=compare))

    def _not_recorded(self, question: Question, key: str, *, compare: bool) -> NotRecorded:
        """The error of one row. What a row holds is not repeated; what its request has otherwise is said of the first."""
        request = self.mould_of(question).request(question.text, question.image, key)
        near = self.client.memory.difference(request, words=False) if compare else ""
        return NotRecorded(
            f"Replay: no answer is recorded for request {key[:12]} to {self.mould.model}. {near}"
            'To record it, run the column once with cache="on" and an endpoint that answers. '
            f"{self.client.who_sets_model(self.options, self.mould.model) if compare else ''}".rstrip()
        )


def _by_key(places: list[int], keys: Sequence[str]) -> list[int]:
    """*places* in the order of their keys."""
    asked = pl.Series([keys[place] for place in places], dtype=pl.String)
    return pl.Series(places, dtype=pl.UInt32).gather(asked.arg_sort()).to_list()


_SURELY_FITS = 4_000  # characters; every model's window is larger


def _outcome(key: str, value: Any, answer: Answer, beside: Beside | None) -> Outcome:
    return Outcome(
        key,
        value,
        None,
        answer.model,
        answer.endpoint,
        answer.usage.input,
        answer.usage.output,
        None if answer.cost is None else float(answer.cost),
        answer.attempts,
        answer.finish_reason,
        answer.cached,
        beside,
    )


def _is_missing(outcome: Outcome) -> bool:
    return isinstance(outcome.error, NotRecorded)


def _ends_all(error: QwenError) -> bool:
    """True where every other question would meet the same."""
    return isinstance(error, BudgetExceeded) or (isinstance(error, EndpointError) and error.fatal)


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
