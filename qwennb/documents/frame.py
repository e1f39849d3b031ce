"""A dataframe as a model reads it: its size, its schema and a table of rows that stand for the whole.

One fixed rule, in characters, decides what is shown, and our own formatter (`cell`) prints it: nothing depends on a
locale, a terminal's width, display settings or which extras are installed, so the key of a question about a frame is
the same everywhere. A third of `BUDGET` is for the schema. Of the rest the table takes the columns and rows that fit:
cells give way first, down to `NARROW` characters, then rows, of which the first, the last and evenly spread ones
between stay, then columns. What is left out is said. The text is never longer than the budget.

polars and pandas frames are told apart by duck typing; neither is imported here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwennb.documents.cell import WIDE, cell_text, in_table

BUDGET = 6_000
NARROW = 16
NAME = 60
COLUMNS = 60
ROWS = 200


def is_frame(value: Any) -> bool:
    """Recognise a polars DataFrame or LazyFrame or Series, or a pandas DataFrame or Series."""
    return any(
        isinstance(value, getattr(module, kind))
        for library, kinds in (
            ("polars", ("DataFrame", "LazyFrame", "Series")),
            ("pandas", ("DataFrame", "Series")),
        )
        if (module := sys.modules.get(library)) is not None
        for kind in kinds
        if hasattr(module, kind)
    )


def frame_text(frame: Any, *, budget: int = BUDGET) -> str:
    """Write *frame* as text for a prompt, of at most *budget* characters."""
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(frame, polars.LazyFrame):
        named = [(name, str(kind)) for name, kind in frame.collect_schema().items()]
        return _cut(f"LazyFrame, not collected, {len(named)} columns\n{_schema(named, budget - 60)}", budget)
    if hasattr(frame, "to_frame"):
        frame = frame.to_frame()
    read = _read_polars if polars is not None and isinstance(frame, polars.DataFrame) else _read_pandas
    sample = read(frame)
    size = f"{sample.rows} rows × {len(sample.columns)} columns"
    schema = _schema(sample.columns, budget // 3)
    room = budget - len(size) - len(schema) - 3
    return _cut(f"{size}\n{schema}\n\n{_table(sample, room)}", budget)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The rows of a frame that may be shown, and how all of it looks."""

    columns: list[tuple[str, str]]
    rows: int
    picked: list[int]
    cells: Sequence[Sequence[Any]]


def _read_polars(frame: Any) -> _Sample:
    columns = [(name, str(kind)) for name, kind in frame.schema.items()]
    picked = _spread(frame.height, ROWS)
    cells = frame[:, :COLUMNS][picked].rows() if picked and columns else [()] * len(picked)
    return _Sample(columns, frame.height, picked, cells)


def _read_pandas(frame: Any) -> _Sample:
    """Read as from polars; an index that says more than a row's number comes first, as columns."""
    picked = _spread(len(frame), ROWS)
    shown = frame.iloc[picked, :COLUMNS]
    named = [
        (str(name), shown.iloc[:, i] if i < COLUMNS else None, kind)
        for i, (name, kind) in enumerate(zip(frame.columns, frame.dtypes, strict=True))
    ]
    index = frame.index
    if type(index).__name__ != "RangeIndex" or index.name is not None or (index.start, index.step) != (0, 1):
        levels = [shown.index.get_level_values(level) for level in range(index.nlevels)]
        named = [
            (str(name) if name is not None else "index", level, level.dtype)
            for name, level in zip(index.names, levels, strict=True)
        ] + named
    listed = [list(values) for _, values, _ in named[:COLUMNS] if values is not None]
    columns = [(name, _pandas_type(kind, values)) for name, values, kind in named]
    return _Sample(columns, len(frame), picked, list(zip(*listed, strict=True)) or [()] * len(picked))


def _pandas_type(kind: Any, values: Any) -> str:
    """Name a type as every version of pandas would call it."""
    name = str(kind)
    if name == "object" and values is not None:
        given = [value for value in values if isinstance(value, str) or cell_text(value)]
        name = "str" if given and all(isinstance(value, str) for value in given) else name
    return (
        "str"
        if name.startswith("string")
        else re.sub(r"64\[(?:s|ms|us|ns)\b,? ?", "[", name).replace("[]", "")
    )


def _spread(rows: int, most: int) -> list[int]:
    """Up to *most* row numbers: evenly spread, with the first and the last among them."""
    if rows <= most:
        return list(range(rows))
    return [round(i * (rows - 1) / (most - 1)) for i in range(most)] if most > 1 else [0]


def _schema(columns: Sequence[tuple[str, str]], room: int) -> str:
    told = [f"{_label(name)}: {kind if len(kind) <= WIDE else kind[:WIDE] + '…'}" for name, kind in columns]
    fit = min(len(told), COLUMNS)
    while fit > 1 and sum(map(len, told[:fit])) + 2 * fit + 30 > room:
        fit -= 1
    rest = f", and {len(told) - fit} more" if fit < len(told) else ""
    return f"columns: {', '.join(told[:fit]) or 'none'}{rest}"


def _label(name: str) -> str:
    return in_table(" ".join(name.split()) or "(no name)", NAME)


def _table(sample: _Sample, room: int) -> str:
    """Write the widest and longest table of *sample* that fits into *room* characters."""
    names = [_label(name) for name, _ in sample.columns[:COLUMNS]]
    room -= 80  # the note below the table
    while len(names) > 1 and sum(max(len(name), NARROW) + 3 for name in names) + _head(names) > room:
        names.pop()
    width = _width(len(names), len(sample.picked), room - _head(names))
    thinnest = 4 * (len(names) + 1)
    likely = _spread(len(sample.picked), min(len(sample.picked), max(room // thinnest, 1)))
    lines = [
        _line(
            [
                str(sample.picked[i]),
                *(in_table(cell_text(value), width) for value in sample.cells[i][: len(names)]),
            ]
        )
        for i in likely
    ]
    kept = list(range(len(lines)))
    while len(kept) > 1 and sum(len(lines[i]) + 1 for i in kept) > room - _head(names):
        kept = _spread(len(lines), len(kept) * 9 // 10)
    told = []
    if len(kept) < sample.rows:
        told.append(f"{len(kept)} of {sample.rows} rows, evenly spread")
    if len(names) < len(sample.columns):
        told.append(f"the first {len(names)} of {len(sample.columns)} columns")
    note = [f"({'; '.join(told)})"] if told else []
    return "\n".join([_line(["row", *names]), _rule(names), *(lines[i] for i in kept), *note])


def _head(names: Sequence[str]) -> int:
    return len(_line(["row", *names])) + len(_rule(names)) + 2


def _width(columns: int, rows: int, room: int) -> int:
    """Find how wide a cell may be so that some ten rows fit, within what can be read."""
    return max(NARROW, min(WIDE, room // (max(min(rows, 10), 1) * max(columns, 1)) - 3))


def _rule(names: Sequence[str]) -> str:
    return _line(["---"] * (len(names) + 1))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cut(text: str, budget: int) -> str:
    return text if len(text) <= budget else (text[: max(budget - 1, 0)] + "…")[:budget]
