"""`truth=`: at the end of a column's run, how well its answers agree with a column of what is right."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput

FRAME = pl.DataFrame(
    {
        "text": ["soup", "tea", "cake", "rice"],
        "gold": ["praise", "praise", None, "complaint"],
        "stars": [1, 4, 5, None],
        "is_food": [True, False, True, True],
    }
)
LABELS = ["praise", "complaint"]


def labels(asked) -> str:
    return json.dumps({"answer": "complaint" if "tea" in asked.text or "rice" in asked.text else "praise"})


TABLE = """\
`label` against `gold`: accuracy 66.7% (2 of 3; 95 %: 20.8% to 93.9%)
  truth \\ answer  praise  complaint
  praise               1          1
  complaint            0          1
  left out: 1 row without a truth
"""


def test_a_run_with_truth_prints_accuracy_interval_and_confusion(simulate, client, capsys):
    qwen = client(simulate("openrouter", script=labels))
    made = FRAME.qwen.classify("text", LABELS, client=qwen, truth="gold")
    assert capsys.readouterr().out == TABLE
    assert "label" in made.columns and made.columns[:4] == FRAME.columns


def test_every_door_prints_it_once(simulate, client, capsys):
    qwen = client(simulate("openrouter", script=labels))
    given = {"client": qwen, "truth": "gold"}
    qwennb.classify(FRAME, "text", LABELS, **given)
    assert capsys.readouterr().out == TABLE
    qwennb.classify(pd.DataFrame(FRAME.to_dict(as_series=False)), "text", LABELS, **given)
    assert capsys.readouterr().out == TABLE
    for make in (
        lambda: FRAME.lazy().qwen.classify("text", LABELS, meta=True, on_error="column", **given).collect(),
        lambda: FRAME.lazy().qwen.classify("text", LABELS, meta=True, **given).unnest("label_meta").collect(),
    ):
        make()
        qwennb.frames.EVALUATIONS.settle(at_once=True)
        assert capsys.readouterr().out == TABLE, "however often polars asks for a batch"
    plan = FRAME.qwen.plan.classify("text", LABELS, **given)
    assert plan.known == 4 and capsys.readouterr().out == ""


@pytest.mark.parametrize("only", [None, "label_meta"])
def test_equal_batches_of_a_lazy_plan_are_all_held_against_their_truth(
    simulate, client, capsys, tmp_path, only
):
    qwen, table = client(simulate("openrouter", script=labels)), tmp_path / "in.parquet"
    right = pl.when(pl.int_range(40) < 20).then(pl.lit("praise")).otherwise(pl.lit("complaint"))
    frame = pl.DataFrame({"text": ["soup", "tea"] * 20}).with_columns(gold=right)
    frame.qwen.classify("text", LABELS, client=qwen, truth="gold")
    eager = capsys.readouterr().out
    assert "accuracy 50.0% (20 of 40" in eager
    frame.write_parquet(table, row_group_size=4)
    told = []
    lazy = pl.scan_parquet(table).qwen.classify(
        "text", LABELS, client=qwen, truth="gold", meta=True, progress=told.append
    )
    lazy.select(only or pl.all()).collect(engine="streaming")
    qwennb.frames.EVALUATIONS.settle(at_once=True)
    assert capsys.readouterr().out == eager and told[-1].rows == 40


def test_a_score_is_held_against_numbers(simulate, client, capsys):
    sim = simulate("openrouter", script=lambda asked: json.dumps({"score": 5 if "cake" in asked.text else 2}))
    FRAME.qwen.score("text", "how good", low=1, high=5, integer=True, client=client(sim), truth="stars")
    assert capsys.readouterr().out == (
        "`score` against `stars`: mean error 1, rank correlation 0.87, over 3 rows\n  left out: 1 row without a truth\n"
    )


def test_a_filter_has_precision_and_recall(simulate, client, capsys):
    sim = simulate(
        "openrouter", script=lambda asked: json.dumps({"answer": "no" if "soup" in asked.text else "yes"})
    )
    FRAME.qwen.filter("{{ text }} is food", client=client(sim), truth="is_food")
    said = capsys.readouterr().out
    assert said.startswith("filter against `is_food`: accuracy")
    assert "precision 66.7% (2 of 3" in said and "recall    66.7% (2 of 3" in said


def test_rows_without_an_answer_are_counted_where_none_has_one(simulate, client, capsys):
    nothing = FRAME.with_columns(text=pl.lit(None, pl.String))
    given = {"client": client(simulate("openrouter", script=labels)), "truth": "gold"}
    nothing.qwen.classify("text", LABELS, **given)
    said = (
        "`label` against `gold`: accuracy unknown (of no rows)\n"
        "  left out: 1 row without a truth, 3 rows without an answer\n"
    )
    assert capsys.readouterr().out == said
    nothing.lazy().qwen.classify("text", LABELS, **given).collect()
    qwennb.frames.EVALUATIONS.settle(at_once=True)
    assert capsys.readouterr().out == said


def test_a_truth_of_numbers_is_read_as_the_labels_are(simulate, client, capsys):
    qwen = client(
        simulate(
            "openrouter", script=lambda asked: json.dumps({"answer": "no" if "soup" in asked.text else "yes"})
        )
    )
    FRAME.with_columns(pl.col("is_food").cast(pl.Int8)).qwen.filter(
        "{{ text }} is food", client=qwen, truth="is_food"
    )
    assert "precision 66.7% (2 of 3" in capsys.readouterr().out
    qwen = client(simulate("openrouter", script=lambda asked: json.dumps({"answer": "1"})))
    FRAME.with_columns(pl.col("stars").cast(pl.Float64)).qwen.classify(
        "text", ["1", "4", "5"], client=qwen, truth="stars"
    )
    assert "accuracy 33.3% (1 of 3" in capsys.readouterr().out


def test_a_truth_that_is_nan_is_left_out_and_compare_says_the_same(simulate, client, capsys):
    frame = FRAME.with_columns(stars=pl.Series([1.0, 4.0, 5.0, float("nan")]))
    sim = simulate("openrouter", script=lambda asked: json.dumps({"score": 5 if "cake" in asked.text else 2}))
    made = frame.qwen.score("text", "how good", low=1, high=5, client=client(sim), truth="stars")
    said = capsys.readouterr().out
    assert said.endswith(
        "mean error 1, rank correlation 0.87, over 3 rows\n  left out: 1 row without a truth\n"
    )
    assert said == f"{qwennb.compare(made['score'], made['stars'], name='`score` against `stars`')}\n"
    sim = simulate("openrouter", script=lambda asked: json.dumps({"answer": "yes"}))
    frame.qwen.filter("{{ text }} is food", client=client(sim), truth="stars")
    assert "accuracy 100.0% (3 of 3" in capsys.readouterr().out


def test_a_truth_that_is_no_label_counts_as_wrong_and_is_told(simulate, client, capsys):
    qwen = client(simulate("openrouter", script=labels))
    FRAME.with_columns(gold=pl.lit("Praise")).qwen.classify("text", LABELS, client=qwen, truth="gold")
    assert "4 rows with a truth that is none of the labels: counted as wrong" in capsys.readouterr().out


def test_the_same_figures_can_be_had_as_data(simulate, client, capsys):
    qwen = client(simulate("openrouter", script=labels))
    made = FRAME.qwen.classify("text", LABELS, client=qwen)
    found = qwennb.compare(made["label"], made["gold"], labels=LABELS, name="`label` against `gold`")
    assert f"{found}\n" == TABLE and found.accuracy.interval[0] == pytest.approx(0.2077, abs=1e-4)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda frame, given: frame.qwen.classify("text", LABELS, truth="golde", **given), "names no column; did you mean `gold`"),
        (lambda frame, given: frame.lazy().qwen.classify("text", LABELS, truth="golde", **given), "names no column"),
        (lambda frame, given: frame.qwen.score("text", "how good", truth="gold", **given), "is held against numbers"),
        (lambda frame, given: frame.qwen.classify("{{ text }} {{ gold }}", LABELS, truth="gold", **given), "The prompt reads `gold`"),
        (lambda frame, given: frame.select(pl.struct("text", "gold").qwen.classify(LABELS, truth="gold", **given)), "Ask over the table"),
        (lambda frame, given: frame.select(pl.col("text").qwen.classify(LABELS, truth="gold", **given)), "no other column. Ask over the table"),
        (lambda frame, given: frame.to_struct("row").qwen.classify(LABELS, truth="gold", **given), "Ask over the table"),
        (lambda frame, given: frame["text"].qwen.classify(LABELS, truth="gold", **given), "no other column. Ask over the table"),
        (lambda frame, given: frame.select(pl.struct("text", "gold").alias("row").qwen.filter("{{ row }} is food", truth="gold", **given)), "Ask over the table"),
        (lambda frame, given: frame.with_columns(gold=pl.struct("gold")).qwen.classify("text", LABELS, truth="gold", **given), "Both are one label a row, or lists"),
        (lambda frame, given: frame.with_columns(gold=pl.struct("gold").implode().over("text")).qwen.classify("text", LABELS, several=True, truth="gold", **given), "Both are one label a row, or lists"),
        (lambda frame, given: frame.qwen.summarize("text", truth="gold", **given), "truth= is for classify"),
    ],
)  # fmt: skip
def test_a_truth_that_can_not_be_meant_is_refused_before_anything_is_sent(simulate, client, call, words):
    sim = simulate()
    with pytest.raises(BadInput, match=words):
        call(FRAME, {"client": client(sim)})
    assert sim.ledger.count("arrived") == 0
