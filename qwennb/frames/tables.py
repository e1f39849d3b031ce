"""What a column is added to, as the verbs see it: polars' own kinds, an expression, texts; or nothing but a plan.

Each has `add`, which gives the same kind with the column, and `keep`, the rows of which a question is true. Tables have
`read` beside it: the columns that are read, checked against what is there. Tables of other libraries stand in interop.py
and relations.py; any_table.py tells which is which.

An expression is elementwise and of a type known beforehand, so that polars may push filters and slices in front of it
and only what is needed is asked. With `meta` or `on_error="column"` it is a struct of what a frame would get as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames.column_plan import ColumnPlan, plan_column
from qwennb.frames.columns import YES, Column
from qwennb.frames.evaluator import Evaluator
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.request import check_characters

_IN_PIECES = "A draft is proved over a whole table, and a plan brings its rows in pieces. Collect it first: lf.collect().qwen.{verb}(…, draft=…)."


class AnyTable(Protocol):
    """A table of some kind, as the verbs see it."""

    @property
    def is_texts(self) -> bool:
        """Whether it is texts without a table, and so without a column to name."""

    def read(self, column: Column) -> dict[str, pl.Series]:
        """The columns that *column* reads."""

    def add(self, column: Column) -> Any:
        """The table with what *column* makes."""

    def keep(self, column: Column) -> Any:
        """The rows to whose question *column* has the answer yes."""


class WholeTable:
    """A table whose rows are there: what a column names is taken out of it, asked, and the answers are put beside it."""

    is_texts = False

    def list_names(self) -> list[str]:
        """List the names of its columns."""
        raise NotImplementedError

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Take over the columns *names*, and no more: the others may hold what polars has no type for."""
        raise NotImplementedError

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Make the same kind of table with the columns *made*."""
        raise NotImplementedError

    def choose(self, is_kept: pl.Series) -> Any:
        """Make the same kind of table with the rows where *is_kept*."""
        raise NotImplementedError

    def pick(self, places: Sequence[int], made: Mapping[str, pl.Series]) -> Any:
        """Make the same kind of table of the rows at *places*, in this order, with the columns *made*."""
        raise NotImplementedError

    def read(self, column: Column) -> dict[str, pl.Series]:
        """Take what *column* reads, once its names are checked."""
        column.check(dict.fromkeys(self.list_names()))
        self.check_unique(column.outputs)  # which of two would be replaced?
        self.check_unique(column.columns)
        frame = self.take(column.columns)
        column.check_names(frame.schema)  # the types of pictures too
        return {name: frame[name] for name in column.columns}

    def check_unique(self, names: Iterable[str]) -> None:
        """Refuse a name of *names* that several columns have."""
        listed = self.list_names()
        for name in names:
            if (count := listed.count(name)) > 1:
                raise BadInput(f"The frame has {count} columns called `{name}`. Rename all but one of them.")

    def add(self, column: Column) -> Any:
        """Ask, and put the answers beside."""
        return self.put(Evaluator(column).frame(self.read(column)), column)

    def keep(self, column: Column) -> Any:
        """Ask, and keep the rows answered with yes."""
        answers = Evaluator(column).frame(self.read(column))[column.into]
        return self.choose((answers == YES).fill_null(value=False))


class EagerTable(WholeTable):
    """A DataFrame of polars."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def list_names(self) -> list[str]:
        """List the names of its columns."""
        return self._frame.columns

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Take the columns out of the frame."""
        return self._frame.select(names)

    def put(self, made: Mapping[str, pl.Series], column: Column) -> pl.DataFrame:
        """Add the columns."""
        return self._frame.with_columns(made.values())

    def choose(self, is_kept: pl.Series) -> pl.DataFrame:
        """Filter the rows."""
        return self._frame.filter(is_kept)

    def pick(self, places: Sequence[int], made: Mapping[str, pl.Series]) -> Any:
        """Take the rows, and add the columns."""
        return self._frame[list(places)].with_columns(made.values())


class LazyTable:
    """A LazyFrame. Nothing is asked before it is collected or written."""

    is_texts = False

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
        if column.terms is not None:
            raise BadInput(_IN_PIECES.format(verb=column.verb))
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

    is_texts = False  # QwenExpr names it

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
        if column.terms is not None:
            raise BadInput(_IN_PIECES.format(verb=column.verb))
        _refuse_truth(column, {"it"})
        evaluator = Evaluator(column)
        INTERRUPTS.listen_while(evaluator)
        outputs = column.outputs
        is_one = len(outputs) == 1
        name = column.into if is_one else ""

        def batch(value: pl.Series) -> pl.Series:
            return evaluator.batch(_read_value(value, column), column.columns, name, may_repeat=True)

        dtype = outputs[column.into] if is_one else pl.Struct(outputs)
        return self._expr.map_batches(batch, return_dtype=dtype, is_elementwise=_comes_in_pieces(column))


class SeriesTable(WholeTable):
    """A Series of polars: texts without a table. A template calls its values what it calls an expression's."""

    is_texts = True

    def __init__(self, values: pl.Series) -> None:
        self._values = values

    def read(self, column: Column) -> dict[str, pl.Series]:
        """Read the values as `it`, and by their name."""
        return {one.name: one for one in _read_value(self._values, column)}

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Give the answers alone; with something beside them, structs."""
        name = self.name_answers(column, self._values.name)
        if len(made) == 1:
            return made[column.into].alias(name)
        return pl.DataFrame(made).to_struct(name)

    @staticmethod
    def name_answers(column: Column, own: Any) -> Any:
        """Give the name that the user gave; answers to several questions have their texts' *own*, as those without one."""
        return column.into if column.is_named and len(column.questions) == 1 else own

    def choose(self, is_kept: pl.Series) -> Any:
        """Filter the values."""
        return self._values.filter(is_kept)


class ListTable(SeriesTable):
    """A list of texts: a list of plain values comes back."""

    def __init__(self, texts: list[str | None]) -> None:
        for index, text in enumerate(texts):
            if isinstance(text, str):
                check_characters(f"Text {index} of the list", text)
            elif text is not None:
                raise BadInput(
                    f"A list is asked over if it holds texts, and item {index} is {type(text).__name__}. "
                    "Make a table of it: polars.DataFrame(…)."
                )
        super().__init__(pl.Series("it", texts, dtype=pl.String))

    def add(self, column: Column) -> Any:
        """Ask, unless a name is given that nothing would bear."""
        if column.is_named and len(column.outputs) == 1:
            raise BadInput(f'A list of answers has no name. Leave into="{column.into}" out.')
        return super().add(column)

    def put(self, made: Mapping[str, pl.Series], column: Column) -> list[Any]:
        """Give the answers as Python has them."""
        return super().put(made, column).to_list()  # type: ignore[no-any-return]

    def choose(self, is_kept: pl.Series) -> list[Any]:
        """Keep the texts."""
        return super().choose(is_kept).to_list()  # type: ignore[no-any-return]


class PlannedTable:
    """A table of any kind, of which a verb only plans the column. Nothing is sent."""

    def __init__(self, table: AnyTable) -> None:
        self._table = table
        self.is_texts = table.is_texts

    def add(self, column: Column) -> ColumnPlan:
        """Plan the column."""
        return plan_column(Evaluator(column), self._table.read(column))

    keep = add


def _comes_in_pieces(column: Column) -> bool:
    """Whether polars may bring the rows in pieces. Those of a batch must come together: each piece would take hours."""
    return column.lane == "live"


def _read_value(value: pl.Series, column: Column) -> list[pl.Series]:
    """What *column* names, in the value of an expression: its fields, itself by its name, itself as `it`."""
    whole: dict[str, Callable[[], pl.Series]] = {"it": lambda: value, value.name: lambda: value}
    fields: dict[str, Callable[[], pl.Series]] = {}
    if isinstance(value.dtype, pl.Struct):
        fields = {field.name: partial(value.struct.field, field.name) for field in value.dtype.fields}
    _refuse_truth(column, whole.keys() - fields.keys())
    names = whole | fields
    column.check_names({name: made().dtype for name, made in names.items()})
    return [names[name]().alias(name) for name in column.columns]


def _refuse_truth(column: Column, whole: Collection[str]) -> None:
    """Refuse a column of truth beside a value that is read *whole*, by any of these names."""
    if column.truth is not None and any(name in whole for name in column.columns):
        raise BadInput(
            "An expression or a Series is asked over whole: a struct with all of its fields, so that the model would be told what "
            f'is right, and a text has no other column. Ask over the table: df.qwen.{column.verb}(…, truth="{column.truth}").'
        )
