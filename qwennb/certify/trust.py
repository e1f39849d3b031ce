"""What a text is worth knowing by: its letters, hashed; and a logistic regression over them, fitted on some hundred rows.

It needs no probabilities of a model and no library but numpy. How well it does decides how much is certified, never whether a
certificate holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qwennb.certify.few_errors import Floats, Whole

BUCKETS = 2**13
GRAMS = (3, 5)  # bytes that make a feature; of five, most hold a word's stem
MOST_BYTES = 2_000  # of a text; what stands further down is not looked at
_PRIMES = np.array([1_000_003, 8_191, 131_071, 524_287, 65_537], np.int64)
CHUNK = 2_000  # texts looked at together
NEWTON = 25  # steps; it stands still after six or seven
PLACES = 4  # of a score: what differs beyond them between two machines must not turn an order

Weights: TypeAlias = NDArray[np.float64]


class TextFeatures:
    """Which features each text has, and how much: the square root of its share, so that a text has the length 1."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.count = len(texts)
        rows: list[Whole] = []
        features: list[Whole] = []
        for start in range(0, len(texts), CHUNK):
            own, hashed = _hash_grams(texts[start : start + CHUNK])
            rows.append(own + start)
            features.append(hashed)
        joined = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        hashes = np.concatenate(features) if features else np.zeros(0, np.int64)
        both, counted = np.unique(joined * BUCKETS + hashes, return_counts=True)
        times = counted.astype(np.float64)
        self._rows, self._features = both // BUCKETS, both % BUCKETS
        totals = np.maximum(np.bincount(self._rows, weights=times, minlength=self.count), 1.0)
        self._amounts = np.sqrt(times / totals[self._rows])

    def dense(self, rows: Whole) -> Floats:
        """Lay out the features of some *rows*, one below the other."""
        place = np.full(self.count, -1, np.int64)
        place[rows] = np.arange(len(rows))
        here = place[self._rows] >= 0
        made = np.zeros((len(rows), BUCKETS))
        made[place[self._rows[here]], self._features[here]] = self._amounts[here]
        return made

    def weigh(self, weights: Weights) -> Floats:
        """Sum up the *weights* of each text's features."""
        each = self._amounts * weights[self._features]
        return np.bincount(self._rows, weights=each, minlength=self.count).astype(np.float64)


def _hash_grams(texts: Sequence[str]) -> tuple[Whole, Whole]:
    """Hash every few bytes in a row of each text: of all texts at once, without those that begin in one and end in another."""
    written = [b" " + text.casefold().encode("utf-8", "replace")[:MOST_BYTES] + b" " for text in texts]
    lengths = np.array([len(one) for one in written], np.int64)
    letters = np.frombuffer(b"".join(written), np.uint8).astype(np.int64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    rows, hashes = [], []
    for size in GRAMS:
        if len(letters) < size:
            continue
        windows = len(letters) - size + 1
        inside = owner[:windows] == owner[size - 1 :]
        hashed = np.full(windows, size, np.int64)
        for place in range(size):
            hashed = (hashed * 31 + letters[place : place + windows] + 1) * _PRIMES[place] % 2_147_483_647
        rows.append(owner[:windows][inside])
        hashes.append(hashed[inside] % BUCKETS)
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(rows), np.concatenate(hashes)


class Learner:
    """A logistic regression of a yes or no over texts, and over a few numbers beside them."""

    def __init__(self, texts: TextFeatures, beside: Floats, rows: Whole, *, ridge: float = 0.5) -> None:
        self._texts, self._beside, self._ridge = texts, beside, ridge
        self._dense = texts.dense(rows)
        self._own = beside[rows]
        self._kernel = self._dense @ self._dense.T + self._own @ self._own.T

    def score(self, is_so: NDArray[np.bool_]) -> Floats:
        """Fit it to what *is_so* of the rows that it learns from, and say of every text how likely it is."""
        alpha, bias = _fit(self._kernel, is_so, self._ridge)
        raw = self._texts.weigh(self._dense.T @ alpha) + self._beside @ (self._own.T @ alpha) + bias
        return _round(_sigmoid(raw))

    def guess(self, is_so: NDArray[np.bool_], parts: int = 5) -> Floats:
        """Say of each row that it learns from how likely it is, by what is learnt from the others (in so many parts)."""
        made = np.zeros(len(is_so))
        part = np.arange(len(is_so)) % parts
        for one in range(parts):
            held, rest = part == one, part != one
            alpha, bias = _fit(self._kernel[np.ix_(rest, rest)], is_so[rest], self._ridge)
            made[held] = _sigmoid(self._kernel[np.ix_(held, rest)] @ alpha + bias)
        return made


def _fit(kernel: Floats, is_so: NDArray[np.bool_], ridge: float) -> tuple[Floats, float]:
    """Find what maximises the likelihood less a ridge, by Newton's steps in the rows' own space: they are few, the features many."""
    count = len(is_so)
    y = is_so.astype(np.float64)
    share = (y.sum() + 0.5) / (count + 1)
    bias = math.log(share / (1 - share))
    if not count or y.all() or not y.any():
        return np.zeros(count), bias
    alpha = np.zeros(count)
    for _ in range(NEWTON):
        f = kernel @ alpha + bias
        p = _sigmoid(f)
        w = np.maximum(p * (1 - p), 1e-4)
        z = f - bias + (y - p) / w
        before, alpha = alpha, np.linalg.solve(kernel + np.diag(ridge / w), z).astype(np.float64)
        moved = float(np.abs(alpha - before).max())
        if moved < 1e-9:
            break
    return alpha, bias


def _sigmoid(x: Floats) -> Floats:
    made: Floats = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return made


def _round(scores: Floats) -> Floats:
    return np.round(scores, PLACES)
