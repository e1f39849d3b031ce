"""`qwennb.ask(table, …)`: a pandas frame in, a pandas frame out, with its index; a polars frame likewise; or a question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import polars as pl

from qwennb.errors import BadInput, show_value
from qwennb.frames import verbs
from qwennb.frames.default import default_client
from qwennb.frames.namespaces import QwenFrame, QwenLazyFrame
from qwennb.frames.prompts import check_names
from qwennb.request import check_characters


def ask(table_or_prompt: Any, prompt: str | None = None, **options: Any) -> Any:
    """A table with the answers to *prompt* as a new column; without a table, the answer to a prompt.

    A pandas frame comes back as a pandas frame with the index it had, its own columns untouched.
    """
    if isinstance(table_or_prompt, str) and prompt is None:
        return default_client().ask(table_or_prompt, **options)
    if prompt is None:
        raise BadInput('A table needs a prompt over its columns: ask(table, "… {{ review }}").')
    if isinstance(table_or_prompt, pl.DataFrame):
        return QwenFrame(table_or_prompt).ask(prompt, **options)
    if isinstance(table_or_prompt, pl.LazyFrame):
        return QwenLazyFrame(table_or_prompt).ask(prompt, **options)
    if type(table_or_prompt).__module__.split(".")[0] == "pandas" and hasattr(table_or_prompt, "columns"):
        return _pandas(table_or_prompt, prompt, options)
    raise BadInput(f"ask() takes a polars or pandas frame, not {type(table_or_prompt).__name__}.")


def _pandas(table: Any, prompt: str, options: dict[str, Any]) -> Any:
    column = verbs.ask_column(prompt, options)
    schema = dict.fromkeys(_names_of_pandas(table), pl.Null())
    for template in column.templates:
        check_names(template, schema)
    column.check_free(schema)
    for name in column.outputs:
        _column_of_pandas(table, name)  # which of two would be replaced?
    # Only what the prompt names travels to polars: the other columns may hold what polars has no type for.
    made = QwenFrame(as_polars(table, [name for name in column.columns if name in schema])).ask(
        prompt, **options
    )
    names = dict(zip(_names_of_pandas(table), table.columns, strict=True))
    whole = table.copy()
    for name in column.outputs:  # under the names that columns have: a number may name one
        whole[names.get(name, str(name))] = _to_pandas(made[name], table.index)
    return whole


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
