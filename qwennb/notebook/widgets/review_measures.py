"""What labels amount to: accuracy with its interval, agreement of two reviewers, and what was taken for what.

accuracy   right answers among those labelled, with Wilson's interval: it stays within 0 and 1, and holds for few rows
kappa      Cohen's: how much more two agree than their habits alone would have them agree
confusion  how often each answer was given where each was true; the truth of a wrong answer is known by its fix
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Z = 1.959963984540054  # of 95 %
UNTOLD = "(not told)"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """`right` of `labelled`, and the interval that holds the true share in 95 of 100 such samples."""

    right: int
    labelled: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share itself."""
        return self.right / self.labelled

    def __str__(self) -> str:
        return (
            f"{self.share:.1%} right ({self.right:,} of {self.labelled:,}; "
            f"95 % interval {self.low:.1%} to {self.high:.1%})"
        )


def accuracy(right: int, labelled: int) -> Accuracy | None:
    """The accuracy with Wilson's interval; None where nothing is labelled."""
    if not labelled:
        return None
    share, square = right / labelled, Z * Z / labelled
    centre = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / labelled + square / (4 * labelled))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Accuracy(right, labelled, 0.0 if right == 0 else low, 1.0 if right == labelled else high)


@dataclass(frozen=True, slots=True)
class Kappa:
    """`value` is 1 for full agreement, 0 for what chance gives; None where both always said the same one thing."""

    value: float | None
    agreed: int
    rows: int

    def __str__(self) -> str:
        told = "not defined: everything has one label" if self.value is None else f"{self.value:.2f}"
        return f"Cohen's kappa {told} (the same label for {self.agreed:,} of {self.rows:,} rows)"


def kappa(pairs: Iterable[tuple[Any, Any]]) -> Kappa | None:
    """Cohen's kappa of what two said of the same rows; None where there are no such rows."""
    counts = Counter(pairs)
    rows = counts.total()
    if not rows:
        return None
    agreed = sum(count for (first, second), count in counts.items() if first == second)
    ours: Counter[Any] = Counter()
    theirs: Counter[Any] = Counter()
    for (first, second), count in counts.items():
        ours[first] += count
        theirs[second] += count
    by_chance = sum(ours[said] * theirs[said] for said in ours)
    if by_chance == rows * rows:
        return Kappa(None, agreed, rows)
    return Kappa((agreed * rows - by_chance) / (rows * rows - by_chance), agreed, rows)


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each answer (a row of `counts`) was given where each was true (a column)."""

    answers: tuple[str, ...]
    truths: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def total(self) -> int:
        """The rows counted."""
        return sum(map(sum, self.counts))

    def describe(self) -> str:
        """The whole table in words, for whoever can't see it."""
        told = [
            f"{answer} where {truth} is true: {count}"
            for answer, row in zip(self.answers, self.counts, strict=True)
            for truth, count in zip(self.truths, row, strict=True)
            if count
        ]
        return f"Confusion matrix of {self.total} labelled rows. Answered {'; '.join(told)}."


def confusion(
    pairs: Sequence[tuple[str, str | None]], known: Sequence[str] = (), *, most: int = 12
) -> Confusion | None:
    """What was answered against what is true (None: not told), or None where the answers are no classes.

    *known* are the classes in their own order. Answers that hardly repeat are texts, not classes.
    """
    found = list(dict.fromkeys([text for pair in pairs for text in pair if text is not None]))
    classes = [*known, *sorted(text for text in found if text not in set(known))]
    if not pairs or len(classes) > most or (not known and len(classes) > max(2, len(pairs) // 2)):
        return None
    counts = Counter(pairs)
    truths: list[str | None] = [*classes]
    if any(truth is None for _, truth in pairs):
        truths.append(None)
    return Confusion(
        answers=tuple(classes),
        truths=tuple(UNTOLD if truth is None else truth for truth in truths),
        counts=tuple(tuple(counts[answer, truth] for truth in truths) for answer in classes),
    )
