"""When polars evaluates a plan, and when that is over."""

from __future__ import annotations

from qwennb.frames.evaluator import Evaluator
from qwennb.frames.exactly_once import LINGER, Evaluation, Evaluations
from qwennb.frames.polars_calls import OURS
from qwennb.frames.progress import Progress, Tally


def test_the_function_that_polars_calls_is_known_by_its_name():
    """Else what it does with polars itself, rendering prompts, hides the evaluation that it is part of."""
    assert (Evaluator.batch.__module__, Evaluator.batch.__name__) == OURS


def test_where_no_stack_is_found_a_long_batch_and_the_next_one_are_one_run():
    now, seen = [0.0], list[Progress]()
    evaluations = Evaluations(clock=lambda: now[0])

    def make() -> Tally:
        return Tally(0, 0, "m", progress=seen.append, batches=True)

    with evaluations.tally(evaluations.under_way(), 1, make) as first:
        first.expect(["a"], "m")
        now[0] += 100 * LINGER
        evaluations.settle(at_once=True)
        beside = evaluations.under_way()
    now[0] += LINGER / 2
    with evaluations.tally(evaluations.under_way(), 1, make) as second:
        assert second is first and evaluations.under_way() == beside
    evaluations.settle()
    assert not seen
    now[0] += 2 * LINGER
    evaluations.settle()
    assert [progress.finished for progress in seen] == [True]


def test_a_stop_holds_for_the_batches_that_polars_still_begins_in_the_same_call():
    evaluations, call = Evaluations(), [Evaluation()]

    def make() -> Tally:
        return Tally(0, 0, "m", progress=False, batches=True)

    with evaluations.tally(call, 1, make) as tally:
        tally.progress().stop()
    with evaluations.tally(call, 1, make) as still:
        assert still is tally and still.stopped


def test_where_no_call_is_told_from_the_next_a_run_after_a_stop_is_a_new_one():
    evaluations = Evaluations()

    def make() -> Tally:
        return Tally(0, 0, "m", progress=False, batches=True)

    with evaluations.tally(evaluations.under_way(), 1, make) as tally:
        tally.progress().stop()
    with evaluations.tally(evaluations.under_way(), 1, make) as after:
        assert after is not tally and not after.stopped
