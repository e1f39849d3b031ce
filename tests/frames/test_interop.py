"""A pandas frame in, a pandas frame out: its index, its own columns and its missing values as they were."""

from __future__ import annotations

import datetime

import pandas
import polars as pl
import pyarrow
import pytest

import qwennb
from qwennb.errors import BadInput, TemplateError
from qwennb.frames import as_polars


@pytest.fixture
def table():
    return pandas.DataFrame(
        {
            "text": ["a", None, "b", "a"],
            "n": [1.0, 2.0, float("nan"), 4.0],
            "other": [object() for _ in range(4)],
        },
        index=["w", "x", "y", "z"],
    )


def test_the_index_and_the_other_columns_stay(simulate, client, table):
    sim = simulate()
    made = qwennb.ask(table, "Say {{ text }}", client=client(sim))
    assert list(made.index) == ["w", "x", "y", "z"] and list(made.columns) == ["text", "n", "other", "answer"]
    assert made["other"].equals(table["other"])
    assert made["answer"]["w"] == made["answer"]["z"] and made["answer"].isna().tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert sim.ledger.count("asked") == 2 and "answer" not in table.columns


def test_numbers_dates_and_categories_travel_as_in_polars(simulate, client, table):
    sim = simulate()
    table["day"] = pandas.to_datetime(["2024-01-02"] * 4)
    table["kind"] = pandas.Categorical(["x", "y", "x", "y"])
    qwennb.ask(table.head(1), "{{ text }} {{ n }} {{ day }} {{ kind }}", client=client(sim))
    assert sim.ledger.last().body["messages"][-1]["content"] == "a 1 2024-01-02 00:00:00 x"
    assert qwennb.ask(table, "Say {{ n }}", client=client(sim))["answer"].isna().tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_the_types_of_answers_survive(simulate, client, table):
    sim = simulate()
    qwen = client(sim)
    made = qwennb.ask(table, "{{ text }}", choices=["yes", "no"], client=qwen)
    assert made["answer"].dtype == pandas.CategoricalDtype(["yes", "no"])
    sim.script(["3", "4"])
    made = qwennb.ask(table, "{{ text }}", schema={"type": "integer"}, client=qwen)
    assert str(made["answer"].dtype) == "Int64" and made["answer"].isna().tolist() == [
        False,
        True,
        False,
        False,
    ]
    made = qwennb.ask(table, "{{ text }}", schema="name, age int", client=qwen)
    assert set(made["answer"]["w"]) == {"name", "age"}


def test_dates_spans_and_texts_come_as_pandas_has_them(simulate, client, table):
    sim = simulate()
    for form, dtype in (("date-time", "datetime64[us]"), ("duration", "timedelta64[us]")):
        schema = {"type": "string", "format": form}
        made = qwennb.ask(table, "{{ text }}", schema=schema, client=client(sim), on_error="column")
        assert str(made["answer"].dtype) == dtype and made["answer"].isna()["x"]
    nothing = table.assign(text=None)
    assert (
        qwennb.summarize(nothing, "text", client=client(sim))["summary"].dtype == pandas.Series(["a"]).dtype
    )


def test_a_cell_that_would_be_lost_among_others_is_refused(simulate, client):
    sim = simulate()
    day, span = datetime.date(2026, 3, 1), datetime.timedelta(days=1)
    for cells in ([1, {"a": 1}], ["text", {"a": 1}, None], [1, day], [span, 2.5], [day, span]):
        table = pandas.DataFrame({"text": pandas.Series(cells, dtype=object)})
        with pytest.raises(BadInput, match=r"Column `text` .* \('cells of .* and .*'\)\. Make it text"):
            qwennb.ask(table, "Say {{ text }}", client=client(sim))
    assert sim.ledger.count("arrived") == 0
    mixed = pandas.DataFrame({"text": pandas.Series([1, 2.5, "two", None], dtype=object)})
    assert as_polars(mixed, ["text"])["text"].to_list() == ["1", "2.5", "two", None]
    mixed = pandas.DataFrame({"n": pandas.Series([1, 2.5, None], dtype=object)})
    assert as_polars(mixed, ["n"])["n"].to_list() == [1.0, 2.5, None]


def test_nan_is_a_number_where_the_type_tells_it_from_a_missing_value():
    arrow = pandas.arrays.ArrowExtensionArray(pyarrow.array([1.5, float("nan"), None]))
    assert str(as_polars(pandas.DataFrame({"n": arrow}), ["n"])["n"].to_list()) == "[1.5, nan, None]"
    for missing in (None, float("nan"), pandas.NA, pandas.NaT):
        cells = pandas.DataFrame({"text": pandas.Series(["a", missing], dtype=object)})
        assert as_polars(cells, ["text"])["text"].to_list() == ["a", None]


def test_nullable_arrow_and_string_types_travel_by_their_values(simulate, client):
    table = pandas.DataFrame(
        {
            "n": pandas.array([1, None], dtype="Int64"),
            "yes": pandas.array([True, None], dtype="boolean"),
            "word": pandas.array(["a", None], dtype="string"),
            "list": pandas.arrays.ArrowExtensionArray(pyarrow.array([[1, 2], None])),
        }
    )
    sim = simulate()
    made = qwennb.ask(table, "{{ n }} {{ yes }} {{ word }} {{ list }}", client=client(sim))
    assert sim.ledger.last().body["messages"][-1]["content"] == "1 true a [1,2]"
    assert made.drop(columns="answer").dtypes.equals(table.dtypes) and made["answer"].isna().tolist() == [
        False,
        True,
    ]


def test_indexes_of_several_levels_and_with_twins_stay_and_so_do_columns_of_several(simulate, client):
    qwen = client(simulate())
    index = pandas.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", 2)], names=["a", "b"])
    table = pandas.DataFrame({("text", "en"): ["a", None, "b"], ("n", ""): [1, 2, 3]}, index=index)
    made = table.qwen.ask("Say {{ `('text', 'en')` }}", client=qwen, meta=True, on_error="column")
    assert made.index.equals(index) and list(made.columns[:2]) == list(table.columns)
    assert made["answer"].isna().tolist() == [False, True, False] and made["answer_meta"].iloc[0]["model"]
    assert table.qwen.filter("{{ `('n', '')` }} is even", client=qwen).index.isin(index).all()


def test_a_copy_comes_back_with_the_class_and_the_attributes_of_the_frame(simulate, client, table):
    class Survey(pandas.DataFrame):
        @property
        def _constructor(self):
            return Survey

    survey = Survey(table)
    survey.attrs["source"] = "a survey"
    made = survey.qwen.summarize("text", into="n", client=client(simulate()))
    assert (
        type(made) is Survey
        and made.attrs == {"source": "a survey"}
        and list(made.columns) == list(table.columns)
    )
    made.loc["w", "text"] = "another"
    assert survey.loc["w", "text"] == "a" and survey["n"].equals(table["n"])


def test_polars_and_pandas_ask_the_same(simulate, client, table):
    sim = simulate()
    made = qwennb.ask(table, "Say {{ text }}", client=client(sim))
    same = pl.DataFrame({"text": ["a", None, "b", "a"]}).qwen.ask("Say {{ text }}", client=client(sim))
    assert [x if isinstance(x, str) else None for x in made["answer"]] == same["answer"].to_list()
    assert sim.ledger.count("asked") == 2


def test_a_filter_of_no_rows_leaves_the_columns_and_the_index(simulate, client, table):
    nothing = table[table.n > 5]
    made = nothing.qwen.filter("{{ text }} is nice", client=client(simulate()))
    assert made.equals(nothing) and list(made.columns) == list(table.columns)
    made = nothing["text"].qwen.filter("{{ it }} is nice", client=client(simulate()))
    assert made.equals(nothing["text"]) and made.dtype == table["text"].dtype


def test_a_frame_whose_rows_are_not_there_is_told_with_the_call_that_brings_them(table):
    with pytest.raises(BadInput, match=r"The rows of LazyFrame are not there yet\. Give table\.collect\(\)"):
        as_polars(pl.LazyFrame({"text": ["a"]}), ["text"])


def test_what_is_no_table_is_said(table):
    with pytest.raises(TemplateError, match="did you mean `text`"):
        qwennb.ask(table, "{{ txt }}")
    with pytest.raises(
        BadInput, match=r"a Series or a list of texts, not dict\. .*: polars\.DataFrame\(table\)"
    ):
        qwennb.ask({"x": [1, 2]}, "{{ x }}")
    with pytest.raises(BadInput, match="needs a prompt"):
        qwennb.ask(table)


def test_two_columns_of_one_name_are_refused_only_where_they_are_meant(simulate, client):
    qwen = client(simulate())
    twice = pandas.DataFrame([["a", "b", "c"]], columns=["text", "text", "other"])
    with pytest.raises(BadInput, match="2 columns called `text`"):
        qwennb.ask(twice, "Say {{ text }}", client=qwen)
    with pytest.raises(BadInput, match="2 columns called `text`"):
        qwennb.ask(twice, "Say {{ other }}", client=qwen, into="text")
    made = qwennb.ask(twice, "Say {{ other }}", client=qwen)
    assert list(made.columns) == ["text", "text", "other", "answer"] and made.iloc[0, 0] == "a"
    same = pandas.DataFrame([["a", "b"]], columns=[0, "0"])
    with pytest.raises(BadInput, match="2 columns called `0`"):
        qwennb.ask(same, "Say {{ `0` }}", client=qwen)


def test_a_column_that_a_number_names_is_asked_and_replaced_by_it(simulate, client):
    qwen = client(simulate())
    table = pandas.DataFrame([["a", "b"]])
    made = qwennb.ask(table, "Say {{ `0` }}", client=qwen, into="1")
    assert list(made.columns) == [0, 1] and made[1][0].endswith("Say a")


def test_half_a_character_in_a_cell_is_told_with_its_column_and_row(simulate, client):
    table = pandas.DataFrame({"text": ["a", "b\ud800"]}, dtype=object)
    with pytest.raises(BadInput, match=r"Column `text`, row 1, holds half a character"):
        qwennb.ask(table, "Say {{ text }}", client=client(simulate()))
