"""Regressions over labels of a model, on either side: predict, then debias (Kluger and others, 2025, arXiv 2501.18577).

Three fits of the same regression: with the model's labels over the whole table (γ_N), with the model's labels over the labelled
rows (γ_n), with the humans' labels over these (θ_n).

    value = θ_n + λ · (γ_N - γ_n)       λ_j = cov(θ_n, γ_n)_jj / var(γ_n)_jj

Whatever the model gets wrong is wrong in γ_N and in γ_n alike, so it drops out; what it gets right makes θ_n - λ·γ_n vary less
than θ_n. It does not matter whether the label is the outcome or a covariate. Variances are those of what each row adds to a
coefficient (its influence), within the strata of the draw, widened for the pull that a row has on its own fit (HC3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qwennb.errors import BadInput
from qwennb.estimates.design import Array, Interval, covary, degrees_of_freedom, sum_variance
from qwennb.estimates.distributions import t_quantile
from qwennb.text import plural

LABELS_EACH = 10  # labels for each coefficient; with fewer, intervals of a fit cover too little
_STEPS = 40  # of Newton's method; it takes 5 to 10
_FAR = 30.0  # a logit of which exp is all there is: the labelled rows can be told apart without a mistake


@dataclass(frozen=True)
class Fit:
    """Coefficients, and what each row added to them: `influence` sums to nothing, its squares to the variance."""

    coefficients: Array
    influence: Array


def fit_ols(x: Array, y: Array, weights: Array) -> Fit:
    """Fit by least squares."""
    inverse = _invert(x.T @ (weights[:, None] * x))
    coefficients = inverse @ (x.T @ (weights * y))
    return _fit(x, y - x @ coefficients, weights, inverse, weights, coefficients)


def fit_logit(x: Array, y: Array, weights: Array) -> Fit:
    """Fit a logistic regression by Newton's method."""
    coefficients = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        chance = _logistic(x @ coefficients)
        curve = weights * chance * (1 - chance)
        step = _invert(x.T @ (curve[:, None] * x)) @ (x.T @ (weights * (y - chance)))
        coefficients = coefficients + np.clip(step, -5.0, 5.0)
        if np.abs(x @ coefficients).max() > _FAR:
            break
        if np.abs(step).max() < 1e-9:
            inverse = _invert(x.T @ (curve[:, None] * x))
            return _fit(x, y - chance, weights, inverse, curve, coefficients)
    raise BadInput(
        "The labelled rows can be told apart without a mistake by these columns, so a logit has no coefficients. "
        "Label more rows, or leave a column out."
    )


def estimate_coefficients(
    fit: Callable[[Array, Array, Array], Fit],
    human: tuple[Array, Array],
    model: tuple[Array, Array],
    model_all: tuple[Array, Array],
    weights: Array,
    strata: Array,
    *,
    level: float = 0.95,
    beyond: bool = False,
    clusters: tuple[Array, Array] | None = None,
) -> list[Interval]:
    """Estimate each coefficient of a regression.

    human, model    (x, y) of the labelled rows, with what humans said and with what the model did
    model_all       (x, y) of every row of the table, with what the model said
    weights, strata of each labelled row, how many rows it stands for, and of which stratum
    clusters        the number of its cluster, of each labelled row and of every row; the clusters are then a sample of a world
    """
    n, p = human[0].shape
    if n < LABELS_EACH * p:
        raise BadInput(
            f"There are {plural(n, 'label')} for {plural(p, 'coefficient')}, and {LABELS_EACH} are needed for each. "
            f"Draw {LABELS_EACH * p - n:,} more, or leave columns out."
        )
    theirs = fit(*human, weights)
    ours = fit(*model, weights)
    every = fit(*model_all, np.ones(len(model_all[0])))
    if clusters is not None:
        return _by_cluster(theirs, ours, every, clusters, level)
    together = covary(theirs.influence, ours.influence, strata, weights).sum(axis=0)
    alone = covary(ours.influence, ours.influence, strata, weights).sum(axis=0)
    tuning = np.divide(together, alone, out=np.zeros(p), where=alone > 0)
    values = theirs.coefficients + tuning * (every.coefficients - ours.coefficients)
    terms = theirs.influence - tuning * ours.influence
    squares = covary(terms, terms, strata, weights) * ((n - p) / (n - p - 1))  # a degree of freedom for λ
    without = covary(theirs.influence, theirs.influence, strata, weights).sum(axis=0)
    world = (theirs.influence**2 / weights[:, None]).sum(axis=0) if beyond else np.zeros(p)
    freedom = np.minimum(degrees_of_freedom(squares, strata), n - p)
    return _list_intervals(values, squares, without + world, world, freedom, level)


def _by_cluster(
    theirs: Fit, ours: Fit, every: Fit, clusters: tuple[Array, Array], level: float
) -> list[Interval]:
    """Estimate where rows of a cluster are alike: what a cluster adds to all three fits is one term."""
    labelled, whole = clusters
    count = int(whole.max()) + 1
    if count < 2:
        raise BadInput("All rows are of one cluster, and of one nothing can be told. Leave cluster= out.")
    first, second = np.zeros((count, theirs.influence.shape[1])), np.zeros((count, theirs.influence.shape[1]))
    np.add.at(first, labelled, theirs.influence)
    np.add.at(second, whole, every.influence)
    np.add.at(second, labelled, -ours.influence)
    square = (second**2).sum(axis=0)
    tuning = np.divide(-(first * second).sum(axis=0), square, out=np.zeros_like(square), where=square > 0)
    values = theirs.coefficients + tuning * (every.coefficients - ours.coefficients)
    widen = count / (count - 1)
    squares = (first + tuning * second) ** 2 * widen
    without = (first**2).sum(axis=0) * widen
    freedom = np.full(len(values), max(1, len(np.unique(labelled)) - 1))
    return _list_intervals(values, squares, without, np.zeros(len(values)), freedom, level)


def _list_intervals(
    values: Array, squares: Array, without: Array, world: Array, freedom: Array, level: float
) -> list[Interval]:
    errors = np.sqrt(sum_variance(squares) + world)
    return [
        Interval(
            float(value),
            float(value - t_quantile(level, float(degrees)) * error),
            float(value + t_quantile(level, float(degrees)) * error),
            float(alone / error**2) if error > 0 else float("inf"),
        )
        for value, error, alone, degrees in zip(values, errors, without, freedom, strict=True)
    ]


def _fit(x: Array, off: Array, weights: Array, inverse: Array, curve: Array, coefficients: Array) -> Fit:
    pull = np.minimum(0.9, curve * ((x @ inverse) * x).sum(axis=1))
    return Fit(coefficients, (weights * off / (1 - pull))[:, None] * (x @ inverse))


def _logistic(x: Array) -> Array:
    made: Array = 1 / (1 + np.exp(-np.clip(x, -700, 700)))
    return made


def _invert(square: Array) -> Array:
    try:
        if np.linalg.cond(square) > 1e12:
            raise np.linalg.LinAlgError
        return np.linalg.inv(square)
    except np.linalg.LinAlgError:
        raise BadInput(
            "Columns of the regression say the same (one follows from the others, or never changes). Leave one out."
        ) from None
