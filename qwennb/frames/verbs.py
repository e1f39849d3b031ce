"""The verbs, each once: `qwennb.classify(table, "review", […])`, over any table that `open_table` knows.

A table may be of any library. `df.qwen.classify(…)`, its plan and `pl.col(…).qwen.classify(…)`
come here too (accessors.py), with an expression or a plan in place of the table. What a verb asks stands in columns.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack, overload

from qwennb.errors import BadInput
from qwennb.frames.any_table import open_table, takes_texts
from qwennb.frames.columns import (
    ask_column,
    classify_column,
    extract_column,
    filter_column,
    score_column,
    summarize_column,
    translate_column,
)
from qwennb.frames.default import default_client
from qwennb.frames.options import DRAFTED, AskOptions, ColumnOptions, ExtractOptions, shows_options

if TYPE_CHECKING:
    from qwennb.answer import Answer

T = TypeVar("T")
"""The kind of table that is given and comes back."""


class ValueSeries(Protocol):
    """A Series, of polars or pandas."""

    def to_list(self) -> list[Any]: ...  # noqa: D102 - theirs


S = TypeVar("S", bound=ValueSeries)
"""The kind of Series that is given and comes back."""


@overload
def ask(table: str, **options: Any) -> Answer: ...
@overload
def ask(table: list[Any], prompt: str | Mapping[str, str], **options: Unpack[AskOptions]) -> list[Any]: ...
@overload
def ask(table: T, prompt: str | Mapping[str, str], **options: Unpack[AskOptions]) -> T: ...
@shows_options("schema", "choices", "cite")
def ask(table: Any, prompt: str | Mapping[str, str] | None = None, **options: Any) -> Any:
    """Ask a question of each row, and add the answers as a column.

    Rows that ask the same are one question. Every answer is kept before you see it: the same call, run again, asks only
    for what is missing. Without a table, `ask("…")` answers one question, as `Qwen().ask` does.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list, which a template calls `{{ it }}`.
    prompt : str or dict
        A template over the columns: `"Is it about food? {{ review }}"`. A struct's field stands after a dot, an odd name
        in backticks. On an expression, `{{ it }}` is the value. Several at once are a dict by the names of their columns;
        the options hold for all of them.

    Returns
    -------
    The same kind of table with the column `answer`
        Text; with `choices` an Enum, with `schema` a Struct. Several prompts make a column each, on an expression a Struct.
        With `cite=True` the quotes that it rests on stand beside it in `answer_quotes`.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "I would come back for this."]})
    >>> made = reviews.qwen.ask("Is this about food? {{ review }}", into="food", choices=["yes", "no"])
    >>> made.schema["food"]
    Enum(categories=['yes', 'no'])
    >>> made.equals(qwennb.ask(reviews, "Is this about food? {{ review }}", into="food", choices=["yes", "no"]))
    True
    >>> reviews.select(pl.col("review").qwen.ask("Is this about food? {{ it }}")).columns
    ['review']
    >>> reviews.qwen.ask({"mood": "How do they feel? {{ review }}", "dish": "Which dish? {{ review }}"}).columns
    ['review', 'mood', 'dish']
    """
    if prompt is None:
        if isinstance(table, str):
            return default_client().ask(table, **options)
        raise BadInput('A table needs a prompt over its columns: ask(table, "… {{ review }}").')
    return open_table(table).add(ask_column(prompt, options))


@overload
def classify(
    table: list[Any],
    labels: Any,
    *,
    several: bool = False,
    examples: Sequence[tuple[str, Any]] | Mapping[str, Any] | None = None,
    **options: Unpack[ColumnOptions],
) -> list[Any]: ...
@overload
def classify(
    table: S,
    labels: Any,
    *,
    several: bool = False,
    examples: Sequence[tuple[str, Any]] | Mapping[str, Any] | None = None,
    **options: Unpack[ColumnOptions],
) -> S: ...
@overload
def classify(
    table: T,
    column: str,
    labels: Any,
    *,
    several: bool = False,
    examples: Sequence[tuple[str, Any]] | Mapping[str, Any] | None = None,
    **options: Unpack[ColumnOptions],
) -> T: ...
@shows_options("draws", "truth", *DRAFTED)
@takes_texts
def classify(
    table: Any,
    column: str,
    labels: Any,
    *,
    several: bool = False,
    examples: Sequence[tuple[str, Any]] | Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Say of each text which label describes it best, or which several do.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list.
    column : str
        The column of texts, or a template over several: `"{{ title }}: {{ body }}"`. Left out where texts are given.
    labels : list of str, dict, Enum class, Literal or polars.Enum
        The labels, in the order that the column's Enum will have; a dict says what each means.
    several : bool, default False
        Any number of labels for a text, or none.
    examples : list of (text, label) or dict, optional
        Texts with the label that is right (with `several`, a list of labels), shown to the model with every row. Of more
        than twelve, twelve are chosen: labels by turns, and the same ones every time.

    Returns
    -------
    The same kind of table with the column `label`
        An Enum of the labels; with `several` a list of such.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "I would come back for this."]})
    >>> labels = {"praise": "they liked it", "complaint": "something was wrong"}
    >>> made = reviews.qwen.classify("review", labels)
    >>> made.schema["label"]
    Enum(categories=['praise', 'complaint'])
    >>> made.equals(qwennb.classify(reviews, "review", labels))
    True
    >>> reviews.qwen.classify("review", labels, several=True, examples=[("Fine food, rude staff.", list(labels))])["label"].dtype
    List(Enum(categories=['praise', 'complaint']))
    >>> reviews.select(pl.col("review").qwen.classify(labels)).columns
    ['review']
    """
    return open_table(table).add(classify_column(column, labels, options, several=several, examples=examples))


@overload
def extract(table: list[Any], schema: Any, **options: Unpack[ExtractOptions]) -> list[Any]: ...
@overload
def extract(table: S, schema: Any, **options: Unpack[ExtractOptions]) -> S: ...
@overload
def extract(table: T, column: str, schema: Any, **options: Unpack[ExtractOptions]) -> T: ...
@shows_options("cite")
@takes_texts
def extract(table: Any, column: str, schema: Any, **options: Any) -> Any:
    """Take out of each text what a schema asks for.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list.
    column : str
        The column of texts, or a template over several: `"{{ title }}: {{ body }}"`. Left out where texts are given.
    schema : str, pydantic class or dict
        What to look for: `"name, count int"`, a class, or a JSON Schema.

    Returns
    -------
    The same kind of table with the column `extracted`
        A Struct, whose type is known before anything is asked.

    Examples
    --------
    >>> mails = pl.DataFrame({"mail": ["Three teapots, please. Ada", "One kettle for Grace"]})
    >>> made = mails.qwen.extract("mail", "name, count int", into="order")
    >>> made.schema["order"]
    Struct({'name': String, 'count': Int64})
    >>> made.equals(qwennb.extract(mails, "mail", "name, count int", into="order"))
    True
    >>> mails.select(pl.col("mail").qwen.extract("name, count int")).columns
    ['mail']
    >>> cited = mails.qwen.extract("mail", "name, count int", cite=True)
    >>> cited["extracted_quotes"].struct.field("name").dtype
    Struct({'quote': String, 'file': String, 'page': Int64, 'line': Int64, 'found': Boolean})
    """
    return open_table(table).add(extract_column(column, schema, options))


@overload
def summarize(table: list[Any], **options: Unpack[ColumnOptions]) -> list[Any]: ...
@overload
def summarize(table: S, **options: Unpack[ColumnOptions]) -> S: ...
@overload
def summarize(table: T, column: str, **options: Unpack[ColumnOptions]) -> T: ...
@shows_options()
@takes_texts
def summarize(table: Any, column: str, **options: Any) -> Any:
    """Say in a sentence or two what each text says, in its own language.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list.
    column : str
        The column of texts, or a template over several: `"{{ title }}: {{ body }}"`. Left out where texts are given.

    Returns
    -------
    The same kind of table with the column `summary`
        Text.

    Examples
    --------
    >>> articles = pl.DataFrame({"title": ["Tea"], "body": ["Tea is grown on hills."]})
    >>> made = articles.qwen.summarize("{{ title }}: {{ body }}")
    >>> made.columns
    ['title', 'body', 'summary']
    >>> made.equals(qwennb.summarize(articles, "{{ title }}: {{ body }}"))
    True
    >>> articles.select(pl.col("body").qwen.summarize()).columns
    ['body']
    """
    return open_table(table).add(summarize_column(column, options))


@overload
def translate(table: list[Any], to: str, **options: Unpack[ColumnOptions]) -> list[Any]: ...
@overload
def translate(table: S, to: str, **options: Unpack[ColumnOptions]) -> S: ...
@overload
def translate(table: T, column: str, to: str, **options: Unpack[ColumnOptions]) -> T: ...
@shows_options()
@takes_texts
def translate(table: Any, column: str, to: str, **options: Any) -> Any:
    """Translate each text.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list.
    column : str
        The column of texts, or a template over several: `"{{ title }}: {{ body }}"`. Left out where texts are given.
    to : str
        The language, or a template: `to="{{ language }}"` takes it from a column.

    Returns
    -------
    The same kind of table with the column `translation`
        Text.

    Examples
    --------
    >>> notes = pl.DataFrame({"note": ["Good morning", "Good night"], "language": ["French", "German"]})
    >>> notes.qwen.translate("note", to="French").columns
    ['note', 'language', 'translation']
    >>> qwennb.translate(notes, "note", to="{{ language }}", into="said").columns
    ['note', 'language', 'said']
    >>> notes.select(pl.col("note").qwen.translate("French")).columns
    ['note']
    """
    return open_table(table).add(translate_column(column, to, options))


@overload
def score(
    table: list[Any],
    criterion: str,
    *,
    low: float | None = None,
    high: float | None = None,
    integer: bool = False,
    **options: Unpack[ColumnOptions],
) -> list[Any]: ...
@overload
def score(
    table: S,
    criterion: str,
    *,
    low: float | None = None,
    high: float | None = None,
    integer: bool = False,
    **options: Unpack[ColumnOptions],
) -> S: ...
@overload
def score(
    table: T,
    column: str,
    criterion: str,
    *,
    low: float | None = None,
    high: float | None = None,
    integer: bool = False,
    **options: Unpack[ColumnOptions],
) -> T: ...
@shows_options("draws", "truth", *DRAFTED, "tolerance")
@takes_texts
def score(
    table: Any,
    column: str,
    criterion: str,
    *,
    low: float | None = None,
    high: float | None = None,
    integer: bool = False,
    **options: Any,
) -> Any:
    """Give each text a number.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list.
    column : str
        The column of texts, or a template over several: `"{{ title }}: {{ body }}"`. Left out where texts are given.
    criterion : str
        What the number says: `"how urgent"`. One that ends in a plain `1 to 5` names the range; other digits in it want
        `low` and `high`.
    low : float, optional
        The lowest number; 0 where no range is named.
    high : float, optional
        The highest number; 1 where no range is named.
    integer : bool, default False
        Whole numbers only.

    Returns
    -------
    The same kind of table with the column `score`
        Float64, or Int64 with `integer`; each number is in the range.

    Examples
    --------
    >>> mails = pl.DataFrame({"mail": ["The server is down!", "Lunch on Friday?"]})
    >>> made = mails.qwen.score("mail", "how urgent", low=1, high=5, integer=True)
    >>> made["score"].is_between(1, 5).all()
    True
    >>> made.equals(qwennb.score(mails, "mail", "how urgent", low=1, high=5, integer=True))
    True
    >>> mails.select(pl.col("mail").qwen.score("how urgent")).dtypes
    [Float64]
    """
    return open_table(table).add(
        score_column(column, criterion, options, low=low, high=high, integer=integer)
    )


@shows_options("draws", "truth", *DRAFTED, "precision", "recall", without=("into", "meta"))
def filter(table: T, statement: str, **options: Unpack[ColumnOptions]) -> T:  # noqa: A001 - polars' own word
    """Keep the rows of which a statement is true.

    A row that fails is an error, once all others are kept: it must not vanish. `on_error="null"` drops it.

    Parameters
    ----------
    table : DataFrame, LazyFrame, Series, list of str …
        What is read, and left as it is: a frame of polars, pandas, pyarrow, duckdb, of what has an Arrow stream; or texts,
        a Series or a list, which a template calls `{{ it }}`.
    statement : str
        A template over the columns: `"{{ review }} mentions delivery"`. On an expression, `{{ it }}` is the value.

    Returns
    -------
    The same kind of table, with fewer rows
        An expression gives true or false.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "I would come back for this."]})
    >>> kept = reviews.qwen.filter("{{ review }} mentions delivery")
    >>> kept.equals(qwennb.filter(reviews, "{{ review }} mentions delivery"))
    True
    >>> reviews.filter(pl.col("review").qwen.filter("{{ it }} mentions delivery")).columns
    ['review']
    """
    return open_table(table).keep(filter_column(statement, options))  # type: ignore[no-any-return]
