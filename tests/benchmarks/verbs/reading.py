"""What the probabilities of an answer's first token say about each label.

A model leans to some labels whatever the text says. How much it leans is read from texts that say nothing, asked in the
same words, and taken away (Zhao and others, 2021: "Calibrate before use").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwennb import Answer

NOTHING = ("N/A", "", "[text]", "lorem ipsum")
FLOOR = -20.0  # where a label's token is not even among those told


def lean(answer: Answer, words: Sequence[str]) -> list[float]:
    """The log-probability that the answer begins with each of *words*, however it is spelt."""
    if not answer.logprobs:
        return [FLOOR] * len(words)
    first = next((one for one in answer.logprobs if one.token.strip(' "\n')), answer.logprobs[0])
    sums = [0.0] * len(words)
    for spelt, logprob in first.top:
        token = spelt.strip(' "').casefold()
        for place, word in enumerate(words):
            if token and word.casefold().startswith(token) and _is_told_apart(token, word, words):
                sums[place] += math.exp(logprob)
    return [math.log(one) if one else FLOOR for one in sums]


def _is_told_apart(token: str, word: str, words: Sequence[str]) -> bool:
    return not any(other != word and other.casefold().startswith(token) for other in words)


def mean_lean(answers: Sequence[Answer], words: Sequence[str]) -> list[float]:
    """How the model leans where the text says nothing."""
    leans = [lean(answer, words) for answer in answers]
    return [sum(column) / len(leans) for column in zip(*leans, strict=True)]


def shares(scores: Sequence[float]) -> list[float]:
    """*scores* as probabilities that sum to one."""
    most = max(scores)
    weights = [math.exp(score - most) for score in scores]
    return [weight / sum(weights) for weight in weights]


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
