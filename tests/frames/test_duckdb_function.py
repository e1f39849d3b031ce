"""`SELECT qwen_ask(…)`: a function of DuckDB that asks, over vectors of rows."""

from __future__ import annotations

import duckdb
import pytest

import qwennb
from qwennb.errors import BadInput, QwenFrameWarning
from qwennb.simulator import Fault


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def test_unique_prompts_are_asked_once_over_all_vectors_and_kept(simulate, client, connection):
    sim = simulate()
    qwennb.add_to_duckdb(connection, client=client(sim))
    query = "SELECT qwen_ask('Say ' || CASE WHEN n % 3 > 0 THEN n % 3 END) AS said FROM range(5000) AS t(n)"
    for _ in range(2):  # the second time every answer is there
        made = connection.sql(query).aggregate("count(*), count(said), count(DISTINCT said)")
        assert made.fetchall() == [(5000, 3333, 2)] and sim.ledger.count("asked") == 2


def test_labels_are_an_enum_and_a_schema_is_a_struct(simulate, client, connection):
    qwen = client(simulate())
    qwennb.add_to_duckdb(connection, "mood", client=qwen, choices=["it's fine", "it isn't"])
    qwennb.add_to_duckdb(connection, "read_order", client=qwen, schema="name, count int, price decimal")
    made = connection.sql("SELECT mood(text), read_order(text), mood(NULL) FROM (VALUES ('Tea.')) AS t(text)")
    assert str(made.types[0]) == "ENUM('it''s fine', 'it isn''t')"
    [(mood, order, nothing)] = made.fetchall()
    assert mood in ("it's fine", "it isn't") and set(order) == {"name", "count", "price"} and nothing is None


def test_a_row_that_fails_is_null_and_told_or_ends_the_query(simulate, client, connection):
    sim = simulate("dashscope", faults=[Fault("inspected", times=1)])
    qwennb.add_to_duckdb(connection, client=client(sim))
    query = "SELECT sum(length(qwen_ask('Say ' || n)) * 0 + 1) FROM range(3) AS t(n)"
    with pytest.warns(QwenFrameWarning, match="1 of 3 questions of column `answer` failed") as told:
        assert connection.sql(query).fetchall() == [(2,)]
    assert told[0].filename == __file__
    qwennb.add_to_duckdb(connection, client=client(sim, cache="replay"), on_error="raise")
    with pytest.raises(duckdb.InvalidInputException, match="NotRecorded: 1 of 3 failed; all others are kept"):
        connection.sql(query).fetchall()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"connection": "file.db"}, "connection of duckdb, not str. Give duckdb.connect"),
        ({"name": "qwen ask"}, "is not a name that SQL can call"),
        ({"meta": True}, "it takes no meta="),
        ({"on_error": "column"}, 'use on_error="raise", or "null"'),
        ({"system": "Speak {{ language }}."}, "system= names columns"),
        ({"temprature": 1}, "did you mean `temperature`"),
    ],
)
def test_what_a_function_can_not_give_is_refused_in_a_sentence(connection, arguments, told):
    with pytest.raises(BadInput, match=told):
        qwennb.add_to_duckdb(**{"connection": connection, **arguments})


def test_what_is_no_connection_is_not_shown_for_it_may_hold_a_token():
    with pytest.raises(BadInput) as told:
        qwennb.add_to_duckdb("md:reviews?motherduck_token=" + (token := "eyJhbGciOi"))
    assert token not in str(told.value)
