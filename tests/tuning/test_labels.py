"""Labels: on the disk when they count, whatever happens next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qwennb.errors import BadInput, CacheError
from qwennb.tuning import Labels, row_of

ROOT = Path(__file__).parents[2]


def test_labels_are_there_when_the_file_is_read_again(tmp_path):
    file = tmp_path / "labels.jsonl"
    labels = Labels(file, "ada", now=lambda: datetime(2026, 11, 21, tzinfo=UTC))
    labels.give("a", "right")
    labels.give("b", "fixed", "as it should be")
    labels.give("a", "wrong")
    again = Labels(file, "ada")
    assert {row: (label.verdict, label.fix) for row, label in again.labels_by().items()} == {
        "a": ("wrong", None),
        "b": ("fixed", "as it should be"),
    }
    assert again.labels_by()["b"].at == "2026-11-21T00:00:00+00:00" and again.damaged == 0
    assert len(file.read_text().splitlines()) == 3


def test_undo_brings_back_what_held_before_even_after_a_restart(tmp_path):
    file = tmp_path / "labels.jsonl"
    labels = Labels(file)
    labels.give("a", "fixed", "one")
    labels.give("a", "wrong")
    labels.give("b", "right")
    assert Labels(file).undo() == "b"
    labels = Labels(file)
    assert set(labels.labels_by()) == {"a"} and labels.labels_by()["a"].verdict == "wrong"
    assert labels.undo() == "a"
    assert labels.labels_by()["a"].verdict == "fixed" and labels.labels_by()["a"].fix == "one"
    assert Labels(file).labels_by()["a"].fix == "one"
    assert labels.undo() == "a" and not labels.labels_by()
    assert labels.undo() is None
    assert len(file.read_text().splitlines()) == 6  # nothing that was thought is gone from the file


def test_one_reviewer_neither_sees_nor_undoes_the_labels_of_another(tmp_path):
    file = tmp_path / "labels.jsonl"
    Labels(file, "ada").give("a", "right")
    bob = Labels(file, "bob")
    assert bob.labels_by() == {} and bob.undo() is None
    bob.give("a", "wrong")
    both = Labels(file, "ada")
    assert both.reviewers == ["ada", "bob"]
    assert (both.labels_by()["a"].verdict, both.labels_by("bob")["a"].verdict) == ("right", "wrong")


@pytest.mark.parametrize("cut", [1, 10, 60, -2, -1])
def test_a_torn_last_line_costs_no_other_line(tmp_path, cut):
    file = tmp_path / "labels.jsonl"
    labels = Labels(file)
    labels.give("a", "right")
    whole = file.read_bytes()
    labels.give("b", "wrong")
    second = file.read_bytes()[len(whole) :]
    file.write_bytes(whole + second[:cut])
    torn = Labels(file)
    kept = {"a", "b"} if cut == -1 else {"a"}  # only the end of its line is missing
    assert set(torn.labels_by()) == kept and torn.damaged == (cut != -1)
    torn.give("c", "right")
    again = Labels(file)
    assert set(again.labels_by()) == kept | {"c"} and again.damaged == (cut != -1)


def test_another_file_is_not_written_into(tmp_path):
    file = tmp_path / "reviews.csv"
    for content in ("review,label\nThe soup was cold.,complaint\n", "no line end"):
        file.write_text(content)
        with pytest.raises(BadInput, match="no file of labels"):
            Labels(file)
        assert file.read_text() == content
    file.write_text("")
    Labels(file).give("a", "right")
    assert set(Labels(file).labels_by()) == {"a"}


def test_a_label_that_could_not_be_written_does_not_count(tmp_path):
    labels = Labels(tmp_path / "gone" / "labels.jsonl")
    with pytest.raises(CacheError, match="not kept"):
        labels.give("a", "right")
    assert labels.labels_by() == {}
    (tmp_path / "gone").mkdir()
    labels.give("a", "right")
    assert set(Labels(tmp_path / "gone" / "labels.jsonl").labels_by()) == {"a"}


def test_a_label_is_one_of_three_and_only_a_fix_has_a_text(tmp_path):
    labels = Labels(tmp_path / "labels.jsonl")
    for wrong in (("good",), ("fixed",), ("right", "text")):
        with pytest.raises(BadInput):
            labels.give("a", *wrong)
    assert not (tmp_path / "labels.jsonl").exists()


def test_a_row_is_known_by_its_source_and_its_answer():
    assert row_of("a", "b") == row_of("a", "b")
    assert (
        len({row_of("a", "b"), row_of("a", "c"), row_of("b", "a"), row_of("ab", ""), row_of("", "ab")}) == 5
    )


GIVING = """
import sys
from qwennb.tuning import Labels
labels = Labels(sys.argv[1])
for number in range(100_000):
    labels.give(f"row {number}", "fixed", "a correction of some length " * 20)
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill that can't be caught")
@pytest.mark.parametrize("after", [1, 60])
def test_every_label_that_was_acknowledged_survives_a_kill(tmp_path, after):
    file = tmp_path / "labels.jsonl"
    giving = subprocess.Popen(
        [sys.executable, "-c", GIVING, str(file)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    acknowledged = -1
    for _ in range(after):
        acknowledged = int(giving.stdout.readline())
    giving.kill()
    rest = giving.stdout.read().split()
    giving.wait()
    acknowledged = int(rest[-1]) if rest else acknowledged
    labels = Labels(file)
    assert {f"row {number}" for number in range(acknowledged + 1)} <= set(labels.labels_by())
    assert len(labels.labels_by()) <= acknowledged + 2 and labels.damaged <= 1
    labels.give("after", "right")
    assert "after" in Labels(file).labels_by()
    assert all(json.loads(line) for line in file.read_text().splitlines()[: acknowledged + 1])
