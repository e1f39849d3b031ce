"""Exactly once: what one evaluation of a polars plan has asked already, it does not ask again.

polars runs a Python function as often as it likes: once for every struct field that is taken from its result, once
for each branch of a plan, on several threads, and once more in every `collect`. Successes are in the cache, but an
error is not, and in the modes "refresh" and "off" nothing is looked for there. So an evaluation remembers its outcomes
in memory, and joins questions that are under way.

An evaluation is one call into polars, named by the frame of that call (polars_calls.py); when the frame has gone, so has
the evaluation, and the last line of each of its columns is told. On the thread of the call there is one such frame and no
doubt. On polars' own threads every call that is under way may be meant, and all of them remember. Where no call can be
found (a collect in the background or in pieces), what is asked within LINGER seconds of one another is one evaluation.

The engine joins equal questions too, but only while they are under way: between the end of its flight and the moment in
which the outcome is remembered here, a twin would ask a failed question again. So the joining is done here, at once with
the remembering.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from qwennb.frames.outcome import Outcome
from qwennb.frames.polars_calls import calls_under_way, find_own_call, standing_frames
from qwennb.frames.progress import Tally

LINGER = 2.0  # seconds; the next batch of a collect in pieces comes sooner, a second collect by hand later
SWEEP = 0.1  # seconds between two looks at which evaluations are over
HELD = 100_000  # outcomes that are in the cache too, held so that a batch need not look there again

# Where an outcome is filed: the endpoint's identity, the mode and the folder. Within it, by the key that was asked for: an
# outcome that was recorded in older words has another of its own.
CacheSlot = tuple[object, ...]


class Evaluation:
    """The outcomes of one evaluation, and its prompts under way (those on the engine's loop only)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.known: dict[CacheSlot, dict[str, Outcome]] = {}
        self.under_way: dict[tuple[CacheSlot, str], asyncio.Future[Outcome]] = {}
        self._light: dict[tuple[CacheSlot, str], None] = {}
        self._told: set[object] = set()

    def note(self, slot: CacheSlot, outcomes: Mapping[str, Outcome], *, durable: bool) -> None:
        """Remember these. What is *durable*, in the cache, may be let go when there is too much of it."""
        with self._lock:
            self.known.setdefault(slot, {}).update(outcomes)
            if durable:
                self._light.update(dict.fromkeys((slot, key) for key in outcomes))
            while len(self._light) > HELD:
                old_slot, key = next(iter(self._light))
                del self._light[(old_slot, key)]
                self.known[old_slot].pop(key, None)

    def first_to_say(self, what: object) -> bool:
        """Give True the first time that *what* is asked about, False after that."""
        with self._lock:
            told = what in self._told
            self._told.add(what)
            return not told


class Answers(Evaluation):
    """What one column's call was ever answered in a mode that does not look into the cache; its errors are let go."""

    def note(self, slot: CacheSlot, outcomes: Mapping[str, Outcome], *, durable: bool) -> None:
        """Remember the answers that nothing else remembers."""
        if not durable:
            answers = {key: outcome for key, outcome in outcomes.items() if outcome.error is None}
            super().note(slot, answers, durable=False)


class EvaluationGroup:
    """The evaluations under way at once, of which a prompt belongs to the first and is remembered by all."""

    def __init__(self, evaluations: Iterable[Evaluation]) -> None:
        self._evaluations = tuple(evaluations)

    def recall(self, slot: CacheSlot, keys: Sequence[str]) -> list[Outcome | None]:
        """The outcome under each of *keys* that any of them remembers."""
        outcomes: list[Outcome | None] = [None] * len(keys)
        for evaluation in reversed(self._evaluations):
            if known := evaluation.known.get(slot):
                for index, key in enumerate(keys):
                    outcomes[index] = known.get(key, outcomes[index])
        return outcomes

    async def once(
        self, slot: CacheSlot, key: str, ask: Callable[[], Awaitable[Outcome]], *, durable: bool
    ) -> Outcome:
        """The outcome of *ask*, which is awaited unless it is known or under way. On the engine's loop.

        *durable*: what succeeds is in the cache, and need not be held here.
        """
        name = (slot, key)
        while True:
            flight = None
            for evaluation in self._evaluations:
                if (known := evaluation.known.get(slot)) is not None and (
                    outcome := known.get(key)
                ) is not None:
                    return outcome
                flight = flight or evaluation.under_way.get(name)
            if flight is None:
                break
            await asyncio.wait([flight])
            if not flight.cancelled():
                return flight.result()
        mine: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        for evaluation in self._evaluations:
            evaluation.under_way[name] = mine
        try:
            outcome = await ask()
            for evaluation in self._evaluations:
                evaluation.note(slot, {key: outcome}, durable=durable and outcome.error is None)
            mine.set_result(outcome)
            return outcome
        finally:
            if not mine.done():
                mine.cancel()
            for evaluation in self._evaluations:
                del evaluation.under_way[name]

    def note(self, slot: CacheSlot, outcomes: Mapping[str, Outcome]) -> None:
        """Remember what was found in the cache."""
        self._evaluations[0].note(slot, outcomes, durable=True)

    def first_to_say(self, what: object) -> bool:
        """Give True the first time that *what* is asked about in an evaluation."""
        return self._evaluations[0].first_to_say(what)


@dataclass(eq=False, slots=True)
class ColumnRun:
    """One column in one evaluation: its number, its tally, the evaluations that it may be part of, and its batches under way."""

    number: int
    tally: Tally
    evaluations: list[Evaluation]
    batches: int = 0
    pid: int = 0


class Evaluations:
    """Which evaluations are under way in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._telling = (
            threading.RLock()
        )  # who settles, and finds nothing to tell, waits until another has told it
        self._by_entry: dict[FrameType, Evaluation] = {}
        self._runs: list[ColumnRun] = []
        self._loose: Evaluation | None = None
        self._loose_until = 0.0
        self._sweeper: threading.Timer | None = None

    def under_way(self) -> list[Evaluation]:
        """Those that the caller, a function that polars has called, may belong to."""
        with self._lock:
            entries = [entry] if (entry := find_own_call()) is not None else calls_under_way()
            if not entries:
                if self._loose is None or not self._lingers():
                    self._loose = Evaluation()
                self._loose_until = self._clock() + LINGER
                return [self._loose]
            found = [self._by_entry.setdefault(entry, Evaluation()) for entry in entries]
            self._sweep_later()
            return found

    @contextmanager
    def tally(
        self, evaluations: Sequence[Evaluation], number: int, make: Callable[[], Tally]
    ) -> Iterator[Tally]:
        """The one tally of all batches of the column with this number.

        It is told when the last of the *evaluations* that it may be part of is over. A stop holds for the batches that polars
        still begins; where no call can be told from the next, what comes after a stop is a run of its own.
        """
        with self._lock:
            run = self._run(evaluations, number)
            if run is None:
                run = ColumnRun(number, make(), list(evaluations), pid=os.getpid())
                self._runs.append(run)
            run.batches += 1
        try:
            yield run.tally
        finally:
            with self._lock:
                run.batches -= 1
                if self._loose in run.evaluations:
                    self._loose_until = self._clock() + LINGER
                self._sweep_later()

    def _run(self, evaluations: Sequence[Evaluation], number: int) -> ColumnRun | None:
        for run in self._runs:
            both = [evaluation for evaluation in run.evaluations if evaluation in evaluations]
            may_be_the_next = run.tally.stopped and self._loose in both
            if run.number == number and both and not may_be_the_next:
                run.evaluations = both
                return run
        return None

    def settle(self, *, at_once: bool = False) -> None:
        """Tell the tallies of all evaluations that are over; *at_once*: also where only time would tell."""
        with self._telling:
            for run in self._take_finished(at_once):
                if run.pid == os.getpid():  # else it is told in the process that it was forked from
                    run.tally.tell_end()

    def _take_finished(self, at_once: bool) -> list[ColumnRun]:
        """The runs that are over, which are forgotten with this."""
        with self._lock:
            standing = standing_frames()
            self._by_entry = {entry: e for entry, e in self._by_entry.items() if id(entry) in standing}
            alive = list(self._by_entry.values())
            if self._loose is not None and not at_once and self._lingers():
                alive.append(self._loose)
            over = [
                run for run in self._runs if not run.batches and not any(e in alive for e in run.evaluations)
            ]
            self._runs = [run for run in self._runs if run not in over]
            return over

    def _lingers(self) -> bool:
        return self._clock() <= self._loose_until or any(
            run.batches for run in self._runs if self._loose in run.evaluations
        )

    def _sweep_later(self) -> None:
        """A frame that is held keeps its variables, a whole table among them: not for longer than need be."""
        if self._sweeper is None:
            self._sweeper = threading.Timer(SWEEP, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        try:
            self.settle()
        finally:
            with self._lock:
                self._sweeper = None
                if self._by_entry or self._runs:
                    self._sweep_later()
