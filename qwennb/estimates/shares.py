"""Shares: what part of the rows is so, from the labels of a few and the model's answers to all.

Rows are grouped by what the model said (this class, another, nothing). Within a group the labelled rows tell the share; the
size of each group is known. That is post-stratification:

    value = Σ_g W_g · p_g            W_g    the group's part of the table
                                     p_g    Σ weight · hit / Σ weight, of its labelled rows

The interval is built around shares that are smoothed by one hit and one miss in each group, p' = (n·p + 1) / (n + 2). Without
them a rare class, of which no error was seen among those that the model denies, has an interval that is far too short:
prediction-powered inference then covers 69 % where it promises 95.

    interval = Σ_g W_g · p'_g ± z · √( Σ_g W_g² · p'_g · (1 - p'_g) / (n_g + 2) )

n_g is the size of a simple random sample that would tell as much (Kish): (Σ w)² / Σ w·(w - 1), infinite where each row of the
group is labelled. Where the labels' own spread says less, it is less. All functions take any number of samples at once, along
the first axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwennb.estimates.design import Array, Interval
from qwennb.estimates.distributions import bound_count, normal_quantile


@dataclass(frozen=True)
class GroupShares:
    """Of each group (the last axis): its size, the share as labelled, smoothed, and the variance of the smoothed one."""

    sizes: Array
    raw: Array
    smooth: Array
    variance: Array


def share_groups(hits: Array, groups: Array, weights: Array, sizes: Array) -> GroupShares:
    """Tell the share of *hits* in each group, from labelled rows of *groups* and *weights* (… × rows)."""
    raws, smooths, variances = [], [], []
    for group in range(sizes.shape[-1]):
        weight = np.where(groups == group, weights, 0.0)
        mass, excess = weight.sum(axis=-1), (weight * np.maximum(0.0, weights - 1)).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = np.where(mass > 0, (weight * hits).sum(axis=-1) / mass, 0.5)
            off = (hits - raw[..., None]) ** 2
            spread = (weight * np.maximum(0.0, weights - 1) * off).sum(axis=-1) / mass**2
            n = np.where(excess > 0, mass**2 / excess, np.where(mass > 0, np.inf, 0.0))
            told = np.where(spread > 0, raw * (1 - raw) / spread, np.inf)
            n = np.minimum(n, told)
            smooth = np.where(np.isinf(n), raw, (np.where(np.isinf(n), 0, n) * raw + 1) / (n + 2))
        raws.append(raw)
        smooths.append(smooth)
        variances.append(smooth * (1 - smooth) / (n + 2))
    return GroupShares(
        sizes, np.stack(raws, axis=-1), np.stack(smooths, axis=-1), np.stack(variances, axis=-1)
    )


def bound_shares(
    hits: Array, groups: Array, weights: Array, sizes: Array, *, level: float, beyond: bool = False
) -> tuple[Array, Array, Array, Array]:
    """Tell value, low end, high end and variance of the share of *hits*; of *beyond* the table, if that is a sample too."""
    of = share_groups(hits, groups, weights, sizes)
    rows = sizes.sum(axis=-1)
    parts = sizes / np.maximum(1, rows)[..., None]
    value, centre = (parts * of.raw).sum(axis=-1), (parts * of.smooth).sum(axis=-1)
    variance = (parts**2 * of.variance).sum(axis=-1)
    if beyond:  # what drawing the table itself from the world adds
        variance = variance + centre * (1 - centre) / np.maximum(1, rows)
    half = normal_quantile(level) * np.sqrt(variance)
    # Rows are whole: half a row at each end, without which a small table that is nearly all labelled has too short an interval.
    half = half + np.where((variance > 0) & (not beyond), 0.5 / np.maximum(1, rows), 0.0)
    return (
        value,
        np.minimum(value, np.maximum(0.0, centre - half)),
        np.maximum(value, np.minimum(1.0, centre + half)),
        variance,
    )


def estimate_share(
    hits: Array, groups: Array, weights: Array, sizes: Array, *, level: float = 0.95, beyond: bool = False
) -> Interval:
    """Estimate the share of rows that are so.

    hits      of each labelled row, whether it is so
    groups    of each labelled row, the number of its group, by what the model said
    weights   of each labelled row, how many rows it stands for
    sizes     how many rows of the table are in each group
    """
    value, low, high, variance = bound_shares(hits, groups, weights, sizes, level=level, beyond=beyond)
    alone = _variance_without_model(float(value), len(hits), int(sizes.sum()), beyond=beyond)
    worth = float(alone / variance) if variance > 0 else float("inf")
    return Interval(float(value), float(low), float(high), worth)


def _variance_without_model(value: float, n: int, rows: int, *, beyond: bool) -> float:
    """The variance of a share from *n* labels of a simple random sample, without the model's answers."""
    smooth = (n * value + 1) / (n + 2)
    left = 1.0 if beyond else max(0.0, 1 - n / max(1, rows))
    return smooth * (1 - smooth) / (n + 2) * left


def bound_share_exactly(hits: Array, cells: Array, sizes: Array, *, level: float = 0.95) -> Interval:
    """Estimate a share with an interval that holds for every table and any number of labels; it is wider.

    A cell is a group within a stratum, so that its labelled rows are a simple random sample of it. Each cell that is not
    labelled whole is bounded by the hypergeometric test, at the level's rest parted among them, and the bounds are added.
    """
    counts = [int((cells == cell).sum()) for cell in range(len(sizes))]
    found = [int(hits[cells == cell].sum()) for cell in range(len(sizes))]
    open_cells = [cell for cell, size in enumerate(sizes) if counts[cell] < size]
    tail = (1 - level) / 2 / max(1, len(open_cells))
    bounds = [
        bound_count(int(size), counts[cell], found[cell], tail)
        if cell in open_cells
        else (found[cell], found[cell])
        for cell, size in enumerate(sizes)
    ]
    rows = max(1, int(sizes.sum()))
    value = sum(
        size * (found[cell] / counts[cell] if counts[cell] else 0.5) for cell, size in enumerate(sizes)
    )
    low, high = sum(low for low, _ in bounds) / rows, sum(high for _, high in bounds) / rows
    return Interval(float(value) / rows, low, high, method="exact bounds")
