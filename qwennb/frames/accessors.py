"""`df.qwen`, `lf.qwen` and `pl.col(…).qwen`: thin doors to the verbs.

On a table a verb names its column. On an expression it stands for its own value, `{{ it }}`, and gives an expression.
Checkers can't know `df.qwen`, since polars hangs it on at run time: `qwennb.classify(df, …)` and
`qwennb.col("review").classify(…)` are the same calls for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack, overload

import polars as pl

from qwennb.frames import verbs
from qwennb.frames.any_table import open_table
from qwennb.frames.check import check
from qwennb.frames.column_plan import ColumnPlan
from qwennb.frames.draw import draw
from qwennb.frames.estimate import Estimator
from qwennb.frames.options import AskOptions, ColumnOptions, ExtractOptions, as_in, door, shows_options
from qwennb.frames.tables import PlannedTable, Value


class QwenFrame:
    """The verbs over the columns of a frame; on a lazy frame nothing is asked before it is collected or written.

    Attributes
    ----------
    plan : Plans
        What a call would take, before anything is sent: `df.qwen.plan.classify("review", [...])`.
    estimate : Estimator
        Shares, means, regressions of the whole table from few human labels: `df.qwen.estimate.share("label", …)`.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "I would come back for this."]})
    >>> reviews.lazy().qwen.classify("review", ["praise", "complaint"]).collect().columns
    ['review', 'label']
    """

    def __init__(self, table: Any) -> None:
        self.table = table

    ask = door(verbs.ask)
    classify = door(verbs.classify)
    extract = door(verbs.extract)
    summarize = door(verbs.summarize)
    translate = door(verbs.translate)
    score = door(verbs.score)
    filter = door(verbs.filter)
    check = door(check)
    draw = door(draw)

    @property
    def estimate(self) -> Estimator:
        """What is so of the whole table: `estimate.share("label", of="complaint", human="label_human")`. Nothing is asked."""
        return Estimator(self.table)

    @property
    def plan(self) -> Plans:
        """What a call would take: `plan("… {{ review }}")`, `plan.classify("review", […])`. Nothing is sent."""
        return Plans(self.table)


class QwenSeries:
    """The verbs over the texts of a Series, of polars or pandas; a template calls them `it`.

    Examples
    --------
    >>> reviews = pl.Series("review", ["Cold, and late.", "I would come back for this."])
    >>> reviews.qwen.classify(["praise", "complaint"]).dtype
    Enum(categories=['praise', 'complaint'])
    """

    def __init__(self, series: Any) -> None:
        self.table = series

    ask = door(verbs.ask)
    classify = door(verbs.classify, "column")
    extract = door(verbs.extract, "column")
    summarize = door(verbs.summarize, "column")
    translate = door(verbs.translate, "column")
    score = door(verbs.score, "column")
    filter = door(verbs.filter)
    check = door(check, "column")

    @property
    def plan(self) -> Plans:
        """What a call would take: `plan("… {{ it }}")`, `plan.classify([…])`. Nothing is sent."""
        return Plans(self.table)


def _planner(verb: Callable[..., Any], arguments: str) -> Callable[..., Any]:
    """A door to *verb* that says what it gives here, and shows a call with *arguments*."""
    return door(
        verb,
        Returns="ColumnPlan\n    What the call would take; nothing is sent.",
        Examples='>>> texts = pl.DataFrame({"text": ["one", "two", "two"]})\n'
        f">>> texts.qwen.plan.{verb.__name__}({arguments}).unique\n2",
    )


class Plans:
    """What a verb would take: rows, unique questions, what is known, tokens, cost and time. Nothing is sent.

    Of a lazy frame, the columns that are read are collected.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "I would come back for this."]})
    >>> reviews.qwen.plan("Is this about food? {{ review }}").unique
    2
    >>> reviews.qwen.plan.classify("review", ["praise", "complaint"]).rows
    2
    """

    def __init__(self, table: Any) -> None:
        self.table = PlannedTable(open_table(table))

    __call__ = ask = _planner(verbs.ask, '"Say {{ text }}"')
    classify = _planner(verbs.classify, '"text", ["good", "bad"]')
    extract = _planner(verbs.extract, '"text", "name, count int"')
    summarize = _planner(verbs.summarize, '"text"')
    translate = _planner(verbs.translate, '"text", to="French"')
    score = _planner(verbs.score, '"text", "how urgent"')
    filter = _planner(verbs.filter, '"{{ text }} is about food"')


@overload
def plan(table: Any) -> Plans: ...
@overload
def plan(table: Any, prompt: str | Mapping[str, str], **options: Unpack[AskOptions]) -> ColumnPlan: ...
@shows_options("schema", "choices")
def plan(table: Any, prompt: str | Mapping[str, str] | None = None, **options: Any) -> Any:
    """Say what `ask` would take, before anything is sent or paid.

    Without a prompt the other verbs are planned: `plan(table).classify("review", [...])`, the same as
    `df.qwen.plan.classify("review", [...])`.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What `ask` takes; of a lazy frame, the columns that are read are collected.
    prompt : str or dict
        A template over the columns, or several, as for `ask`.

    Returns
    -------
    ColumnPlan
        Rows, unique questions, what is known already, tokens, cost and time; without a prompt, `Plans` with the verbs.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "Cold, and late.", None]})
    >>> planned = qwennb.plan(reviews, "Is this about food? {{ review }}")
    >>> planned.rows, planned.skipped, planned.unique
    (3, 1, 1)
    >>> qwennb.plan(["Cold, and late.", None]).classify(["praise", "complaint"]).rows
    2
    """
    plans = Plans(table)
    return plans if prompt is None else plans.ask(prompt, **options)


_ANSWERS = "polars.Expr\n    The answers, under the expression's own name, or the one that `into` gives."


class QwenExpr:
    """The verbs over the value of an expression, which a template calls `it`, or by its name; a struct's fields by theirs.

    Examples
    --------
    >>> reviews = pl.DataFrame({"id": [1], "review": ["Cold, and late."]})
    >>> reviews.select("id", pl.col("review").qwen.classify(["praise", "complaint"])).dtypes
    [Int64, Enum(categories=['praise', 'complaint'])]
    """

    def __init__(self, expr: pl.Expr) -> None:
        self._value: Any = Value(expr)

    @as_in(verbs.ask, "table", Returns=_ANSWERS)
    def ask(self, prompt: str | Mapping[str, str], **options: Unpack[AskOptions]) -> pl.Expr:  # noqa: D102 - as_in gives it the verb's
        return verbs.ask(self._value, prompt, **options)  # type: ignore[no-any-return]

    @as_in(verbs.classify, "table", "column", Returns=_ANSWERS)
    def classify(  # noqa: D102
        self,
        labels: Any,
        *,
        several: bool = False,
        examples: Sequence[tuple[str, Any]] | Mapping[str, Any] | None = None,
        **options: Unpack[ColumnOptions],
    ) -> pl.Expr:
        return verbs.classify(self._value, "it", labels, several=several, examples=examples, **options)  # type: ignore[no-any-return]

    @as_in(verbs.extract, "table", "column", Returns=_ANSWERS)
    def extract(self, schema: Any, **options: Unpack[ExtractOptions]) -> pl.Expr:  # noqa: D102
        return verbs.extract(self._value, "it", schema, **options)  # type: ignore[no-any-return]

    @as_in(verbs.summarize, "table", "column", Returns=_ANSWERS)
    def summarize(self, **options: Unpack[ColumnOptions]) -> pl.Expr:  # noqa: D102
        return verbs.summarize(self._value, "it", **options)  # type: ignore[no-any-return]

    @as_in(verbs.translate, "table", "column", Returns=_ANSWERS)
    def translate(self, to: str, **options: Unpack[ColumnOptions]) -> pl.Expr:  # noqa: D102
        return verbs.translate(self._value, "it", to, **options)  # type: ignore[no-any-return]

    @as_in(verbs.score, "table", "column", Returns=_ANSWERS)
    def score(  # noqa: D102
        self,
        criterion: str,
        *,
        low: float | None = None,
        high: float | None = None,
        integer: bool = False,
        **options: Unpack[ColumnOptions],
    ) -> pl.Expr:
        return verbs.score(  # type: ignore[no-any-return]
            self._value, "it", criterion, low=low, high=high, integer=integer, **options
        )

    @as_in(verbs.filter, "table", Returns="polars.Expr\n    True where it is true of the value.")
    def filter(self, statement: str, **options: Unpack[ColumnOptions]) -> pl.Expr:  # noqa: D102
        return verbs.filter(self._value, statement, **options)  # type: ignore[no-any-return]


def col(name: str) -> QwenExpr:
    """Name a column, with the verbs as methods that checkers and editors know: `pl.col(name).qwen`.

    Parameters
    ----------
    name : str
        The column's name.

    Returns
    -------
    QwenExpr
        Its verbs give polars expressions.

    Raises
    ------
    TypeError
        The name is not text.

    Examples
    --------
    >>> reviews = pl.DataFrame({"id": [1], "review": ["Cold, and late."]})
    >>> reviews.select(qwennb.col("review").classify(["praise", "complaint"])).columns
    ['review']
    """
    return QwenExpr(pl.col(name))
