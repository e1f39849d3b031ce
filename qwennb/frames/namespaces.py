"""`df.qwen`, `lf.qwen` and `pl.col(…).qwen`.

On a frame and on a lazy frame a verb names its column and gives the frame with one column more. On an expression it
stands for its own value, `{{ it }}`, and gives an expression: elementwise, of a type known beforehand, so that polars
may push filters and slices in front of it and only what is needed is asked. With `meta` or `on_error="column"` an
expression is a struct of what a frame would get as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import polars as pl

from qwennb.frames import verbs
from qwennb.frames.column import Column
from qwennb.frames.evaluator import Evaluator
from qwennb.frames.image import check_image_column
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.plan import ColumnPlan, plan_column
from qwennb.frames.plans import Plans
from qwennb.frames.prompts import check_names


class QwenFrame:
    """Columns for a DataFrame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def ask(self, prompt: str, **options: Any) -> pl.DataFrame:
        """The frame with the answers to *prompt*, a template over its columns: `"Is it about food? {{ review }}"`."""
        return self._with(verbs.ask_column(prompt, options))

    def classify(self, column: str, labels: Any, **options: Any) -> pl.DataFrame:
        """The frame with one of *labels* for each text of *column*: a list, `{label: what it means}`, an Enum class."""
        return self._with(verbs.classify_column(column, labels, options))

    def extract(self, column: str, schema: Any, **options: Any) -> pl.DataFrame:
        """The frame with what *schema* asks for, out of each text of *column*."""
        return self._with(verbs.extract_column(column, schema, options))

    def summarize(self, column: str, **options: Any) -> pl.DataFrame:
        """The frame with a summary of each text of *column*."""
        return self._with(verbs.summarize_column(column, options))

    def translate(self, column: str, to: str, **options: Any) -> pl.DataFrame:
        """The frame with each text of *column* in the language *to*."""
        return self._with(verbs.translate_column(column, to, options))

    def score(
        self,
        column: str,
        criterion: str,
        *,
        low: float | None = None,
        high: float | None = None,
        integer: bool = False,
        **options: Any,
    ) -> pl.DataFrame:
        """The frame with a number for each text of *column*: `score("text", "how urgent", low=1, high=5)`."""
        return self._with(verbs.score_column(column, criterion, options, low=low, high=high, integer=integer))

    def filter(self, statement: str, **options: Any) -> pl.DataFrame:
        """The rows of which *statement*, a template, is true: `filter("{{ review }} mentions delivery")`."""
        made = self._evaluate(verbs.filtering(statement, options))
        return self._frame.filter((next(iter(made.values())) == verbs.YES).fill_null(value=False))

    @property
    def plan(self) -> Plans:
        """What a call would take: `plan("… {{ review }}")`, `plan.classify("review", […])`. Nothing is sent."""
        return Plans(lambda column: plan_column(Evaluator(column), self._columns(column)))

    def _with(self, column: Column) -> pl.DataFrame:
        return self._frame.with_columns(self._evaluate(column).values())

    def _evaluate(self, column: Column) -> dict[str, pl.Series]:
        return Evaluator(column).frame(self._columns(column))

    def _columns(self, column: Column) -> dict[str, pl.Series]:
        _check(column, self._frame.schema)
        column.check_free(self._frame.columns)
        return {name: self._frame[name] for name in column.columns}


class QwenLazyFrame:
    """Columns for a LazyFrame. Nothing is asked before it is collected or written."""

    def __init__(self, frame: pl.LazyFrame) -> None:
        self._frame = frame

    def ask(self, prompt: str, **options: Any) -> pl.LazyFrame:
        """The frame with the answers to *prompt*, a template over its columns: `"Is it about food? {{ review }}"`."""
        return self._with(verbs.ask_column(prompt, options))

    def classify(self, column: str, labels: Any, **options: Any) -> pl.LazyFrame:
        """The frame with one of *labels* for each text of *column*: a list, `{label: what it means}`, an Enum class."""
        return self._with(verbs.classify_column(column, labels, options))

    def extract(self, column: str, schema: Any, **options: Any) -> pl.LazyFrame:
        """The frame with what *schema* asks for, out of each text of *column*."""
        return self._with(verbs.extract_column(column, schema, options))

    def summarize(self, column: str, **options: Any) -> pl.LazyFrame:
        """The frame with a summary of each text of *column*."""
        return self._with(verbs.summarize_column(column, options))

    def translate(self, column: str, to: str, **options: Any) -> pl.LazyFrame:
        """The frame with each text of *column* in the language *to*."""
        return self._with(verbs.translate_column(column, to, options))

    def score(
        self,
        column: str,
        criterion: str,
        *,
        low: float | None = None,
        high: float | None = None,
        integer: bool = False,
        **options: Any,
    ) -> pl.LazyFrame:
        """The frame with a number for each text of *column*: `score("text", "how urgent", low=1, high=5)`."""
        return self._with(verbs.score_column(column, criterion, options, low=low, high=high, integer=integer))

    def filter(self, statement: str, **options: Any) -> pl.LazyFrame:
        """The rows of which *statement*, a template, is true: `filter("{{ review }} mentions delivery")`."""
        made = self._expressions(verbs.filtering(statement, options))
        return self._frame.filter(made[0] == verbs.YES)

    @property
    def plan(self) -> Plans:
        """What a call would take. The columns that it reads are collected; nothing is sent."""
        return Plans(self._plan)

    def _plan(self, column: Column) -> ColumnPlan:
        schema = self._frame.collect_schema()
        _check(column, schema)
        column.check_free(schema)
        frame = self._frame.select(column.columns).collect()
        return plan_column(Evaluator(column), {name: frame[name] for name in column.columns})

    def _with(self, column: Column) -> pl.LazyFrame:
        return self._frame.with_columns(self._expressions(column))

    def _expressions(self, column: Column) -> list[pl.Expr]:
        schema = self._frame.collect_schema()
        _check(column, schema)
        column.check_free(schema)
        evaluator = Evaluator(column)
        INTERRUPTS.listen_while(evaluator)
        return [
            pl.map_batches(
                [pl.col(name) for name in column.columns],
                partial(evaluator.batch, name=name),
                return_dtype=dtype,
                is_elementwise=_in_pieces(column),
            ).alias(name)
            for name, dtype in column.outputs.items()
        ]


class QwenExpr:
    """Answers as an expression. `{{ it }}`, or its name, is the value; a struct's fields are names too."""

    def __init__(self, expr: pl.Expr) -> None:
        self._expr = expr

    def ask(self, prompt: str, **options: Any) -> pl.Expr:
        """The answers to *prompt*: `pl.col("review").qwen.ask("Is it about food? {{ it }}")`."""
        return self._with(verbs.ask_column(prompt, options))

    def classify(self, labels: Any, **options: Any) -> pl.Expr:
        """One of *labels* for each value."""
        return self._with(verbs.classify_column("it", labels, options))

    def extract(self, schema: Any, **options: Any) -> pl.Expr:
        """What *schema* asks for, out of each value."""
        return self._with(verbs.extract_column("it", schema, options))

    def summarize(self, **options: Any) -> pl.Expr:
        """A summary of each value."""
        return self._with(verbs.summarize_column("it", options))

    def translate(self, to: str, **options: Any) -> pl.Expr:
        """Each value in the language *to*."""
        return self._with(verbs.translate_column("it", to, options))

    def score(
        self,
        criterion: str,
        *,
        low: float | None = None,
        high: float | None = None,
        integer: bool = False,
        **options: Any,
    ) -> pl.Expr:
        """A number for each value: `score("how urgent", low=1, high=5)`."""
        return self._with(verbs.score_column("it", criterion, options, low=low, high=high, integer=integer))

    def filter(self, statement: str, **options: Any) -> pl.Expr:
        """Whether *statement* is true of each value: `df.filter(pl.col("review").qwen.filter("{{ it }} mentions delivery"))`."""
        return self._expression(verbs.filtering(statement, options)) == verbs.YES

    def _with(self, column: Column) -> pl.Expr:
        made = self._expression(column)
        return made.alias(column.into) if column.is_named and len(column.outputs) == 1 else made

    def _expression(self, column: Column) -> pl.Expr:
        evaluator = Evaluator(column)
        INTERRUPTS.listen_while(evaluator)
        outputs = column.outputs
        alone = len(outputs) == 1
        name = column.into if alone else ""

        def batch(value: pl.Series) -> pl.Series:
            return evaluator.batch(_names_of(value, column), name)

        dtype = outputs[column.into] if alone else pl.Struct(outputs)
        return self._expr.map_batches(batch, return_dtype=dtype, is_elementwise=_in_pieces(column))


def _in_pieces(column: Column) -> bool:
    """Whether polars may bring the rows in pieces. Those of a batch must come together: each piece would take hours."""
    return column.lane == "live"


def _names_of(value: pl.Series, column: Column) -> list[pl.Series]:
    """What *column* names, in the value of an expression: its fields, itself by its name, itself as `it`."""
    names: dict[str, Callable[[], pl.Series]] = {"it": lambda: value, value.name: lambda: value}
    if isinstance(value.dtype, pl.Struct):
        names |= {field.name: partial(value.struct.field, field.name) for field in value.dtype.fields}
    _check(column, {name: made().dtype for name, made in names.items()})
    return [names[name]().alias(name) for name in column.columns]


def _check(column: Column, schema: Mapping[str, pl.DataType]) -> None:
    for template in column.templates:
        check_names(template, schema)
    if column.image is not None:
        if column.image not in schema:
            check_names(type(column.template).of(f"{{{{ `{column.image}` }}}}"), schema)
        check_image_column(
            schema[column.image], column.image, root=column.root, urls=bool(column.options.allow_urls)
        )
