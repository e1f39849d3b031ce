"""`df.qwen.check`: a column that is there, of whatever table, held to rules; nothing is asked."""

from __future__ import annotations

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import qwennb
from qwennb.checks import RULES
from qwennb.errors import BadInput
from qwennb.testing import no_network, scripted
from tests.frames.test_cite import MAILS, SCHEMA, orders

LABELS = ["praise", "complaint"]
FRAME = pl.DataFrame({"review": ["good", "cold", "late"], "label": ["praise", "complaint", "praise"], "gold": ["praise", "complaint", "complaint"]})  # fmt: skip

KINDS = {
    "polars": lambda: FRAME,
    "pandas": lambda: FRAME.to_pandas(),
    "pyarrow": lambda: FRAME.to_arrow(),
    "duckdb": lambda: duckdb.connect().sql("SELECT * FROM (VALUES ('good', 'praise', 'praise'), ('cold', 'complaint', 'complaint'), ('late', 'praise', 'complaint')) AS t(review, label, gold)"),
    "ibis": lambda: ibis.memtable(FRAME.to_arrow()),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_any_library_is_checked_alike_and_nothing_is_asked(kind):
    with no_network() as tried:
        found = qwennb.check(KINDS[kind](), "label", truth="gold", rules=["no_failed", {"one_of": LABELS}])
    assert found.passed and found.checks[0].comparison.accuracy.count == 2 and tried == []


def test_a_series_and_a_list_are_checked_without_a_column():
    for values in (pl.Series([1, 9]), pd.Series([1, 9]), [1, 9], pl.Series("x", [1, 9])):
        found = qwennb.check(values, rules={"between": [1, 5]})
        assert [one.row for one in found.failures[0].broken] == [1]
    assert pl.Series([1, 2]).qwen.check(rules={"between": [1, 5]}) and pd.Series(["a"]).qwen.check(
        rules=["no_failed"]
    )
    assert pa.table({"s": [1]}) and FRAME.to_pandas().qwen.check("label", rules={"one_of": LABELS})


def test_what_a_verb_left_beside_its_column_is_read():
    qwen = scripted(says=lambda prompt: "complaint" if "cold" in prompt else "no label")
    asked = pl.DataFrame({"review": ["cold", "good", "cold", None]}).qwen.classify(
        "review", LABELS, meta=True, on_error="column", client=qwen, progress=False
    )
    found = asked.qwen.check("label", rules={"no_failed": True, "tokens_at_most": 20, "seconds_at_most": 1})
    failed, tokens, seconds = found.rules
    assert (
        failed.rows == 3
        and [one.row for one in failed.broken] == [1]
        and "InvalidAnswer" in failed.broken[0].why
    )
    assert tokens.passed and seconds.passed is None
    # The row that was skipped is no failure, and twins are one observation.
    assert found.checks[0].rows == 3 and len(found.checks[0].losses) == 2


def test_without_anything_beside_it_a_null_is_a_row_without_an_answer():
    found = pl.DataFrame({"label": ["a", None]}).qwen.check("label", rules=["no_failed"])
    assert found.failures[0].broken[0].why == "no answer"


def test_structs_dates_decimals_and_quotes_are_checked_as_they_are():
    df = pl.DataFrame(
        {
            "text": ["The soup was cold.", "Best tea!"],
            "seen": [{"dish": "soup", "quotes": ["soup was cold"]}, {"dish": "tea", "quotes": ["worst tea"]}],
        }
    )
    assert df.qwen.check("seen", field="dish", rules={"one_of": ["soup", "tea"]})
    found = df.qwen.check("seen", field="quotes", source="text", rules=["quotes_found"])
    assert [one.why for one in found.failures[0].broken] == ["not in the source: worst tea"]
    money = pl.DataFrame({"total": ["1.50", "9.00"]}).cast(pl.Decimal(10, 2))
    assert len(money.qwen.check("total", rules={"between": [1, 5]}).failures[0].broken) == 1


def test_quotes_of_cite_are_those_that_were_looked_for(simulate, client):
    qwen = client(simulate("vllm", script=orders))
    for made in (
        MAILS.qwen.extract("mail", SCHEMA, cite=True, client=qwen, progress=False, meta=True),
        MAILS.to_pandas().qwen.extract("mail", SCHEMA, cite=True, client=qwen, progress=False, meta=True),
    ):
        (found,) = qwennb.check(made, "extracted", rules=["quotes_found"]).rules
        assert [(one.row, one.why) for one in found.broken] == [
            (1, "not found in the source: Robert"),
            (4, "not found in the source: Robert"),
        ]


def test_a_later_run_is_held_against_the_one_that_was_accepted(tmp_path):
    path = tmp_path / "label.last.json"
    rows = pl.DataFrame({"id": range(40), "gold": ["a"] * 40})
    good = rows.with_columns(label=pl.Series(["a"] * 40))
    first = good.qwen.check("label", truth="gold", last=path)
    assert first.passed and first.rules[-1].passed is None and not path.exists()
    first.accept(path)
    worse = rows.with_columns(label=pl.Series(["a"] * 30 + ["b"] * 10)).sample(40, shuffle=True, seed=1)
    found = worse.qwen.check("label", truth="gold", last=path)
    assert found.failures[0].said.startswith(
        "worse by more than chance: of 40 rows known from last time, 10 got worse and 0"
    )
    assert worse.qwen.check("label", truth="gold", last=path, level=0.0001).passed
    assert good.qwen.check("label", truth="gold", last=path).passed
    assert "label" not in path.read_text().replace('"label": {', "") and '"a"' not in path.read_text()


def test_a_row_is_known_by_its_key_whatever_else_of_it_changes(tmp_path):
    path = tmp_path / "x.last.json"
    df = pl.DataFrame({"id": [1, 2], "note": ["x", "y"], "label": ["a", "a"], "gold": ["a", "b"]})
    df.qwen.check("label", truth="gold", key="id").accept(path)
    other = df.with_columns(note=pl.lit("z"))
    assert "of 2 rows known" in other.qwen.check("label", truth="gold", key="id", last=path).rules[-1].said
    assert "others last time" in other.qwen.check("label", truth="gold", last=path).rules[-1].said


def test_a_judge_has_its_agreement_with_people_beside_it():
    df = pl.DataFrame({"judged": ["yes", "no", "yes"], "people": [True, False, None]})
    found = df.qwen.check("judged", people="people", rules={"share_at_least": {"yes": 0.5}})
    assert found.passed and "The judge against people: the same label for 100.0% (2 of 2" in str(found)
    assert "unproven" in str(df.qwen.check("judged", judge=True, rules={"share_at_least": {"yes": 0.5}}))


def test_the_question_mark_names_every_rule():
    for door in (qwennb.check, FRAME.qwen.check, pl.Series([1]).qwen.check):
        told = door.__doc__
        assert [name for name in RULES if name not in told] == [] and "RULES" not in told


WRONG = {
    "an unknown column": (lambda: FRAME.qwen.check("lable"), "did you mean `label`"),
    "an unknown truth": (lambda: FRAME.qwen.check("label", truth="golden"), "truth='golden' names no column; did you mean `gold`"),
    "an unknown rule": (lambda: FRAME.qwen.check("label", rules={"no_fail": True}), "did you mean `no_failed`"),
    "a rule of truth without one": (lambda: FRAME.qwen.check("label", rules={"accuracy_at_least": 0.9}), 'truth = "gold"'),
    "no column": (lambda: FRAME.qwen.check(), 'check("review", …)'),
    "a lazy frame": (lambda: FRAME.lazy().qwen.check("label"), "table.collect()"),
    "rules that are none": (lambda: FRAME.qwen.check("label", rules="no_failed"), "must be a dict or a list"),
    "a level that is none": (lambda: FRAME.qwen.check("label", level=5), "level=5"),
    "a key that is none": (lambda: FRAME.qwen.check("label", key="nr"), "key='nr' names no column"),
    "numbers against words": (lambda: pl.DataFrame({"a": [1], "b": ["x"]}).qwen.check("a", truth="b"), "One side is numbers"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_can_not_be_checked_is_one_sentence_with_what_to_type(what):
    call, said = WRONG[what]
    with pytest.raises(BadInput) as refused:
        call()
    assert said in str(refused.value) and "\n" not in str(refused.value)
