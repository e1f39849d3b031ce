"""Answers held against the truth: the figures, computed by hand or by known tables."""

from __future__ import annotations

import random

import pandas as pd
import polars as pl
import pytest

from qwennb.errors import BadInput
from qwennb.truth import Share, compare, kappa


def test_an_interval_is_wilsons():
    """Known values: Newcombe 1998 (Statistics in Medicine 17, table I), method 3."""
    for count, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert Share(count, of).interval == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_interval_of_kappa_holds_the_true_one_in_about_95_of_100_samples():
    """Two readers whose labels are drawn together: 40 % yes and yes, 10 % yes and no, 20 % no and yes, 30 % no and no."""
    cells, shares = [("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")], (0.4, 0.1, 0.2, 0.3)
    true = (0.7 - 0.5) / (1 - 0.5)
    rng, held = random.Random(7), 0
    for _ in range(600):
        low, high = kappa(rng.choices(cells, shares, k=150)).interval
        held += low <= true <= high
    assert 0.92 <= held / 600 <= 0.98
    assert kappa([("a", "a")] * 3).interval is None


def test_a_share_of_no_rows_is_unknown():
    assert Share(0, 0).value is None and Share(0, 0).interval is None and "unknown" in str(Share(0, 0))


def test_labels_are_counted_and_what_was_taken_for_what():
    found = compare(["a", "b", "b", None, "a"], ["a", "a", "b", "b", None])
    assert (found.kind, found.rows, found.accuracy) == ("labels", 3, Share(2, 3))
    assert found.confusion == {("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1}
    assert (found.without_answer, found.without_truth) == (1, 1)
    assert str(found).splitlines()[-1] == "  left out: 1 row without a truth, 1 row without an answer"


def test_yes_and_no_have_precision_and_recall():
    found = compare(["yes", "yes", "no", "no"], [True, False, True, False])
    assert (found.kind, found.precision, found.recall) == ("yes or no", Share(1, 2), Share(1, 2))


def test_numbers_have_a_mean_error_and_the_correlation_of_their_ranks():
    found = compare([1, 2, 3, 4, 4], [10, 20, 30, 50, 40])
    assert found.kind == "numbers" and found.mean_error == pytest.approx(27.2)
    assert found.rank_correlation == pytest.approx(9.5 / (9.5 * 10) ** 0.5)
    assert compare([1, 1], [1, 2]).rank_correlation is None


def test_many_labels_show_the_mistakes_that_were_made_most():
    truth = [f"l{n}" for n in range(12)] + ["l0", "l0"]
    answers = [f"l{n}" for n in range(12)] + ["l1", "l1"]
    assert "l0  answered  l1  2" in str(compare(answers, truth))


def test_series_of_polars_and_pandas_are_taken():
    answers = pl.Series(["a", None], dtype=pl.Enum(["a", "b"]))
    assert compare(answers, pd.Series(["a", None])).accuracy == Share(1, 1)
    assert compare(pd.Series([1.0, float("nan")]), [1, 2]).without_answer == 1


def test_what_can_not_be_compared_is_refused():
    with pytest.raises(BadInput, match="2 answers and 1 truths"):
        compare(["a", "b"], ["a"])
    with pytest.raises(BadInput, match="One side is numbers"):
        compare([1.5, 2.5], ["a", "b"])
