"""How often intervals hold and how wide they are: `python -m tests.benchmarks.estimates [runs]`.

Each row is a setting of `tests/estimates`: a table of which all is known, drawn from and estimated again and again. Where
`ppi-python` can be imported its interval over the same labels stands beside (it needs scipy and more, so it is no dependency:
an environment of its own, with the folder of this repository on its path).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from tests.estimates.test_intervals_hold import (
    MEANS,
    MODELS,
    REGRESSIONS,
    SETTINGS,
    hold_mean,
    hold_quantile,
    hold_regression,
)
from tests.estimates.worlds import count_held, draw, hold_shares, labels_world, wilson_width

RUNS, ROWS = 4000, 10_000


def shares(runs: int) -> Iterator[list[str]]:
    yield ["share: n, prevalence", "held (least of 3 models)", "width", "Wilson, no model", "ppi-python held"]
    for n, prevalence in SETTINGS:
        held, widths, theirs = [], [], []
        for sensitivity, specificity in MODELS:
            world = labels_world(ROWS, prevalence, sensitivity, specificity)
            found = hold_shares(world, draw(world, n, runs))
            held.append(found.share)
            widths.append(found.width)
            theirs.append(peer(world, n, min(runs, 1500)))
        yield [
            f"{n}, {prevalence:.0%}",
            f"{min(held):.1%}",
            f"{np.mean(widths):.3f}",
            f"{wilson_width(prevalence, n, ROWS, 4000):.3f}",
            "–" if None in theirs else f"{min(theirs):.1%}",
        ]


def peer(world, n: int, runs: int) -> float | None:
    """How often `ppi_mean_ci` held, over labels drawn from the whole table, as it takes them."""
    try:
        from ppi_py import ppi_mean_ci
    except ImportError:
        return None
    drawn = draw(world, n, runs, at_random=True)
    human, model = world.human.astype(float), world.model.astype(float)
    ends = []
    for rows in drawn.rows:
        rest = np.ones(len(model), bool)
        rest[rows] = False
        ends.append(np.ravel(ppi_mean_ci(human[rows], model[rows], model[rest], alpha=0.05)))
    low, high = np.array(ends).T
    return count_held(low, high, float(world.human.mean())).share


def others(runs: int) -> Iterator[list[str]]:
    yield ["", "held", "width", "without the model"]
    for n, skewed, right in MEANS:
        held, width, alone = hold_mean(n, runs, skewed=skewed, right=right)
        kind = "skewed" if skewed else "normal"
        yield [f"mean: n {n}, {kind}, correlated {right}", f"{held:.1%}", f"{width:.3f}", f"{alone:.3f}"]
    for n in (50, 100, 300):
        for q in (0.1, 0.5, 0.9):
            yield [f"quantile {q}: n {n}", f"{hold_quantile(n, q, runs):.1%}", "", ""]
    for name in REGRESSIONS:
        for n in (100, 300):
            found = hold_regression(name, n, runs)
            yield [
                f"{name}: n {n}",
                " ".join(f"{held:.1%}" for held, _, _ in found),
                " ".join(f"{width:.2f}" for _, width, _ in found),
                " ".join(f"{alone:.2f}" for _, _, alone in found),
            ]


def main(arguments: list[str]) -> None:
    """Print the figures, each row as it comes."""
    runs = int(arguments[0]) if arguments else RUNS
    kinds = arguments[1:] or ["shares", "others"]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {runs:,} runs each, nominal 95 %, seeds fixed")
    for kind in kinds:
        for row in {"shares": shares, "others": others}[kind](runs):
            print(" | ".join(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
