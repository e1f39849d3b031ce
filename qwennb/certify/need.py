"""What a certificate takes at least, and whether it can be had at all: said before anything is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from qwennb.certify.certify import Goal, check_share, floor_of, missable, positives_for
from qwennb.certify.few_errors import FewErrors

DEAR = 0.5  # the share of all rows from which on the labels are not worth it


@dataclass(frozen=True, slots=True)
class Need:
    """What a certificate takes: at least so many `labels`, were the draft always right; `why_not`, where it can't be had or is not worth it.

    `by` tells how recall is proved: by asking what is likely and drawing from the rest, or by drawing from all.
    """

    goal: Goal
    rows: int
    labels: int
    by: Literal["prefixes", "likely", "sample"] = "prefixes"
    why_not: str = ""


def need(
    rows: int, target: float, delta: float = 0.05, *, goal: Goal = "agree", positives: int | None = None
) -> Need:
    """Say what it takes to prove *target* of so many *rows*; *positives*: how many of them are looked for, or are returned."""
    check_share("target", target)
    check_share("delta", delta)
    if goal == "recall":
        return _need_recall(rows, target, delta, positives)
    among = rows if goal == "agree" or positives is None else positives
    most = floor_of(1 - target, among)
    if most == 0:
        least = math.ceil(1 / (1 - target) - 1e-9)
        return Need(
            goal,
            rows,
            among,
            why_not=f"of {among:,} rows not one may be wrong at {target:g}, which only asking all of them shows; it takes {least:,} at least",
        )
    return _judge(goal, rows, FewErrors(among, most).labels_if_clean(delta))


def _need_recall(rows: int, target: float, delta: float, positives: int | None) -> Need:
    """Take the cheaper of two ways; where nobody knows how many are looked for, as if all were."""
    wanted = positives_for(target, delta, missed=1)
    if positives is None:
        return _judge("recall", rows, wanted, "sample")
    if not positives:
        return Need(
            "recall", rows, rows, why_not="nothing that is looked for is in sight, so that all rows are asked"
        )
    by_sample = math.ceil(wanted * rows / positives)
    most, rest = missable(target, positives), rows - positives
    by_likely = (
        rows
        if most == 0
        else positives + (FewErrors(rest, most).labels_if_clean(delta) if rest > most else 0)
    )
    if min(by_sample, by_likely) >= rows:
        return Need(
            "recall",
            rows,
            rows,
            why_not=f"recall {target:g} is proved on {wanted:,} rows that are looked for, and there are about {positives:,} of them, so that all rows are asked",
        )
    if by_likely <= by_sample:
        return _judge("recall", rows, by_likely, "likely")
    return _judge("recall", rows, by_sample, "sample")


def _judge(
    goal: Goal, rows: int, labels: int, by: Literal["prefixes", "likely", "sample"] = "prefixes"
) -> Need:
    why_not = ""
    if labels > DEAR * rows:
        why_not = f"it takes {labels:,} answers at least of {rows:,}, which is hardly cheaper than asking all"
    return Need(goal, rows, labels, by, why_not)
