"""What labels amount to: accuracy with its interval, and what was taken for what. Kappa and interval are those of truth.py.

accuracy   right answers among those labelled, with Wilson's interval: it stays within 0 and 1, and holds for few rows
confusion  how often each answer was given where each was true; the truth of a wrong answer is known by its fix
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qwennb.truth import Share

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
    low, high = Share(right, labelled).interval or (0.0, 1.0)
    return Accuracy(right, labelled, low, high)


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
