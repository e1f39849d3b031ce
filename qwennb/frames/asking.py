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
from qwennb.collector import gc_paused, gc_relaxed
from qwennb.engine import CallContext
from qwennb.errors import (
    BudgetExceeded,
    EndpointError,
    InvalidAnswer,
    NotRecorded,
    QwenError,
    ValidatorFailed,
    in_words,
)
from qwennb.frames.batch_lane import ask_by_batch
from qwennb.frames.evaluation import Answers, CacheSlot, EvaluationGroup
from qwennb.frames.form import ColumnForm
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.outcome import Beside, Outcome, confidence_of
from qwennb.frames.progress import Tally
from qwennb.frames.prompt_batch import Prompt, PromptBatch, work_together
from qwennb.frames.request_template import RequestTemplate
from qwennb.request import Image, Request, Schema

SLICE = 0.1  # seconds between two looks at whether somebody wants to stop
CHUNK = 4_000  # questions looked up at a time: what is made of them stays in the processor's cache


class ColumnAsker:
    """One column's call: its client, its mould and its budget. Lasts as long as the plan that it stands in."""

    def __init__(
        self,
        client: Qwen,
        options: Options,
        form: ColumnForm,
        *,
        concurrency: int | None = None,
        lane: str = "live",
        beside: bool = False,
    ) -> None:
        self.client = client
        self.session = client.session
        self.options = self.session.with_defaults(options)
        self.form = form
        self.answers = Answers()
        self.lane = lane
        self.beside = beside  # whether what came beside the answers is wanted too
        self._concurrency = concurrency
        self._lock = threading.RLock()
        self._templates: dict[str, RequestTemplate] = {}  # by system text, where it differs from row to row

    @property
    def mode(self) -> str:
        """The cache mode of this call."""
        return self.session.mode(self.options)

    @property
    def request_template(self) -> RequestTemplate:
        """What the requests are made with. Finds the endpoint, if no one has yet."""
        with self._lock:
            return self._request_template

    def template_for(self, question: Prompt) -> RequestTemplate:
        """What the request of *question* is made with."""
        if question.system is None:
            return self.request_template
        with self._lock:
            if question.system not in self._templates:
                self._templates[question.system] = self._template_with(question.system)
            return self._templates[question.system]

    @cached_property
    def _request_template(self) -> RequestTemplate:
        return self._template_with(self.options.system)

    def _template_with(self, system: str | None) -> RequestTemplate:
        options = self.options
        return RequestTemplate(
            self.session.model(options),
            system,
            settings=options.settings,
            schema=None if options.schema is None else Schema.of(options.schema),
            choices=options.choices,
        )

    @property
    def context(self) -> CallContext:
        """How it is asked; one for all batches, because the budget is in it."""
        with self._lock:
            return self._context

    @cached_property
    def _context(self) -> CallContext:
        context = self.session.call_context(self.options, direct=True)
        self.session.validate(self._request_template.sample, context)
        return context

    def keys(self, questions: Sequence[Prompt]) -> list[str]:
        """The keys of the requests of *questions*."""
        request_template = self.request_template
        return [
            request_template.key(question.text)
            if question.image is None and question.system is None
            else self.template_for(question).request(question.text, question.image).key
            for question in questions
        ]

    def recall(self, keys: Sequence[str], first: Prompt | None = None) -> dict[str, Outcome]:
        """Those of *keys* that the cache knows in this mode. *first* is the question of the first of them, for an error."""
        mode, model = self.mode, self.request_template.model
        if mode in ("off", "refresh"):
            return {}
        request = (
            None if first is None else self.template_for(first).request(first.text, first.image, keys[0])
        )
        identity = self.session.identity(model, keys, mode, request, words=False)
        found: dict[str, Outcome] = {}
        for key, candidates in self.session.memory.look_up(keys, identity, mode).items():
            outcome = self._read(key, model, candidates[0])
            if outcome.error is not None:
                others = (self._read(key, model, value) for value in candidates[1:])
                outcome = next((other for other in others if other.error is None), outcome)
            if outcome.error is None or mode == "replay" or isinstance(outcome.error, ValidatorFailed):
                found[key] = outcome
        return found

    def outcomes(
        self, questions: Sequence[Prompt], evaluation_group: EvaluationGroup, tally: Tally, *, batches: bool
    ) -> list[Outcome | None]:
        """The outcome of each question, in order; None for those that were not asked because it was stopped.

        With *batches*, more questions of the same evaluation may follow, and what was found is remembered for them.
        """
        with gc_paused:
            keys = self.keys(questions)
            tally.expect(keys)
            prompt_batch = PromptBatch(questions, keys, self._slot(), evaluation_group, tally)
            self._look_up(prompt_batch, batches=batches)
        waiting = prompt_batch.open
        if waiting and self.mode == "replay":
            for index in waiting:
                prompt_batch.came(
                    index, self._miss(questions[index], keys[index], compare=index == waiting[0])
                )
            self.session.memory.miss(
                o.key for p in waiting if (o := prompt_batch.outcomes[p]) and _is_missing(o)
            )
        elif waiting and not tally.stopped:
            if self.lane == "batch":
                ask_by_batch(self, waiting, prompt_batch)
            else:
                self._ask(waiting, prompt_batch)
        return prompt_batch.outcomes

    def _look_up(self, prompt_batch: PromptBatch, *, batches: bool) -> None:
        """Fill *inquiry* with what the cache knows."""
        keys, missing = prompt_batch.keys, prompt_batch.open
        for some in _chunks(_by_key(missing, keys), CHUNK):  # neighbours share pages of the store
            if prompt_batch.tally.stopped:
                break
            found = self.recall([keys[index] for index in some], prompt_batch.questions[some[0]])
            for index in some:
                prompt_batch.outcomes[index] = found.get(keys[index])
            if batches:
                prompt_batch.remember(found.values())
        self._note(prompt_batch, missing)
        prompt_batch.end_recall()

    def _note(self, prompt_batch: PromptBatch, looked_up: Sequence[int]) -> None:
        """Tell the memory which of its answers were used, in the order of the rows, and which no longer fit."""
        used: list[tuple[str, str]] = []
        pictures: list[Image] = []
        unusable: list[str] = []
        for index in looked_up:
            if (outcome := prompt_batch.outcomes[index]) is None:
                continue
            if outcome.error is not None:
                unusable.append(outcome.key)
                continue
            used.append((outcome.key, outcome.endpoint))
            if (image := prompt_batch.questions[index].image) is not None:
                pictures.append(image)
        self.session.memory.note(used, pictures)
        self.session.memory.miss(unusable)

    def request(self, question: Prompt, key: str) -> Request:
        """The request that *question* makes; what its model can't take is refused."""
        request = self.template_for(question).request(question.text, question.image, key)
        if len(question.text) + len(question.system or "") > _SURELY_FITS:
            self.session.validate(request, self.context)
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
        return Outcome.from_error(key, error, answer.model, answer.endpoint)

    def _beside(self, answer: Answer | ShortBeside) -> Beside:
        choices = self.options.choices
        label = None if choices is None else read_form(self.request_template.sample, answer.text)
        return Beside(
            answer.reasoning, answer.logprobs, answer.sources, confidence_of(answer.logprobs or (), label)
        )

    def _ask(self, waiting: list[int], prompt_batch: PromptBatch) -> None:
        context = self.context
        ended: list[QwenError] = []
        indices = iter(waiting)
        most = min(self._concurrency or context.concurrency, context.concurrency, len(waiting))

        async def worker() -> None:
            for index in indices:
                if prompt_batch.tally.stopped or (ended and not isinstance(ended[0], BudgetExceeded)):
                    return
                key = prompt_batch.keys[index]
                if ended:  # the rows beyond the budget are told so, and nothing is asked for them
                    prompt_batch.came(index, Outcome(key, error=ended[0], cost=0.0))
                    continue
                ask = partial(self._one, prompt_batch.questions[index], key, context)
                outcome = await prompt_batch.once(index, ask, self.is_durable)
                if outcome.error is not None and _ends_all(outcome.error) and not ended:
                    ended.append(outcome.error)

        with gc_relaxed:
            work = work_together(worker() for _ in range(most))
            self.wait(self.session.runtime().bridge.start(work), prompt_batch.tally)
        self.session.emit_warnings()
        if ended and not isinstance(ended[0], BudgetExceeded):
            raise ended[0].with_traceback(None)

    def wait(self, future: concurrent.futures.Future[None], tally: Tally) -> None:
        """Wait, and look every now and then whether somebody wants it to stop."""
        interrupts = INTERRUPTS.count
        bridge = self.session.runtime().bridge
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

    async def _one(self, question: Prompt, key: str, context: CallContext) -> Outcome:
        try:
            request = self.request(question, key)
            answer = await self.session.ask_engine(request, context)
            return self.outcome(key, answer)
        except QwenError as error:
            return Outcome.from_error(key, error, self.request_template.model, str(context.endpoint))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as unforeseen:  # it must not cost the other rows theirs
            return Outcome.from_error(
                key,
                QwenError(
                    f"Question {key[:12]} failed with what qwennb did not foresee: {in_words(unforeseen)}."
                ),
            )

    def is_durable(self, outcome: Outcome) -> bool:
        """Whether *outcome* is in the store, so that the evaluation need not remember it."""
        return self.mode == "on" and outcome.error is None

    def _slot(self) -> CacheSlot:
        index = self.session.identity(self.request_template.model, (), self.mode)
        # The form is no part of a key: two columns may read the same answer as different types.
        return (
            index,
            self.session.server(self.mode),
            self.beside,
            self.mode,
            self.session.config.cache_dir,
            self.form.dtype,
            *map(id, self.form.reader),
        )

    def _read(self, key: str, model: str, value: bytes) -> Outcome:
        try:
            answer = read_short_beside(value) if self.beside else read_short(value)
            text, usage, cost = answer.text, answer.usage, answer.cost
            return Outcome(
                key,
                self.form.value(text, read_form(self._request_template.sample, text)),
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
            return Outcome.from_error(key, error, model)
        except Exception as error:
            return Outcome(
                key,
                error=InvalidAnswer(
                    f'The recorded answer to {key[:12]} no longer fits: {error}. Record it again with cache="refresh".'
                ),
            )

    def _miss(self, question: Prompt, key: str, *, compare: bool) -> Outcome:
        """The outcome of a row without a recorded answer: what could never be asked fails as it did then."""
        if len(question.text) + len(question.system or "") > _SURELY_FITS:
            try:
                self.session.check_recorded_window(
                    self.template_for(question).request(question.text, question.image, key)
                )
            except QwenError as error:
                return Outcome.from_error(key, error)
        return Outcome.from_error(key, self._not_recorded(question, key, compare=compare))

    def _not_recorded(self, question: Prompt, key: str, *, compare: bool) -> NotRecorded:
        """The error of one row. What a row holds is not repeated; what its request has otherwise is said of the first."""
        request = self.template_for(question).request(question.text, question.image, key)
        near = self.session.memory.difference(request, words=False) if compare else ""
        return NotRecorded(
            f"Replay: no answer is recorded for request {key[:12]} to {self.request_template.model}. {near}"
            'To record it, run the column once with cache="on" and an endpoint that answers. '
            f"{self.session.who_sets_model(self.options, self.request_template.model) if compare else ''}".rstrip()
        )


def _by_key(indices: list[int], keys: Sequence[str]) -> list[int]:
    """*places* in the order of their keys."""
    asked = pl.Series([keys[index] for index in indices], dtype=pl.String)
    return pl.Series(indices, dtype=pl.UInt32).gather(asked.arg_sort()).to_list()


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
