"""When polars evaluates a plan, and when that is over."""

from __future__ import annotations

from qwennb.frames.evaluation import OURS
from qwennb.frames.evaluator import Evaluator


def test_the_function_that_polars_calls_is_known_by_its_name():
    """Else what it does with polars itself, rendering prompts, hides the evaluation that it is part of."""
    assert (Evaluator.batch.__module__, Evaluator.batch.__name__) == OURS
