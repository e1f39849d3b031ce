"""A function of DuckDB that asks: `SELECT qwen_ask('Is this about food? ' || review) FROM reviews`.

DuckDB brings the prompts by vectors of at most 2,048 rows, on threads of its own; each vector is a batch of a column, as
polars brings them: unique prompts are asked once, all of a vector at a time, and every answer is kept before DuckDB has it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Unpack

import polars as pl

from qwennb.errors import BadInput, show_value
from qwennb.frames.columns import ask_column
from qwennb.frames.evaluator import Evaluator
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.options import AskOptions, shows_options
from qwennb.frames.relations import BareStream, write_enum

# What has no place where one text comes in and one value goes out.
_NOT_HERE = ("into", "meta", "cite", "nulls", "image", "file", "root", "lane", "draws", "truth")


@shows_options("schema", "choices", without=_NOT_HERE)
def add_to_duckdb(connection: Any, name: str = "qwen_ask", **options: Unpack[AskOptions]) -> None:
    """Give a DuckDB connection a SQL function that asks the text it is given.

    A prompt is made in SQL: `qwen_ask('Is this about food? ' || review)`. Null gives null. Prompts that are the same are one
    question, and every answer is kept: the same query, run again, asks only for what is missing.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        The connection, or the module `duckdb` for its default one. It needs pyarrow, in which DuckDB hands rows over.
    name : str, default "qwen_ask"
        What the function is called. One of that name that was added before is replaced.

    Returns
    -------
    None
        The function gives VARCHAR; with `choices` an ENUM, with `schema` a STRUCT.

    Examples
    --------
    >>> import duckdb
    >>> connection = duckdb.connect()
    >>> qwennb.add_to_duckdb(connection, "mood", choices=["praise", "complaint"])
    >>> made = connection.sql("SELECT mood('Which is it? ' || review) FROM (VALUES ('Cold, and late.')) AS t(review)")
    >>> made.types, made.shape
    ([ENUM('praise', 'complaint')], (1, 1))
    """
    if not hasattr(connection, "create_function"):
        raise BadInput(
            # Its type only: the name of a database may hold a token.
            f"add_to_duckdb() takes a connection of duckdb, not {type(connection).__name__}. Give duckdb.connect(), or duckdb."
        )
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise BadInput(f'{show_value(name)} is not a name that SQL can call. Give one like "qwen_ask".')
    if find_spec("pyarrow") is None:
        raise BadInput(
            "DuckDB hands rows to a function in pyarrow, which is not installed. Type: pip install pyarrow"
        )
    for option in _NOT_HERE:
        if options.get(option) is not None:
            raise BadInput(
                f"A function gives one value for one text, so it takes no {option}=. Use qwennb.ask(relation, …)."
            )
    if options.get("on_error") == "column":
        raise BadInput(
            'A function gives one value; use on_error="raise", or "null" for a null where a row failed.'
        )
    column = ask_column("{{ it }}", options)
    if column.columns != ["it"]:
        raise BadInput(
            "A function is given one text, and system= names columns. Write it without, or use qwennb.ask(relation, …)."
        )
    evaluator = Evaluator(column)
    INTERRUPTS.listen_while(
        evaluator
    )  # a vector may come on a thread of DuckDB's, which Python's handler does not reach

    def ask(prompts: Any) -> Any:
        return evaluator.batch([pl.Series("it", prompts, dtype=pl.String)], ["it"], column.into).to_arrow()

    with suppress(Exception):  # duckdb's own error where there is none of that name
        connection.remove_function(name)
    connection.create_function(
        name,
        ask,
        ["VARCHAR"],
        _sql_type(connection, column.form.dtype),
        type="arrow",
        null_handling="special",
    )


def _sql_type(connection: Any, dtype: pl.DataType) -> Any:
    """What *dtype* is to duckdb, as it says itself."""
    if isinstance(dtype, pl.Enum):
        return write_enum(dtype)
    return connection.from_arrow(BareStream(pl.DataFrame(schema={"answer": dtype}))).types[0]
