"""Python's collector of cycles is calmed for a while, and left as it was."""

from __future__ import annotations

import gc

import pytest

from qwennb.frames.bulk import BULK, MANY


@pytest.fixture
def habit():
    before = gc.get_threshold()
    gc.set_threshold(500, 11, 12)
    yield (500, 11, 12)
    gc.set_threshold(*before)


def test_the_calmest_wish_counts_and_the_habit_comes_back(habit):
    with MANY:
        assert gc.get_threshold() == (50_000, 11, 12)
        with BULK:
            assert gc.get_threshold() == (0, 11, 12)
            with MANY, BULK:
                pass
            assert gc.get_threshold() == (0, 11, 12)
        assert gc.get_threshold() == (50_000, 11, 12)
    assert gc.get_threshold() == habit


def test_wishes_of_two_threads_may_end_in_any_order(habit):
    MANY.__enter__()
    BULK.__enter__()
    MANY.__exit__()
    assert gc.get_threshold() == (0, 11, 12)
    BULK.__exit__()
    assert gc.get_threshold() == habit


@pytest.mark.parametrize("own", [0, 200_000])
def test_who_has_calmed_it_further_is_left_alone(habit, own):
    gc.set_threshold(own, 11, 12)
    with MANY:
        assert gc.get_threshold() == (own, 11, 12)
    assert gc.get_threshold() == (own, 11, 12)
