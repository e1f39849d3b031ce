"""The gate: chance alone rarely fails it, and what really got worse does not pass."""

from __future__ import annotations

import math
import random

import pytest

from qwennb.checks import AnswerRow, CheckSpec, read_last, read_rules, run_check, write_last
from qwennb.checks.gate import LEVEL, binomial_tail, compare_runs, hypergeometric_tail, merge_losses
from qwennb.errors import BadInput

RUNS = 600


def alarms(draw, seed):
    """The share of runs that the gate fails, of two draws each."""
    rng = random.Random(seed)
    return sum(compare_runs(*draw(rng), LEVEL).is_worse for _ in range(RUNS)) / RUNS


def most_by_chance(level):
    """What a share of RUNS stays below in 999 of 1,000 cases, where *level* is what it really is."""
    return level + 3.1 * math.sqrt(level * (1 - level) / RUNS)


def losses(rng, rows, wrong, names="row"):
    return {f"{names}{n}": float(rng.random() < wrong) for n in range(rows)}


@pytest.mark.parametrize("wrong", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("rows", [20, 200])
def test_chance_alone_fails_no_more_often_than_the_level_where_rows_are_the_same(rows, wrong):
    share = alarms(lambda rng: (losses(rng, rows, wrong), losses(rng, rows, wrong)), seed=1)
    assert share <= most_by_chance(LEVEL)


@pytest.mark.parametrize("wrong", [0.02, 0.2, 0.5])
def test_chance_alone_fails_no_more_often_than_the_level_where_rows_are_others(wrong):
    share = alarms(lambda rng: (losses(rng, 60, wrong), losses(rng, 90, wrong, "other")), seed=2)
    assert share <= most_by_chance(LEVEL)


def test_chance_alone_fails_numbers_no_more_often_than_the_level():
    def draw(rng):
        return tuple({f"{n}": abs(rng.gauss(0, 1 + n % 3)) for n in range(80)} for _ in range(2))

    assert alarms(draw, seed=3) <= most_by_chance(LEVEL)


def test_a_real_drop_is_seen():
    """From 90 % to 78 % right over 200 rows; over the same rows less is enough, for most of them stay as they were."""

    def fall(rng):
        last = losses(rng, 200, 0.1)
        return {name: loss if rng.random() < 0.92 else 1.0 for name, loss in last.items()}, last

    assert alarms(fall, seed=4) >= 0.95
    others = alarms(lambda rng: (losses(rng, 200, 0.22), losses(rng, 200, 0.1, "other")), seed=5)
    assert others >= 0.85


def test_what_got_better_fails_nothing():
    gate = compare_runs(dict.fromkeys("abcdefgh", 0.0), dict.fromkeys("abcdefgh", 1.0), LEVEL)
    assert not gate.is_worse and gate.chance == pytest.approx(1)


def test_the_tails_are_those_of_known_tables():
    assert binomial_tail(5, 5) == pytest.approx(1 / 32) and binomial_tail(0, 0) == 1
    assert binomial_tail(8, 10) == pytest.approx(56 / 1024)
    # Fisher's lady tasting tea: 3 of 4, of 4 among 8: (16 + 1) / 70.
    assert hypergeometric_tail(3, 4, 1, 4) == pytest.approx(17 / 70)


def test_rows_that_asked_the_same_are_one_observation():
    made = merge_losses([("b", "k1", 1), ("a", "k1", 0), ("c", "k2", 1), ("d", "", 1), ("d", "", 0)])
    assert made == {"a": 0.5, "c": 1.0, "d": 0.5}


def test_twins_do_not_make_chance_look_like_news():
    """Ten questions, each of fifty rows: one that flips flips all of its rows."""

    def run(rng):
        asked = [rng.random() < 0.3 for _ in range(10)]
        rows = [AnswerRow(f"r{n}", n, "a" if asked[n % 10] else "b", asked=f"q{n % 10}", truth="b") for n in range(500)]  # fmt: skip
        return run_check(CheckSpec("c", {}), rows).losses

    share = sum(compare_runs(run(r), run(r), LEVEL).is_worse for r in map(random.Random, range(60))) / 60
    assert share <= 0.15
    assert len(run(random.Random(0))) == 10


def test_nothing_to_compare_with_is_told_and_fails_nothing():
    for now, last in (({"a": 1.0}, None), ({}, {"a": 1.0}), ({"a": 1.0}, {})):
        gate = compare_runs(now, last, LEVEL)
        assert not gate.is_worse and gate.chance is None and gate.said.startswith("nothing to compare")
    gate = compare_runs({"a": 2.5}, {"b": 1.0}, LEVEL)
    assert gate.chance is None and "row by row" in gate.said


def test_a_number_that_is_missing_counts_as_worse_than_any_that_is_there():
    def run(value):
        rows = [AnswerRow(f"{n}", n, value, error="" if value else "TimedOut", truth=3.0) for n in range(8)]
        return run_check(CheckSpec("c", {}), rows).losses

    assert compare_runs(run(None), run(9.0), LEVEL).is_worse
    assert not compare_runs(run(9.0), run(None), LEVEL).is_worse


def test_without_a_truth_a_row_weighs_by_the_rules_that_it_breaks():
    rows = [AnswerRow(f"{n}", n, n) for n in range(4)]
    found = run_check(CheckSpec("c", read_rules({"between": [1, 2]})), rows)
    assert found.losses == {"0": 1.0, "1": 0.0, "2": 0.0, "3": 1.0}


def test_the_last_run_is_read_as_it_was_written_and_its_lines_can_be_compared(tmp_path):
    path = tmp_path / "checks.last.json"
    assert read_last(path) is None
    kept = {"b": {"y": 1.0, "x": 0.0}, "a": {"z": 0.25, "w": 1e300}}
    write_last(path, kept)
    first = path.read_text()
    assert read_last(path) == kept and '"x": 0,\n"y": 1' in first
    write_last(path, dict(reversed(kept.items())))
    assert path.read_text() == first


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"qwennb_checks": 9, "checks": {}}', '{"qwennb_checks": 1, "checks": {"a": 3}}', "[" * 100_000])  # fmt: skip
def test_a_file_that_is_no_last_run_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "checks.last.json"
    path.write_text(content)
    with pytest.raises(BadInput, match="checks.last.json is no run that was accepted here"):
        read_last(path)
