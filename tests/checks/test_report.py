"""What checks came to, for people and for programs: nothing is left out, and what answers say stays data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from qwennb.checks import AnswerRow, CheckReport, CheckSpec, json_lines, junit_xml, read_rules, run_check
from qwennb.checks.report import join_reports
from qwennb.errors import CheckFailed
from qwennb.text import WIDTH
from tests.cli.test_hostile_text import CONTROLS, HOSTILE, LINES, steers

WHEN = datetime(2026, 11, 30, 12, tzinfo=UTC)


def report(*values, name="stars", rules=None, truth=None, **spec):
    rows = [
        AnswerRow(f"r{n}", n, value, truth=None if truth is None else truth[n])
        for n, value in enumerate(values)
    ]
    found = run_check(CheckSpec(name, read_rules(rules or {"between": [1, 5]}), **spec), rows)
    return CheckReport((found,), "checks.toml")


def test_a_report_is_true_where_no_rule_is_broken():
    assert report(1, 5) and not report(1, 9)
    assert report(1).passed and report(9).failures[0].rule == "between"
    report(1).raise_for_failures()
    with pytest.raises(
        CheckFailed,
        match=r"1 of 2 rules is broken. stars between: 1 of 2 answers breaks it, row 1: not from 1 to 5.",
    ):
        report(1, 9).raise_for_failures()
    with pytest.raises(AssertionError):
        report(9).raise_for_failures()


def test_text_markdown_and_frames_tell_the_same():
    found = report("a", "b", "a", truth=["a", "a", "a"], rules={"one_of": ["a"]})
    text, page = str(found), found.markdown()
    for told in (
        "1 of 3 answers breaks it",
        "accuracy 66.7% (2 of 3",
        "1 of 2 rules is broken, 1 not measured.",
    ):
        assert told in text and told in re.sub(r"&#(\d+);", lambda sign: chr(int(sign[1])), page)
    assert found.frame.rows()[0] == ("stars", "one_of", False, 3, 1, "1 of 3 answers breaks it")
    assert found.broken.rows() == [("stars", "one_of", 1, "b", "none of a")]
    assert found._repr_mimebundle_()["text/markdown"] == page


def test_each_true_label_has_its_share_and_many_labels_their_commonest_mistakes():
    few = report(*"aabbcc", truth=list("aabacc"), rules={"no_failed": True})
    assert "a  66.7% (2 of 3" in str(few) and "c  100.0% (2 of 2" in str(few)
    labels = [f"label{n}" for n in range(12)]
    many = report(*labels, truth=[labels[0]] * 12, rules={"no_failed": True})
    assert "| label0 | label1 | 1 |" in many.markdown()


def test_of_many_answers_that_break_a_rule_a_few_are_shown_and_all_are_in_the_frame():
    found = report(*range(10, 60))
    assert "row 2: 12" in str(found) and "row 3:" not in str(found) and "and 47 more" in str(found)
    assert len(found.broken) == 50


def test_a_check_without_a_rule_shows_what_is_right_and_no_line_is_too_long():
    import polars as pl

    frame = pl.DataFrame({"label": ["a", "b"], "gold": ["a", "a"]})
    alone = frame.qwen.check("label", truth="gold")
    assert alone.passed and "accuracy 50.0%" in str(alone) and alone.markdown()
    long = str(frame.qwen.check("label", rules={"seconds_at_most": 1, "no_failed": True}))
    assert max(map(len, long.split("\n"))) <= WIDTH
    assert "neither a pack nor a column keeps how long" in " ".join(long.split())


def hostile():
    return report(HOSTILE + LINES, "</failure>]]><x>&", name=HOSTILE + LINES, rules={"one_of": [HOSTILE]}, truth=["a", HOSTILE])  # fmt: skip


def test_what_answers_say_stays_data_in_text_and_markdown():
    found = hostile()
    assert not steers(str(found)) and not steers(repr(found)) and "evil" in str(found)
    page = report("<script>alert(1)</script> ![x](http://e.example) $x$ | a", truth=["<img src=x>"], rules={"one_of": ["*b*"]}).markdown()  # fmt: skip
    assert "<script" not in page and "<img" not in page and "![" not in page and not CONTROLS.findall(page)
    with pytest.raises(CheckFailed) as failed:
        found.raise_for_failures()
    assert not CONTROLS.findall(str(failed.value))


def test_what_answers_say_stays_data_in_xml_and_json_lines():
    found = hostile()
    root = ET.fromstring(junit_xml(found, WHEN))
    assert [case.get("name") for case in root.iter("testcase")] == ["one_of", "no_worse_than_last"]
    assert "</failure>]]><x>&" in root.find(".//failure").text
    lines = list(json_lines(found))
    assert all("\n" not in line and line.isascii() for line in lines)
    assert json.loads(lines[1])["check"] == HOSTILE + LINES


def test_json_lines_hold_the_run_each_check_each_rule_and_each_broken_answer():
    lines = [
        json.loads(line) for line in json_lines(report("a", "b", truth=["a", "a"], rules={"one_of": ["a"]}))
    ]
    assert [line["kind"] for line in lines] == ["run", "check", "rule", "row", "rule"]
    assert lines[1]["accuracy"] == 0.5 and lines[1]["by_label"] == {"a": [1, 2]}
    assert lines[3]["why"] == "none of a" and lines[4]["passed"] is None


def test_several_reports_are_one():
    both = join_reports([report(1), report(9, name="other")], "checks.toml", ["asked for $0.02"])
    assert [one.name for one in both.checks] == ["stars", "other"] and not both.passed
    assert str(both).split("\n")[-2:] == ["asked for $0.02", "1 of 4 rules is broken, 2 not measured."]


@pytest.mark.slow
def test_junit_has_the_shape_that_pytest_itself_writes(tmp_path):
    """Its own xunit1 is what CI tools are made for: the same elements, and no attribute that it does not know."""
    (tmp_path / "test_x.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pytest.skip('no')\n"
    )
    theirs = tmp_path / "theirs.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={theirs}", str(tmp_path)]  # fmt: skip
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)

    def shape(root):
        return {one.tag: set(one.attrib) for one in root.iter()}

    mine = shape(ET.fromstring(junit_xml(report(1, 9), WHEN)))
    known = shape(ET.parse(theirs).getroot())
    assert mine.keys() == known.keys() - {"properties", "property", "system-out"}
    assert {tag: names - known[tag] for tag, names in mine.items()} == {tag: set() for tag in mine}
    assert mine["testsuite"] == known["testsuite"]
