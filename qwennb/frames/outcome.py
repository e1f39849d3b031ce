"""What came of one question of a column: a value or an error, and what there is to say about it."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from qwennb.errors import QwenError


class Outcome(NamedTuple):
    """One question's value or error. A tuple, because there may be a million of them."""

    key: str
    value: Any = None
    error: QwenError | None = None
    model: str = ""
    endpoint: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    attempts: int = 0
    finish_reason: str = ""
    cached: bool = False

    @classmethod
    def failed(cls, key: str, error: QwenError, model: str = "", endpoint: str = "") -> Outcome:
        """What came of a question that failed with *error*, at the cost that the error tells."""
        return cls(key, None, error, model, endpoint, *error.tokens, error.cost, error.attempts)


META = pl.Struct(
    {
        "key": pl.String(),
        "error": pl.String(),
        "model": pl.String(),
        "endpoint": pl.String(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "cost": pl.Float64(),
        "attempts": pl.Int64(),
        "finish_reason": pl.String(),
    }
)
META_OF_THE_RUN = pl.Struct([*META.fields, pl.Field("cached", pl.Boolean())])


def error_text(error: QwenError | None) -> str | None:
    """An error as a cell shows it."""
    return None if error is None else f"{type(error).__name__}: {error}"


def meta_series(outcomes: list[Outcome], dtype: pl.Struct) -> pl.Series:
    """What there is to say about each outcome, as a column of structs."""
    columns: dict[str, pl.Series] = {}
    for field in dtype.fields:
        if field.name == "error":
            values: list[Any] = [error_text(outcome.error) for outcome in outcomes]
        else:
            place = Outcome._fields.index(field.name)
            values = [outcome[place] for outcome in outcomes]
        columns[field.name] = pl.Series(field.name, values, dtype=field.dtype)
    return pl.DataFrame(columns).to_struct("meta")
