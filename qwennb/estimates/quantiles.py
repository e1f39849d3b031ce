"""Quantiles: below which number a given share of the rows lies, by inverting the test of a share.

Of each candidate t, the share of rows with y ≤ t is estimated as any share is (shares.py), its groups being what the model says of
y ≤ t. The interval is of those t whose share may be the one that is asked for. No density is estimated, and steps in the data, as
of marks from 1 to 5, do no harm.
"""

from __future__ import annotations

import numpy as np

from qwennb.estimates.design import Array, Interval
from qwennb.estimates.shares import bound_shares, share_groups

GRID = 128  # candidates out of the model's numbers, beside those that are labelled


def estimate_quantile(
    human: Array,
    model: Array,
    weights: Array,
    model_all: Array,
    q: float,
    *,
    level: float = 0.95,
    beyond: bool = False,
) -> Interval:
    """Estimate the number below which a share *q* of the rows lies.

    human, model, weights   of each labelled row: what was said (NaN: nothing), and how many rows it stands for
    model_all               what the model said of every row of the table
    """
    known = np.sort(model_all[~np.isnan(model_all)])
    some = known[np.linspace(0, len(known) - 1, min(GRID, len(known))).astype(int)] if len(known) else known
    grid = np.unique(np.concatenate([human, some]))
    below = np.searchsorted(known, grid, side="right")
    left_out = len(model_all) - len(known)
    sizes = np.stack([below, len(known) - below, np.full(len(grid), left_out)], axis=-1)
    sizes = sizes if left_out else sizes[:, :2]
    # NaN is not below anything, and a group of its own.
    groups = np.where(np.isnan(model), 2, np.where(model <= grid[:, None], 0, 1))
    hits = (human <= grid[:, None]).astype(float)
    weight = np.broadcast_to(weights, hits.shape)
    value, low, high, _ = bound_shares(hits, groups, weight, sizes, level=level, beyond=beyond)
    value = np.maximum.accumulate(value)
    place = int(np.searchsorted(value, q))
    # Every t below the first whose share may reach q is too small; from where the share surely has, no t is needed.
    reaches, has = high >= q, low >= q
    ends = (
        float(grid[np.argmax(reaches)]) if reaches.any() else float(grid[-1]),
        float(grid[np.argmax(has)]) if has.any() else float("inf"),
    )
    at = float(grid[min(place, len(grid) - 1)])
    return Interval(at, min(ends[0], at), max(ends[1], at), _worth(hits, groups, weight, sizes, place, q))


def _worth(hits: Array, groups: Array, weights: Array, sizes: Array, place: int, q: float) -> float:
    """Tell the worth of a label by the variances of the share at the estimate."""
    at = min(place, len(hits) - 1)
    of = share_groups(hits[at], groups[at], weights[at], sizes[at])
    variance = float(((sizes[at] / sizes[at].sum()) ** 2 * of.variance).sum())
    n, rows = hits.shape[-1], int(sizes[at].sum())
    smooth = (n * q + 1) / (n + 2)
    alone = smooth * (1 - smooth) / (n + 2) * max(0.0, 1 - n / rows)
    return alone / variance if variance > 0 else float("inf")
