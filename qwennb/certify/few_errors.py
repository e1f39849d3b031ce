"""An exact sequential test: does a population of *size* hold at most *most* errors? Rows are drawn from it one by one, unreturned.

Of a population with K errors, the draws so far (t, of them s errors) have the probability

    L(K) = K!/(K-s)! · (size-K)!/(size-K-t+s)! · (size-t)!/size!

and, with weights w(K) on K = 0 … most that are chosen before anything is drawn,

    M = Σ w(K)·L(K) / L(most+1)

is a martingale where there are most+1 errors, so that M ≥ 1/delta is ever met with a probability of at most delta (Ville), however
often one looks and whenever one stops. Where there are more errors still it is met more rarely: make errors of some
sound rows, and every s along the way is as large or larger, and M falls as s grows.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]

SUPPORT = 400
"""On so many K the weights lie. Any weights make a valid test; with more of these none has been seen to need a label less."""

_EXACT = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, 257)))])


def log_factorial(n: Whole) -> Floats:
    """Take ln n!: by a table, above it by Stirling's series, which is exact there to the last place."""
    x = np.maximum(n, 1).astype(np.float64)
    series = x * np.log(x) - x + 0.5 * np.log(2 * math.pi * x) + 1 / (12 * x) - 1 / (360 * x**3)
    return np.where(n < len(_EXACT), _EXACT[np.clip(n, 0, len(_EXACT) - 1)], series)


def enough(delta: float) -> float:
    """The ln M at which the test is passed, less a hair for what floats round."""
    return -math.log(delta) - 1e-9


class FewErrors:
    """The test for one population. `log_evidence` is ln M of the draws so far; where it is `enough`, there are few errors."""

    def __init__(self, size: int, most: int) -> None:
        self.size, self.most = size, most
        # Denser where errors are few, as the weights are.
        spaced = np.linspace(0.0, 1.0, min(most + 1, SUPPORT)) ** 2
        self._k = np.unique(np.rint(most * spaced).astype(np.int64))
        self._log_weights = self._weigh()
        self._alternative = np.array([most + 1])

    def _weigh(self) -> Floats:
        """Weigh each K as a beta-binomial does (a = ½, mean most/2), taking in the K up to the next one."""
        if self.most == 0:
            return np.zeros(1)
        a, k = 0.5, np.arange(self.most + 1, dtype=np.float64)
        b = max(a * (2 * self.size / self.most - 1), a)
        ratios = np.log(self.size - k[:-1]) + np.log(k[:-1] + a) - np.log(k[1:])
        ratios -= np.log(np.maximum(self.size - k[:-1] - 1 + b, b))
        logs = np.concatenate([[0.0], np.cumsum(ratios)])
        weights = np.add.reduceat(np.exp(logs - logs.max()), self._k)
        made: Floats = np.log(weights / weights.sum())
        return made

    def log_evidence(self, drawn: int, errors: int) -> float:
        """Take ln M after so many draws with so many errors; infinite where it is certain, either way."""
        if errors > self.most:
            return -math.inf
        sound = drawn - errors
        if sound > self.size - self.most - 1:  # most + 1 errors have no room left
            return math.inf
        terms = self._log_weights + self._log_likelihood(self._k, sound, errors)
        highest = float(terms.max())
        if highest == -math.inf:  # between the K that have weight
            return -math.inf
        total = highest + math.log(float(np.exp(terms - highest).sum()))
        return total - float(self._log_likelihood(self._alternative, sound, errors)[0])

    def _log_likelihood(self, k: Whole, sound: int, errors: int) -> Floats:
        """Take ln L(K) but for what does not depend on K; -inf where it is impossible."""
        rest = self.size - k
        possible = (k >= errors) & (rest >= sound)
        made = (
            log_factorial(k) - log_factorial(k - errors) + log_factorial(rest) - log_factorial(rest - sound)
        )
        return np.where(possible, made, -np.inf)

    def labels_if_clean(self, delta: float) -> int:
        """Count the draws that are enough where none of them is an error; all of them always are."""
        low, high = 0, self.size
        while low < high:
            middle = (low + high) // 2
            if self.log_evidence(middle, 0) >= enough(delta):
                high = middle
            else:
                low = middle + 1
        return low
