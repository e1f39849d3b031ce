"""Means: what humans would say on average, from the labels of a few and the model's numbers for all.

The difference estimator of survey sampling, tuned as in PPI++ (Angelopoulos, Duchi, Zrnic, 2023): the model's mean over the
whole table, corrected by what the labelled rows say that it is off.

    value = mean over all of λ·f + Σ weight · (y - λ·f) / Σ weight
    λ     = cov(y, f) / var(f) within the strata, none below 0: a model that says nothing is not listened to

λ is each stratum's own from 30 labels on, and one for the others. The interval is Student's. Where there are few labels, or the
corrections are skewed, it is a bootstrap's (bootstrap-t within the strata), since Student's then is too short at one end.
"""

from __future__ import annotations

import numpy as np

from qwennb.estimates.design import Array, Interval, covary, degrees_of_freedom, sum_variance
from qwennb.estimates.distributions import t_quantile

OWN_TUNING = 30  # labels of a stratum from which on λ is its own
FEW = 30  # labels below which the bootstrap takes the place of Student's t
SKEW = 2.0  # … and the skew of the corrections above which it does
DRAWS = 999  # of the bootstrap


def estimate_mean(
    human: Array,
    model: Array,
    weights: Array,
    strata: Array,
    model_all: Array,
    strata_all: Array,
    *,
    level: float = 0.95,
    beyond: bool = False,
    seed: int = 0,
) -> Interval:
    """Estimate the mean of what humans would say.

    human, model            of each labelled row, what was said (of a row that the model left out: NaN)
    weights, strata         of each labelled row, how many rows it stands for, and of which stratum
    model_all, strata_all   the same of every row of the table
    """
    gap = float(np.nanmean(model_all)) if not np.isnan(model_all).all() else 0.0
    said, said_all = np.nan_to_num(model, nan=gap), np.nan_to_num(model_all, nan=gap)
    tuning, is_own = _tune(human, said, weights, strata, int(strata_all.max()) + 1)
    corrections = human - tuning[strata] * said
    value, terms = _weigh(corrections, weights)
    value += float((tuning[strata_all] * said_all).mean())
    terms = terms / (1 - _pull(said, weights, strata, is_own))
    squares = covary(terms, terms, strata, weights)
    n, rows, spread = len(human), len(model_all), _spread(human, weights)
    error = float(np.sqrt(sum_variance(squares) + (spread / rows if beyond else 0.0)))
    without = spread / n * (1.0 if beyond else 1 - n / rows)
    worth = without / error**2 if error > 0 else float("inf")
    if error == 0 or (n >= FEW and abs(_skew(corrections, weights)) <= SKEW):
        half = t_quantile(level, float(degrees_of_freedom(squares, strata))) * error
        return Interval(value, value - half, value + half, worth)
    low, high = _bootstrap(corrections, weights, strata, level, seed)
    why = f"of fewer than {FEW} labels" if n < FEW else "since corrections are skewed"
    return Interval(value, value - high * error, value - low * error, worth, f"bootstrap-t, {why}")


def _tune(human: Array, model: Array, weights: Array, strata: Array, count: int) -> tuple[Array, Array]:
    """Tell how far the model is listened to in each stratum, and whether that is the stratum's own tuning."""
    # What a row adds to the variance of the sum grows with the square of its weight.
    weighed = weights**2 * np.maximum(0.0, 1 - 1 / weights)
    f = model - _means(model, strata)[strata]
    y = human - _means(human, strata)[strata]
    together = np.bincount(strata, weighed * f * y, minlength=count)
    alone = np.bincount(strata, weighed * f * f, minlength=count)
    labels = np.bincount(strata, minlength=count)
    is_own = (labels >= OWN_TUNING) & (alone > 0)
    rest = ~is_own
    shared = together[rest].sum() / alone[rest].sum() if alone[rest].sum() > 0 else 0.0
    own = np.divide(together, alone, out=np.zeros_like(alone), where=alone > 0)
    return np.maximum(0.0, np.where(is_own, own, shared)), is_own


def _pull(model: Array, weights: Array, strata: Array, is_own: Array) -> Array:
    """Tell how far each labelled row has pulled λ to itself: its correction is too small by that (as in HC3)."""
    weighed = weights**2 * np.maximum(0.0, 1 - 1 / weights)
    off = model - _means(model, strata)[strata]
    parts = weighed * off**2
    by_stratum = np.bincount(strata, parts, minlength=len(is_own))
    whole = np.where(is_own, by_stratum, by_stratum[~is_own].sum())[strata]
    made: Array = np.minimum(0.9, np.divide(parts, whole, out=np.zeros_like(parts), where=whole > 0))
    return made


def _means(values: Array, strata: Array) -> Array:
    made: Array = np.bincount(strata, values) / np.maximum(1, np.bincount(strata))
    return made


def _weigh(values: Array, weights: Array) -> tuple[float, Array]:
    """Tell the weighted mean, and what each row adds to its error."""
    mean = float((weights * values).sum() / weights.sum())
    return mean, weights * (values - mean) / weights.sum()


def _spread(values: Array, weights: Array) -> float:
    """The variance of *values* in the table."""
    mean, _ = _weigh(values, weights)
    return float(
        (weights * (values - mean) ** 2).sum() / weights.sum() * len(values) / max(1, len(values) - 1)
    )


def _skew(values: Array, weights: Array) -> float:
    mean, _ = _weigh(values, weights)
    off = values - mean
    square = (weights * off**2).sum() / weights.sum()
    return float((weights * off**3).sum() / weights.sum() / square**1.5) if square > 0 else 0.0


def _bootstrap(values: Array, weights: Array, strata: Array, level: float, seed: int) -> tuple[float, float]:
    """Tell between which multiples of its error an estimate lies, from samples of the sample, within the strata."""
    chance = np.random.default_rng(seed)
    places = np.arange(len(values))
    drawn = np.concatenate(
        [
            chance.choice(places[strata == one], size=(DRAWS, int((strata == one).sum())))
            for one in np.unique(strata)
        ],
        axis=1,
    )
    order = np.concatenate([places[strata == one] for one in np.unique(strata)])
    of, some, weight = strata[order], values[drawn], weights[drawn]
    mean, _ = _weigh(values, weights)
    means = (weight * some).sum(axis=1) / weight.sum(axis=1)
    variance = np.zeros(DRAWS)
    total = weight.sum(axis=1, keepdims=True)
    terms = weight * (some - means[:, None]) / total
    for one in np.unique(of):
        part = terms[:, of == one]
        count = part.shape[1]
        if count > 1:
            part = part - part.mean(axis=1, keepdims=True)
        left = 1 - 1 / weight[:, of == one]
        variance += (left * part**2).sum(axis=1) * count / max(1, count - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        studentised = np.where(
            variance > 0, (means - mean) / np.sqrt(variance), np.sign(means - mean) * np.inf
        )
    studentised = np.where(np.isnan(studentised), 0.0, studentised)
    ends = np.quantile(studentised, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(ends[0]), float(ends[1])
