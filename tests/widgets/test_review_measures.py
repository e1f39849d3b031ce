"""What labels amount to, against figures that were not computed by us."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.notebook.widgets import review_picture
from qwennb.notebook.widgets.review_measures import UNTOLD, accuracy, confusion
from qwennb.truth import Z, kappa


# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I,
# method 3 (Wilson's score without continuity correction).
@pytest.mark.parametrize(
    ("right", "labelled", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons_as_published(right, labelled, low, high):
    found = accuracy(right, labelled)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(labelled=st.integers(1, 5000), data=st.data())
def test_the_ends_of_the_interval_are_where_the_score_test_gives_up(labelled, data):
    right = data.draw(st.integers(0, labelled))
    found = accuracy(right, labelled)
    assert 0 <= found.low <= found.share <= found.high <= 1
    for end in (found.low, found.high):
        if 0 < end < 1:  # the definition: |share - p| is exactly Z standard errors of p
            assert math.isclose(
                abs(found.share - end), Z * math.sqrt(end * (1 - end) / labelled), rel_tol=1e-9
            )


def test_no_label_has_no_accuracy():
    assert accuracy(0, 0) is None
    assert str(accuracy(3, 4)) == "75.0% right (3 of 4; 95 % interval 30.1% to 95.4%)"


def test_kappa_is_as_computed_by_hand():
    # Two readers of 50 grant proposals: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no. Observed 0.7, by chance
    # 0.5 * 0.6 + 0.5 * 0.4 = 0.5, so kappa is (0.7 - 0.5) / (1 - 0.5) = 0.4.
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    found = kappa(pairs)
    assert found.value == pytest.approx(0.4) and (found.agreed, found.rows) == (35, 50)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_kappa_is_what_the_definition_says(pairs):
    agreed = Fraction(sum(a == b for a, b in pairs), len(pairs))
    chance = Fraction(sum(a == b for (a, _), (_, b) in itertools.product(pairs, pairs)), len(pairs) ** 2)
    found = kappa(pairs)
    if chance == 1:
        assert found.value is None
    else:
        assert found.value == pytest.approx(float((agreed - chance) / (1 - chance)))


def test_kappa_tells_where_it_is_not_defined():
    assert kappa([]) is None
    assert kappa([("a", "a")] * 3).value is None
    assert "not defined" in str(kappa([("a", "a")] * 3))
    assert kappa([("a", "b")] * 3).value == 0


def test_the_confusion_matrix_counts_what_was_answered_where_what_was_true():
    pairs = [("praise", "praise")] * 3 + [("praise", "complaint"), ("complaint", None)]
    found = confusion(pairs, ["praise", "complaint", "other"])
    assert found.answers == ("praise", "complaint", "other")
    assert found.truths == ("praise", "complaint", "other", UNTOLD)
    assert found.counts == ((3, 1, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0))
    assert found.total == 5
    assert "praise where complaint is true: 1" in found.describe()
    assert "complaint where (not told) is true: 1" in found.describe()


def test_texts_that_hardly_repeat_have_no_confusion_matrix():
    assert confusion([(f"text {n}", f"text {n}") for n in range(9)]) is None
    assert confusion([]) is None
    assert confusion([("yes", "yes"), ("no", "yes")]).answers == ("no", "yes")


@pytest.mark.slow
def test_the_picture_is_described_and_the_table_says_the_same():
    found = confusion([("a|b", "a|b"), ("$x$ <img>", "a|b"), ("a|b", None)])
    shown = review_picture.describe(found, review_picture.picture(found))
    assert shown.startswith("![Confusion matrix of 3")
    assert "](data:image/png;base64," in shown and "<img>" not in shown
    table = review_picture.table(found)
    assert table in shown and "&#124;" in table
    assert review_picture.picture(found).startswith(b"\x89PNG")
