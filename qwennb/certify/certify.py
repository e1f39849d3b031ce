"""The certificate: the longest prefix of the rows, best first, that is proved to hold few enough errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qwennb.certify.few_errors import FewErrors, Whole, enough
from qwennb.certify.marks import Marks, marks_by_number, mix
from qwennb.errors import BadInput

Goal = Literal["agree", "precision", "recall"]
Oracle = Callable[[Whole], ArrayLike]
"""Tells of rows, by their indices, whether they are right (agree), or are what is looked for (precision, recall)."""
Flags: TypeAlias = NDArray[np.bool_]

PREFIXES = 20, 100  # at least, at most; each of them of a hundred rows where the table has so many
ROUND = 10  # labels between two looks
PATIENCE = 50  # labels before a prefix is given up for looking bad
CHUNK = 1024  # rows looked through at a time
FEWEST_ERRORS = 5  # that a prefix may hold for precision to begin with it: of a shorter one a single error more ends it all
WORTH = 1.0  # labels that are spent on a prefix, for each row that it would save
"""Tried on tables of 1,000 to 10,000 rows: half as much, and two to six times as much where a prefix looks good, ask more in all."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was found of one prefix: so many rows, of which so many were drawn, of which so many are wrong; at most `most` may be."""

    rows: int
    most: int
    drawn: int
    errors: int
    passed: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is proved of some rows.

    `accepted` tells of each row whether it may be taken as it is, `asked` whether its right answer was asked for along the
    way. Rows that are neither are left to whoever asks. `reached` is the least share that is proved (of all rows, with those that
    are asked right), at the confidence 1 - `delta`; `steps` are the prefixes that were tested.
    """

    goal: Goal
    target: float
    delta: float
    accepted: Flags
    asked: Flags
    rows: int
    rows_accepted: int
    errors_at_most: int
    steps: tuple[Step, ...]
    why_not: str = ""

    @property
    def labels(self) -> int:
        """How many rows were asked for it."""
        return int(self.asked.sum())

    def spread(self, rows: Whole, count: int) -> Certificate:
        """The same for a table of *count* rows of which only these *rows* were looked at."""
        accepted, asked = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        accepted[rows], asked[rows] = self.accepted, self.asked
        return replace(self, accepted=accepted, asked=asked)

    def without(self, rows: Flags) -> Certificate:
        """The same, with fewer accepted: of recall that leaves out no more, and so proves no less."""
        return replace(self, accepted=self.accepted & ~rows)

    @property
    def left(self) -> Flags:
        """The rows that are neither proved nor asked."""
        return ~(self.accepted | self.asked)

    @property
    def reached(self) -> float:
        """The least share that is proved: of all rows (agree), of those accepted (precision), of those looked for (recall)."""
        of = {"agree": self.rows, "precision": self.rows_accepted, "recall": 0}[self.goal]
        if self.goal == "recall" and self.rows_accepted:
            return self.target
        return 1 - self.errors_at_most / of if of else 1.0


def certify(
    scores: ArrayLike,
    oracle: Oracle,
    target: float,
    delta: float = 0.05,
    *,
    goal: Goal = "agree",
    counts: ArrayLike | None = None,
    marks: Marks | None = None,
    likely: ArrayLike | None = None,
    tries: int = 0,
) -> Certificate:
    """Prove for as many rows as can be, the best *scores* first, that what is said of them is right as often as *target*.

    agree: at most 1 - target of all rows are wrong, when those are right that are not accepted. precision: of those
    accepted. recall: of all rows that are looked for, the share of target is not among those *accepted as none* — so that for
    recall the best score is that of a row which is surely none, and `oracle` tells which rows are looked for.

    Each is wrong with a probability of at most *delta*, in the choice of the rows that are drawn; nothing is assumed of the
    scores or of the rows' order. *counts* tells how often each row stands in the table, *marks* the order in which they
    are drawn. For recall, those that are *likely* what is looked for are all asked first, and bound how many may be missed;
    without any, that is left to the rows that are drawn. With some *tries* a prefix may fail so often before that ends it, at the
    price of a smaller delta each.
    """
    if goal not in get_args(Goal):
        raise BadInput(f"There is no certificate of {goal!r}; there are {', '.join(get_args(Goal))}.")
    check_share("target", target)
    check_share("delta", delta)
    population = Population(scores, counts, marks, likely if goal == "recall" else None)
    proof = Proof(goal, target, delta, population, oracle)
    if goal != "recall":
        return proof.test_prefixes(tries=tries)
    return proof.ask_top() if population.likely.any() else proof.draw_positives()


def check_share(name: str, value: float) -> None:
    """Refuse what is no share strictly between none and all."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise BadInput(f"{name}={value!r} must be above 0 and below 1, as 0.95 is.")


class Population:
    """The rows in the order of their scores, each as often as it stands in the table; and the order in which they are drawn.

    What is drawn is a row of the table, so that a text that stands there a hundred times weighs a hundred times; its
    answer is asked once.
    """

    def __init__(
        self,
        scores: ArrayLike,
        counts: ArrayLike | None = None,
        marks: Marks | None = None,
        likely: ArrayLike | None = None,
    ) -> None:
        given = np.asarray(scores, dtype=np.float64)
        if given.ndim != 1 or np.isnan(given).any():
            raise BadInput("scores= takes a number for each row, and none of them may be NaN.")
        self.unique = len(given)
        self.times = np.ones(self.unique, np.int64) if counts is None else np.asarray(counts, dtype=np.int64)
        if self.times.shape != given.shape or (self.times < 1).any():
            raise BadInput("counts= takes a whole number above 0 for each row.")
        self.likely = np.zeros(self.unique, np.bool_) if likely is None else np.asarray(likely, np.bool_)
        marks = marks_by_number(self.unique) if marks is None else marks
        # Ties by hash, not by their place in the table; what is asked outright comes last.
        self.order = np.lexsort((marks, -given, self.likely))
        self._ends = np.cumsum(self.times[self.order])
        self.rows = int(self._ends[-1]) if self.unique else 0
        self.places = np.empty(self.unique, np.int64)
        self.places[self.order] = np.arange(self.unique)
        self.drawn = self._draw(marks)
        self._drawn_places = self.places.astype(np.int32)[self.drawn]  # half as much to look through

    def _draw(self, marks: Marks) -> Whole:
        """Draw every row of the table, one after the other; a unique row comes as often as it stands there."""
        own = mix(marks, 1)
        if self.rows == self.unique:
            return np.argsort(own, kind="stable")
        rows = np.repeat(np.arange(self.unique), self.times)
        number = np.arange(self.rows) - np.repeat(np.cumsum(self.times) - self.times, self.times)
        each = mix(own[rows] ^ mix(number.astype(np.uint64), 2), 3)
        made: Whole = rows[np.argsort(each, kind="stable")]
        return made

    def draw_from(self, cut: int) -> Whole:
        """Draw the rows of a prefix, in the same order."""
        return self.drawn[self._drawn_places < cut]

    def cuts(self) -> list[int]:
        """Cut the unique rows in their order into prefixes of about as many rows of the table more each; but what is likely."""
        last = self.unique - int(self.likely.sum())
        rows = self.count(last)
        parts = min(max(rows // 100, PREFIXES[0]), PREFIXES[1])
        aims = np.ceil(np.arange(1, parts + 1) * rows / parts)
        found = np.minimum(np.searchsorted(self._ends, aims) + 1, last)
        return [int(one) for one in np.unique(found) if one]

    def count(self, cut: int) -> int:
        """Count the rows of the table in a prefix of so many unique rows."""
        return int(self._ends[cut - 1]) if cut else 0


class Verdicts:
    """What the oracle has said of unique rows so far; each is asked once."""

    def __init__(self, population: Population, oracle: Oracle) -> None:
        self._oracle = oracle
        self.known = np.zeros(population.unique, np.bool_)
        self.said = np.zeros(population.unique, np.bool_)
        self.count = 0

    def ask(self, rows: Whole) -> None:
        """Have those of *rows* told that are not known, and no row twice."""
        fresh = np.unique(rows[~self.known[rows]])
        if not len(fresh):
            return
        said = np.asarray(self._oracle(fresh), dtype=np.bool_)
        if said.shape != fresh.shape:
            raise BadInput(f"The oracle was asked about {len(fresh)} rows and told of {said.size}.")
        self.said[fresh] = said
        self.known[fresh] = True
        self.count += len(fresh)

    def read(self, rows: Whole, start: int) -> Flags:
        """Read what was said of *rows* from *start* on, up to the first of which nothing is known."""
        end = start
        while end < len(rows):
            some = self.known[rows[end : end + CHUNK]]
            end += len(some) if some.all() else int(np.argmin(some))
            if not some.all():
                break
        return self.said[rows[start:end]]


class Proof:
    """One certificate in the making."""

    def __init__(
        self, goal: Goal, target: float, delta: float, population: Population, oracle: Oracle
    ) -> None:
        self._goal, self._target, self._delta = goal, target, delta
        self._population, self._labels = population, Verdicts(population, oracle)
        self._is_error_if = goal == "recall"  # what the oracle says of a row that should not be accepted
        self._steps: list[Step] = []

    def test_prefixes(self, *, tries: int = 0, most: int | None = None) -> Certificate:
        """Test prefixes in increasing order, until more than *tries* have failed; with *most* errors in each.

        No union bound is needed: to claim what is false, one of the first tries + 1 false prefixes must pass (fixed-sequence
        testing). The last that passes is claimed.
        """
        population, level = self._population, enough(self._delta / (tries + 1))
        best, failed, before = 0, 0, 0
        cuts = population.cuts()
        for cut in cuts:
            allowed = most
            if allowed is None:
                rows = population.count(cut) if self._goal == "precision" else population.rows
                allowed = floor_of(1 - self._target, rows)
            if self._goal == "precision" and allowed < FEWEST_ERRORS and cut != cuts[-1]:
                continue
            step = self._test(cut, allowed, level, gain=cut - before)
            self._steps.append(step)
            before = cut
            if step.passed:
                best = cut
            else:
                failed += 1
                if failed > tries:
                    break
        return self._certify(best, next((one.most for one in self._steps[::-1] if one.passed), 0))

    def _test(self, cut: int, most: int, level: float, *, gain: int) -> Step:
        """Draw rows of a prefix until it has passed, or looks as if it never would.

        When to stop is anybody's choice: a prefix that has not passed claims nothing.
        """
        population, labels = self._population, self._labels
        rows = population.count(cut)
        if rows <= most:
            return Step(rows, most, 0, 0, passed=True)
        test = FewErrors(rows, most)
        members = population.draw_from(cut)
        cap = labels.count + max(PATIENCE, round(WORTH * gain))
        drawn = errors = 0
        while True:
            fresh = labels.read(members, drawn)
            drawn += len(fresh)
            errors += int((fresh == self._is_error_if).sum())
            passed = test.log_evidence(drawn, errors) >= level
            is_over = drawn == len(members) or labels.count >= cap
            if passed or is_over or _looks_bad(drawn, errors, most / rows):
                return Step(rows, most, drawn, errors, passed)
            labels.ask(members[drawn : drawn + max(ROUND, drawn // ROUND)])

    def ask_top(self) -> Certificate:
        """Prove recall by what is left: ask all that are likely looked for, and bound how many others there are.

        P are found among them. Where at most E = P·(1-T)/T are left below, P/(P+E) ≥ T are found: P is what it is before
        any row below is drawn, so that E is the same for each prefix of the rest, and they are tested as for agreement.
        """
        population, labels = self._population, self._labels
        labels.ask(np.flatnonzero(population.likely))
        found = int(population.times[population.likely & labels.said].sum())
        return self.test_prefixes(most=missable(self._target, found))

    def draw_positives(self) -> Certificate:
        """Prove recall by a sample: draw until so many are found that some of the worst scores can be told to hold few of them.

        Those that are found first, in an order by chance, are themselves a sample of all that are looked for. Of n of them,
        m in the prefix: were more than 1-T of all in it, no more than m would be seen with a probability of at most
        BinomCDF(m; n, 1-T) (without returning them it is less still). The largest m for which that is at most delta is
        fixed by n; and n before anything is drawn.
        """
        population, labels = self._population, self._labels
        wanted = positives_for(self._target, self._delta, missed=1)
        place = 0
        while place < population.rows:
            rows = population.drawn[place : place + ROUND]
            labels.ask(rows)
            place += len(rows)
            if int(labels.said[population.drawn[:place]].sum()) >= wanted:
                break
        drawn = population.drawn[:place]
        hits = drawn[labels.said[drawn]][:wanted]
        if place < population.rows and len(hits) == wanted:
            cut = int(np.sort(population.places[hits])[1])
            return self._certify(cut, 0)
        return self._certify(0, 0)

    def _certify(self, cut: int, most: int) -> Certificate:
        population = self._population
        accepted = np.zeros(population.unique, np.bool_)
        accepted[population.order[:cut]] = True
        return Certificate(
            self._goal,
            self._target,
            self._delta,
            accepted,
            self._labels.known,
            population.rows,
            population.count(cut),
            most,
            tuple(self._steps),
        )


def _looks_bad(drawn: int, errors: int, most: float) -> bool:
    """Whether more of the rows are wrong than may be, by a standard error."""
    share = errors / drawn if drawn else 0.0
    return drawn >= PATIENCE and share - math.sqrt(share * (1 - share) / drawn) > most


def floor_of(share: float, rows: int) -> int:
    """Take a share of *rows*, whole; floats may have left a hair below it: (1 - 0.9) * 1000 is 99.99999999999997."""
    return math.floor(share * rows + 1e-9)


def missable(target: float, found: int) -> int:
    """Count how many may be missed where so many are found: found / (found + missed) ≥ target."""
    return floor_of((1 - target) / target, found)


def positives_for(target: float, delta: float, *, missed: int = 0) -> int:
    """Count the positives that must be seen, so that *missed* of them in a prefix still prove that it holds at most 1-target."""
    count = missed + 1
    while _binomial_cdf(missed, count, 1 - target) > delta:
        count += 1
    return count


def _binomial_cdf(most: int, count: int, share: float) -> float:
    return sum(math.comb(count, one) * share**one * (1 - share) ** (count - one) for one in range(most + 1))
