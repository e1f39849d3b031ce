"""Each figure is what its definition says."""

from __future__ import annotations

import itertools
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.answer import Usage
from qwennb.catalog import estimate_tokens
from qwennb.errors import RateLimited, ServerFailed
from qwennb.load.measures import PERCENTS, Stage, StageRun, Timing, percentile
from qwennb.load.prompts import default_prompt


def timing(due=0.0, first=1.0, answer=2.0, last=5.0, end=5.5, output=5, error=None) -> Timing:
    return Timing(1, due, due, first, answer, last, end, 1.5, Usage(10, output), None, "stop", error)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), st.sampled_from(PERCENTS))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values, percent):
    found = percentile(sorted(values), percent)
    if found is not None:
        within = [sum(value <= one for value in values) for one in values]
        assert found == min(
            one for one, count in zip(values, within, strict=True) if 100 * count >= percent * len(values)
        )


@pytest.mark.parametrize(("percent", "needed"), [(50, 1), (90, 10), (95, 20), (99, 100)])
def test_a_percentile_that_would_be_the_slowest_alone_is_not_given(percent, needed):
    assert percentile([], percent) is None
    assert percentile([1.0] * (needed - 1), percent) is None
    assert percentile([1.0] * needed, percent) == 1.0


def test_latency_counts_from_when_a_request_was_due_and_not_from_when_it_went():
    late = Timing(1, 3.0, 8.0, 9.0, 10.0, 12.0, 13.0)
    assert (late.to_first, late.to_answer, late.total) == (6.0, 7.0, 10.0)


def test_the_time_between_tokens_is_from_first_piece_to_last_over_tokens_less_one():
    assert timing(first=1.0, last=5.0, output=5).between == 1.0
    assert timing(first=1.0, last=1.0).between is None
    assert timing(output=1).between is None


def test_what_failed_is_in_no_latency_and_counts_by_its_kind():
    failed = [timing(error=RateLimited("no", status=429)) for _ in range(3)]
    failed.append(timing(error=ServerFailed("no", status=500)))
    run = StageRun(Stage(streams=1), [], [timing(), *failed], window=10.0)
    assert len(run.answers) == 1 and run.values("end to end") == [5.5]
    assert run.errors == {"RateLimited 429": 3, "ServerFailed 500": 1}


def test_goodput_counts_the_answers_that_keep_every_limit():
    timings = [
        timing(first=0.1),
        timing(first=0.9),
        timing(first=0.1, end=9.0),
        timing(error=RateLimited("no")),
    ]
    run = StageRun(Stage(streams=1), [], timings, window=2.0)
    assert run.good({"first": 0.5}) == 2
    assert run.good({"first": 0.5, "total": 6.0}) == 1
    assert run.a_second(run.good({"first": 0.5})) == 1.0


def test_a_constant_rate_is_even_and_a_poisson_rate_comes_by_chance():
    even = list(itertools.islice(Stage(rate=4.0).due_times(Random(0)), 5))
    assert even == [0.0, 0.25, 0.5, 0.75, 1.0]
    due = list(itertools.islice(Stage(rate=4.0, poisson=True).due_times(Random(7)), 20_001))
    gaps = [after - before for before, after in itertools.pairwise(due)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.25, rel=0.03) and spread == pytest.approx(0.25, rel=0.03)
    assert sum(gap > 0.5 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-2), rel=0.05)


@given(st.integers(1, 10_000), st.integers(60, 2_000), st.integers(0, 9))
def test_a_prompt_has_the_length_that_is_said_and_begins_like_no_other(number, tokens, seed):
    prompt = default_prompt(number, tokens, seed)
    assert estimate_tokens(prompt).tokens == pytest.approx(tokens, rel=0.05)
    assert prompt == default_prompt(number, tokens, seed)
    assert prompt[:6] != default_prompt(number + 1, tokens, seed)[:6]
