"""How often a failed question is asked again: by the kind of each failure, within a quota for the whole endpoint."""

from __future__ import annotations

import pytest

from qwennb.engine import Retry
from qwennb.engine.retry import ATTEMPTS, FIRST_WAIT, QUOTA
from qwennb.errors import Incomplete, KeyRefused, RateLimited, ServerFailed, TimedOut

FAILED = ServerFailed("500", status=500)
LATE = TimedOut("504", status=504, maybe_billed=True)
CUT = Incomplete("cut", maybe_billed=True)


def fails(retry: Retry, *errors) -> int:
    """After how many of *errors*, in turn for ever, one question is given up."""
    failures = {}
    for attempt in range(1, 100):
        if retry.wait(errors[(attempt - 1) % len(errors)], attempt, failures) is None:
            return attempt
    raise AssertionError("never")


@pytest.mark.parametrize(
    ("errors", "attempts"),
    [
        ((FAILED,), 10),
        ((LATE,), 5),
        ((CUT,), 3),
        ((FAILED, CUT), 6),
        ((FAILED, LATE), 10),
        ((FAILED, FAILED, FAILED, LATE), 10),
        ((KeyRefused("no"),), 1),
    ],
)
def test_failures_are_counted_by_kind_and_ten_end_any_question(errors, attempts):
    """A cut answer after two failures of the server is the first of its kind, not the third."""
    assert fails(Retry(jitter=lambda: 0.0), *errors) == attempts


def test_what_may_have_been_billed_is_tried_less_often():
    garbled = ServerFailed("not JSON", status=200, maybe_billed=True)
    assert fails(Retry(), garbled) == 3 < ATTEMPTS[ServerFailed]


def test_a_refusal_for_going_too_fast_waits_for_the_limiter_only():
    retry, failures = Retry(), {}
    assert [retry.wait(RateLimited("429"), attempt, failures) for attempt in range(1, 50)] == [0.0] * 49


def test_all_questions_share_one_quota_and_answers_refill_it():
    retry = Retry(jitter=lambda: 0.0)
    given = sum(retry.wait(FAILED, 1, {}) is not None for _ in range(1_000))
    assert given == QUOTA
    for _ in range(4):
        retry.refill()
    assert sum(retry.wait(FAILED, 1, {}) is not None for _ in range(10)) == 2


def test_waits_grow_and_a_servers_word_is_kept():
    retry, failures = Retry(jitter=lambda: 1.0), {}
    assert [retry.wait(FAILED, attempt, failures) for attempt in (1, 2, 3)] == [
        FIRST_WAIT * 2,
        FIRST_WAIT * 4,
        FIRST_WAIT * 8,
    ]
    assert retry.wait(ServerFailed("503", status=503, retry_after=30.0), 4, failures) == 30.0


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_wait_is_drawn_between_nothing_and_its_bound(share):
    assert Retry(jitter=lambda: share).wait(FAILED, 1, {}) == share * FIRST_WAIT * 2
