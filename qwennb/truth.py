"""Answers held against the truth: what share is right, within which interval, and what was taken for what.

Three kinds, told by the values: labels (accuracy and confusion), yes or no (precision and recall beside it), numbers (mean
error and rank correlation). Plain values in, figures and one small table out; checks, columns and Review print the same.
Beside it Cohen's kappa: how far two agree beyond what chance alone gives.
"""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qwennb.errors import BadInput
from qwennb.terminal import drop_controls
from qwennb.text import plural, table

YES_NO = ("yes", "no")
Z = 1.959963984540054  # the normal distribution's 97.5 % point: intervals of 95 %
WIDE = 8  # labels of a confusion that is shown whole; of more, the mistakes that were made most
MOST = 8  # of those

Kind = Literal["labels", "yes or no", "numbers"]


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some rows, with its 95 % interval (Wilson's, which holds for few rows and for shares near 0 and 1).

    Attributes
    ----------
    count, of : int
        So many of so many.
    value : float or None
        The share; None of no rows.
    interval : tuple of float or None
        Where the true share lies, in 95 of 100 such samples.
    """

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval."""
        if not self.of:
            return None
        share, square = self.count / self.of, Z * Z
        middle = share + square / (2 * self.of)
        half = Z * math.sqrt(share * (1 - share) / self.of + square / (4 * self.of * self.of))
        whole = 1 + square / self.of
        # Its ends are exact where all or none count; rounding would leave 1e-17.
        low = 0.0 if self.count == 0 else max(0.0, (middle - half) / whole)
        return low, 1.0 if self.count == self.of else min(1.0, (middle + half) / whole)

    def __str__(self) -> str:
        if self.interval is None:
            return "unknown (of no rows)"
        low, high = self.interval
        return f"{self.count / self.of:.1%} ({self.count:,} of {self.of:,}; 95 %: {low:.1%} to {high:.1%})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Answers held against the truth. `print` it for the table.

    Attributes
    ----------
    kind : str
        "labels", "yes or no" or "numbers".
    rows : int
        The rows that were compared: those with a truth and an answer.
    without_truth, without_answer : int
        The rows that were left out.
    accuracy : Share
        What share is right, with `value` and `interval`.
    confusion : Mapping
        How often each pair (truth, answer) came; empty for numbers.
    precision, recall : Share or None
        For yes or no: of the answers yes, how many are true; of what is true, how much was answered yes.
    by_label : Mapping
        Of the rows with each true label, the `Share` that was answered so; empty for numbers.
    no_label : int
        The rows whose truth is none of the labels that could be answered; they count as wrong.
    mean_error : float or None
        For numbers: how far they are off, on average.
    rank_correlation : float or None
        For numbers: Spearman's, from -1 to 1; None where one side is all the same.

    Examples
    --------
    >>> found = qwennb.compare(["praise", "praise", "complaint", None], ["praise", "complaint", "complaint", "praise"])
    >>> found.accuracy.count, found.rows, found.without_answer
    (2, 3, 1)
    >>> found.confusion["complaint", "praise"]
    1
    """

    kind: Kind
    rows: int
    without_truth: int
    without_answer: int
    accuracy: Share
    confusion: Mapping[tuple[str, str], int]
    labels: tuple[str, ...]
    name: str = "answers"
    precision: Share | None = None
    recall: Share | None = None
    mean_error: float | None = None
    rank_correlation: float | None = None
    no_label: int = 0

    @property
    def by_label(self) -> Mapping[str, Share]:
        """Of the rows with each true label, the share that was answered so; empty for numbers."""
        of = Counter[str]()
        for (true, _), count in self.confusion.items():
            of[true] += count
        return {
            label: Share(self.confusion.get((label, label), 0), of[label])
            for label in self.labels
            if of[label]
        }

    def __str__(self) -> str:
        return drop_controls("\n".join([*self._headline(), *self._confusion_table(), *self._left_out()]))

    def _headline(self) -> list[str]:
        if self.kind == "numbers":
            error = "unknown" if self.mean_error is None else f"{self.mean_error:.3g}"
            ranks = "unknown" if self.rank_correlation is None else f"{self.rank_correlation:.2f}"
            return [
                f"{self.name}: mean error {error}, rank correlation {ranks}, over {plural(self.rows, 'row')}"
            ]
        lines = [f"{self.name}: accuracy {self.accuracy}"]
        if self.precision is not None and self.recall is not None:
            lines += [f"  precision {self.precision}", f"  recall    {self.recall}"]
        return lines

    def _confusion_table(self) -> list[str]:
        if not self.confusion:
            return []
        if len(self.labels) <= WIDE:
            said = [label for label in self.labels if any(pair[1] == label for pair in self.confusion)]
            true = [label for label in self.labels if any(pair[0] == label for pair in self.confusion)]
            rows = [
                ["truth \\ answer", *said],
                *([label, *(f"{self.confusion.get((label, one), 0):,}" for one in said)] for label in true),
            ]
            return table(rows, right=range(1, len(said) + 1))
        wrong = Counter({pair: count for pair, count in self.confusion.items() if pair[0] != pair[1]})
        rows = [[true, "answered", said, f"{count:,}"] for (true, said), count in wrong.most_common(MOST)]
        more = len(wrong) - len(rows)
        return (
            [*table(rows, right=[3]), *([f"  and {more:,} other mistakes"] if more else [])] if rows else []
        )

    def _left_out(self) -> list[str]:
        told = []
        if self.without_truth:
            told.append(f"{plural(self.without_truth, 'row')} without a truth")
        if self.without_answer:
            told.append(f"{plural(self.without_answer, 'row')} without an answer")
        lines = [f"  left out: {', '.join(told)}"] if told else []
        if self.no_label:
            lines.append(
                f"  {plural(self.no_label, 'row')} with a truth that is none of the labels: counted as wrong"
            )
        return lines


def compare(
    answers: Iterable[Any], truth: Iterable[Any], *, labels: Sequence[str] = (), name: str = "answers"
) -> Comparison:
    """Hold answers against the truth: accuracy with its interval, the confusion, the error of numbers.

    A column's `truth="gold"` prints the same at the end of its run.

    Parameters
    ----------
    answers : Series or list
        What was answered: labels, truth values or numbers.
    truth : Series or list
        What is right, row by row. Rows without either are left out and counted.
    labels : sequence of str, optional
        The order of labels in the table; as they come without it.
    name : str, default "answers"
        What the table calls the answers.

    Returns
    -------
    Comparison
        The figures; `print` shows them as a small table.

    Raises
    ------
    BadInput
        The two are not of one length, or numbers are held against what is none.

    Examples
    --------
    >>> print(qwennb.compare(["yes", "no", "yes"], [True, False, False]))
    answers: accuracy 66.7% (2 of 3; 95 %: 20.8% to 93.9%)
      precision 50.0% (1 of 2; 95 %: 9.5% to 90.5%)
      recall    100.0% (1 of 1; 95 %: 20.7% to 100.0%)
      truth \\ answer  yes  no
      yes               1   0
      no                1   1
    """
    said, true = _read_column(answers), _read_column(truth)
    if len(said) != len(true):
        raise BadInput(
            f"There are {plural(len(said), 'answer')} and {len(true):,} truths. Give one for each row."
        )
    return compare_pairs(Counter(zip(said, true, strict=True)), labels=labels, name=name)


def compare_pairs(
    pairs: Mapping[tuple[Any, Any], int],
    *,
    labels: Sequence[str] = (),
    name: str = "answers",
    kind: Kind | None = None,
) -> Comparison:
    """Hold answers against the truth, given how often each pair (answer, truth) came; None: there is none."""
    without_truth = sum(count for (_, true), count in pairs.items() if true is None)
    without_answer = sum(count for (said, true), count in pairs.items() if said is None and true is not None)
    both = {pair: count for pair, count in pairs.items() if None not in pair}
    kind = kind or _kind_of({value for pair in both for value in pair})
    if kind == "numbers":
        return _compare_numbers(both, without_truth, without_answer, name)
    write = _yes_no if kind == "yes or no" else str
    confusion = Counter[tuple[str, str]]()
    for (said, true), count in both.items():
        confusion[write(true), write(said)] += count
    rows, hits = confusion.total(), confusion["yes", "yes"]
    is_yes_no = kind == "yes or no"
    seen = sorted({label for pair in confusion for label in pair})
    return Comparison(
        kind,
        rows,
        without_truth,
        without_answer,
        Share(sum(count for (true, said), count in confusion.items() if true == said), rows),
        {pair: count for pair, count in confusion.items() if count},
        tuple(dict.fromkeys([*(labels or (YES_NO if is_yes_no else ())), *seen])),
        name,
        precision=Share(hits, hits + confusion["no", "yes"]) if is_yes_no else None,
        recall=Share(hits, hits + confusion["yes", "no"]) if is_yes_no else None,
        no_label=sum(count for (true, _), count in confusion.items() if labels and true not in labels),
    )


@dataclass(frozen=True, slots=True)
class Kappa:
    """`value` is 1 for full agreement, 0 for what chance gives; None where both always said the same one thing.

    interval   of 95 %, by the standard error of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969); for few rows it
               is rough, and within -1 and 1
    """

    value: float | None
    agreed: int
    rows: int
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        told = "not defined: everything has one label" if self.value is None else f"{self.value:.2f}"
        return f"Cohen's kappa {told} (the same label for {self.agreed:,} of {self.rows:,} rows)"


def kappa(pairs: Iterable[tuple[Any, Any]]) -> Kappa | None:
    """Cohen's kappa of what two said of the same rows; None where there are no such rows."""
    counts = Counter(pairs)
    rows = counts.total()
    if not rows:
        return None
    agreed = sum(count for (first, second), count in counts.items() if first == second)
    ours, theirs = Counter[Any](), Counter[Any]()
    for (first, second), count in counts.items():
        ours[first] += count
        theirs[second] += count
    by_chance = sum(ours[said] * theirs[said] for said in ours)
    if by_chance == rows * rows:
        return Kappa(None, agreed, rows)
    value = (agreed * rows - by_chance) / (rows * rows - by_chance)
    # The published variance, in counts: of the pairs that agree, of those that do not, less the square of the mean.
    chance = by_chance / (rows * rows)
    spread = -((value - chance * (1 - value)) ** 2)
    for (first, second), count in counts.items():
        both = (theirs[first] + ours[second]) / rows
        spread += count / rows * ((1 - both * (1 - value)) if first == second else both * (1 - value)) ** 2
    half = Z * math.sqrt(max(0.0, spread) / rows) / (1 - chance)
    return Kappa(value, agreed, rows, (max(-1.0, value - half), min(1.0, value + half)))


def _compare_numbers(
    both: Mapping[tuple[Any, Any], int], without_truth: int, without_answer: int, name: str
) -> Comparison:
    rows = sum(both.values())
    off = sum(abs(said - true) * count for (said, true), count in both.items())
    right = sum(count for (said, true), count in both.items() if said == true)
    return Comparison(
        "numbers",
        rows,
        without_truth,
        without_answer,
        Share(right, rows),
        {},
        (),
        name,
        mean_error=off / rows if rows else None,
        rank_correlation=_rank_correlation(both),
    )


def _rank_correlation(both: Mapping[tuple[Any, Any], int]) -> float | None:
    """Spearman's: the correlation of the ranks, equal values sharing the mean of theirs."""
    rows = sum(both.values())
    sides = [_mean_ranks(both, side) for side in (0, 1)]
    middle = (rows + 1) / 2
    products = squares_a = squares_b = 0.0
    for (said, true), count in both.items():
        a, b = sides[0][said] - middle, sides[1][true] - middle
        products, squares_a, squares_b = (
            products + count * a * b,
            squares_a + count * a * a,
            squares_b + count * b * b,
        )
    return products / math.sqrt(squares_a * squares_b) if squares_a and squares_b else None


def _mean_ranks(both: Mapping[tuple[Any, Any], int], side: int) -> dict[Any, float]:
    counts = Counter[Any]()
    for pair, count in both.items():
        counts[pair[side]] += count
    ranks, before = {}, 0
    for value in sorted(counts):
        ranks[value] = before + (counts[value] + 1) / 2
        before += counts[value]
    return ranks


def _read_column(values: Any) -> list[Any]:
    """Read the values of a column, or of a list, one by one."""
    if isinstance(values, str | bytes | Mapping | set | frozenset):
        _refuse(values)
    try:
        return [_read_value(value) for value in values]
    except (TypeError, AttributeError):  # it can't be gone through, or only in name: a lazy frame, a type
        return _refuse(values)  # type: ignore[no-any-return]


def _read_value(value: Any) -> Any:
    """A cell's value; None for what is missing, in pandas' ways too."""
    if (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    ):
        return None
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(sorted(value))
    if isinstance(value, numbers.Number) and not isinstance(value, numbers.Complex | numbers.Real):
        return float(str(value))  # a Decimal
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else None
    return plain if isinstance(plain, str | bool | int | float) else _refuse(value)


def _refuse(value: Any) -> Any:
    raise BadInput(
        f'compare() takes two columns or lists of labels, truth values or numbers, not {type(value).__name__}. Give compare(df["label"], df["gold"]).'
    )


def _kind_of(values: set[Any]) -> Kind:
    """What is compared, told by the *values* of both sides."""
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "numbers"
    words = {str(value).casefold() for value in values if not isinstance(value, bool)}
    if any(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise BadInput("One side is numbers and the other is not. Cast both to numbers, or both to text.")
    return "yes or no" if words <= set(YES_NO) else "labels"


def _yes_no(value: Any) -> str:
    return (YES_NO[0] if value else YES_NO[1]) if isinstance(value, bool) else str(value).casefold()
