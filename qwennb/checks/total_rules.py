"""The rules of all answers together: each has figures and limits, and says whether it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwennb.checks.row import AnswerRow
from qwennb.text import plural
from qwennb.truth import Comparison, Kappa, Share

Ruling = tuple[bool | None, str]
"""Whether a rule holds (None: it could not be measured), and what is to be said of it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of all answers of a check together."""

    rows: Sequence[AnswerRow]
    values: Sequence[Any]  # of those that were answered: the field's
    comparison: Comparison | None
    kappa: Kappa | None
    lost: int = 0
    """The rows that failed and of which is known what is right."""


def quantile(figures: Sequence[float], share: float) -> float:
    """Give the nearest-rank quantile: of few figures it is one of them, and never between two."""
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _statistic(name: str, figures: Sequence[float]) -> float:
    if name == "total":
        return math.fsum(figures)
    if name == "mean":
        return math.fsum(figures) / len(figures)
    return max(figures) if name == "each" else quantile(figures, int(name[1:]) / 100)


_NOT_MEASURED = {
    "seconds": "not measured: neither a pack nor a column keeps how long an answer took (--live measures it; a table may have a column of seconds)",
    "tokens": "not measured: nothing says how many tokens it took",
    "cost": "",  # unknown is no reason to let it pass
}


def hold_at_most(what: str, write: Callable[[float], str]) -> Callable[[Measured, Any], Ruling]:
    """Hold statistics of *what* each answer took to their limits."""

    def decide(measured: Measured, limits: Mapping[str, float]) -> Ruling:
        known = [getattr(row, what) for row in measured.rows if getattr(row, what) is not None]
        if not known and (why := _NOT_MEASURED[what]):
            return None, why
        if unknown := len(measured.rows) - len(known):
            return (
                False,
                f"the {what} of {plural(unknown, 'answer')} {'is' if what == 'cost' else 'are'} unknown",
            )
        told, holds = [], True
        for name, limit in limits.items():
            figure = _statistic(name, known)
            holds = holds and figure <= limit
            told.append(f"{'most' if name == 'each' else name} {write(figure)}, at most {write(limit)}")
        return holds, "; ".join(told)

    return decide


_NO_TRUTH = "no answer stands beside what is right"


def hold_accuracy(measured: Measured, given: tuple[str, float]) -> Ruling:
    """Hold the accuracy, or the low end of its interval, to its limit. A row that failed is not right."""
    kind, limit = given
    found, lost = measured.comparison, measured.lost
    share = None if found is None else Share(found.accuracy.count, found.accuracy.of + lost)
    if share is None or share.interval is None or share.value is None:
        return False, _NO_TRUTH
    figure, of = (share.interval[0], "the low end of ") if kind == "low" else (share.value, "")
    told = f"; {plural(lost, 'failed row')} {'counts' if lost == 1 else 'count'} as wrong" if lost else ""
    return figure >= limit, f"{of}accuracy {share}{told}, at least {limit:.1%}"


def hold_part(part: str) -> Callable[[Measured, Any], Ruling]:
    """Hold precision or recall to its limit."""

    def decide(measured: Measured, limit: float) -> Ruling:
        found: Share | None = None if measured.comparison is None else getattr(measured.comparison, part)
        if found is None:
            return False, f"{part} is of answers yes and no, held against what is right"
        if found.value is None:
            return False, f"{part} unknown: there is no row to tell it"
        return found.value >= limit, f"{part} {found}, at least {limit:.1%}"

    return decide


def hold_each_label(measured: Measured, limit: float) -> Ruling:
    """Hold the worst of the true labels to a limit."""
    shares = {} if measured.comparison is None else dict(measured.comparison.by_label)
    if not shares:
        return False, _NO_TRUTH
    label, worst = min(shares.items(), key=lambda pair: (pair[1].value, pair[0]))
    return (worst.value or 0.0) >= limit, f"worst of them `{label}`: {worst}, at least {limit:.1%}"


def hold_mean_error(measured: Measured, limit: float) -> Ruling:
    """Hold the mean error of numbers to its limit."""
    found = measured.comparison
    if found is None or found.mean_error is None:
        return False, "a mean error is of numbers, held against numbers that are right"
    return found.mean_error <= limit, f"mean error {found.mean_error:.3g}, at most {limit:g}"


def hold_kappa(measured: Measured, limit: float) -> Ruling:
    """Hold the agreement with people to its limit."""
    found = measured.kappa
    if found is None:
        return False, "nobody's labels stand beside the answers: name their column, people = …, or truth = …"
    if found.value is None:
        return False, f"{found}"
    return found.value >= limit, f"{found}, at least {limit:g}"


def _share_of(measured: Measured, label: str) -> Share:
    says = [_write_label(value) for value in measured.values if value is not None]
    return Share(says.count(label), len(says))


def _write_label(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def hold_share(most: bool) -> Callable[[Measured, Any], Ruling]:
    """Hold the shares of labels to limits that are the *most*, or the least."""

    def decide(measured: Measured, limits: Mapping[str, float]) -> Ruling:
        told, holds = [], True
        for label, limit in limits.items():
            share = _share_of(measured, label)
            value = share.value
            holds = holds and value is not None and (value <= limit if most else value >= limit)
            told.append(f"`{label}` {share}, {'at most' if most else 'at least'} {limit:.1%}")
        return holds, "; ".join(told)

    return decide


def write_count(figure: float) -> str:
    """Write a number of tokens."""
    return f"{figure:,.0f}" if figure == int(figure) else f"{figure:,.1f}"
