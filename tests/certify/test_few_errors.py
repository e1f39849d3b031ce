"""The sequential test, held against every way that a small population can be drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qwennb.certify.few_errors import FewErrors, enough, log_factorial

DELTA = 0.05


def false_pass(size: int, most: int, errors: int) -> float:
    """The exact probability that a population with so many errors passes at some time, looked at after every draw."""
    test = FewErrors(size, most)
    reach = {0: 1.0}
    passed = 0.0
    for drawn in range(1, size + 1):
        step: dict[int, float] = {}
        for wrong, chance in reach.items():
            left, bad = size - drawn + 1, errors - wrong
            for more, share in ((1, bad / left), (0, 1 - bad / left)):
                if share > 0:
                    step[wrong + more] = step.get(wrong + more, 0.0) + chance * share
        reach = {}
        for wrong, chance in step.items():
            if test.log_evidence(drawn, wrong) >= enough(DELTA):
                passed += chance
            else:
                reach[wrong] = chance
    return passed


@pytest.mark.parametrize(("size", "most"), [(12, 0), (40, 1), (40, 3), (60, 6), (90, 20), (30, 28)])
def test_too_many_errors_pass_no_more_often_than_delta_in_exact_numbers(size, most):
    chances = [false_pass(size, most, errors) for errors in range(most + 1, min(most + 4, size) + 1)]
    assert 0 <= max(chances) <= DELTA
    assert chances == sorted(chances, reverse=True)  # the more errors, the rarer


@pytest.mark.parametrize(("size", "most"), [(10, 0), (25, 2), (25, 9)])
def test_the_evidence_is_a_fair_game_where_one_error_is_too_many(size, most):
    """Its expectation under most + 1 errors stays 1, as long as both are possible."""
    test, errors = FewErrors(size, most), most + 1
    for drawn in range(1, size - errors + 1):
        expected = sum(
            math.comb(errors, wrong)
            * math.comb(size - errors, drawn - wrong)
            / math.comb(size, drawn)
            * math.exp(test.log_evidence(drawn, wrong))
            for wrong in range(max(0, drawn - size + errors), min(errors, drawn) + 1)
        )
        assert expected == pytest.approx(1, abs=1e-9)


def test_draws_without_an_error_are_enough_as_the_formula_says():
    # ln(1/delta) / (share of errors): 60 for one in twenty, 300 for one in a hundred
    assert FewErrors(20_000, 1_000).labels_if_clean(DELTA) in range(55, 80)
    assert FewErrors(20_000, 200).labels_if_clean(DELTA) in range(280, 380)
    assert FewErrors(40, 0).labels_if_clean(DELTA) == 38


def test_factorials_are_those_of_the_standard_library():
    n = np.array([0, 1, 2, 10, 255, 256, 257, 1_000, 10**6, 10**9])
    assert log_factorial(n) == pytest.approx(
        [math.lgamma(one + 1) for one in n.tolist()], rel=1e-14, abs=1e-12
    )
