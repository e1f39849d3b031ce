"""Tables that are not polars': a pandas frame in, a pandas frame out, with its index, its own columns untouched."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import polars as pl

from qwennb.errors import BadInput, show_value
from qwennb.frames.columns import YES, Column
from qwennb.frames.evaluator import Evaluator
from qwennb.request import check_characters


def is_pandas(table: Any) -> bool:
    """Whether this is a pandas frame, told without importing pandas."""
    return type(table).__module__.split(".")[0] == "pandas" and hasattr(table, "columns")


class PandasTable:
    """A pandas DataFrame."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def read(self, column: Column) -> dict[str, pl.Series]:
        """Take over what the column names, and no more: the others may hold what polars has no type for."""
        column.check(dict.fromkeys(_names_of_pandas(self._frame)))
        for name in column.outputs:
            _column_of_pandas(self._frame, name)  # which of two would be replaced?
        frame = as_polars(self._frame, column.columns)
        column.check_names(frame.schema)  # the types of pictures too
        return {name: frame[name] for name in column.columns}

    def add(self, column: Column) -> Any:
        """Ask, and add the answers."""
        made = Evaluator(column).frame(self.read(column))
        names = dict(zip(_names_of_pandas(self._frame), self._frame.columns, strict=True))
        whole = self._frame.copy()
        for name, values in made.items():  # under the names that columns have: a number may name one
            whole[names.get(name, str(name))] = _to_pandas(values, whole.index)
        return whole

    def keep(self, column: Column) -> Any:
        """Ask, and keep the rows answered with yes."""
        answers = Evaluator(column).frame(self.read(column))[column.into]
        return self._frame[(answers == YES).fill_null(value=False).to_list()]


def as_polars(table: Any, names: Sequence[str]) -> pl.DataFrame:
    """The columns *names* of a polars or pandas frame, as a polars frame."""
    if isinstance(table, pl.DataFrame):
        return table.select(names)
    return pl.DataFrame([_from_pandas(name, _column_of_pandas(table, name)) for name in names])


def _names_of_pandas(table: Any) -> list[str]:
    return [str(name) for name in table.columns]


def _column_of_pandas(table: Any, name: str) -> Any:
    """The column of a pandas frame that is called *name*; None where there is none. Of two with that name, neither."""
    places = [place for place, one in enumerate(_names_of_pandas(table)) if one == name]
    if len(places) > 1:
        raise BadInput(f"The frame has {len(places)} columns called `{name}`. Rename all but one of them.")
    return table.iloc[:, places[0]] if places else None


def _from_pandas(name: str, values: Any) -> pl.Series:
    """A column by its values: polars' own way needs pyarrow for texts, and takes NaN for a number."""
    missing = values.isna().tolist()
    plain = [None if gone else value for gone, value in zip(missing, values.tolist(), strict=True)]
    for row, value in enumerate(plain):
        if isinstance(value, str):
            check_characters(f"Column `{name}`, row {row},", value)
    try:
        return pl.Series(name, plain, strict=False)
    except Exception as error:  # what a cell may hold that polars has no type for is anybody's guess
        raise BadInput(
            f"Column `{name}` holds what polars can't take ({show_value(str(error))}). Make it text or numbers."
        ) from None


def _to_pandas(values: pl.Series, index: Any) -> Any:
    pandas: Any = sys.modules["pandas"]  # loaded, or there would be no frame of its
    dtype = values.dtype
    if isinstance(dtype, pl.Enum):
        return pandas.Series(
            pandas.Categorical(values.to_list(), categories=dtype.categories.to_list()), index=index
        )
    return pandas.Series(values.to_list(), index=index, dtype=_NULLABLE.get(type(dtype), "object"))


# With these, a missing value does not turn whole numbers into fractions, or truth into objects.
_NULLABLE = {pl.Int64: "Int64", pl.Boolean: "boolean", pl.Float64: "float64"}
