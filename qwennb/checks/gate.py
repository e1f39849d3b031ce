"""The gate: is this run worse than the last one that was accepted, by more than chance?

Each row of a check has a loss: 0 where it is right and 1 where it is not; for numbers, how far they are off. Where the
rows are those of last time, each is held against itself, and rows that stayed the same say nothing: of those that moved, chance alone would make as
many better as worse (the sign test, which for right and wrong is McNemar's in its exact form). Where they are others, the
shares of two samples are compared (Fisher's exact test). Both are one-sided: what got better fails nothing.

Answers to one question are one observation, however many rows asked it: counted apart they would agree with each other, and
chance would pass for news.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qwennb.errors import BadInput
from qwennb.files import replace_file
from qwennb.text import plural

LEVEL = 0.05  # how often chance alone may fail a file whose checks are no worse
_FORM = 1  # of the file of the last run


@dataclass(frozen=True, slots=True)
class Gate:
    """How a run compares with the last one. *chance*: how often chance alone gives as bad a one; None: not compared."""

    is_worse: bool
    said: str
    chance: float | None = None


def compare_runs(now: Mapping[str, float], last: Mapping[str, float] | None, level: float) -> Gate:
    """Hold the losses of *now*, by row, against those of the *last* run."""
    if last is None:
        return Gate(is_worse=False, said="nothing to compare with: no run was accepted yet")
    if not now or not last:
        return Gate(is_worse=False, said="nothing to compare: one of the two runs has no rows")
    same = now.keys() & last.keys()
    # Which test is made depends on the rows alone and never on what was answered, or chance would choose the test.
    if 2 * len(same) >= len(now):
        worse = sum(now[name] > last[name] for name in same)
        better = sum(now[name] < last[name] for name in same)
        chance = binomial_tail(worse, worse + better)
        told = (
            f"of {plural(len(same), 'row')} known from last time, {worse:,} got worse and {better:,} better"
        )
    elif any(loss not in (0.0, 1.0) for loss in (*now.values(), *last.values())):
        return Gate(
            is_worse=False,
            said="not compared: most rows are others than last time, and errors of numbers are compared row by row",
        )
    else:
        wrong, before = round(sum(now.values())), round(sum(last.values()))
        chance = hypergeometric_tail(wrong, len(now), before, len(last))
        told = (
            f"{wrong:,} of {plural(len(now), 'row')} wrong now, {before:,} of {len(last):,} others last time"
        )
    is_worse = chance <= level
    verdict = "worse by more than chance" if is_worse else "no worse than chance explains"
    return Gate(is_worse, f"{verdict}: {told} (p = {chance:.3g}, limit {level:.3g})", chance)


def binomial_tail(worse: int, moved: int) -> float:
    """How likely at least *worse* of *moved* rows got worse, where each is as likely to get better."""
    if not moved:
        return 1.0
    return min(
        1.0, math.fsum(math.exp(_log_choose(moved, k) - moved * _LOG_2) for k in range(worse, moved + 1))
    )


def hypergeometric_tail(wrong: int, rows: int, before: int, rows_before: int) -> float:
    """How likely at least *wrong* of *rows* are, where all that are wrong in both runs fell on them at random."""
    both = wrong + before
    whole = _log_choose(rows + rows_before, both)
    chances = (
        math.exp(_log_choose(rows, k) + _log_choose(rows_before, both - k) - whole)
        for k in range(wrong, min(rows, both) + 1)
    )
    return min(1.0, math.fsum(chances))


_LOG_2 = math.log(2)


def _log_choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def merge_losses(losses: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Make one loss of those of rows that asked the same: (the row's name, what was asked, its loss).

    What was asked differs from run to run where the prompt does, and so what they are known by is a row's name.
    """
    groups: dict[str, list[tuple[str, float]]] = {}
    for name, asked, loss in losses:
        groups.setdefault(asked or name, []).append((name, loss))
    made: dict[str, list[float]] = {}
    for rows in groups.values():
        made.setdefault(min(name for name, _ in rows), []).extend(loss for _, loss in rows)
    return {name: math.fsum(found) / len(found) for name, found in made.items()}


# ---------------------------------------------------------------------- the last run, in a file


def read_last(path: Path) -> dict[str, dict[str, float]] | None:
    """Read the losses of the run that was accepted, by check and row; None where none was."""
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path.name} can't be read ({error.strerror}).") from None
    try:
        data = json.loads(written)
        if data["qwennb_checks"] != _FORM:
            raise ValueError("another form")
        return {
            str(check): {str(name): float(loss) for name, loss in rows.items()}
            for check, rows in data["checks"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadInput(
            f"{path.name} is no run that was accepted here, or of a newer qwennb. Take it from where it came again, or write it anew: --accept"
        ) from None


def write_last(path: Path, losses: Mapping[str, Mapping[str, float]]) -> None:
    """Write the losses of a run that is accepted; sorted, so that a pull request shows which rows changed."""
    data = {
        "qwennb_checks": _FORM,
        "checks": {
            check: {name: int(loss) if loss in (0, 1) else loss for name, loss in sorted(rows.items())}
            for check, rows in sorted(losses.items())
        },
    }
    try:
        replace_file(path, json.dumps(data, indent=0).encode() + b"\n", private=False)
    except OSError as error:
        raise BadInput(f"{path.name} can't be written ({error.strerror}).") from None
