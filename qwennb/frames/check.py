"""`df.qwen.check(…)`: a column that is there, held to rules and to what is right. Nothing is asked.

Beside the column stands what a verb left there: `label_meta` tells what each row cost, `label_error` why it failed.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from qwennb.answer import Quote
from qwennb.checks import (
    LEVEL,
    RULES,
    AnswerRow,
    CheckReport,
    CheckSpec,
    check_needs,
    name_row,
    read_last,
    read_rules,
    run_check,
)
from qwennb.client import Qwen
from qwennb.documents import cell_text
from qwennb.errors import BadInput, nearest, show_value
from qwennb.frames import verbs
from qwennb.frames.any_table import open_table
from qwennb.frames.interop import StreamTable
from qwennb.frames.relations import DuckTable, IbisTable
from qwennb.frames.tables import EagerTable, WholeTable
from qwennb.request import Check, check_options, file_path, flag, number, text
from qwennb.text import join_some

Rules = Mapping[str, Any] | Sequence[str | Mapping[str, Any]]
VALUES = "it"  # what the values of a Series are called


def check(
    table: Any,
    column: str | None = None,
    *,
    rules: Rules = (),
    truth: str | None = None,
    field: str | None = None,
    key: str | Sequence[str] | None = None,
    source: str | None = None,
    people: str | None = None,
    seconds: str | None = None,
    tolerance: float = 0.0,
    at_least: float = 1.0,
    last: str | Path | None = None,
    level: float = LEVEL,
    name: str | None = None,
    judge: bool = False,
) -> CheckReport:
    """Hold a column of answers to rules, to what is right, and to the last run. Nothing is asked.

    Parameters
    ----------
    table : DataFrame, Series, list …
        A table whose rows are there, of any library that the verbs take.
    column : str, optional
        The column of answers. Left out where a Series or a list is given.
    rules : dict or list
        What must hold, by name: `{"between": [1, 5]}`; one that takes nothing may stand by its name alone, `["no_failed"]`.
        There are RULES; docs/check.md tells what each takes.
    truth : str, optional
        The column of what is right: accuracy with its interval, that of each label, and the confusion.
    field : str, optional
        The field of a struct that is meant: `"order.total"`.
    key : str or list of str, optional
        The columns that a row is known by in the next run; without it, all that are no answers.
    source : str, optional
        The column in which quotes must stand.
    people : str, optional
        The column of what people said, where the answers are a judge's: how far it agrees with them stands in the report.
    seconds : str, optional
        The column of how long each answer took.
    tolerance : float, default 0
        How far a number may be off and still be right.
    at_least : float, default 1
        The share of answers that each rule of them must hold for.
    last : path, optional
        The run that was accepted, as `report.accept(…)` wrote it: the check fails if this one is worse by more than chance.
    level : float, default 0.05
        How often chance alone may fail a check that is no worse.
    name : str, optional
        What the check is called; the column's name without it.
    judge : bool, default False
        The answers are a judge's, and no labels of people are there; the report says that it is unproven.

    Returns
    -------
    CheckReport
        What came of it: true where no rule is broken, a table in a notebook, `.frame` and `.broken` as data.

    Raises
    ------
    BadInput
        If a rule or a column is none, or a rule can't be what was meant; the nearest is named.

    Examples
    --------
    >>> df = pl.DataFrame({"label": ["praise", "complaint", "praise"], "gold": ["praise", "praise", "praise"]})
    >>> report = df.qwen.check("label", truth="gold", rules={"one_of": ["praise", "complaint"]})
    >>> print(report)
    label (3 answers)
      ok  one_of  3 answers
      label: accuracy 66.7% (2 of 3; 95 %: 20.8% to 93.9%)
        truth \\ answer  complaint  praise
        praise                  1       2
    1 rule of 1 check holds.
    >>> qwennb.check([3, 9], rules={"between": [1, 5]}).passed
    False
    """
    given = {
        "truth": truth, "field": field, "source": source, "people": people, "seconds": seconds, "name": name,
        "tolerance": tolerance, "at_least": at_least, "level": level, "judge": judge,
    }  # fmt: skip
    check_options(given.get, _CHECKS)
    frame, column = _read_frame(table, column)
    spec = CheckSpec(
        name=name or column,
        rules=read_rules(_list_rules(rules)),
        field=field or "",
        tolerance=tolerance,
        at_least=at_least,
        is_judge=judge or people is not None,
    )
    check_needs(spec, has_truth=truth is not None)
    beside = Beside(truth=truth, source=source, people=people, seconds=seconds)
    rows = read_answers(frame, column, beside, key=_list_names(key))
    before = None if last is None else (read_last(file_path("last=", last)) or {}).get(spec.name)
    spec = replace(spec, labels=list_labels(frame, column))
    return CheckReport((run_check(spec, rows, last=before, has_gate=last is not None, level=level),))


_ENDS = ("_meta", "_error", "_quotes")  # of the columns that a verb puts beside its own
# `?` names every rule there is.
check.__doc__ = inspect.cleandoc(check.__doc__ or "").replace(
    "There are RULES;", f"There are {', '.join(RULES)};"
)
_TOKENS = ("input_tokens", "output_tokens")
_COLUMN = text("the name of a column")
_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("truth", "field", "source", "people", "seconds", "name"), _COLUMN),
    "tolerance": number(low=0),
    "at_least": number(low=0, high=1),
    "level": number(low=0, high=1),
    "judge": flag,
}


@dataclass(frozen=True, slots=True)
class Beside:
    """The columns that stand beside the answers: what is right, where quotes must stand, what people said, how long it took."""

    truth: str | None = None
    source: str | None = None
    people: str | None = None
    seconds: str | None = None


def _list_rules(rules: Any) -> dict[str, Any]:
    """List rules by their names. One that takes nothing may stand by its name alone."""
    if isinstance(rules, Mapping):
        return dict(rules)
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise BadInput(
            f'rules={show_value(rules)} must be a dict or a list: rules={{"between": [1, 5]}}, rules=["no_failed"].'
        )
    made: dict[str, Any] = {}
    for rule in rules:
        if not isinstance(rule, str | Mapping):
            raise BadInput(
                f'A rule is a name or a dict, not {show_value(rule)}: rules=["no_failed", {{"between": [1, 5]}}].'
            )
        made |= {rule: True} if isinstance(rule, str) else dict(rule)
    return made


def _list_names(key: Any) -> list[str] | None:
    if key is None:
        return None
    names = [key] if isinstance(key, str) else key
    if not isinstance(names, list | tuple) or not names or not all(isinstance(one, str) for one in names):
        raise BadInput(f'key={show_value(key)} must name columns: key="id".')
    return list(names)


def _read_frame(table: Any, column: str | None) -> tuple[WholeTable, str]:
    """Open *table*; the values of a Series or a list are its one column."""
    if isinstance(table, pl.LazyFrame):
        raise BadInput(
            "A check asks nothing, and a LazyFrame may have questions in it. Give table.collect()."
        )
    opened = open_values(table)
    if column is None:
        if opened.list_names() != [VALUES]:
            raise BadInput(f'Which column? Name it: check("{next(iter(opened.list_names()), "label")}", …).')
        column = VALUES
    _COLUMN("column", column)
    return opened, column


def open_values(table: Any) -> WholeTable:
    """Open a table whose rows are there, or come with one question; a Series or a list as a table of one column."""
    if isinstance(table, list):
        try:
            return EagerTable(pl.DataFrame({VALUES: table}, strict=False))
        except Exception as error:
            raise BadInput(f"The list holds what polars can't take ({show_value(str(error))}).") from None
    opened = open_table(table)
    if isinstance(opened, DuckTable | IbisTable):
        return StreamTable(table)  # nothing goes back, so nothing need be joined
    if opened.is_texts:
        return open_values(table.to_frame(VALUES))
    assert isinstance(opened, WholeTable)
    return opened


def list_labels(table: WholeTable, column: str) -> list[str]:
    """List the labels that could be answered, in their order; none where the type does not tell."""
    dtype = table.take([column]).schema[column]
    return dtype.categories.to_list() if isinstance(dtype, pl.Enum) else []


def read_answers(
    table: WholeTable, column: str, beside: Beside, *, key: Sequence[str] | None = None
) -> list[AnswerRow]:
    """Read *column* with what stands beside it, row by row."""
    known = table.list_names()
    named = {"column": column, **{one.name: getattr(beside, one.name) for one in fields(beside)}}
    for option, name in [*named.items(), *(("key", name) for name in key or ())]:
        if name is not None and name not in known:
            close = nearest(name, known) or f"; there are {join_some(known, 12)}."
            raise BadInput(f"{option}={show_value(name)} names no column{close}")
    meta, error, cited = (f"{column}{end}" for end in _ENDS)
    taken = [name for name in dict.fromkeys([*named.values(), meta, error, cited]) if name in known]
    table.check_unique([*taken, *(key or ())])
    frame = table.take(taken)
    cells = {name: frame[name].to_list() for name in taken}
    nothing = [None] * len(frame)

    def cells_of(name: str | None) -> list[Any]:
        return nothing if name is None else cells.get(name, nothing)

    metas = cells_of(meta) if meta in cells and isinstance(frame.schema[meta], pl.Struct) else nothing
    told = meta in cells or error in cells
    rows = []
    for place, (called, value, details, said, quotes, true, source, people, seconds) in enumerate(
        zip(
            name_rows(table, key, {*named.values(), meta, error, cited}),
            cells_of(column),
            metas,
            cells_of(error),
            cells_of(cited),
            cells_of(beside.truth),
            cells_of(beside.source),
            cells_of(beside.people),
            cells_of(beside.seconds),
            strict=True,
        )
    ):
        details = details or {}
        why = said or details.get("error") or ("" if told or value is not None else "no answer")
        tokens = [details[one] for one in _TOKENS if details.get(one) is not None]
        rows.append(
            AnswerRow(
                name=called,
                number=place,
                value=value,
                asked=details.get("key") or "",
                error=why,
                truth=true,
                people=people,
                source=None if source is None else cell_text(source),
                quotes=None if quotes is None else tuple(_read_quotes(quotes)),
                tokens=sum(tokens) if tokens else None,
                cost=details.get("cost"),
                seconds=seconds,
            )
        )
    return rows


def _read_quotes(cell: Any, field: str = "") -> Iterator[Quote]:
    """Read the quotes in a *cell* as `cite=True` leaves them: a struct for each field, or a list with claims."""
    if isinstance(cell, list):
        for one in cell:
            yield from _read_quotes(one)
    elif isinstance(cell, dict) and "found" in cell:
        yield Quote(cell.get("claim") or field, cell["quote"] or "", found=cell["found"])
    elif isinstance(cell, dict):
        for name, one in cell.items():
            yield from _read_quotes(one, name)


def list_questions(names: Sequence[str]) -> list[str]:
    """List the columns that hold no answers: beside an answer stands what a verb left there."""
    answers = {name for name in names if any(f"{name}{end}" in names for end in _ENDS)}
    answers |= {f"{name}{end}" for name in answers for end in _ENDS}
    return [name for name in names if name not in answers]


def name_rows(table: WholeTable, key: Sequence[str] | None, without: Collection[str | None]) -> list[str]:
    """Name each row by the columns *key*, or else by all that hold no answers and no labels."""
    known = table.list_names()
    columns: dict[str, list[Any]] = {}
    for name in key or [one for one in list_questions(known) if one not in without]:
        try:
            columns[name] = table.take([name])[name].to_list()
        except BadInput:
            if key:
                raise
            continue  # what polars has no type for tells no row from another
    if not columns:
        count = len(table.take(known[:1]))
        return [name_row(place) for place in range(count)]
    names = sorted(columns)
    return [name_row(cells) for cells in zip(*(columns[name] for name in names), strict=True)]


def add_answers(
    table: pl.DataFrame,
    verb: str,
    arguments: Mapping[str, Any],
    into: str,
    client: Qwen,
    *,
    progress: bool,
) -> pl.DataFrame:
    """Ask *verb* of each row as anybody asks it, into a column with its `meta`; a row that fails is told and costs no other."""
    options = {"into": into, "meta": True, "on_error": "column", "client": client}
    if not progress:
        options["progress"] = False
    ask: Any = getattr(verbs, verb)
    return ask(table, **arguments, **options)  # type: ignore[no-any-return]
