"""A template over columns as one polars expression: every row's prompt, made without a loop in Python.

A cell is written as a reader would write it: dates and times in ISO form, decimals with their places, a whole float
without its ".0", categories by name, lists and structs as JSON. Null, and NaN, which is how pandas says null, is null:
a prompt with a null in it is null, unless nulls are to be sent, and then it is an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from qwennb.errors import BadInput, TemplateError, nearest
from qwennb.request import Hole, Template

LARGEST_WHOLE = 1e15  # beyond it a float's own spelling is shorter and no less exact


def prompts(template: Template, columns: Mapping[str, pl.Series], *, nulls: bool = False) -> pl.Series:
    """The prompt of each row. Null where a used cell is, unless *nulls* are sent."""
    frame = pl.DataFrame([column.alias(name) for name, column in columns.items()])
    pieces = []
    for piece in template.pieces:
        if isinstance(piece, str):
            pieces.append(pl.lit(piece))
        else:
            text = cell(*_field(piece, columns), piece.source)
            pieces.append(text.fill_null("") if nulls else text)
    made = frame.select(pl.concat_str(pieces).alias("prompt")).to_series()
    # A prompt that is empty asks nothing; it is not worth a call.
    return made if nulls else made.set(made == "", None)


def cell(value: pl.Expr, dtype: pl.DataType, name: str) -> pl.Expr:
    """*value* as text."""
    if dtype == pl.String:
        return value
    if dtype.is_float():
        whole = (value == value.round()) & (value.abs() < LARGEST_WHOLE)
        return (
            pl.when(value.is_nan())
            .then(None)
            .when(whole)
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(value.cast(pl.String))
        )
    if isinstance(dtype, pl.Datetime):
        return value.dt.to_string("%Y-%m-%d %H:%M:%S%.f" + ("%:z" if dtype.time_zone else ""))
    if dtype == pl.Time:
        return value.dt.to_string("%H:%M:%S%.f")
    if dtype == pl.Duration:
        return value.dt.to_string("polars")
    if _has(dtype, pl.Binary):
        raise BadInput(
            f'Column `{name}` holds bytes, which have no place in a text. A column of pictures is given by name: image="{name}".'
        )
    if _has(dtype, pl.Object):
        raise BadInput(
            f"Column `{name}` holds Python objects, which polars can't write as text. Cast it to a type of polars'."
        )
    if isinstance(dtype, pl.Struct):
        return pl.when(value.is_not_null()).then(value.struct.json_encode())
    if isinstance(dtype, pl.List | pl.Array):
        # polars writes only structs as JSON: the list travels in one, and is taken out of it again.
        inside = pl.struct(value.alias("a")).struct.json_encode()
        return pl.when(value.is_not_null()).then(inside.str.slice(5).str.head(-1))
    return value.cast(pl.String)


def names_in(template: Template) -> list[str]:
    """The columns that *template* names, each once."""
    return list(dict.fromkeys(hole.name for hole in template.holes))


def check_names(template: Template, schema: Mapping[str, object]) -> None:
    """Raise TemplateError for a name that is no column, with the nearest that is."""
    for hole in template.holes:
        if hole.name not in schema:
            columns = ", ".join(f"`{name}`" for name in list(schema)[:20]) or "none"
            raise TemplateError(
                f"The template names `{hole.source}`, and there is no column `{hole.name}`"
                f"{nearest(hole.name, list(schema)) or f'; there are {columns}.'}"
                ' To send two braces as text, write {{ "{{" }}.'
            )


def _field(hole: Hole, columns: Mapping[str, pl.Series]) -> tuple[pl.Expr, pl.DataType]:
    check_names(Template((hole,)), columns)
    value, dtype = pl.col(hole.name), columns[hole.name].dtype
    for step, name in enumerate(hole.path[1:], start=1):
        fields = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        if name not in fields:
            inside = ".".join(hole.path[:step])
            raise TemplateError(
                f"The template names `{hole.source}`, and `{inside}` has no field `{name}`{nearest(name, fields) or '.'}"
            )
        value, dtype = value.struct.field(name), fields[name]  # type: ignore[assignment]
    return value, dtype


def _has(dtype: pl.DataType, kind: type[pl.DataType]) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _has(dtype.inner, kind)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return any(_has(field.dtype, kind) for field in dtype.fields)  # type: ignore[arg-type]
    return dtype == kind
