"""How many rows of each stratum a human labels, and what the draw alone makes an estimate vary.

A stratum is a set of rows of which so many are drawn at random; a labelled row stands for `weight` rows of its stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEAST = 10
"""Labels of a stratum, or all of its rows: with fewer, what it adds to an interval is a guess."""
LEAST_SHARE = 0.05  # … of all labels, where that is more


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    worth     how many labels of humans alone would have been as good as one of these
    method    what is to be said of how it was reached; mostly nothing
    """

    value: float
    low: float
    high: float
    worth: float = float("nan")
    method: str = ""


def least_labels(n: int) -> int:
    """Give how many of *n* labels a stratum gets at least."""
    return max(LEAST, round(LEAST_SHARE * n))


def most_strata(n: int) -> int:
    """Give into how many strata *n* labels may be parted: so many that at most half of them go to the least of each."""
    return max(1, n // (2 * least_labels(n)))


def allocate(sizes: Sequence[int], spreads: Sequence[float], n: int) -> list[int]:
    """Part *n* labels among strata of *sizes* rows whose values spread by *spreads*: Neyman's, with a least for each.

    Neyman's allocation, in proportion to size × spread, gives the narrowest interval where the spreads are known. They
    are guesses here, so no stratum has less than `least_labels`, or all of its rows.
    """
    if n >= sum(sizes):
        return list(sizes)
    least = min(least_labels(n), n // len(sizes))

    def least_of(place: int) -> int:
        return min(sizes[place], least)

    counts = {place: float(least_of(place)) for place in range(len(sizes))}
    free = set(counts)
    while free:
        left = n - sum(count for place, count in counts.items() if place not in free)
        demand = sum(sizes[place] * spreads[place] for place in free)
        wanted = {place: left * sizes[place] * spreads[place] / demand for place in free}
        short = {place: float(least_of(place)) for place in free if wanted[place] < least_of(place)}
        full = {place: float(sizes[place]) for place in free if wanted[place] > sizes[place]}
        if not (short or full):
            counts |= wanted
            break
        # One kind at a time: both at once could leave less than nothing for the rest.
        counts |= short or full
        free -= (short or full).keys()
    whole = {place: int(count) for place, count in counts.items()}
    by_rest = sorted(whole, key=lambda place: (whole[place] - counts[place], place))
    for place in (by_rest * 2)[: max(0, n - sum(whole.values()))]:
        whole[place] += whole[place] < sizes[place]
    return [whole[place] for place in range(len(sizes))]


def covary(one: Array, other: Array, strata: Array, weights: Array) -> Array:
    """What each labelled row adds to the covariance that the draw gives two sums over these rows.

    A row of *one* is what a labelled row adds to the first sum, its weight included. Within a stratum rows are drawn without
    replacement, of which `1 - 1/weight` is the correction.
    """
    counts = np.bincount(strata)
    count = counts[strata]
    left = (1 - 1 / weights) * count / np.maximum(1, count - 1)
    product = _centre(one, strata, counts) * _centre(other, strata, counts)
    made: Array = product * (left[:, None] if product.ndim > 1 else left)
    return made


def _centre(values: Array, strata: Array, counts: Array) -> Array:
    """Take the mean of its stratum from each row; of one row alone it is not known, and is taken for nothing, which is wider."""
    columns = values if values.ndim > 1 else values[:, None]
    means = np.stack([np.bincount(strata, column) for column in columns.T], axis=-1)
    means = np.where(counts[:, None] > 1, means / np.maximum(1, counts)[:, None], 0.0)
    return (columns - means[strata]).reshape(values.shape)


def degrees_of_freedom(squares: Array, strata: Array) -> Array:
    """Degrees of freedom of variances, the sums of *squares* down the rows.

    The lower of two: as many as strata leave, and as the squares tell of themselves. Where few rows bring most of a variance,
    as the few that a model got wrong do, it is known no better than from these few.
    """
    total, fourth = squares.sum(axis=0), (squares**2).sum(axis=0)
    n = len(squares)
    told = np.divide(
        2 * total**2,
        fourth - total**2 / n,
        out=np.full_like(total, np.inf),
        where=fourth * n > total**2 * (1 + 1e-9),
    )
    made: Array = np.maximum(1.0, np.minimum(told, n - len(np.unique(strata))))
    return made


def sum_variance(squares: Array) -> Array:
    """The variance that *squares* amount to. The row that adds most counts twice: one more like it may well have been drawn.

    A model that is mostly right leaves a few rows to bring nearly all of a variance. Without this, 100 labels of a covariate of
    which a model is right on 88 % held a coefficient in 91 of 100 samples; with it in 95 to 97.
    """
    made: Array = squares.sum(axis=0) + squares.max(axis=0)
    return made
