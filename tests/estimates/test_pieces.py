"""What the intervals are made of: quantiles by the table, exact bounds by counting, labels parted among strata, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.errors import BadInput
from qwennb.estimates import (
    allocate,
    bound_share_exactly,
    estimate_coefficients,
    estimate_mean,
    estimate_quantile,
    estimate_recall,
    estimate_share,
    fit_logit,
    fit_ols,
)
from qwennb.estimates.distributions import bound_count, normal_quantile, t_quantile


def test_quantiles_are_those_of_the_tables():
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    for freedom, at_95, at_99 in (
        (1, 12.7062, 63.6567), (2, 4.30265, 9.92484), (3, 3.18245, 5.84091), (4, 2.77645, 4.60409), (10, 2.22814, 3.16927), (30, 2.04227, 2.75), (1e7, 1.959964, 2.575829),
    ):  # fmt: skip
        assert t_quantile(0.95, freedom) == pytest.approx(at_95, rel=2e-5)
        assert t_quantile(0.99, freedom) == pytest.approx(at_99, rel=2e-5)


def test_bounds_of_a_count_are_those_that_counting_gives():
    """All tables of 12 rows, 5 of them drawn: a bound is the last count that the test does not refuse."""
    rows, drawn, tail = 12, 5, 0.025

    def chance(marked: int, hits: int) -> float:
        return math.comb(marked, hits) * math.comb(rows - marked, drawn - hits) / math.comb(rows, drawn)

    for hits in range(drawn + 1):
        kept = [
            marked
            for marked in range(rows + 1)
            if sum(chance(marked, k) for k in range(hits, drawn + 1)) > tail
            and sum(chance(marked, k) for k in range(hits + 1)) > tail
        ]
        assert bound_count(rows, drawn, hits, tail) == (min(kept), max(kept))
    assert bound_count(9, 0, 0, tail) == (0, 9) and bound_count(9, 9, 4, tail) == (4, 4)


@given(
    sizes=st.lists(st.integers(1, 20_000), min_size=1, max_size=9),
    n=st.integers(1, 500),
    spread=st.sampled_from([0.3, 0.5]),
)
def test_all_labels_are_parted_and_no_stratum_gets_more_than_it_has(sizes, n, spread):
    counts = allocate(sizes, [spread, *[0.3] * (len(sizes) - 1)], n)
    assert sum(counts) == min(n, sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_a_small_stratum_has_ten_labels_or_all_of_its_rows():
    assert allocate([9_700, 300], [0.3, 0.3], 150) == [140, 10]
    assert allocate([9_000, 900, 100, 4], [0.3, 0.3, 0.3, 0.5], 300) == [255, 26, 15, 4]
    assert allocate([600, 400], [0.3, 0.3], 100) == [60, 40]
    assert allocate([50, 50], [0.3, 0.3], 500) == [50, 50]


def test_a_table_that_is_labelled_whole_is_known():
    human = np.array([1.0, 0.0, 1.0, 1.0])
    groups, ones, sizes = np.array([0, 0, 1, 1]), np.ones(4), np.array([2, 2])
    for found in (
        estimate_share(human, groups, ones, sizes),
        bound_share_exactly(human, groups, sizes),
        estimate_mean(human, human, ones, groups, human, groups),
    ):
        assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)
    assert estimate_quantile(human, human, ones, human, 0.5).value == 1.0


def test_a_group_without_a_label_widens_the_interval_by_all_that_it_may_be():
    hits, groups = np.zeros(90), np.zeros(90, int)
    known = estimate_share(hits, groups, np.full(90, 10.0), np.array([900, 0]))
    open_group = estimate_share(hits, groups, np.full(90, 10.0), np.array([900, 100]))
    assert known.high < 0.04 and open_group.low == 0 and open_group.high > 0.1


def test_a_model_that_says_nothing_is_not_listened_to():
    chance = np.random.default_rng(0)
    human, noise = chance.normal(size=3_000), chance.normal(size=3_000)
    rows, one = np.arange(100), np.zeros(100, int)
    found = estimate_mean(human[rows], noise[rows], np.full(100, 30.0), one, noise, np.zeros(3_000, int))
    assert 0.85 < found.worth < 1.1
    told = estimate_mean(human[rows], human[rows], np.full(100, 30.0), one, human, np.zeros(3_000, int))
    assert told.value == pytest.approx(human.mean()) and told.worth > 1e6


def test_a_quantile_of_which_the_labels_know_no_upper_end_has_none():
    human = np.arange(20.0)
    found = estimate_quantile(human, np.full(20, np.nan), np.full(20, 5.0), np.full(100, np.nan), 0.95)
    assert found.value == 18.0 and found.high == math.inf


def test_recall_of_what_was_never_seen_is_unknown():
    found = estimate_recall(np.zeros(20), np.ones(20, int), np.full(20, 5.0), np.array([0, 100]))
    assert math.isnan(found.value) and (found.low, found.high) == (0.0, 1.0)


def test_what_a_regression_can_not_tell_is_said():
    chance = np.random.default_rng(1)
    x = np.column_stack([np.ones(40), chance.normal(size=40)])
    weights, strata = np.full(40, 10.0), np.zeros(40, int)

    def estimate(fit, x, y):
        return estimate_coefficients(fit, (x, y), (x, y), (x, y), weights[: len(x)], strata[: len(x)])

    with pytest.raises(
        BadInput, match="15 labels for 2 coefficients, and 10 are needed for each. Draw 5 more"
    ):
        estimate(fit_ols, x[:15], x[:15, 1])
    with pytest.raises(BadInput, match="say the same"):
        estimate(fit_ols, np.column_stack([x, x[:, 1]]), x[:, 1])
    with pytest.raises(BadInput, match="told apart without a mistake"):
        estimate(fit_logit, x, (x[:, 1] > 0).astype(float))
