"""How right the model is, label by label: recall and F1. (Accuracy and precision are shares: shares.py.)

Both are ratios of what two shares tell,

    hits   = N_1 · p_1      p_1   the share of rows that are it, among those that the model says are
    missed = N_0 · p_0      p_0   … among all others

    recall = hits / (hits + missed)        F1 = 2 · hits / (2 · hits + (N_1 - hits) + missed)

Few rows are missed, so nothing about p_0 is normal. Each share has exact bounds, and these are put together on the scale of
log odds (MOVER: Zou and Donner, Statistics in Medicine 27, 2008): the distance of each end is the root of the squares of what
each share alone could move it by.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qwennb.estimates.design import Array, Interval
from qwennb.estimates.distributions import bound_count
from qwennb.estimates.shares import share_groups

_NOTHING = 1e-9  # rows: none has no logarithm


def estimate_recall(
    hits: Array, groups: Array, weights: Array, sizes: Array, *, level: float = 0.95
) -> Interval:
    """Estimate of the rows that are it, how many the model found; groups: 0 where the model says it is, 1 elsewhere."""
    return _estimate(lambda found, missed: math.log(found / missed), hits, groups, weights, sizes, level)


def estimate_f1(hits: Array, groups: Array, weights: Array, sizes: Array, *, level: float = 0.95) -> Interval:
    """Estimate F1, the harmonic mean of precision and recall; groups as for `estimate_recall`."""
    said = float(sizes[0])

    def odds(found: float, missed: float) -> float:
        return math.log(2 * found / max(_NOTHING, said - found + missed))

    return _estimate(odds, hits, groups, weights, sizes, level)


def _estimate(
    odds: Callable[[float, float], float],
    hits: Array,
    groups: Array,
    weights: Array,
    sizes: Array,
    level: float,
) -> Interval:
    raw = share_groups(hits, groups, weights, sizes).raw * sizes
    if not raw.any():
        return Interval(math.nan, 0.0, 1.0)
    lows, highs = zip(
        *(_bound(hits, groups == group, weights, int(sizes[group]), level) for group in (0, 1)), strict=True
    )
    found, missed = (max(_NOTHING, float(np.clip(raw[group], lows[group], highs[group]))) for group in (0, 1))
    at = odds(found, missed)
    below = math.hypot(at - odds(lows[0], missed), at - odds(found, highs[1]))
    above = math.hypot(at - odds(highs[0], missed), at - odds(found, lows[1]))
    value = _share(odds(max(_NOTHING, float(raw[0])), max(_NOTHING, float(raw[1]))))
    return Interval(value, min(value, _share(at - below)), max(value, _share(at + above)))


def _bound(hits: Array, here: Array, weights: Array, rows: int, level: float) -> tuple[float, float]:
    """Bound how many of a group's *rows* are it, as if its labels were a simple random sample of their worth (Kish)."""
    weight = weights[here]
    if not len(weight):
        return _NOTHING, max(_NOTHING, float(rows))
    drawn = min(rows, math.floor(weight.sum() ** 2 / (weight**2).sum() + 1e-6))
    counted = min(drawn, round(float((weight * hits[here]).sum() / weight.sum()) * drawn))
    low, high = bound_count(rows, drawn, counted, (1 - level) / 2)
    return max(_NOTHING, float(low)), max(_NOTHING, float(high))


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))
