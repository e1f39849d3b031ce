"""What is measured: the timing of each request, and the figures of a stage, each of them defined where it is computed.

Times are seconds since the stage began. A percentile is exact: the smallest of the values that were measured which as many
per cent of them do not exceed, and nothing between two of them. Of n values, p99 says something from n = 100 on (below, it
is the largest value by another name), so it is left out before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from qwennb.answer import Cost, Usage, sum_costs
from qwennb.errors import EndpointError

PERCENTS = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Stage:
    """How requests arrive: at a `rate` a second, or as many `streams` at a time, each of which sends its next when it is free.

    It ends after `requests` or `seconds`, whichever comes first; what is under way by then is waited for. Before it,
    `warmup` requests (one a stream, or those of a second) arrive in the same way and are in no figure.
    """

    streams: int = 0
    rate: float = 0.0
    poisson: bool = False
    requests: int | None = None
    seconds: float | None = None
    warmup: int | None = None

    @property
    def name(self) -> str:
        """What it is called in tables and files."""
        if self.streams:
            return "1 stream" if self.streams == 1 else f"{self.streams:,} streams"
        return f"{self.rate:g} a second{', Poisson' if self.poisson else ''}"

    @property
    def warm_up(self) -> Stage:
        """The stage before this one."""
        usual = self.streams or max(round(self.rate), 1)
        return replace(self, requests=usual if self.warmup is None else self.warmup, seconds=None)

    def due_times(self, random: Random) -> Iterator[float]:
        """Tell when each request of a rate is due: evenly, or by chance as callers come who know nothing of each other."""
        due = 0.0
        while True:
            yield due
            due += random.expovariate(self.rate) if self.poisson else 1 / self.rate


@dataclass(slots=True)
class Timing:
    """What one request measured; None is what it did not come to."""

    number: int
    due: float
    sent: float | None = None
    first: float | None = None  # the first piece of all, thought or answer
    first_of_answer: float | None = None
    last: float | None = None  # the last piece
    end: float | None = None  # the answer was whole, or had failed
    longest_pause: float = 0.0
    usage: Usage | None = None
    cost: Cost | None = None
    finish_reason: str | None = None
    error: EndpointError | None = None

    @property
    def is_answer(self) -> bool:
        """True for a whole answer."""
        return self.end is not None and self.error is None

    @property
    def to_first(self) -> float | None:
        """From when it was due until the first piece came, of a thought or of the answer."""
        return None if self.first is None else self.first - self.due

    @property
    def to_answer(self) -> float | None:
        """From when it was due until the first piece came that is not thought."""
        return None if self.first_of_answer is None else self.first_of_answer - self.due

    @property
    def between(self) -> float | None:
        """The time between tokens: from the first piece to the last, over one less than the tokens of the answer.

        A server may put several tokens into a piece, so pieces are not counted. None where all came at once.
        """
        if self.usage is None or self.usage.output < 2 or self.first is None or self.last is None:
            return None
        return (self.last - self.first) / (self.usage.output - 1) if self.last > self.first else None

    @property
    def pause(self) -> float | None:
        """The longest wait between two pieces; None where all came at once."""
        return self.longest_pause or None

    @property
    def total(self) -> float | None:
        """From when it was due until the answer was whole."""
        return self.end - self.due if self.end is not None and self.error is None else None

    @property
    def kind(self) -> str:
        """The kind of its error: `RateLimited 429`."""
        status = getattr(self.error, "status", None)
        return type(self.error).__name__ + (f" {status}" if status else "")


Measure = Callable[[Timing], float | None]
MEASURES: Mapping[str, tuple[Measure, str]] = {
    "first token": (lambda one: one.to_first, "from due to the first piece, thought or not"),
    "first of answer": (lambda one: one.to_answer, "from due to the first piece that is no thought"),
    "between tokens": (lambda one: one.between, "first piece to last ÷ (output tokens − 1)"),
    "longest pause": (lambda one: one.pause, "the longest wait between two pieces"),
    "end to end": (lambda one: one.total, "from due until the answer was whole"),
}  # by name: how it is taken, and what it is in words
LIMITS = {
    "first": "first token",
    "answer": "first of answer",
    "between": "between tokens",
    "total": "end to end",
}
"""The measures that may be limited, by the word that is typed for each."""


@dataclass(slots=True)
class StageRun:
    """What came of a stage so far. `window` is the seconds from its beginning until its last answer came."""

    stage: Stage
    warm: list[Timing] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    window: float = 0.0
    is_warm: bool = False
    stopped: str = ""  # why it ended before its time

    @property
    def answers(self) -> list[Timing]:
        """The requests that were answered."""
        return [one for one in self.timings if one.is_answer]

    @property
    def errors(self) -> Counter[str]:
        """How many failed, by kind."""
        return Counter(one.kind for one in self.timings if one.error is not None)

    @property
    def left(self) -> int:
        """How many were under way when it was stopped."""
        return sum(one.end is None for one in self.timings)

    def values(self, measure: str) -> list[float]:
        """Give one measure of all answers, from the least."""
        take = MEASURES[measure][0]
        return sorted(value for one in self.answers if (value := take(one)) is not None)

    def a_second(self, count: int) -> float:
        """Put *count* over the window."""
        return count / self.window if self.window else 0.0

    @property
    def output_tokens(self) -> int:
        """The tokens of all answers, thoughts included."""
        return sum(one.usage.output for one in self.answers if one.usage)

    @property
    def is_estimated(self) -> bool:
        """True where a server counted no tokens, and they are estimated."""
        return any(one.usage.estimated for one in self.answers if one.usage)

    @property
    def cost(self) -> Cost | None:
        """What was spent, the warm-up included; None where a price is unknown."""
        return sum_costs(one.cost for one in (*self.warm, *self.timings) if one.usage is not None)

    def good(self, limits: Mapping[str, float]) -> int:
        """Count the answers that keep all of *limits*, by the words of `LIMITS`."""
        takes = [(MEASURES[LIMITS[word]][0], most) for word, most in limits.items()]
        return sum(all((take(one) or 0.0) <= most for take, most in takes) for one in self.answers)


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The exact percentile of *ordered* values; None where there are too few of them for it."""
    if not ordered or (percent > 50 and len(ordered) * (100 - percent) < 100):
        return None
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]
