"""Tables of which all is known, and how often an interval holds the truth when labels are drawn from them again and again.

A world has what humans would say of every row, and what a model said, right as often as it is told to be. `hold` draws
samples, has each estimated, and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qwennb.estimates import Interval, allocate, bound_shares


@dataclass(frozen=True)
class World:
    """A table: what humans would say (`human`) and what the model said (`model`), row by row, and its strata."""

    human: np.ndarray
    model: np.ndarray
    strata: np.ndarray

    def sizes(self) -> np.ndarray:
        return np.bincount(self.strata)


@dataclass(frozen=True)
class Held:
    """Of how many samples the interval held the truth, and how wide it was in the mean."""

    share: float
    width: float
    low_misses: float  # the truth was below the interval


@dataclass(frozen=True)
class Drawn:
    """Samples: the rows (runs × labels), how many rows of the table each stands for, and their strata."""

    rows: np.ndarray
    weights: np.ndarray
    strata: np.ndarray


def labels_world(
    rows: int, prevalence: float, sensitivity: float, specificity: float, *, seed: int = 0
) -> World:
    """A class of *prevalence*, which the model finds, and denies elsewhere, as often as it is told to."""
    chance = np.random.default_rng(seed)
    human = np.arange(rows) < round(prevalence * rows)
    model = np.where(human, chance.random(rows) < sensitivity, chance.random(rows) > specificity)
    return World(human, model, model.astype(int))


def numbers_world(rows: int, *, skewed: bool = False, right: float = 0.9, seed: int = 0) -> World:
    """Scores of humans, and a model's that go with them, correlated by *right*; strata are five bands of the model's."""
    chance = np.random.default_rng(seed)
    human = chance.lognormal(0, 0.8, rows) if skewed else chance.normal(3, 1, rows)
    noise = chance.normal(0, 1, rows) * human.std() * np.sqrt(1 / right**2 - 1)
    model = 0.5 + 0.8 * (human + noise)
    return World(human, model, np.searchsorted(np.quantile(model, [0.2, 0.4, 0.6, 0.8]), model, side="right"))


def draw(world: World, n: int, runs: int, *, seed: int = 0, at_random: bool = False) -> Drawn:
    """Draw *n* rows, *runs* times: by the strata as `draw` does, or from the whole table."""
    chance = np.random.default_rng(seed)
    strata = np.zeros_like(world.strata) if at_random else world.strata
    sizes = np.bincount(strata)
    counts = allocate(sizes.tolist(), [0.3] * len(sizes), n)
    places = [np.flatnonzero(strata == one) for one in range(len(sizes))]
    rows = np.array(
        [
            np.concatenate(
                [
                    chance.choice(of, count, replace=False, shuffle=False)
                    for of, count in zip(places, counts, strict=True)
                ]
            )
            for _ in range(runs)
        ]
    )
    weights = np.repeat([size / max(1, count) for size, count in zip(sizes, counts, strict=True)], counts)
    return Drawn(rows, weights, np.repeat(np.arange(len(sizes)), counts))


def hold_shares(world: World, drawn: Drawn, *, level: float = 0.95) -> Held:
    """Estimate the share of what is true, of all samples at once."""
    low, high = bound_shares(
        world.human[drawn.rows].astype(float),
        world.model[drawn.rows].astype(int),
        np.broadcast_to(drawn.weights, drawn.rows.shape),
        np.broadcast_to(np.bincount(world.model.astype(int), minlength=2), (len(drawn.rows), 2)),
        level=level,
    )[1:3]
    return count_held(low, high, float(world.human.mean()))


def hold(
    estimates: Callable[[np.ndarray], Interval | list[Interval]], drawn: Drawn, truth: np.ndarray | float
) -> list[Held]:
    """Estimate of each sample in its turn; of each figure that comes, how often it held."""

    def listed() -> Iterator[list[Interval]]:
        for rows in drawn.rows:
            made = estimates(rows)
            yield made if isinstance(made, list) else [made]

    found = list(listed())
    truths = np.atleast_1d(truth)
    return [
        count_held(
            np.array([one[place].low for one in found]),
            np.array([one[place].high for one in found]),
            float(true),
        )
        for place, true in enumerate(truths)
    ]


def count_held(low: np.ndarray, high: np.ndarray, truth: float) -> Held:
    edge = 1e-9
    return Held(
        float(((low <= truth + edge) & (truth <= high + edge)).mean()),
        float((high - low).mean()),
        float((low > truth + edge).mean()),
    )


def wilson_width(share: float, n: int, rows: int, runs: int, *, seed: int = 0) -> float:
    """The mean width of Wilson's interval over labels of *n* rows drawn at random, without a model."""
    hits = np.random.default_rng(seed).hypergeometric(
        round(share * rows), rows - round(share * rows), n, runs
    )
    p, square = hits / n, 1.959963984540054**2
    return float(
        (2 * np.sqrt(square) * np.sqrt(p * (1 - p) / n + square / (4 * n * n)) / (1 + square / n)).mean()
    )
