"""Quantiles of the normal and of Student's distribution, and exact bounds for a count in a finite stratum.

Written out here, since scipy would be a hundred megabytes for three functions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def normal_quantile(level: float) -> float:
    """Give z, so that a normal value lies within ± z with the probability *level*."""
    return NormalDist().inv_cdf((1 + level) / 2)


@lru_cache(maxsize=4096)
def t_quantile(level: float, freedom: float) -> float:
    """Give t, so that Student's t with *freedom* degrees lies within ± t with the probability *level*.

    G. W. Hill's algorithm 396 (Communications of the ACM 13, 1970): an expansion, right to five digits from three
    degrees on. A test holds it against a table.
    """
    n, tails = max(1.0, freedom), 1 - level
    if n > 1e6:
        return normal_quantile(level)
    if n < 1.5:
        return 1 / math.tan(tails * math.pi / 2)  # of one degree: Cauchy's
    if n < 2.5:
        return math.sqrt(2 / (tails * (2 - tails)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * tails) ** (2 / n)
    if y > 0.05 + a:
        x = -normal_quantile(level)
        y = x * x
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (
            n + 1
        ) / (n + 2) + 1 / y
    return math.sqrt(n * y)


def bound_count(rows: int, drawn: int, hits: int, tail: float) -> tuple[int, int]:
    """Bound how many of *rows* are hits, when *hits* of *drawn* are, missing at either side with at most *tail*.

    Both bounds invert the hypergeometric test, which holds for every size of table and of sample.
    """
    if drawn == 0:
        return 0, rows
    least, most = hits, rows - (drawn - hits)
    low, high = least, most  # the lowest count of which so many hits are not too many
    while low < high:
        middle = (low + high) // 2
        if _at_least(rows, middle, drawn, hits) > tail:
            high = middle
        else:
            low = middle + 1
    lowest = low
    low, high = least, most  # the highest count of which so few are not too few
    while low < high:
        middle = (low + high + 1) // 2
        if 1 - _at_least(rows, middle, drawn, hits + 1) > tail:
            low = middle
        else:
            high = middle - 1
    return lowest, low


def _at_least(rows: int, marked: int, drawn: int, hits: int) -> float:
    """Give the probability of *hits* or more marked ones among *drawn* out of *rows* of which *marked* are."""
    first, last = max(hits, drawn - (rows - marked), 0), min(drawn, marked)
    if hits <= max(0, drawn - (rows - marked)):
        return 1.0
    if first > last:
        return 0.0
    known, k = _log_factorials(rows), np.arange(first, last + 1)
    logs = (
        known[marked] - known[k] - known[marked - k]
        + known[rows - marked] - known[drawn - k] - known[rows - marked - drawn + k]
        - known[rows] + known[drawn] + known[rows - drawn]
    )  # fmt: skip
    return min(1.0, float(np.exp(logs).sum()))


@lru_cache(maxsize=16)
def _log_factorials(most: int) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
