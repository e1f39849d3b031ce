"""Exactly once: what one evaluation of a polars plan has asked already, it does not ask again.

polars runs a Python function as often as it likes: once for every struct field that is taken from its result, once
for each branch of a plan, on several threads, and once more in every `collect`. Successes are in the cache, but an
error is not, and in the modes "refresh" and "off" nothing is looked for there. So an evaluation remembers its outcomes
in memory, and joins questions that are under way.

An evaluation is one call into polars: the function has been called from it if, on this thread or another, a stack
stands in polars' code. The entry of that stack, the outermost frame of polars in an unbroken run, names the evaluation;
when the frame has gone, so has the evaluation, and the last line of each of its columns is told. On the thread of the
call there is one such frame and no doubt. On polars' own threads every call that is under way may be meant, and all of
them remember. Where no stack can be found (a collect in the background or in pieces), what is asked within LINGER
seconds of one another is one evaluation.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import polars as pl

from qwennb.collector import stack_guard
from qwennb.frames.outcome import Outcome
from qwennb.frames.progress import Tally

LINGER = 2.0
SWEEP = 0.1
HELD = 100_000  # outcomes that are in the cache too, held so that a batch need not look there again

_ROOM = __name__.rpartition(".")[0]
OURS = (f"{_ROOM}.evaluator", "batch")  # the module and the name of the function that polars calls
_POLARS = str(Path(pl.__file__).parent)

# Where an outcome is filed: the endpoint's identity, the mode and the folder. Within it, by the request's key.
CacheSlot = tuple[object, ...]


class Evaluation:
    """The outcomes of one evaluation, and its questions under way (those on the engine's loop only)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[CacheSlot, dict[str, Outcome]] = {}
        self._light: dict[tuple[CacheSlot, str], None] = {}
        self.under_way: dict[tuple[CacheSlot, str], asyncio.Future[Outcome]] = {}
        self._told: set[object] = set()

    def recall(self, slot: CacheSlot, key: str) -> Outcome | None:
        """The outcome, where it is remembered."""
        shelved = self._known.get(slot)
        return shelved.get(key) if shelved is not None else None

    def knows(self, slot: CacheSlot) -> bool:
        """True when there is anything on this shelf."""
        return bool(self._known.get(slot))

    def note(self, slot: CacheSlot, outcomes: Iterable[Outcome], *, durable: bool) -> None:
        """Remember these. What is *durable*, in the cache, may be let go when there is too much of it."""
        with self._lock:
            shelved = self._known.setdefault(slot, {})
            for outcome in outcomes:
                shelved[outcome.key] = outcome
                if durable:
                    self._light[(slot, outcome.key)] = None
            while len(self._light) > HELD:
                old_shelf, key = next(iter(self._light))
                del self._light[(old_shelf, key)]
                self._known[old_shelf].pop(key, None)

    def first_to_say(self, what: object) -> bool:
        """True once."""
        with self._lock:
            told = what in self._told
            self._told.add(what)
            return not told


class Answers(Evaluation):
    """What one column's call was ever answered in a mode that does not look into the cache; its errors are let go."""

    def note(self, slot: CacheSlot, outcomes: Iterable[Outcome], *, durable: bool) -> None:
        """Remember the answers that nothing else remembers."""
        if not durable:
            super().note(slot, (o for o in outcomes if o.error is None), durable=False)


class EvaluationGroup:
    """The evaluations under way at once, of which a question belongs to the first and is remembered by all."""

    def __init__(self, evaluations: Iterable[Evaluation]) -> None:
        self._evaluations = tuple(evaluations)

    def recall(self, slot: CacheSlot, key: str) -> Outcome | None:
        """The outcome, if any of them remembers it."""
        for evaluation in self._evaluations:
            if (outcome := evaluation.recall(slot, key)) is not None:
                return outcome
        return None

    def recall_many(self, slot: CacheSlot, keys: Sequence[str]) -> list[Outcome | None]:
        """As `known`, for very many."""
        if not any(evaluation.knows(slot) for evaluation in self._evaluations):
            return [None] * len(keys)
        return [self.recall(slot, key) for key in keys]

    async def once(
        self,
        slot: CacheSlot,
        key: str,
        ask: Callable[[], Awaitable[Outcome]],
        is_durable: Callable[[Outcome], bool],
    ) -> Outcome:
        """The outcome of *ask*, which is awaited unless it is known or under way. On the engine's loop."""
        name = (slot, key)
        while True:
            if (outcome := self.recall(slot, key)) is not None:
                return outcome
            flight = next((e.under_way[name] for e in self._evaluations if name in e.under_way), None)
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
                evaluation.note(slot, [outcome], durable=is_durable(outcome))
            mine.set_result(outcome)
            return outcome
        finally:
            if not mine.done():
                mine.cancel()
            for evaluation in self._evaluations:
                del evaluation.under_way[name]

    def note(self, slot: CacheSlot, outcomes: Iterable[Outcome]) -> None:
        """Remember what was found in the cache."""
        self._evaluations[0].note(slot, outcomes, durable=True)

    def first_to_say(self, what: object) -> bool:
        """True once in an evaluation."""
        return self._evaluations[0].first_to_say(what)


@dataclass(eq=False, slots=True)
class ColumnRun:
    """One column in one evaluation: its tally, the evaluations that it may be part of, and its batches under way."""

    column: int
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
            entries = [entry] if (entry := _entry(sys._getframe())) is not None else _entries()
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
        self, evaluations: Sequence[Evaluation], column: int, make: Callable[[], Tally]
    ) -> Iterator[Tally]:
        """The one tally of all batches of the column with this number; a new one after it was stopped.

        It is told when the last of the *evaluations* that it may be part of is over.
        """
        with self._lock:
            run = self._run(evaluations, column)
            if run is None:
                run = ColumnRun(column, make(), list(evaluations), pid=os.getpid())
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

    def _run(self, evaluations: Sequence[Evaluation], column: int) -> ColumnRun | None:
        for run in self._runs:
            both = [evaluation for evaluation in run.evaluations if evaluation in evaluations]
            if run.column == column and both and not run.tally.stopped:
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
            standing = _standing()
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


def _entries() -> list[FrameType]:
    """The entry into polars of every thread that is in it."""
    with stack_guard:
        return [entry for frame in sys._current_frames().values() if (entry := _entry(frame)) is not None]


def _standing() -> set[int]:
    """The `id` of every frame of every thread: inside a function of the user's the entry is not the nearest of polars'."""
    found: set[int] = set()
    with stack_guard:
        for top in sys._current_frames().values():
            frame: FrameType | None = top
            while frame is not None:
                found.add(id(frame))
                frame = frame.f_back
    return found


def _entry(frame: FrameType | None) -> FrameType | None:
    """The entry into polars in a stack: below our own function, the outermost of an unbroken run of polars' frames."""
    # What our function does with polars itself, rendering prompts, is nobody's evaluation: begin below it.
    below: FrameType | None = frame
    while below is not None:
        if below.f_code.co_name == OURS[1] and below.f_globals.get("__name__") == OURS[0]:
            frame = below
        below = below.f_back
    while frame is not None and not _is_polars(frame):
        frame = frame.f_back
    while frame is not None and frame.f_back is not None and _is_polars(frame.f_back):
        frame = frame.f_back
    # On a thread of polars' own, the frames that called us are polars' too, and nothing stands below them.
    if frame is None or frame.f_back is None:
        return None
    # `collect_batches` is entered anew for every piece that is taken from it, and goes on in between.
    if frame.f_code.co_name == "__next__":
        return None
    return None if str(frame.f_back.f_globals.get("__name__")).startswith(_ROOM) else frame


def _is_polars(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_POLARS)
