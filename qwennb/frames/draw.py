"""`df.qwen.draw("label")`: the rows that a human should label, so that an estimate over the whole table holds.

    the model's answers ─ strata ─ allocate ─▶ so many of each stratum ─ those with the lowest marks ─▶ rows, well mixed

A row's mark is a hash of its content, of the column and of the seed. So the order of the table does not matter, a second draw
is the first, and a larger `n` keeps the rows of a smaller one. What was drawn tells itself:

    draw_id       column/n/seed/key/mark
    draw_weight   how many rows of its stratum it stands for

The rows come mixed, so that whoever stops in the middle has labelled a sample all the same. `frames/labelled.py` reads them back.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import polars as pl

from qwennb.checks import name_row
from qwennb.errors import BadInput, QwenFrameWarning, nearest, show_value
from qwennb.frames.any_table import open_table
from qwennb.frames.check import list_questions, name_rows
from qwennb.frames.interop import StreamTable
from qwennb.frames.relations import DuckTable, IbisTable
from qwennb.frames.tables import EagerTable, WholeTable
from qwennb.request import number, text
from qwennb.text import join_some
from qwennb.warn import warn_user

T = TypeVar("T")
ID, WEIGHT = "draw_id", "draw_weight"
BANDS = 5  # strata of a column of numbers: as many rows in each
DISTINCT = 12  # … unless it has no more values than this, as marks from 1 to 5 have
# How far humans are thought to be of one mind about a stratum: √(p·(1-p)), p = 0.9 where the model is right; 0.5 where it is silent.
SPREAD, SPREAD_SILENT = 0.3, 0.5


@dataclass(frozen=True)
class Draw:
    """How rows were drawn: what stands in each `draw_id` before the mark."""

    column: str
    n: int
    seed: int = 0
    key: tuple[str, ...] = ()

    def spell(self, mark: str) -> str:
        """Write the id of a row."""
        key = ",".join(quote(name, safe="") for name in self.key)
        return f"{quote(self.column, safe='')}/{self.n}/{self.seed}/{key}/{mark}"

    def marks(self, names: Sequence[str]) -> list[str]:
        """Make the marks of rows by their *names*; rows of one name are told apart by which of them they are."""
        seen = Counter[str]()
        salt = hashlib.blake2b(f"{self.column}\0{self.seed}".encode(), digest_size=16).digest()
        made = []
        for name in names:
            twin = f"{name}/{seen[name]}"
            seen[name] += 1
            made.append(hashlib.blake2b(twin.encode(), digest_size=8, key=salt).hexdigest())
        return made


def read_draw(draw_id: str) -> tuple[Draw, str]:
    """Read how a row was drawn, and its mark."""
    try:
        column, n, seed, key, mark = draw_id.split("/")
        names = tuple(unquote(name) for name in key.split(",") if name)
        return Draw(unquote(column), int(n), int(seed), names), mark
    except (ValueError, AttributeError):
        raise BadInput(
            f"{show_value(draw_id)} is no `{ID}` of df.qwen.draw. Leave that column as it was drawn."
        ) from None


@dataclass(frozen=True)
class Strata:
    """The strata of a table: of each row its number; of each stratum its rows and how many of them are drawn."""

    of: list[int]
    sizes: list[int]
    counts: list[int]
    names: list[str]


def stratify(values: pl.Series, n: int) -> Strata:
    """Part the rows by what the model said; those without an answer are a stratum of their own."""
    from qwennb.estimates import allocate, most_strata

    values = values.fill_nan(None) if values.dtype.is_float() else values
    silent = values.null_count()
    # As many as n labels can serve; the rarest labels are one stratum together.
    room = max(1, most_strata(n) - bool(silent))
    cells = _cells(values, min(BANDS, room))
    found = Counter(cell for cell in cells if cell is not None)
    common = [label for label, _ in sorted(found.items(), key=lambda one: (-one[1], str(one[0])))]
    own = common if len(common) <= room else common[: room - 1]
    numbers = {label: place for place, label in enumerate(sorted(own, key=str))}
    names = [str(label) for label in numbers]
    if len(own) < len(common):
        numbers |= dict.fromkeys(common[len(own) :], len(names))
        names.append("other answers")
    if silent:
        numbers[None] = len(names)
        names.append("no answer")
    of = [numbers[cell] for cell in cells]
    counted = Counter(of)
    sizes = [counted[place] for place in range(len(names))]
    spreads = [SPREAD_SILENT if name == "no answer" and silent else SPREAD for name in names]
    return Strata(of, sizes, allocate(sizes, spreads, n) if sizes else [], names)


def _cells(values: pl.Series, bands: int) -> list[Any]:
    """Read what the model said: labels as text, many numbers as so many *bands*."""
    if values.dtype.is_numeric() and values.n_unique() > DISTINCT:
        known = values.drop_nulls().sort()
        edges = [known[len(known) * band // bands] for band in range(1, bands)]
        return [
            None if value is None else f"band {sum(value >= edge for edge in edges) + 1}" for value in values
        ]
    if values.dtype.is_nested() or values.dtype == pl.Object:
        return [None if value is None else name_row(value) for value in values.to_list()]
    return [None if value is None else str(value) for value in values.to_list()]


def draw(
    table: T,
    column: str,
    n: int = 150,
    *,
    seed: int | None = None,
    key: str | Sequence[str] | None = None,
) -> T:
    """Draw the rows that a human should label, so that `estimate` holds for the whole table.

    They are drawn by what the model said: each label has its part of the *n*, rare ones ten at least, and rows without an
    answer too. They come in a mixed order: label from the top, and stop where you like. `widgets.Review` opens them and
    hides what the model said.

    Parameters
    ----------
    table : DataFrame, LazyFrame …
        A table with the model's answers, of any library that the verbs take; a lazy one is collected, and says so.
    column : str
        The column of answers: labels, truth values, numbers.
    n : int, default 150
        How many rows. A larger number keeps the rows of a smaller one.
    seed : int, default 0
        Another one draws others.
    key : str or list of str, optional
        The columns that a row is known by; without it, all that hold no answers.

    Returns
    -------
    The same kind of table with n rows, and the columns `draw_id` and `draw_weight`
        Leave both as they are: they tell `estimate` how a row was drawn. Of a relation, a polars frame.

    Raises
    ------
    BadInput
        If a column is not there, or is drawn already, or the table has no rows.

    Examples
    --------
    >>> df = pl.DataFrame({"review": [f"review {i}" for i in range(1000)], "label": ["praise", "praise", "praise", "complaint"] * 250})
    >>> todo = df.qwen.draw("label", n=40)
    >>> todo["label"].value_counts(sort=True).rows()
    [('praise', 30), ('complaint', 10)]
    >>> todo["draw_weight"].sum()
    1000.0
    >>> todo.equals(qwennb.draw(df.sample(fraction=1, shuffle=True), "label", n=40))
    True
    """
    opened = open_rows(table, "draw")
    text("the name of a column")("column", column)
    number(whole=True, above=0)("n", n)
    if seed is not None:
        number(whole=True, low=0)("seed", seed)
    names = _list_key(key)
    check_columns(opened, {"column": [column], "key": names})
    for name in (ID, WEIGHT):
        if name in opened.list_names():
            raise BadInput(f"There is a column `{name}` of an earlier draw. Drop it, or draw from the table.")
    spec = Draw(column, n, seed or 0, tuple(names))
    strata = stratify(opened.take([column])[column], n)
    if not strata.of:
        raise BadInput("The table has no rows, so none can be drawn.")
    marks = mark_rows(opened, spec)
    chosen: list[tuple[float, str, int]] = []
    for stratum, count in enumerate(strata.counts):
        rows = sorted((marks[place], place) for place, one in enumerate(strata.of) if one == stratum)
        # Mixed by rank, so that every beginning has of each stratum what its part is.
        chosen += [((rank + 0.5) / count, mark, place) for rank, (mark, place) in enumerate(rows[:count])]
    places = [place for _, _, place in sorted(chosen)]
    weights = [strata.sizes[strata.of[place]] / strata.counts[strata.of[place]] for place in places]
    return opened.pick(  # type: ignore[no-any-return]
        places,
        {
            ID: pl.Series(ID, [spec.spell(marks[place]) for place in places], dtype=pl.String),
            WEIGHT: pl.Series(WEIGHT, weights, dtype=pl.Float64),
        },
    )


def mark_rows(table: WholeTable, spec: Draw, known_by: Sequence[str] | None = None) -> list[str]:
    """Mark the rows of *table*; *known_by*: the columns that there were when it was drawn."""
    names = spec.key or [
        name
        for name in list_questions(table.list_names())
        if name not in (spec.column, ID, WEIGHT) and (known_by is None or name in known_by)
    ]
    return spec.marks(name_rows(table, list(names), {spec.column, ID, WEIGHT}))


def open_rows(table: Any, verb: str) -> WholeTable:
    """Open a table whose rows are there; a lazy one is collected, and says so."""
    if isinstance(table, pl.LazyFrame):
        frame = table.collect()
        warn_user(
            f"{verb} is about the whole table: the {len(frame):,} rows of the LazyFrame were collected.",
            QwenFrameWarning,
        )
        return EagerTable(frame)
    opened = open_table(table)
    if isinstance(opened, DuckTable | IbisTable):
        return StreamTable(table)
    if not isinstance(opened, WholeTable) or opened.is_texts:
        raise BadInput(
            f"{verb} takes a table with columns, not {type(table).__name__}. Give the frame that it is of."
        )
    return opened


def check_columns(table: WholeTable, named: dict[str, Sequence[str]]) -> None:
    """Refuse a name that no column has, or several."""
    known = table.list_names()
    for option, names in named.items():
        for name in names:
            if name not in known:
                close = nearest(name, known) or f"; there are {join_some(known, 12)}."
                raise BadInput(f"{option}={show_value(name)} names no column{close}")
        table.check_unique(names)


def _list_key(key: Any) -> list[str]:
    names = [key] if isinstance(key, str) else list(key or ()) if isinstance(key, list | tuple) else key
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise BadInput(f'key={show_value(key)} must name columns: key="id".')
    return names
