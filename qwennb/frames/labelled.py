"""What humans said of drawn rows, read beside the whole table; and whether the rows were drawn by a design at all.

Labels stand in a column of the drawn frame (`drawn=`), or in one of the table, with nulls where nobody looked; or the drawn frame
is all there is, and its weights tell how large the table was.

An estimate from labels of no design is a guess with decimals. So each label must have a `draw_id`, its weight must be what the
table gives for its stratum, and within each stratum the labelled rows must be the first that were drawn, so that none was passed
over. Whoever knows better types `design="as if random"`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames.draw import (
    ID,
    WEIGHT,
    Draw,
    Strata,
    check_columns,
    mark_rows,
    open_rows,
    read_draw,
    stratify,
)
from qwennb.frames.tables import WholeTable
from qwennb.text import plural

AS_IF_RANDOM = "as if random"
_HINT = f'or type design="{AS_IF_RANDOM}" if they are a random sample all the same.'


@dataclass(frozen=True)
class LabelledTable:
    """A table with what humans said of some of its rows.

    frame      the columns that are read, of every row
    weights    of each row of the frame how many rows of the table it is: one, but in a drawn frame without its table
    rows       the places of the labelled rows
    human      what humans said of these, by the column of the model that it is about
    stand_for  how many rows of the table each labelled row stands for
    strata     the stratum of each labelled row; strata_all: of every row
    note       what is to be said of the design; mostly nothing
    """

    frame: pl.DataFrame
    weights: list[float]
    rows: list[int]
    human: Mapping[str, pl.Series]
    stand_for: list[float]
    strata: list[int]
    strata_all: list[int]
    is_whole: bool
    note: str = ""

    @property
    def size(self) -> int:
        """How many rows the table has."""
        return round(sum(self.weights))


def read_labelled(
    table: Any,
    human: Mapping[str, str],
    also: Mapping[str, Sequence[str]] | None = None,
    *,
    drawn: Any = None,
    design: str | None = None,
) -> LabelledTable:
    """Read a table, what *human* columns say about the columns of the model, and the columns that are needed *also*."""
    opened = open_rows(table, "estimate")
    known = opened.list_names()
    also = also or {}
    names = list(dict.fromkeys([*human, *(name for those in also.values() for name in those)]))
    check_columns(opened, {"column": list(human), **also})
    if drawn is None:
        check_columns(opened, {"human": list(human.values())})
        frame = opened.take(
            [
                *names,
                *(one for one in human.values() if one not in names),
                *([ID, WEIGHT] if {ID, WEIGHT} <= set(known) else []),
            ]
        )
        told = {column: frame[name] for column, name in human.items()}
        places = [place for place, gone in enumerate(_any_missing(list(told.values()))) if not gone]
        _refuse_none(places, human)
        ids = frame[ID].to_list() if ID in frame.columns else [None] * len(frame)
        weight = frame[WEIGHT].to_list() if ID in frame.columns else [None] * len(frame)
        labels = {column: values[places] for column, values in told.items()}
        sample = _DrawnRows(ids, weight, places)
        if None not in ids and sum(weight) > len(frame) + 0.5:
            return _read_drawn_alone(frame, sample, labels, human, design)
        return _place(opened, frame, sample, places, labels, design)
    other = open_rows(drawn, "drawn=")
    check_columns(other, {"human": list(human.values())})
    if not {ID, WEIGHT} <= set(other.list_names()):
        raise BadInput(
            f"drawn= has no `{ID}` and `{WEIGHT}`: give the frame that df.qwen.draw drew, with its labels."
        )
    theirs = other.take([ID, WEIGHT, *human.values()])
    told = {column: theirs[name] for column, name in human.items()}
    labelled = [place for place, gone in enumerate(_any_missing(list(told.values()))) if not gone]
    _refuse_none(labelled, human)
    sample = _DrawnRows(theirs[ID].to_list(), theirs[WEIGHT].to_list(), labelled)
    spec = sample.read_spec()
    check_columns(opened, {"the column that was drawn by": [spec.column]})
    marks, at = _find_rows(opened, spec, other.list_names(), sample)
    frame = opened.take(names)
    places = [at[sample.marks[place]] for place in labelled]
    ids = [None] * len(frame)
    weight = [None] * len(frame)
    for place, mark in sample.marks.items():
        ids[at[mark]], weight[at[mark]] = sample.ids[place], sample.weights[place]
    labels = {column: values[labelled] for column, values in told.items()}
    return _place(opened, frame, _DrawnRows(ids, weight, places), places, labels, design, marks)


def _find_rows(
    table: WholeTable, spec: Draw, names: list[str], sample: _DrawnRows
) -> tuple[list[str], dict[str, int]]:
    """Find the drawn rows in the table again, by their marks: the marks of all of its rows, and the place of each."""
    # Columns that were made since stand behind the id, unless somebody has put them in another order.
    for known_by in (names[: names.index(ID)], names):
        marks = mark_rows(table, spec, known_by)
        at = {mark: place for place, mark in enumerate(marks)}
        missing = sum(mark not in at for mark in sample.marks.values())
        if not missing:
            return marks, at
    raise BadInput(
        f"{plural(missing, 'drawn row')} of {len(sample.marks):,} can't be found in this table. Since they were drawn a row or a "
        "column of it has changed; give the table as it was, or draw with key=, the columns that a row is known by."
    )


class _DrawnRows:
    """The ids and weights of rows, and the places of those that are labelled."""

    def __init__(
        self, ids: Sequence[str | None], weights: Sequence[float | None], labelled: Sequence[int]
    ) -> None:
        self.ids, self.weights, self.labelled = ids, weights, labelled
        read = {place: read_draw(one) for place, one in enumerate(ids) if one is not None}
        self.marks = {place: mark for place, (_, mark) in read.items()}
        self.specs = {spec for spec, _ in read.values()}

    def read_spec(self) -> Draw:
        """Tell how they were drawn, all in one way."""
        if len(self.specs) > 1:
            told = " and ".join(
                sorted(f"n={one.n}, seed={one.seed}, by `{one.column}`" for one in self.specs)
            )
            raise BadInput(
                f"These rows are of several draws ({told}). Draw once, with the larger n: it keeps the rows of the smaller."
            )
        return next(iter(self.specs))


def _place(
    table: WholeTable,
    frame: pl.DataFrame,
    sample: _DrawnRows,
    places: list[int],
    labels: Mapping[str, pl.Series],
    design: str | None,
    marks: Sequence[str] | None = None,
) -> LabelledTable:
    """Lay labelled rows beside the whole table, by the design that they were drawn by."""
    ones = [1.0] * len(frame)
    if not sample.specs:
        if design != AS_IF_RANDOM:
            raise BadInput(
                f"The labels have no `{ID}`: nothing says how these rows were chosen, and rows that somebody picked are rarely like the "
                f'others. Label what df.qwen.draw("{next(iter(labels))}") draws, {_HINT}'
            )
        stand_for = [len(frame) / len(places)] * len(places)
        note = "labels taken as if drawn at random"
        none = [0] * len(places)
        return LabelledTable(
            frame, ones, places, labels, stand_for, none, [0] * len(frame), is_whole=True, note=note
        )
    spec = sample.read_spec()
    check_columns(table, {"the column that was drawn by": [spec.column]})
    strata = stratify(table.take([spec.column])[spec.column], spec.n)
    stray = sum(place not in sample.marks for place in places)
    if design != AS_IF_RANDOM:
        if stray:
            raise BadInput(
                f"{plural(stray, 'label')} of {len(places):,} stand{'s' if stray == 1 else ''} at rows without a `{ID}`, which were not drawn. "
                f"Leave them out, {_HINT}"
            )
        _check_weights(sample, strata, spec)
        _check_order(sample, strata, marks)
    else:
        places = [place for place in places if place in sample.marks]
        kept = [place in sample.marks for place in sample.labelled]
        labels = {
            column: values.filter(pl.Series(kept, dtype=pl.Boolean)) for column, values in labels.items()
        }
    own = [strata.of[place] for place in places]
    counts = Counter(own)
    bare = [strata.names[one] for one, size in enumerate(strata.sizes) if size and not counts[one]]
    if bare:
        raise BadInput(
            f'No row of `{spec.column}` with "{bare[0]}" is labelled, so nothing is known of these. Label the rows in the order in '
            "which they were drawn."
        )
    stand_for = [strata.sizes[one] / counts[one] for one in own]
    note = "labels taken as if drawn at random within what the model said" if design == AS_IF_RANDOM else ""
    return LabelledTable(frame, ones, places, labels, stand_for, own, strata.of, is_whole=True, note=note)


def _check_weights(sample: _DrawnRows, strata: Strata, spec: Draw) -> None:
    """Hold the weights against the table: they say from how many rows so many were drawn."""
    for place in sample.marks:
        stratum = strata.of[place]
        size, count = strata.sizes[stratum], strata.counts[stratum]
        weight = sample.weights[place]
        if weight is None or not count or abs(weight - size / count) > 1e-6 * weight:
            raise BadInput(
                f"The draw does not fit this table: {strata.names[stratum]!r} has {plural(size, 'row')} in `{spec.column}`, and the weights "
                f"were for another number. The rows or their answers have changed since; draw again (what is labelled already can be kept), {_HINT}"
            )


def _check_order(sample: _DrawnRows, strata: Strata, marks: Sequence[str] | None) -> None:
    """Refuse labels that skip rows: within a stratum the labelled ones are the first that were drawn."""
    labelled = set(sample.labelled)
    drawn: dict[int, list[tuple[str, int]]] = {}
    everywhere = sample.marks.items() if marks is None else enumerate(marks)
    for place, mark in everywhere:
        drawn.setdefault(strata.of[place], []).append((mark, place))
    skipped = 0
    for stratum, rows in drawn.items():
        rows.sort()
        mine = [place in labelled for _, place in rows]
        if marks is None and len(rows) < strata.counts[stratum]:
            skipped += strata.counts[stratum] - len(rows)
        last = max((rank for rank, one in enumerate(mine) if one), default=-1)
        skipped += mine[: last + 1].count(False)
    if skipped:
        raise BadInput(
            f"{plural(skipped, 'drawn row')} that came before labelled ones {'has' if skipped == 1 else 'have'} no label, and rows that are passed "
            f"over are rarely like the others. Label them too, {_HINT}"
        )


def _read_drawn_alone(
    frame: pl.DataFrame,
    sample: _DrawnRows,
    labels: Mapping[str, pl.Series],
    human: Mapping[str, str],
    design: str | None,
) -> LabelledTable:
    """Read a drawn frame without its table: its weights tell how many rows each stratum has."""
    from qwennb.estimates import most_strata

    spec = sample.read_spec()
    column = next(iter(human))
    cells = frame[spec.column] if spec.column in frame.columns else None
    if [*human] != [spec.column] or cells is None:
        raise BadInput(
            f"These rows were drawn by `{spec.column}`, and without the whole table nothing is known of another column. "
            "Estimate over the table: df.qwen.estimate….(…, drawn=these_rows)."
        )
    names = sorted({str(one) for one in cells.to_list()})
    if len(frame) != min(spec.n, round(sum(one or 0 for one in sample.weights))) or len(names) > most_strata(
        spec.n
    ):
        raise BadInput(
            f"Without the table all {spec.n:,} drawn rows are needed as they were drawn, and here are {len(frame):,}. "
            "Estimate over the table: df.qwen.estimate….(…, drawn=these_rows)."
        )
    of = [names.index(str(one)) for one in cells.to_list()]
    counts = Counter(of)
    weights = [float(one or 0) for one in sample.weights]
    sizes = [
        round(sum(weight for weight, one in zip(weights, of, strict=True) if one == place))
        for place in range(len(names))
    ]
    strata = Strata(of, sizes, [counts[place] for place in range(len(names))], names)
    if design != AS_IF_RANDOM:
        _check_order(sample, strata, None)
    own = [of[place] for place in sample.labelled]
    seen = Counter(own)
    for place, name in enumerate(names):
        if not seen[place]:
            raise BadInput(
                f'No row of `{column}` with "{name}" is labelled, so nothing is known of these. Label the rows in the order in which they were drawn.'
            )
    stand_for = [sizes[one] / seen[one] for one in own]
    note = "labels taken as if drawn at random within what the model said" if design == AS_IF_RANDOM else ""
    return LabelledTable(
        frame, weights, list(sample.labelled), labels, stand_for, own, of, is_whole=False, note=note
    )


def _any_missing(columns: Sequence[pl.Series]) -> list[bool]:
    gone = [False] * len(columns[0])
    for column in columns:
        values = column.fill_nan(None) if column.dtype.is_float() else column
        gone = [one or other for one, other in zip(gone, values.is_null().to_list(), strict=True)]
    return gone


def _refuse_none(places: Sequence[int], human: Mapping[str, str]) -> None:
    if not places:
        names = " and ".join(f"`{name}`" for name in human.values())
        raise BadInput(
            f'No row has a label in {names}. Have a human label what df.qwen.draw("{next(iter(human))}") draws (widgets.Review opens it).'
        )
