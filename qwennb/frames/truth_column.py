"""A column's answers held against a column that says what is right, `truth="gold"`: both sides made alike, and the print.

The figures are those of `qwennb.compare`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames.columns import NO, YES, Column
from qwennb.frames.prompts import cell
from qwennb.truth import Kind, compare_pairs

_WORDS: dict[bool, str] = {True: YES, False: NO}


def read_truth(column: Column, values: pl.Series) -> list[Any]:
    """What is right, row by row, as *values* say; refused where no answer could ever equal it."""
    answers = column.form.dtype
    if answers.is_numeric() and not values.dtype.is_numeric() and values.dtype != pl.Null:
        raise BadInput(
            f"truth= names `{column.truth}`, which is {values.dtype}, and a score is held against numbers. Cast it first."
        )
    is_list = isinstance(values.dtype, pl.List)
    label = values.dtype.inner if isinstance(values.dtype, pl.List) else values.dtype
    if values.dtype != pl.Null and (isinstance(answers, pl.List) != is_list or label.is_nested()):
        raise BadInput(
            f"truth= names `{column.truth}`, which is {values.dtype}, and the answers are {answers}. Both are one label a row, or lists."
        )
    if values.dtype.is_float():
        values = values.fill_nan(None)  # NaN says nothing, as in `compare`
    if values.dtype.is_numeric() and not answers.is_numeric():
        if answers == pl.Enum([YES, NO]):  # 1 and 0, as many tables have it
            return as_compared(values != 0).to_list()
        text = cell(pl.col(values.name), values.dtype, values.name)
        return values.to_frame().select(text).to_series().to_list()
    return as_compared(values).to_list()


def as_compared(values: pl.Series) -> pl.Series:
    """*values* as both sides are compared: numbers, or texts; of several labels, all of them in one text."""
    if values.dtype.is_numeric():
        return values.cast(pl.Float64)
    if values.dtype == pl.Boolean:
        return values.replace_strict(_WORDS, return_dtype=pl.String)
    if isinstance(values.dtype, pl.List):
        return values.cast(pl.List(pl.String)).list.sort().list.join(", ")
    return values.cast(pl.String)


def print_comparison(column: Column, pairs: Counter[tuple[Any, Any]]) -> None:
    """Print how well the answers agree with the truth."""
    dtype = column.form.dtype
    labels = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else []
    kind: Kind = "numbers" if dtype.is_numeric() else "yes or no" if labels == [YES, NO] else "labels"
    said = "filter" if column.verb == "filter" else f"`{column.into}`"
    name = f"{said} against `{column.truth}`"
    print(str(compare_pairs(pairs, labels=labels, name=name, kind=kind)))  # noqa: T201 - it was asked for
