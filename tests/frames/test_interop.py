"""A pandas frame in, a pandas frame out: its index, its own columns and its missing values as they were."""

from __future__ import annotations

import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, TemplateError

pandas = pytest.importorskip("pandas")


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


def test_polars_and_pandas_ask_the_same(simulate, client, table):
    sim = simulate()
    made = qwennb.ask(table, "Say {{ text }}", client=client(sim))
    same = pl.DataFrame({"text": ["a", None, "b", "a"]}).qwen.ask("Say {{ text }}", client=client(sim))
    assert [x if isinstance(x, str) else None for x in made["answer"]] == same["answer"].to_list()
    assert sim.ledger.count("asked") == 2


def test_what_is_no_table_is_said(table):
    with pytest.raises(TemplateError, match="did you mean `text`"):
        qwennb.ask(table, "{{ txt }}")
    with pytest.raises(BadInput, match="polars or pandas frame, not list"):
        qwennb.ask([1, 2], "{{ x }}")
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
