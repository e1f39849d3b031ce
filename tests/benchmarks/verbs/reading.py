"""What answers say of each label: as it was said, by its likelihood, and by what it gains over the model's lean."""

from __future__ import annotations

from collections.abc import Sequence

from qwennb import Answer
from qwennb.frames.lean import choose, mean_lean


def read_labels(
    answers: Sequence[Answer], blanks: Sequence[Answer], words: Sequence[str]
) -> list[tuple[str, str, str, float]]:
    """Read each answer in the three ways, and how sure the last is. *blanks* are answers about texts that say nothing."""
    told = [one.choice_logprobs for one in blanks]
    lean = mean_lean([one for one in told if one is not None]) if None not in told else None
    made = []
    for answer in answers:
        likely, said = answer.choice_logprobs, answer.data
        if likely is None or lean is None:
            made.append((said, said, said, 0.0))
            continue
        likeliest = words[likely.index(max(likely))]
        made.append((said, likeliest, *choose(words, likely, lean, said)))
    return made


def calibration_error(told: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """The expected calibration error: how far confidence and being right lie apart, over bins of confidence."""
    total = 0.0
    for number in range(bins):
        inside = [
            (sure, right)
            for sure, right in told
            if number / bins < sure <= (number + 1) / bins or (not number and not sure)
        ]
        if inside:
            total += abs(sum(sure for sure, _ in inside) - sum(right for _, right in inside))
    return total / len(told)
