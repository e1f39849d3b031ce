"""What a column is added to: a frame, a lazy frame, an expression; or nothing but a plan of it.

Each has `add`, which gives the same kind with the column, and `keep`, the rows of which a question is true. Frames have
`read` beside it: the columns that are read, checked against what is there.

An expression is elementwise and of a type known beforehand, so that polars may push filters and slices in front of it
and only what is needed is asked. With `meta` or `on_error="column"` it is a struct of what a frame would get as columns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames.column_plan import ColumnPlan, plan_column
from qwennb.frames.columns import YES, Column
from qwennb.frames.evaluator import Evaluator
from qwennb.frames.interop import PandasTable, is_pandas
from qwennb.frames.interrupt import INTERRUPTS


class AnyTable(Protocol):
    """A table of some kind, as the verbs see it."""

    def read(self, column: Column) -> dict[str, pl.Series]:
        """The columns that *column* reads."""

    def add(self, column: Column) -> Any:
        """The table with what *column* makes."""

    def keep(self, column: Column) -> Any:
        """The rows to whose question *column* has the answer yes."""


class EagerTable:
    """A DataFrame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def read(self, column: Column) -> dict[str, pl.Series]:
        """Take the columns out of the frame."""
        column.check(self._frame.schema)
        return {name: self._frame[name] for name in column.columns}

    def add(self, column: Column) -> pl.DataFrame:
        """Ask, and add the answers."""
        return self._frame.with_columns(Evaluator(column).frame(self.read(column)).values())

    def keep(self, column: Column) -> pl.DataFrame:
        """Ask, and keep the rows answered with yes."""
        answers = Evaluator(column).frame(self.read(column))[column.into]
        return self._frame.filter((answers == YES).fill_null(value=False))


class LazyTable:
    """A LazyFrame. Nothing is asked before it is collected or written."""

    def __init__(self, frame: pl.LazyFrame) -> None:
        self._frame = frame

    def read(self, column: Column) -> dict[str, pl.Series]:
        """Collect the columns."""
        column.check(self._frame.collect_schema())
        frame = self._frame.select(column.columns).collect()
        return {name: frame[name] for name in column.columns}

    def add(self, column: Column) -> pl.LazyFrame:
        """Add expressions to the plan."""
        return self._frame.with_columns(self._expressions(column))

    def keep(self, column: Column) -> pl.LazyFrame:
        """Add a filter to the plan."""
        return self._frame.filter(self._expressions(column)[0] == YES)

    def _expressions(self, column: Column) -> list[pl.Expr]:
        column.check(self._frame.collect_schema())
        evaluator = Evaluator(column)
        INTERRUPTS.listen_while(evaluator)
        made = []
        for name, dtype in column.outputs.items():
            names = column.columns_of(column.question_of(name))
            # polars calls every function of Python's `python_udf`: `explain` tells the verb by what it reads.
            first, *others = map(pl.col, names)
            batch = partial(evaluator.batch, names=names, name=name)
            made.append(
                pl.map_batches(
                    [first.alias(f"qwen.{column.verb}({names[0]})"), *others],
                    batch,
                    return_dtype=dtype,
                    is_elementwise=_comes_in_pieces(column),
                ).alias(name)
            )
        return made


class Value:
    """An expression's own value, which is called `it`; by its name too, and a struct's fields by theirs."""

    def __init__(self, expr: pl.Expr) -> None:
        self._expr = expr

    def add(self, column: Column) -> pl.Expr:
        """Give the answers, under the name that was given."""
        made = self._answers(column)
        return made.alias(column.into) if column.is_named and len(column.outputs) == 1 else made

    def keep(self, column: Column) -> pl.Expr:
        """Give true where the answer is yes."""
        return self._answers(column) == YES

    def _answers(self, column: Column) -> pl.Expr:
        if column.truth is not None and "it" in column.columns:
            raise BadInput(
                "On an expression the text is all of its fields, the truth among them, so that the model would be told what is "
                f'right. Ask over the table: df.qwen.{column.verb}(…, truth="{column.truth}").'
            )
        evaluator = Evaluator(column)
        INTERRUPTS.listen_while(evaluator)
        outputs = column.outputs
        is_one = len(outputs) == 1
        name = column.into if is_one else ""

        def batch(value: pl.Series) -> pl.Series:
            return evaluator.batch(_read_value(value, column), column.columns, name)

        dtype = outputs[column.into] if is_one else pl.Struct(outputs)
        return self._expr.map_batches(batch, return_dtype=dtype, is_elementwise=_comes_in_pieces(column))


class PlannedTable:
    """A table of any kind, of which a verb only plans the column. Nothing is sent."""

    def __init__(self, table: AnyTable) -> None:
        self._table = table

    def add(self, column: Column) -> ColumnPlan:
        """Plan the column."""
        return plan_column(Evaluator(column), self._table.read(column))

    keep = add


def open_table(table: Any) -> AnyTable:
    """See *table* as the verbs do."""
    if isinstance(table, pl.DataFrame):
        return EagerTable(table)
    if isinstance(table, pl.LazyFrame):
        return LazyTable(table)
    if isinstance(table, PlannedTable | Value):
        return table  # type: ignore[return-value]
    if is_pandas(table):
        return PandasTable(table)
    raise BadInput(f"A column is asked over a polars or pandas frame, not {type(table).__name__}.")


def _comes_in_pieces(column: Column) -> bool:
    """Whether polars may bring the rows in pieces. Those of a batch must come together: each piece would take hours."""
    return column.lane == "live"


def _read_value(value: pl.Series, column: Column) -> list[pl.Series]:
    """What *column* names, in the value of an expression: its fields, itself by its name, itself as `it`."""
    names: dict[str, Callable[[], pl.Series]] = {"it": lambda: value, value.name: lambda: value}
    if isinstance(value.dtype, pl.Struct):
        names |= {field.name: partial(value.struct.field, field.name) for field in value.dtype.fields}
    column.check_names({name: made().dtype for name, made in names.items()})
    return [names[name]().alias(name) for name in column.columns]
