"""Tables of other libraries whose rows are there: pandas (and modin, which is its like), Arrow.

A pandas frame keeps its index and its own columns untouched; an Arrow table its schema. Neither library is imported here:
whoever has a table of it has done so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from polars.exceptions import PanicException

from qwennb.errors import BadInput, show_value
from qwennb.frames.columns import Column
from qwennb.frames.tables import EagerTable, SeriesTable, WholeTable
from qwennb.request import check_characters


class PandasTable(WholeTable):
    """A DataFrame of *pandas*, the module: pandas itself, or modin's."""

    def __init__(self, frame: Any, pandas: Any) -> None:
        self._frame = frame
        self._pandas = pandas

    def list_names(self) -> list[str]:
        """List the names of its columns as text: a number may name one, or a tuple."""
        return [str(name) for name in self._frame.columns]

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Take the columns over, cell by cell."""
        places = {name: place for place, name in enumerate(self.list_names())}
        return pl.DataFrame([_from_pandas(name, self._frame.iloc[:, places[name]]) for name in names])

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Add the columns to a copy."""
        return self.set_columns(made)

    def set_columns(self, made: Mapping[str, pl.Series]) -> Any:
        """Add the columns to a copy."""
        names = dict(zip(self.list_names(), self._frame.columns, strict=True))
        whole = self._frame.copy()
        levels = whole.columns.nlevels
        for name, values in made.items():
            new = name if levels == 1 else (name, *[""] * (levels - 1))
            whole[names.get(name, new)] = _to_pandas(values, whole.index, self._pandas)
        return whole

    def choose(self, is_kept: pl.Series) -> Any:
        """Take the rows."""
        return self._frame[is_kept.to_numpy()]  # a list that is empty names no columns

    def pick(self, places: Sequence[int], made: Mapping[str, pl.Series]) -> Any:
        """Take the rows with their index, and add the columns."""
        return PandasTable(self._frame.iloc[list(places)], self._pandas).set_columns(made)


class PandasSeriesTable(SeriesTable):
    """A Series of *pandas*: texts without a table, with an index."""

    def __init__(self, series: Any, pandas: Any) -> None:
        self._series = series
        self._pandas = pandas
        super().__init__(_from_pandas("it" if series.name is None else str(series.name), series))

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Give the answers with the same index."""
        name = self.name_answers(column, self._series.name)
        return _to_pandas(super().put(made, column), self._series.index, self._pandas).rename(name)

    def choose(self, is_kept: pl.Series) -> Any:
        """Take the values."""
        return self._series[is_kept.to_numpy()]


class ArrowTable(WholeTable):
    """A Table or RecordBatch of pyarrow."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def list_names(self) -> list[str]:
        """List the names in its schema."""
        return list(self._table.schema.names)

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Share the columns with polars."""
        return from_arrow(self._table.select(names), names)

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Add the columns, or set them in their place."""
        return self._set_columns(self._table, made)

    def pick(self, places: Sequence[int], made: Mapping[str, pl.Series]) -> Any:
        """Take the rows, and add the columns."""
        return self._set_columns(self._table.take(list(places)), made)

    @staticmethod
    def _set_columns(whole: Any, made: Mapping[str, pl.Series]) -> Any:
        for name, values in made.items():
            place = whole.schema.get_field_index(name)
            answers = values.to_arrow()
            whole = (
                whole.append_column(name, answers) if place < 0 else whole.set_column(place, name, answers)
            )
        return whole

    def choose(self, is_kept: pl.Series) -> Any:
        """Filter the rows."""
        return self._table.filter(is_kept.to_arrow())


class StreamTable(EagerTable):
    """A table of any library that gives an Arrow stream of it: made anew by its class, where that takes one."""

    def __init__(self, table: Any) -> None:
        super().__init__(from_arrow(table))  # whole: a stream can't be asked for a part of it
        self._make = getattr(type(table), "from_arrow", lambda frame: frame)

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Add the columns."""
        return self._make(super().put(made, column))

    def choose(self, is_kept: pl.Series) -> Any:
        """Filter the rows."""
        return self._make(super().choose(is_kept))

    def pick(self, places: Sequence[int], made: Mapping[str, pl.Series]) -> Any:
        """Take the rows, and add the columns."""
        return self._make(super().pick(places, made))


def from_arrow(stream: Any, names: Sequence[str] = ()) -> pl.DataFrame:
    """Read what an Arrow *stream* brings: the columns *names*, where they are known."""
    try:
        return pl.DataFrame(stream)
    except (Exception, PanicException) as error:  # what polars has no type for, it says in one of many ways
        listed = " or ".join(f"`{name}`" for name in names)
        raise _refuse_values(f"Column {listed}" if names else "One of its columns", error) from None


def _from_pandas(name: str, values: Any) -> pl.Series:
    """A column by its values: polars' own way needs pyarrow for texts.

    A missing value is null. NaN is how pandas says missing where its type has no other way; where it has (Float64,
    an Arrow type), NaN is a number.
    """
    cells = values.tolist()
    if values.dtype.kind == "f" and (missing := getattr(values.dtype, "na_value", None)) is not None:
        plain = [None if value is missing else value for value in cells]
    else:
        plain = [None if gone else value for gone, value in zip(values.isna().tolist(), cells, strict=True)]
    for row, value in enumerate(plain):
        if isinstance(value, str):
            check_characters(f"Column `{name}`, row {row},", value)
    try:
        made = pl.Series(name, plain, strict=False)
    except Exception as error:  # what a cell may hold that polars has no type for is anybody's guess
        raise _refuse_values(f"Column `{name}`", error) from None
    if _loses_cells(made, plain):
        kinds = sorted({type(value).__name__ for value in plain if value is not None})
        raise _refuse_values(f"Column `{name}`", f"cells of {' and '.join(kinds)}")
    return made


def _loses_cells(made: pl.Series, cells: list[Any]) -> bool:
    """Tell whether *made* has a null for a cell, a bare number for a date or a span, or a dict without its names."""
    kinds = {type(value) for value in cells}
    if made.dtype == pl.String:
        return dict in kinds
    if made.dtype.is_numeric():
        return any(issubclass(kind, dt.date | dt.time | dt.timedelta) for kind in kinds)
    if isinstance(made.dtype, pl.Struct) and any(issubclass(kind, int | float | str) for kind in kinds):
        return True  # polars 2.0 makes a struct of nulls of it, later ones a null
    return made.null_count() > sum(value is None for value in cells)


def _refuse_values(column: str, why: object) -> BadInput:
    return BadInput(
        f"{column} holds what polars can't take ({show_value(str(why))}). Make it text or numbers."
    )


def _to_pandas(values: pl.Series, index: Any, pandas: Any) -> Any:
    dtype, cells = values.dtype, values.to_list()
    if isinstance(dtype, pl.Enum):
        cells = pandas.Categorical(cells, categories=dtype.categories.to_list())
        return pandas.Series(cells, index=index)
    if isinstance(dtype, pl.String):
        kind = pandas.Series(["text"]).dtype  # `str`, or `object` before pandas 3
    elif isinstance(dtype, pl.Datetime):
        kind = f"datetime64[us, {dtype.time_zone}]" if dtype.time_zone else "datetime64[us]"
    else:
        kind = _KINDS.get(type(dtype), "object")
    return pandas.Series(cells, index=index, dtype=kind)


# With these, a missing value does not turn whole numbers into fractions, or truth into objects.
_KINDS = {
    pl.Int64: "Int64",
    pl.Boolean: "boolean",
    pl.Float64: "float64",
    pl.Duration: "timedelta64[us]",
}
