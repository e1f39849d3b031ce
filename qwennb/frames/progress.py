"""How far a run is: counted as answers come, shown in a terminal, handed to whoever watches, and one line at the end.

A terminal has a bar. A watcher (a notebook's widget) is called where one was given, by `progress=` or for all runs in
`watchers`. Output that goes to a file or a pipe has a line a minute. What is over in a moment shows nothing there. The last
line says only what a replay would say too: what lasts in a saved notebook must not change from run to run.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

from qwennb.answer import money, spell_tokens
from qwennb.errors import CallbackFailed, QwenFrameWarning, user_code
from qwennb.frames.outcome import Outcome
from qwennb.terminal import flatten
from qwennb.text import shorten
from qwennb.warn import warn_user
from qwennb.watchers import watchers

if TYPE_CHECKING:
    from qwennb.tracing import Trace

EVERY = 0.2
MINUTE = 60.0  # between two lines in a file
WIDTH = 24
WIPE = "\r\x1b[K"
PATIENCE = 1.0  # seconds before a bar is worth drawing
COUNTED = 2_000_000  # questions of one plan that are told apart; beyond it a repeated one counts again

_runs = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `stop` ends it: what is finished is kept.

    `run` is the run's number in this process. In `batches`, polars brings its rows piece by piece: `rows` and `unique`
    grow. `finished` is said once, when the run is over; in `batches` that is on another thread, a moment later.
    `note` is what the run waits for, where there is more to say than numbers. Of several `draws` each counts in `unique`.
    """

    rows: int
    unique: int
    done: int
    cached: int
    failed: int
    tokens: tuple[int, int]
    cost: float | None
    seconds: float
    finished: bool
    model: str
    stop: Callable[[], None]
    run: int = 0
    batches: bool = False
    note: str = ""
    draws: int = 1

    @property
    def per_minute(self) -> float:
        """Answers a minute, not counting what was known."""
        return 60 * (self.done - self.cached) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None while nothing has come."""
        rate = self.per_minute
        return 60 * (self.unique - self.done) / rate if rate else None

    @property
    def cost_at_the_end(self) -> float | None:
        """At this cost an answer; None where the price is unknown."""
        return None if self.cost is None or not self.done else self.cost * self.unique / self.done

    @property
    def cost_of_the_rest(self) -> float | None:
        """What the questions without an outcome would cost, at this cost an answer; None where nobody knows."""
        end = self.cost_at_the_end
        return None if end is None or self.cost is None else end - self.cost

    @property
    def line(self) -> str:
        """What the run was, in words that hold for its replay too."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        missing = self.unique - self.done
        unasked = f", {missing:,} not asked" if missing else ""
        draws = f" ({self.draws:,} draws each)" if self.draws > 1 else ""
        rows = f"{self.rows:,} rows, {self.unique:,} unique{draws}{failed}{unasked}"
        return " · ".join([self.model, rows, spell_tokens(*self.tokens), money(self.cost)])


Watcher = Callable[[Progress], None]


class Tally:
    """Counts one run, and shows it.

    In `batches` it begins empty: `is_new_batch`, `add_rows` and `expect` say what is to come. Each output of a column is made
    of all rows, so the rows are those of the output that most came for; a question that several batches hold counts once.
    """

    def __init__(
        self,
        rows: int,
        unique: int,
        model: str,
        *,
        progress: bool | Watcher | None = None,
        batches: bool = False,
        draws: int = 1,
        compare: Callable[[Counter[Any]], None] | None = None,
        out: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._batches, self._draws = next(_runs), batches, draws
        self._rows_of, self._compare = Counter[str](), compare
        self._pairs_of: dict[str, Counter[Any]] = {}
        self._seen: set[int] = set()  # hashes: of batches, and of the keys of their questions
        self._awaited: set[int] = set()
        self._note = ""
        out = out or sys.stderr
        self._clock = clock
        self._began = self._shown = clock()
        self._lock = threading.Lock()
        self._rows, self._unique, self._model = rows, unique, model
        self._done = self._cached = self._failed = self._input = self._output = 0
        self._cost: float | None = 0.0
        self._lost: float | None = 0.0
        self._stop = threading.Event()
        self._ended = False
        self._watcher = (
            progress if callable(progress) else watchers[0] if progress is None and watchers else None
        )
        self._text = None
        if self._watcher is None and progress is not False and (style := _style(out, progress)):
            self._text = WrittenProgress(out, style, patience=0.0 if progress is True else PATIENCE)
        self.trace: Trace | None = None
        """What hears of the run, where somebody listens. In `batches` it ends with the run; else who began it ends it."""
        self.first_error: Outcome | None = None
        self.cut = 0
        """Texts that were cut at the column's own limit."""
        self.first_cut: Outcome | None = None

    @property
    def stopped(self) -> bool:
        """True once somebody has stopped the run."""
        return self._stop.is_set()

    @property
    def failed(self) -> int:
        """Questions that failed."""
        return self._failed

    @property
    def cost_of_failures(self) -> float | None:
        """US dollars that the questions cost that failed; None where that is unknown. No part of the run's last line."""
        return self._lost

    @property
    def remaining(self) -> int:
        """Questions without an outcome."""
        return self._unique - self._done

    def is_new_batch(self, questions: Sequence[object], rows: int) -> bool:
        """Tell whether no batch of this many rows with these questions was asked about before."""
        with self._lock:
            return self._is_new(hash((rows, *(str(q) if isinstance(q, Exception) else q for q in questions))))

    def add_rows(self, rows: int, output: str) -> None:
        """Count the rows of a batch of *output*."""
        with self._lock:
            self._rows_of[output] += rows
            self._rows = max(self._rows_of.values())

    def add_pairs(self, pairs: Counter[Any], output: str) -> None:
        """Count the pairs of an answer and its truth in a batch of *output*, to be compared when the run is over."""
        with self._lock:
            self._pairs_of.setdefault(output, Counter()).update(pairs)

    def expect(self, keys: Iterable[str], model: str) -> None:
        """These are asked of *model* in a batch."""
        with self._lock:
            self._model = model
            fresh = set(map(hash, keys)) - self._seen
            self._unique += len(fresh)
            self._awaited |= fresh
            if len(self._seen) < COUNTED:
                self._seen |= fresh

    def add(self, key: str, outcome: Outcome) -> None:
        """Count the *outcome* that has come, or was known, of the question that *key* was expected as."""
        with self._lock:
            if not self._batches or self._is_awaited(key, outcome):
                self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        self._done += 1
        self._cached += outcome.cached
        if outcome.error is not None:
            self._failed += 1
            self._lost = None if outcome.cost is None or self._lost is None else self._lost + outcome.cost
            self.first_error = self.first_error or outcome
            return
        self._input += outcome.input_tokens
        self._output += outcome.output_tokens
        if outcome.cost is None:
            self._cost = None
        elif self._cost is not None:
            self._cost += outcome.cost
        if outcome.finish_reason == "length":
            self.cut += 1
            self.first_cut = self.first_cut or outcome

    def add_beside(self, name: object, input_tokens: int, output_tokens: int, cost: float | None) -> None:
        """Count what questions took that are no row's; what has the same *name*, once."""
        with self._lock:
            if self._is_new(hash(("beside", name))):
                self._input += input_tokens
                self._output += output_tokens
                self._cost = None if cost is None or self._cost is None else self._cost + cost

    def _is_awaited(self, key: str, outcome: Outcome) -> bool:
        if not key:  # it never became a question, and so was not expected
            is_new = self._is_new(hash(str(outcome.error)))
            self._unique += is_new
            return is_new
        is_awaited = hash(key) in self._awaited
        self._awaited.discard(hash(key))
        return is_awaited

    def _is_new(self, name: int) -> bool:
        is_new = name not in self._seen
        self._seen.add(name)
        return is_new

    def note(self, words: str) -> None:
        """What is waited for, until the next note."""
        self._note = words

    def show(self, *, now: bool = False, finished: bool = False) -> None:
        """Show how far it is, now and then, or *now*; the last time always, and once."""
        if self._ended or (self._watcher is None and self._text is None):
            return
        self._ended = finished
        time = self._clock()
        every = MINUTE if self._text and self._text.style == "lines" else 0.0 if now else EVERY
        if not finished and time - self._shown < every:
            return
        self._shown = time
        progress = self.progress(finished=finished)
        if self._text is not None:
            self._text.write(progress)
        if self._watcher is None:
            return
        try:
            with user_code(
                "progress=", CallbackFailed, "Every answer so far is kept; mend it, and run again."
            ):
                self._watcher(progress)
        except BaseException:
            self._ended = True  # who watches is broken
            raise

    def tell_end(self) -> None:
        """Say that the run is over, where that was not said: it failed, was stopped, or polars has brought the last batch.

        Rows that asked nothing were no run.
        """
        try:
            if self._unique:
                self.show(finished=True)
        except CallbackFailed as failed:  # the run is over: there is nobody to raise it to
            warn_user(str(failed), QwenFrameWarning)
        if self._compare is not None and self._pairs_of:
            self._compare(max(self._pairs_of.values(), key=Counter.total))
        if self._batches and self.trace is not None:
            self.trace.end()

    def progress(self, *, finished: bool = False) -> Progress:
        """How far it is."""
        with self._lock:
            return Progress(
                self._rows,
                self._unique,
                self._done,
                self._cached,
                self._failed,
                (self._input, self._output),
                self._cost,
                self._clock() - self._began,
                finished,
                self._model,
                self._stop.set,
                self._run,
                self._batches,
                "" if finished else self._note,
                self._draws,
            )


def _style(out: IO[str] | None, progress: object) -> Literal["bar", "lines"] | None:
    """How a run that nobody watches is shown. In a notebook only if that was asked for: its outputs are kept."""
    if out is None:
        return None
    if out.isatty():
        return "bar"
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is None:
        return "lines"
    return "bar" if progress is True else None


class WrittenProgress:
    """Progress as text: a bar in a terminal, a line a minute in a file, and one line at the end.

    What is over sooner than *patience* shows nothing, unless it *always* shows its last line.
    """

    def __init__(
        self,
        out: IO[str],
        style: Literal["bar", "lines"],
        *,
        patience: float = PATIENCE,
        always: bool = False,
    ) -> None:
        self.style = style
        self._out, self._patience, self._always = out, patience, always
        self._drawn = False

    def write(self, progress: Progress) -> None:
        """Write how far it is; a bar in place of the last one, and within the terminal's width, else it would flood it."""
        is_bar = self.style == "bar"
        if progress.finished:
            told = self._always or self._drawn or (not is_bar and progress.seconds >= self._patience)
            text = progress.line if told else ""
        elif is_bar:
            text = _bar(progress, _columns(self._out)) if progress.seconds >= PATIENCE else ""
        else:
            text = ", ".join(filter(None, _report(progress).values()))
        if not text:
            return
        self._drawn = True
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more, a file that was closed
            is_last = not is_bar or progress.finished
            # A batch that is done may be the last: what the user prints next begins on a line of its own.
            is_done = not is_last and progress.batches and progress.done == progress.unique
            start, after = (WIPE if is_bar else ""), (WIPE if is_done else "")
            self._out.write(f"{start}{flatten(text)}{chr(10) if is_last else after}")
            self._out.flush()


def _columns(out: IO[str]) -> int:
    with suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(out.fileno()).columns
    return shutil.get_terminal_size().columns


def _bar(progress: Progress, columns: int) -> str:
    """Draw the bar and say the rest, with what matters least left out until it fits in *columns*."""
    told = _report(progress)
    for left_out in ((), ("rate",), ("rate", "cached"), ("rate", "cached", "failed", "left")):
        said = ", ".join(text for name, text in told.items() if text and name not in left_out)
        for width in (WIDTH, WIDTH // 2):
            full = width * progress.done // max(progress.unique, 1)
            line = f"{'█' * full}{'░' * (width - full)} {said}"
            if len(line) < columns:
                return line
    return shorten(said, columns - 1)


def _report(progress: Progress) -> dict[str, str]:
    left, end = progress.seconds_left, progress.cost_at_the_end
    return {
        "done": f"{progress.done:,}/{progress.unique:,}",
        "cached": f"{progress.cached:,} from cache" if progress.cached else "",
        "failed": f"{progress.failed:,} failed" if progress.failed else "",
        "rate": f"{progress.per_minute:,.0f} a minute",
        "cost": f"{money(progress.cost)}" + (f" of about {money(end)}" if end else ""),
        "left": f"{left:,.0f} s left" if left is not None else "",
        "note": progress.note,
    }
