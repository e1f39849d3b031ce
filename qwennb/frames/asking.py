"""Asks the prompts of one column: what is known is looked up in bulk, the rest goes through the engine.

Two lanes lead to the engine: here the live one, so many at a time; batch_lane.py has the other, a file of prompts that is
answered hours later. What is known is recalled in the same way for both.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from qwennb.answer import Answer, Quote, read_cited, read_form, sources_of
from qwennb.cache import DetailedAnswer, read_brief
from qwennb.client import Qwen
from qwennb.collector import gc_paused, gc_relaxed
from qwennb.endpoints import most_tokens
from qwennb.engine import CallContext
from qwennb.errors import (
    BudgetExceeded,
    EndpointError,
    InvalidAnswer,
    NotRecorded,
    QwenError,
    ValidatorFailed,
    WindowExceeded,
    in_words,
)
from qwennb.frames.batch_lane import QuestionInBatch, ask_by_batch
from qwennb.frames.columns import Column, check_draws
from qwennb.frames.exactly_once import CacheSlot, EvaluationGroup
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.lean import Leans
from qwennb.frames.outcome import Details, Outcome, confidence_of
from qwennb.frames.progress import Tally
from qwennb.frames.prompts import SURELY_FITS, Prompt, RequestTemplate, RowText
from qwennb.request import Medium, Request, Schema

SLICE = 0.1  # seconds between two looks at whether somebody wants to stop
CHUNK = 4_000  # prompts looked up at a time: what is made of them stays in the processor's cache


@dataclass(slots=True)
class PromptBatch:
    """Prompts that are asked together, with their keys and their outcomes as they come."""

    prompts: Sequence[Prompt]
    keys: Sequence[str]
    outcomes: list[Outcome | None]
    tally: Tally
    group: EvaluationGroup | None  # None: every key is here once, and never comes again
    slot: CacheSlot = ()
    durable: bool = False  # what succeeds is in the cache, and need not be remembered by the group

    def waiting(self) -> list[int]:
        """The indices of the prompts without an outcome."""
        return [index for index, outcome in enumerate(self.outcomes) if outcome is None]

    def set(self, index: int, outcome: Outcome) -> None:
        """Take *outcome* as what came of the prompt at *index*."""
        self.outcomes[index] = outcome
        self.tally.add(self.keys[index], outcome)

    async def once(self, index: int, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Await *ask* for the prompt at *index*, unless it is known or under way."""
        if self.group is None:
            outcome = await ask()
        else:
            outcome = await self.group.once(self.slot, self.keys[index], ask, durable=self.durable)
        self.outcomes[index] = outcome
        self.tally.add(self.keys[index], outcome)
        return outcome


class ColumnAsker:
    """Asks for one column, and lasts as long as the plan that it stands in: its budget and its answers are the plan's."""

    def __init__(self, client: Qwen, column: Column, payer: ColumnAsker | None = None) -> None:
        """Whose budget it spends, where that is not its own: the *payer*'s."""
        self.session = client.session
        self._payer = payer
        self.options = self.session.with_defaults(column.options)
        # The words that are asked in, and those before them, each with its options.
        self._words = [
            (column.wording, self.options),
            *((wording, self.session.with_defaults(options)) for wording, options in column.older),
        ]
        self.lane = column.lane
        self._form = column.form
        self._sends_nulls = column.nulls == "send"
        self._after = column.after
        self._is_cited = bool(column.options.cite)
        self._row_text = RowText.of(column.questions.values()) if self._is_cited else None
        self._with_details = bool(column.details)  # whether what came beside the answers is wanted too
        self._concurrency = column.concurrency
        self._draws = column.draws or 1
        self._lock = threading.RLock()
        if column.draws is not None:
            check_draws(column.draws, self.options)
        self._templates: dict[tuple[str | None, int, int], RequestTemplate] = {}
        self.leans = Leans(self) if column.is_calibrated else None
        self._context: CallContext | None = None

    def template(self, system: str | None = None, sample: int = 0, older: int = 0) -> RequestTemplate:
        """What requests are made with; *system* and *sample* where they differ; *older*: in so much older words.

        Finds the endpoint, if no one has yet.
        """
        if (made := self._templates.get((system, sample, older))) is not None:
            return made
        wording, options = self._words[older]
        options = replace(options, sample=sample) if sample else options
        with self._lock:
            if (system, sample, older) not in self._templates:
                said = options.system if system is None else system
                self._templates[system, sample, older] = RequestTemplate(
                    self.session.model(options),
                    "\n\n".join(filter(None, (said, wording.system))),
                    self._row_text,
                    settings=options.settings,
                    schema=None if options.schema is None else Schema.of(options.schema),
                    choices=options.choices,
                )
            return self._templates[system, sample, older]

    def context(self) -> CallContext:
        """How it is asked; one for all batches, because the budget is in it."""
        sample = self.template().sample
        with self._lock:
            if self._context is None:
                context = self.session.call_context(self.options, direct=True)
                if self._payer is not None:
                    context = replace(context, budgets=self._payer.context().budgets)
                self.session.validate(sample, context)
                self._context = context
            return self._context

    def build_request(
        self, prompt: Prompt, key: str | None = None, *, check: bool = False, older: int = 0
    ) -> Request:
        """Make the request of *prompt*; with *check*, one that its model can't take is refused."""
        template = self.template(prompt.system, prompt.sample, older)
        request = template.request(prompt.text, prompt.media, key)
        if check and (prompt.media or len(prompt.text) + len(prompt.system or "") > SURELY_FITS):
            self.session.validate(request, self.context())
        return request

    def keys(self, prompts: Sequence[Prompt], older: int = 0) -> list[str]:
        """The keys of the requests of *prompts*."""
        key = self.template(older=older).key
        return [
            key(prompt.text)
            if not prompt.media and prompt.system is None and not prompt.sample
            else self._find_key(prompt, older)
            for prompt in prompts
        ]

    def asks_nothing(self, prompt: Prompt) -> bool:
        """Tell an empty text: older words round it may have been asked, and the newest, which have none round it, are not."""
        return prompt.text == self._after and not self._sends_nulls and not prompt.media

    def _find_key(self, prompt: Prompt, older: int) -> str:
        if not prompt.media and prompt.system is None:
            return self.template(None, prompt.sample, older).key(prompt.text)
        return self.build_request(prompt, older=older).key

    # ------------------------------------------------------------------ all of them

    def outcomes(
        self, prompts: Sequence[Prompt], group: EvaluationGroup | None, tally: Tally, *, batches: bool
    ) -> list[Outcome | None]:
        """The outcome of each prompt, in order; None for those that were not asked because it was stopped.

        *group* is where they may have been asked, or may come again. With *batches*, more prompts of the same evaluation
        may follow, and what was found is remembered for them.
        """
        mode = self.session.mode(self.options)
        with gc_paused:
            keys = self.keys(prompts)
            if batches:
                tally.expect(keys, self.template().model)
            if group is None:
                batch = PromptBatch(prompts, keys, [None] * len(keys), tally, None)
            else:
                slot = self._slot(mode)
                batch = PromptBatch(
                    prompts, keys, group.recall(slot, keys), tally, group, slot, durable=mode == "on"
                )
            recalled = list(batch.outcomes)
            if mode in ("on", "replay"):
                if self.leans is not None:
                    self.leans.find()
                self._look_up(batch, batches=batches)
            if self.leans is not None and mode != "replay" and not tally.stopped:
                is_wanted = self.leans.is_missed or batch.waiting()
                if is_wanted and self.leans.ask(tally) and batch.outcomes != recalled:
                    batch.outcomes = recalled  # what was read without the lean is read again
                    self._look_up(batch, batches=batches)
            for key, outcome in zip(keys, batch.outcomes, strict=True):
                if outcome is not None:
                    tally.add(key, outcome)
            if any(batch.outcomes):
                tally.show()
        if tally.trace is not None:
            known = sum(one is not None and one.cached for one in batch.outcomes)
            if known:
                tally.trace.recall_many(known)
        waiting = batch.waiting()
        if len(self._words) > 1 or self._is_cited:
            waiting = self._skip_empty(waiting, batch)
        if waiting and mode == "replay":
            self._miss(waiting, batch)
        elif waiting and not tally.stopped and (waiting := self._refuse_too_long(waiting, batch)):
            if self.lane == "batch":
                ask_by_batch(self, waiting, batch)
            else:
                self._ask(waiting, batch)
        if self.leans is not None:
            self.leans.tell(tally)
        return batch.outcomes

    def _slot(self, mode: str) -> CacheSlot:
        session = self.session
        return (
            session.identity(self.template().model, (), mode),
            session.server(mode),
            mode,
            session.config.cache_dir,
            # The form is no part of a key: two columns may read the same answer as different types.
            self._with_details,
            self.leans is not None,
            self._form.dtype,
            self._form.reader,
        )

    # ------------------------------------------------------------------ what is known

    def recall(
        self, prompts: Sequence[Prompt], keys: Sequence[str], handed_in: frozenset[str] = frozenset()
    ) -> tuple[dict[str, Outcome], dict[str, QuestionInBatch]]:
        """Those of *prompts* that the cache knows in this mode, and those that are *handed_in* by batch, by their *keys*.

        What is neither is looked for in older words. Of a row with several draws all stand in *prompts*, one after the other.
        """
        known = self._recall(prompts, keys)
        in_batches = {
            key: QuestionInBatch(key, prompt)
            for key, prompt in (zip(keys, prompts, strict=True) if handed_in else ())
            if key in handed_in and key not in known
        }
        for older in range(1, len(self._words)):
            missing = [index for index, key in enumerate(keys) if key not in known and key not in in_batches]
            if not (missing := self._whole_rows(missing)):
                break
            reword, newest = self._words[older][0].reword, self._words[0][0]
            said = [prompts[index]._replace(text=reword(prompts[index].text, newest)) for index in missing]
            old_keys = self.keys(said, older)
            recorded = self._recall(said, old_keys, older)
            came = {
                index: recorded.get(old_key) or QuestionInBatch(old_key, prompt, older)
                for index, prompt, old_key in zip(missing, said, old_keys, strict=True)
                if old_key in recorded or old_key in handed_in
            }
            for index in self._whole_rows(list(came)):
                if isinstance(one := came[index], Outcome):
                    known[keys[index]] = one
                else:
                    in_batches[keys[index]] = one
        return known, in_batches

    def _whole_rows(self, indices: list[int]) -> list[int]:
        """Leave out of *indices* the rows of which not every draw is there: draws in different words are no vote."""
        if self._draws == 1:
            return indices
        count = Counter(index // self._draws for index in indices)
        return [index for index in indices if count[index // self._draws] == self._draws]

    def look_up(self, prompts: Sequence[Prompt]) -> dict[str, Sequence[bytes]]:
        """The records of *prompts*, by their keys. No endpoint is looked for on their account: a pack may have the rows."""
        session, mode, keys = self.session, self.session.mode(self.options), self.keys(prompts)
        identity = None
        if session.known_endpoint is not None or not session.memory.packs.loaded:
            first = self.build_request(prompts[0], keys[0])
            identity = session.identity(self.template().model, keys, mode, first, words=False)
        return session.memory.look_up(keys, identity, mode)

    def _recall(self, prompts: Sequence[Prompt], keys: Sequence[str], older: int = 0) -> dict[str, Outcome]:
        mode, template = self.session.mode(self.options), self.template(older=older)
        if mode in ("off", "refresh"):
            return {}
        first = self.build_request(prompts[0], keys[0], older=older) if prompts else None
        identity = self.session.identity(template.model, keys, mode, first, words=False)
        found: dict[str, Outcome] = {}
        by_key = dict(zip(keys, prompts, strict=True)) if self._is_cited else {}
        for key, candidates in self.session.memory.look_up(keys, identity, mode).items():
            read = partial(self._read, key, template, by_key.get(key), is_older=older > 0)
            outcome = read(candidates[0])
            if outcome.error is not None:
                others = map(read, candidates[1:])
                outcome = next((other for other in others if other.error is None), outcome)
            is_told = not older and (mode == "replay" or isinstance(outcome.error, ValidatorFailed))
            if outcome.error is None or is_told:
                found[key] = outcome
        return found

    def _look_up(self, batch: PromptBatch, *, batches: bool) -> None:
        """Fill *batch* with what the cache knows."""
        keys, missing, is_used, draws = batch.keys, batch.waiting(), False, self._draws
        rows = (pl.Series(missing, dtype=pl.UInt32) // draws).unique(maintain_order=True)
        # In the order of their keys: neighbours share pages of the store.
        order = pl.Series(keys, dtype=pl.String).gather(rows * draws).arg_sort()
        by_key = rows.gather(order).to_list()
        for start in range(0, len(by_key), CHUNK):
            if batch.tally.stopped:
                break
            some = [row * draws + draw for row in by_key[start : start + CHUNK] for draw in range(draws)]
            prompts = [batch.prompts[index] for index in some]
            found, _ = self.recall(prompts, [keys[index] for index in some])
            if not found:
                continue
            is_used = True
            for index in some:
                batch.outcomes[index] = batch.outcomes[index] or found.get(keys[index])
            if batches and batch.group is not None:
                batch.group.note(batch.slot, found)
        if is_used:
            self._note_use(batch, missing)

    def _note_use(self, batch: PromptBatch, looked_up: Sequence[int]) -> None:
        """Tell the memory which of its answers were used, in the order of the rows, and which no longer fit."""
        used: list[tuple[str, str]] = []
        media: list[Medium] = []
        unusable: list[str] = []
        for index in looked_up:
            if (outcome := batch.outcomes[index]) is None:
                continue
            if outcome.error is not None:
                unusable.append(outcome.key)
                continue
            used.append((outcome.key, outcome.endpoint))
            media += batch.prompts[index].media
        self.session.memory.record_use(used, media)
        self.session.memory.record_miss(unusable)

    def _read(
        self,
        key: str,
        template: RequestTemplate,
        cited: Prompt | None,
        value: bytes,
        *,
        is_older: bool = False,
    ) -> Outcome:
        """Read a record; the quotes in it are looked for in the prompt that is *cited*."""
        try:
            answer = read_brief(value, detailed=self._with_details)
            text, usage, cost = answer.text, answer.usage, answer.cost
            data, sure = read_form(template.sample, text), None
            quotes: Sequence[Quote] = ()
            if cited is not None:
                text, quotes = read_cited(text, sources_of(self.build_request(cited, key)))
            if self.leans is not None and not is_older and self.options.choices is not None:
                data, sure = self.leans.choose(answer, data, self.options.choices)
            return Outcome(
                key,
                self._form.value(text, data),
                None,
                template.model,
                sys.intern(answer.endpoint),
                usage.input,
                usage.output,
                None if cost is None else cost[0],
                answer.attempts,
                sys.intern(answer.finish_reason),
                True,
                self._details(answer, sure) if isinstance(answer, DetailedAnswer) else None,
                quotes=quotes,
            )
        except ValidatorFailed as error:
            return Outcome.from_error(key, error, template.model)
        except Exception as error:
            return Outcome(
                key,
                error=InvalidAnswer(
                    f'The recorded answer to {key[:12]} no longer fits: {error}. Record it again with cache="refresh".'
                ),
            )

    def _miss(self, waiting: Sequence[int], batch: PromptBatch) -> None:
        """In replay: what is not recorded is an error, of which the first says the most."""
        missing = []
        for index in waiting:
            prompt, key = batch.prompts[index], batch.keys[index]
            error = self._not_recorded(prompt, key, compare=index == waiting[0])
            if isinstance(error, NotRecorded):
                missing.append(key)
            batch.set(index, Outcome.from_error(key, error))
        self.session.memory.record_miss(missing)

    def _not_recorded(self, prompt: Prompt, key: str, *, compare: bool) -> QwenError:
        """The error of a row without a recorded answer: what could never be asked fails as it did then.

        What a row holds is not repeated; what its request has otherwise is said of the first, to *compare*.
        """
        request = self.build_request(prompt, key)
        if len(prompt.text) + len(prompt.system or "") > SURELY_FITS:
            try:
                self.session.check_recorded_window(request)
            except QwenError as error:
                return error
        near = self.session.memory.difference(request, words=False) if compare else ""
        return NotRecorded(
            f"Replay: no answer is recorded for request {key[:12]} to {request.model}. {near}"
            'To record it, run the column once with cache="on" and an endpoint that answers. '
            f"{self.session.who_sets_model(self.options, request.model) if compare else ''}".rstrip()
        )

    # ------------------------------------------------------------------ what is asked

    def _skip_empty(self, waiting: Sequence[int], batch: PromptBatch) -> list[int]:
        """Make those of *batch* null that ask nothing; give the others."""
        left: list[int] = []
        for index in waiting:
            if self.asks_nothing(batch.prompts[index]):
                batch.set(index, Outcome(batch.keys[index], cost=0.0))
            else:
                left.append(index)
        return left

    def find_too_long(self, prompts: Iterable[Prompt]) -> dict[int, QwenError]:
        """What refuses those of *prompts* that are longer than the model takes, by their index."""
        request = self.template().sample
        window = self.context().endpoint.abilities(request.model).max_input(request.settings.thinking)
        found: dict[int, QwenError] = {}
        if window is None:
            return found
        room = window - most_tokens(request)
        for index, prompt in enumerate(prompts):
            letters = prompt.text + (prompt.system or "")
            # A token is at least a byte, and a letter at most four of them: most prompts need no counting.
            if 4 * len(letters) > room and len(letters.encode("utf-8", "replace")) > room:
                try:
                    self.build_request(prompt, check=True)
                except WindowExceeded as error:
                    found[index] = error
        return found

    def _refuse_too_long(self, waiting: list[int], batch: PromptBatch) -> list[int]:
        """Tell of prompts that are longer than the model takes before any is paid for; give those that can be asked."""
        found = self.find_too_long(map(batch.prompts.__getitem__, waiting))
        if not found:
            return waiting
        left = [index for place, index in enumerate(waiting) if place not in found]
        if left and (batch.group is None or batch.group.first_to_say((id(self), "too long"))):
            self.session.warn(
                f"{len(found):,} of {len(waiting):,} questions are longer than the model takes, and are not asked. "
                f"The first: {next(iter(found.values()))}"
            )
            self.session.emit_warnings()
        for place, error in found.items():
            key = batch.keys[waiting[place]]
            model, endpoint = self.template().model, str(self.context().endpoint)
            batch.set(waiting[place], Outcome.from_error(key, error, model, endpoint))
        return left

    def _ask(self, waiting: list[int], batch: PromptBatch) -> None:
        context = self.context()
        if batch.tally.trace is not None:
            context = replace(context, trace=batch.tally.trace)
        ended: list[QwenError] = []
        indices = iter(waiting)
        most = min(self._concurrency or context.concurrency, context.concurrency, len(waiting))

        async def worker() -> None:
            for index in indices:
                if batch.tally.stopped or (ended and not isinstance(ended[0], BudgetExceeded)):
                    return
                key = batch.keys[index]
                if ended:  # the rows beyond the budget are told so, and nothing is asked for them
                    batch.set(index, Outcome(key, error=ended[0], cost=0.0))
                    continue
                outcome = await batch.once(index, partial(self._ask_one, batch.prompts[index], key, context))
                if outcome.error is not None and _ends_all(outcome.error) and not ended:
                    ended.append(outcome.error)

        with gc_relaxed:
            self.wait(_work_together(worker, most), batch.tally)
        self.session.emit_warnings()
        if ended and not isinstance(ended[0], BudgetExceeded):
            raise ended[0].with_traceback(None)

    async def _ask_one(self, prompt: Prompt, key: str, context: CallContext) -> Outcome:
        try:
            build = partial(self.build_request, prompt, key, check=True)
            # A document is read for that: not on the loop, where every other answer would wait for it.
            request = await asyncio.to_thread(build) if prompt.media else build()
            return self.read_answer(key, await self.session.ask_engine(request, context))
        except QwenError as error:
            return Outcome.from_error(key, error, self.template().model, str(context.endpoint))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as unforeseen:  # it must not cost the other rows theirs
            return Outcome.from_error(
                key,
                QwenError(
                    f"Question {key[:12]} failed with what qwennb did not foresee: {in_words(unforeseen)}."
                ),
            )

    def read_answer(self, key: str, answer: Answer, *, is_older: bool = False) -> Outcome:
        """What *answer* means in this column; one to older words is as it was said."""
        try:
            data, sure = answer.data, None
            if self.leans is not None and not is_older and self.options.choices is not None:
                data, sure = self.leans.choose(answer, data, self.options.choices)
            value = self._form.value(answer.text, data)
        except ValidatorFailed as broken:
            error: InvalidAnswer = broken
        except Exception as complaint:
            error = InvalidAnswer(
                f"The answer to {key[:12]} does not fit its column: {complaint}. It is kept, and read again each time; "
                'cache="refresh" asks anew.'
            )
        else:
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
                self._details(answer, sure) if self._with_details else None,
                quotes=answer.quotes,
            )
        if not answer.cached:
            error.charge(answer.attempts, (answer.usage.input, answer.usage.output), answer.cost)
        return Outcome.from_error(key, error, answer.model, answer.endpoint)

    def _details(self, answer: Answer | DetailedAnswer, sure: float | None) -> Details:
        if sure is None and answer.logprobs:
            label = None if self.options.choices is None else read_form(self.template().sample, answer.text)
            sure = confidence_of(answer.logprobs, label)
        return Details(answer.reasoning, answer.logprobs, answer.sources, sure)

    def wait(self, work: Coroutine[Any, Any, None], tally: Tally) -> None:
        """Have the engine's loop do *work*; look every now and then whether somebody wants it to stop."""
        interrupts = INTERRUPTS.count
        bridge = self.session.runtime().bridge
        on_main = threading.current_thread() is threading.main_thread()
        future = bridge.start(work)
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


async def _work_together(worker: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    """Await *count* workers at once. What one raises ends the others, and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(worker())
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


def _ends_all(error: QwenError) -> bool:
    """Whether every other prompt would meet the same."""
    return isinstance(error, BudgetExceeded) or (isinstance(error, EndpointError) and error.fatal)
