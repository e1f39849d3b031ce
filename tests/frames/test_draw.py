"""The rows that a human should label: drawn by what the model said, by content and not by place, and telling how."""

from __future__ import annotations

import arro3.core
import duckdb
import ibis
import pandas
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, QwenFrameWarning

TABLE = pl.DataFrame(
    {
        "id": range(1000),
        "review": [f"review {one % 700}" for one in range(1000)],  # some are twins
        "label": [
            None if one % 50 == 0 else "complaint" if one % 10 == 1 else "praise" for one in range(1000)
        ],
    },
    schema_overrides={"label": pl.Enum(["praise", "complaint"])},
)


def marks(frame: pl.DataFrame) -> list[str]:
    return [one.rpartition("/")[2] for one in frame["draw_id"]]


def test_each_label_has_its_part_rare_ones_at_least_ten_and_no_answer_too():
    todo = TABLE.qwen.draw("label", n=100)
    assert dict(todo["label"].value_counts().rows()) == {"praise": 80, "complaint": 10, None: 10}
    assert todo["draw_weight"].sum() == pytest.approx(1000)
    assert (
        todo.columns == [*TABLE.columns, "draw_id", "draw_weight"]
        and todo.schema["label"] == TABLE.schema["label"]
    )


def test_the_order_of_the_table_does_not_matter_to_a_draw():
    """A table sorted by date or by length is the normal case."""
    assert (
        TABLE.sort("review", descending=True).qwen.draw("label", n=60).equals(TABLE.qwen.draw("label", n=60))
    )


def test_a_larger_draw_keeps_the_rows_of_a_smaller_one_and_a_seed_draws_others():
    small, large = TABLE.qwen.draw("label", n=60), TABLE.qwen.draw("label", n=120)
    assert set(marks(small)) < set(marks(large))
    assert len(set(marks(small)) & set(marks(TABLE.qwen.draw("label", n=60, seed=1)))) == 0


def test_rows_come_mixed_so_that_a_beginning_is_a_sample():
    first = TABLE.qwen.draw("label", n=100).head(30)["label"]
    assert 1 <= (first == "complaint").sum() <= 6 and 1 <= first.is_null().sum() <= 5


def test_twins_are_drawn_one_by_one():
    table = pl.DataFrame({"text": ["same"] * 90 + ["other"] * 10, "label": ["a", "b"] * 50})
    todo = table.qwen.draw("label", n=40)
    assert len(todo) == 40 and len(set(todo["draw_id"])) == 40


def test_the_same_rows_are_drawn_of_every_kind_of_table():
    want = TABLE.qwen.draw("label", n=40, key="id")["id"].to_list()
    plain = TABLE.with_columns(pl.col("label").cast(pl.String))
    frame = pandas.DataFrame(plain.to_dict(as_series=False), index=[f"row {one}" for one in range(1000)])
    drawn = frame.qwen.draw("label", n=40, key="id")
    assert drawn["id"].to_list() == want and drawn.index[0] == f"row {want[0]}"
    for table, read in (
        (plain.to_arrow(), pl.DataFrame),
        (arro3.core.Table.from_arrow(plain), pl.DataFrame),
        (duckdb.connect().from_arrow(plain.to_arrow()), pl.DataFrame),
        (ibis.memtable(plain), pl.DataFrame),
    ):
        assert read(qwennb.draw(table, "label", n=40, key="id"))["id"].to_list() == want


def test_a_lazy_frame_is_collected_and_says_so():
    with pytest.warns(QwenFrameWarning, match="the 1,000 rows of the LazyFrame were collected"):
        assert TABLE.lazy().qwen.draw("label", n=40).equals(TABLE.qwen.draw("label", n=40))


def test_numbers_are_drawn_by_bands_and_few_marks_by_their_values():
    numbers = pl.DataFrame(
        {"id": range(500), "score": [float("nan") if one == 7 else one / 7 for one in range(500)]}
    )
    todo = numbers.qwen.draw("score", n=100)
    assert (todo["score"] < 124 / 7).sum() in range(23, 27) and todo["score"].is_nan().sum() == 1
    marks_of = pl.DataFrame({"id": range(500), "stars": [1 + (one % 25 == 0) * 4 for one in range(500)]})
    assert (marks_of.qwen.draw("stars", n=60)["stars"] == 5).sum() == 10


def test_many_labels_leave_the_rarest_one_stratum_together():
    table = pl.DataFrame({"id": range(2000), "label": [f"label {min(one % 60, 25)}" for one in range(2000)]})
    todo = table.qwen.draw("label", n=150)
    assert len(todo) == 150 and todo["draw_weight"].n_unique() <= 7


def test_what_can_not_be_drawn_is_said_in_one_sentence():
    for call, said in (
        (
            lambda: TABLE.qwen.draw("lable"),
            r"column='lable' names no column; did you mean `label`\?|Did you mean",
        ),
        (lambda: TABLE.qwen.draw("label", n=0), "n=0 must be"),
        (lambda: TABLE.qwen.draw("label", key="idd"), "key='idd' names no column"),
        (lambda: TABLE.qwen.draw("label", key=3), 'must name columns: key="id"'),
        (lambda: TABLE.head(0).qwen.draw("label"), "The table has no rows"),
        (lambda: TABLE.qwen.draw("label", n=20).qwen.draw("label"), "of an earlier draw"),
        (lambda: qwennb.draw(["a", "b"], "it"), "takes a table with columns, not list"),
    ):
        with pytest.raises(BadInput) as raised:
            call()
        assert said.partition("|")[0].replace(r"\?", "?").split(";")[0] in str(raised.value)
        assert "\n" not in str(raised.value)
