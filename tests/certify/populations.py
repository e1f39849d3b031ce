"""Tables whose right answers are known, made so that a certificate which is not one is caught."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qwennb.certify import Certificate, certify

GOALS = ("agree", "precision", "recall")
TABLES = ("shuffled", "sorted", "duplicated", "tiny", "flat")


@dataclass
class Table:
    """Rows with a score each, what the oracle says of each, and how often each stands there."""

    scores: np.ndarray
    says: np.ndarray
    counts: np.ndarray
    likely: np.ndarray | None = None


def build(kind: str, goal: str, seed: int, rows: int = 600) -> Table:
    """Make a table of *kind*: the draft is wrong a little more often than may be, or a little less, and more so where it is unsure."""
    rng = np.random.default_rng(seed)
    rows = 60 if kind == "tiny" else rows
    unsure = rng.random(rows)
    wrong = rng.random(rows) < unsure * rng.uniform(0.15, 0.5)
    if kind == "sorted":  # the first rows are easy, and the score does not know it
        place = np.arange(rows) / rows
        wrong = rng.random(rows) < 0.35 * (place > 0.3)
    scores = np.zeros(rows) if kind in ("flat", "sorted") else 1 - unsure + 0.1 * rng.normal(size=rows)
    counts = np.ones(rows, np.int64)
    if kind == "duplicated":
        counts = 1 + rng.geometric(0.3, rows)
        counts[rng.integers(rows)] = rows // 2
    if goal != "recall":
        return Table(scores, ~wrong, counts)
    # For recall the score is that of being none, and what is wrong there is a row that is looked for.
    likely = None if seed % 2 else (scores < np.quantile(scores, 0.1))
    return Table(scores, wrong, counts, likely)


def prove(table: Table, goal: str, target: float = 0.9, delta: float = 0.05) -> Certificate:
    """Make the certificate of a table."""
    return certify(
        table.scores,
        lambda rows: table.says[rows],
        target,
        delta,
        goal=goal,
        counts=table.counts,
        likely=table.likely,
    )


def is_missed(table: Table, goal: str, target: float, made: Certificate) -> bool:
    """Tell whether what the certificate claims is false, counted over all of the table."""
    accepted = table.counts * made.accepted
    if goal == "agree":
        return (accepted * ~table.says).sum() > (1 - target) * table.counts.sum() + 1e-9
    if goal == "precision":
        return (accepted * ~table.says).sum() > (1 - target) * accepted.sum() + 1e-9
    return (accepted * table.says).sum() > (1 - target) * (table.counts * table.says).sum() + 1e-9


def least_probability(misses: int, runs: int, confidence: float = 0.99) -> float:
    """The lower confidence bound of Clopper and Pearson for the probability of a miss."""
    import math

    def tail(p: float) -> float:
        logs = [
            math.lgamma(runs + 1)
            - math.lgamma(k + 1)
            - math.lgamma(runs - k + 1)
            + k * math.log(p)
            + (runs - k) * math.log1p(-p)
            for k in range(misses, runs + 1)
        ]
        return sum(map(math.exp, logs))

    if not misses:
        return 0.0
    low, high = 0.0, misses / runs
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if middle > 0 and tail(middle) < 1 - confidence else (low, middle)
        if middle == 0:
            break
    return low
