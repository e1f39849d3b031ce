"""Labelled tables as arrays, and what is estimated of them as lines. It loads numpy, which only estimates need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from qwennb.errors import BadInput, nearest, show_value
from qwennb.estimates import (
    Interval,
    bound_share_exactly,
    estimate_coefficients,
    estimate_f1,
    estimate_mean,
    estimate_quantile,
    estimate_recall,
    estimate_share,
    fit_logit,
    fit_ols,
)
from qwennb.frames.estimates import Estimate
from qwennb.frames.labelled import LabelledTable
from qwennb.text import join_some, plural
from qwennb.truth import YES_NO

Tags = list[tuple[str, ...] | None]
_MANY = 20  # values of a covariate that is a class
INTERCEPT = "(intercept)"
NOTHING_KNOWN = Interval(float("nan"), 0.0, 1.0)
_FEW_CLUSTERS = 20  # with fewer, an interval of clusters is known to be rough


class Arrays:
    """A labelled table as arrays; `place_of` are the labelled rows that a group of rows has."""

    def __init__(self, table: LabelledTable, by: str | None = None) -> None:
        self.table = table
        self.weights = np.array(table.weights)
        self.rows = np.array(table.rows)
        self.stand_for = np.array(table.stand_for)
        self.strata, self.strata_all = np.array(table.strata), np.array(table.strata_all)
        self._by = by

    def parts(self) -> Iterator[tuple[Any, Any, Any]]:
        """Go through the groups of rows: the value, which rows of the table, which of the labelled ones."""
        if self._by is None:
            yield None, np.ones(len(self.weights), bool), np.ones(len(self.rows), bool)
            return
        values = self.table.frame[self._by].to_list()
        known = sorted(
            {value for value in values if value is not None}, key=lambda one: (str(type(one)), one)
        )
        for value in [*known, *([None] if None in values else [])]:
            here = np.array([one == value for one in values])
            yield ("no value" if value is None else value), here, here[self.rows]

    def line(
        self,
        of: str,
        by: Any,
        found: Interval,
        here: Any,
        labelled: Any,
        model: float | None = None,
        scale: float = 1.0,
    ) -> Estimate:
        """Make a line of an interval."""
        notes = [one for one in (found.method, self.table.note, self._uncovered(here, labelled)) if one]
        worth = None if np.isnan(found.worth) else found.worth
        return Estimate(
            of, by, found.value * scale, found.low * scale, found.high * scale, int(labelled.sum()),
            None if model is None or np.isnan(model) else model * scale, worth, round(self.weights[here].sum()),
            "; ".join(notes), is_whole=scale != 1.0,
        )  # fmt: skip

    def _uncovered(self, here: Any, labelled: Any) -> str:
        """Say of how many rows of a group no like is labelled: what is known of the others stands for them."""
        if self._by is None:
            return ""
        known = np.isin(self.strata_all, np.unique(self.strata[labelled]))
        bare = round(float(self.weights[here & ~known].sum()))
        return f"{plural(bare, 'row')} of a kind that has no label in it" if bare else ""


def list_shares(
    table: LabelledTable,
    column: str,
    of: str | None,
    *,
    by: str | None,
    level: float,
    beyond: bool,
    exact: bool,
    count: bool = False,
) -> list[Estimate]:
    """Estimate the share of rows that are *of*, or of each label; as a *count*, of how many."""
    arrays = Arrays(table, by)
    said, true, labels = _read_tags(table, column)
    lines = []
    for value, here, labelled in arrays.parts():
        for label in _choose_labels(of, labels, true, column):
            groups = np.array([2 if one is None else 1 - (label in one) for one in said])
            hits = np.array([label in (one or ()) for one in true], float)[labelled]
            sizes = np.bincount(groups[here], arrays.weights[here], minlength=3).round().astype(int)
            mine, stand_for = groups[arrays.rows][labelled], arrays.stand_for[labelled]
            if not labelled.any():
                found = NOTHING_KNOWN
            elif exact:
                cells = groups + 3 * arrays.strata_all
                bounded = np.bincount(cells[here], arrays.weights[here]).round().astype(int)
                found = bound_share_exactly(hits, cells[arrays.rows][labelled], bounded, level=level)
            else:
                found = estimate_share(hits, mine, stand_for, sizes, level=level, beyond=beyond)
            model = float(sizes[0] / sizes[:2].sum()) if sizes[:2].sum() else None
            scale = float(sizes.sum()) if count else 1.0
            lines.append(arrays.line(label, value, found, here, labelled, model, scale))
    return lines


def list_accuracies(table: LabelledTable, column: str, *, level: float) -> tuple[list[Estimate], list[str]]:
    """Estimate how much of what the model said is right, and of each label precision, recall and F1."""
    arrays = Arrays(table)
    said, true, labels = _read_tags(table, column)
    silent = np.array([one is None for one in said])
    here, labelled = ~silent, ~silent[arrays.rows]
    right = np.array([said[row] == one for row, one in zip(table.rows, true, strict=True)], float)
    # Two labels are two groups; more would each be smoothed, which pulls too far together.
    numbers = {label: place if len(labels) == 2 else 0 for place, label in enumerate(labels)}
    groups = np.array([0 if one is None else numbers.get("".join(one), 0) for one in said])
    sizes = np.bincount(groups[here], arrays.weights[here]).round().astype(int)
    if not labelled.any():
        raise BadInput(f"No row with an answer in `{column}` is labelled, so its accuracy can't be told.")
    mine = groups[arrays.rows]
    found = estimate_share(right[labelled], mine[labelled], arrays.stand_for[labelled], sizes, level=level)
    lines = [arrays.line("accuracy", None, found, here, labelled)]
    every = np.ones(len(said), bool)
    for label in labels:
        is_it = np.array([label in (one or ()) for one in true], float)
        two = np.array([1 - (label in (one or ())) for one in said])
        counted = np.bincount(two, arrays.weights, minlength=2).round().astype(int)
        inside = two[arrays.rows] == 0
        one = (
            NOTHING_KNOWN
            if not inside.any()
            else estimate_share(
                is_it[inside], np.zeros(inside.sum(), int), arrays.stand_for[inside], counted[:1], level=level
            )
        )
        lines.append(arrays.line(f"{label}: precision", None, _unknown_worth(one), two == 0, inside))
        for name, estimate in (("recall", estimate_recall), ("F1", estimate_f1)):
            one = estimate(is_it, two[arrays.rows], arrays.stand_for, counted, level=level)
            lines.append(arrays.line(f"{label}: {name}", None, one, every, np.ones(len(true), bool)))
    unanswered = arrays.weights[silent].sum()
    return lines, [
        f"{plural(round(unanswered), 'row')} without an answer: not counted in accuracy, missed in recall."
    ] if unanswered else []


def _unknown_worth(found: Interval) -> Interval:
    return Interval(found.value, found.low, found.high, method=found.method)


def list_means(
    table: LabelledTable, column: str, *, by: str | None, level: float, beyond: bool, q: float | None = None
) -> list[Estimate]:
    """Estimate the mean of what humans would say, or the quantile *q*."""
    _need_table(table, "a mean" if q is None else "a quantile")
    arrays = Arrays(table, by)
    model, human = _read_numbers(table.frame[column]), _read_numbers(table.human[column])
    lines = []
    for value, here, labelled in arrays.parts():
        name = f"mean of {column}" if q is None else f"{q:g} quantile of {column}"
        known = model[here][~np.isnan(model[here])]
        rows, y, stand_for = arrays.rows[labelled], human[labelled], arrays.stand_for[labelled]
        alone = None
        if len(known):
            alone = float(known.mean() if q is None else np.quantile(known, q, method="inverted_cdf"))
        if len(y) < 2:
            found = Interval(float("nan"), -np.inf, np.inf)
        elif q is None:
            found = estimate_mean(
                y,
                model[rows],
                stand_for,
                arrays.strata[labelled],
                model[here],
                arrays.strata_all[here],
                level=level,
                beyond=beyond,
            )
        else:
            found = estimate_quantile(y, model[rows], stand_for, model[here], q, level=level, beyond=beyond)
        lines.append(arrays.line(name, value, found, here, labelled, alone))
    return lines


def list_coefficients(
    table: LabelledTable,
    column: str,
    on: Sequence[str],
    of: str | None,
    *,
    logit: bool,
    cluster: str | None,
    level: float,
    beyond: bool,
) -> tuple[list[Estimate], list[str]]:
    """Estimate the coefficients of *column* on the columns *on*."""
    _need_table(table, "a regression")
    arrays = Arrays(table)
    told, notes = table.frame, []
    plain = [name for name in [column, *on] if name not in table.human]
    whole = np.array(~_missing(told, plain))
    if not whole.all():
        notes.append(
            f"{plural(int((~whole).sum()), 'row')} without a value in {join_some(plain, 6)} left out."
        )
    kept = whole[arrays.rows]
    rows, stand_for, strata = arrays.rows[kept], arrays.stand_for[kept], arrays.strata[kept]
    human = {name: values.filter(pl.Series(kept)) for name, values in table.human.items()}
    names, parts, true_parts = [INTERCEPT], [np.ones(len(told))], [np.ones(len(rows))]
    for name in on:
        for title, said, true in _encode(name, told[name], human.get(name)):
            names.append(title)
            parts.append(said)
            true_parts.append(said[rows] if true is None else true)
    y, y_true = _read_outcome(column, told[column], human.get(column), of, logit=logit)
    x, x_true = np.column_stack(parts), np.column_stack(true_parts)
    clusters = None
    if cluster is not None:
        codes = {
            value: place
            for place, value in enumerate(dict.fromkeys(told[cluster].filter(pl.Series(whole)).to_list()))
        }
        numbers = np.array([codes.get(value, 0) for value in told[cluster].to_list()])
        clusters = numbers[rows], numbers[whole]
        notes.append(
            f"{plural(len(codes), 'cluster')} of `{cluster}`, taken as a sample of a world of them{'; of so few, intervals are rough' if len(codes) < _FEW_CLUSTERS else ''}."
        )
    fit = fit_logit if logit else fit_ols
    human_fit = (x_true, y[rows] if y_true is None else y_true)
    found = estimate_coefficients(
        fit,
        human_fit,
        (x[rows], y[rows]),
        (x[whole], y[whole]),
        stand_for,
        strata,
        level=level,
        beyond=beyond,
        clusters=clusters,
    )
    alone = fit(x[whole], y[whole], np.ones(int(whole.sum()))).coefficients
    return [
        arrays.line(name, None, one, whole, kept, float(model))
        for name, one, model in zip(names, found, alone, strict=True)
    ], notes


# ---------------------------------------------------------------------- reading columns


def _need_table(table: LabelledTable, what: str) -> None:
    if not table.is_whole:
        raise BadInput(
            f"Of {what} the whole table is needed, and this is the drawn frame. Estimate over the table: df.qwen.estimate….(…, drawn=these_rows)."
        )


def _read_tags(table: LabelledTable, column: str) -> tuple[Tags, Tags, list[str]]:
    """Read what the model said and what is true, as labels; and which labels there are."""
    said, true = table.frame[column], table.human[column]
    for series, name in ((said, column), (true, true.name)):
        if series.dtype.is_float() and series.n_unique() > _MANY:
            raise BadInput(
                f"`{name}` holds numbers, and a share is of labels. Use estimate.mean or estimate.quantile, or make labels of them."
            )
    mine, theirs = _tags(said), _tags(true)
    dtype = said.dtype.inner if isinstance(said.dtype, pl.List) else said.dtype
    seen = {label for one in mine for label in one or ()}
    labels = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else sorted(seen)
    if true.dtype == pl.Boolean and seen <= set(YES_NO):
        theirs = [one and tuple(YES_NO[label == "false"] for label in one) for one in theirs]
    given = {label for one in theirs for label in one or ()}
    strange = sorted(given - set(labels))
    if strange and (
        isinstance(dtype, pl.Enum)
        or not given & set(labels)
        or any(_is_alike(one, labels) for one in strange)
    ):
        close = (
            next((nearest(one, labels) for one in strange if nearest(one, labels)), "")
            or f"; there are {join_some(labels, 12)}."
        )
        raise BadInput(
            f"The human label {show_value(strange[0])} in `{true.name}` is none of the labels of `{column}`{close}"
        )
    return mine, theirs, [*labels, *strange]


def _is_alike(label: str, labels: Sequence[str]) -> bool:
    return label.strip().casefold() in {one.strip().casefold() for one in labels}


def _choose_labels(of: str | None, labels: Sequence[str], true: Tags, column: str) -> Sequence[str]:
    if of is None:
        return labels
    if of not in labels:
        raise BadInput(
            f"of={show_value(of)} is no label of `{column}`{nearest(of, labels) or '; there are ' + join_some(labels, 12) + '.'}"
        )
    return [of]


def _tags(values: pl.Series) -> Tags:
    if values.dtype.is_float():
        values = values.fill_nan(None)
    cells = values.to_list()
    if isinstance(values.dtype, pl.List | pl.Array):
        return [None if one is None else tuple(sorted(map(str, one))) for one in cells]
    if values.dtype == pl.Boolean:
        return [None if one is None else (str(one).lower(),) for one in cells]
    return [None if one is None else (f"{one:g}" if isinstance(one, float) else str(one),) for one in cells]


def _read_numbers(values: pl.Series) -> Any:
    """Read a column of numbers, NaN for none."""
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise BadInput(
            f"`{values.name}` holds {values.dtype}, and a mean or a quantile is of numbers. Of labels use estimate.share."
        )
    return np.array(values.cast(pl.Float64).fill_null(float("nan")).to_list(), float)


def _missing(frame: pl.DataFrame, names: Sequence[str]) -> Any:
    gone = np.zeros(len(frame), bool)
    for name in names:
        values = frame[name].fill_nan(None) if frame[name].dtype.is_float() else frame[name]
        gone |= np.array(values.is_null().to_list())
    return gone


def _encode(name: str, said: pl.Series, true: pl.Series | None) -> Iterator[tuple[str, Any, Any]]:
    """Write a covariate as columns of numbers: itself, or one for each label but the first."""
    if said.dtype.is_numeric() or said.dtype == pl.Boolean:
        yield name, _fill(_read_numbers(said)), None if true is None else _read_numbers(true)
        return
    mine, theirs = _tags(said), None if true is None else _tags(true)
    seen = {label for one in [*mine, *(theirs or [])] for label in one or ()}
    labels = (
        [one for one in said.dtype.categories.to_list() if one in seen]
        if isinstance(said.dtype, pl.Enum)
        else []
    )
    labels += sorted(seen - set(labels))
    if len(labels) > _MANY:
        raise BadInput(
            f"`{name}` has {len(labels):,} values, and a covariate of classes at most {_MANY}. Group them, or leave it out."
        )
    for label in labels[1:]:
        yield (
            f"{name}={label}",
            np.array([label in (one or ()) for one in mine], float),
            None if theirs is None else np.array([label in (one or ()) for one in theirs], float),
        )


def _fill(values: Any) -> Any:
    """Have the mean stand where the model said nothing: any reading will do that is the same in the sample and in the table."""
    gone = np.isnan(values)
    return np.where(gone, np.nanmean(values) if not gone.all() else 0.0, values) if gone.any() else values


def _is(label: str, values: pl.Series) -> Any:
    return np.array([label in (one or ()) for one in _tags(values)], float)


def _read_outcome(
    column: str, said: pl.Series, true: pl.Series | None, of: str | None, *, logit: bool
) -> tuple[Any, Any]:
    """Read the outcome as numbers, 1 where it is *of*."""
    if of is not None:
        seen = {
            label
            for series in (said, true)
            if series is not None
            for one in _tags(series)
            for label in one or ()
        }
        if of not in seen:
            raise BadInput(
                f"of={show_value(of)} is no label of `{column}`{nearest(of, sorted(seen)) or '; there are ' + join_some(sorted(seen), 12) + '.'}"
            )
        return _is(of, said), None if true is None else _is(of, true)
    for series in (said, true):
        if series is not None and not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
            raise BadInput(f"`{series.name}` holds {series.dtype}; say which label is the outcome: of=….")
    y, y_true = _fill(_read_numbers(said)), None if true is None else _read_numbers(true)
    if logit and not set(np.unique(np.concatenate([y, y if y_true is None else y_true]))) <= {0.0, 1.0}:
        raise BadInput(
            f"A logit is of what is so or not, and `{column}` holds other numbers than 0 and 1. Use estimate.ols, or say of=…."
        )
    return y, y_true
