"""A dataframe as a model reads it: its size, its schema and a table of rows that stand for the whole.

One fixed rule, in characters, decides what is shown, and our own formatter prints it: nothing depends on a locale, a
terminal's width, display settings or which extras are installed, so the key of a question about a frame is the same
everywhere. The rows are the first and the last and evenly spaced ones between, as many as fit into `BUDGET`
characters; cells longer than `CELL` are cut in the middle with their length said.

polars and pandas frames are told apart by duck typing; neither is imported here.
"""

from __future__ import annotations

import datetime
import decimal
import sys
from collections.abc import Sequence
from typing import Any

BUDGET = 6_000
CELL = 120
COLUMNS = 60


def is_frame(value: Any) -> bool:
    """True for a polars DataFrame or LazyFrame or Series, or a pandas DataFrame or Series."""
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
    """*frame* as text for a prompt."""
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(frame, polars.LazyFrame):
        schema = frame.collect_schema()
        return f"LazyFrame, not collected, {len(schema)} columns\n{_schema([(n, str(t)) for n, t in schema.items()])}"
    if hasattr(frame, "to_frame"):
        frame = frame.to_frame()
    frame_is_polars = polars is not None and isinstance(frame, polars.DataFrame)
    types = (
        list(frame.schema.items()) if frame_is_polars else list(zip(frame.columns, frame.dtypes, strict=True))
    )
    named = [(str(name), _dtype(kind)) for name, kind in types]
    head = f"{frame.shape[0]} rows × {frame.shape[1]} columns\n{_schema(named)}"
    shown = named[:COLUMNS]
    picked = _spread(frame.shape[0], 200)
    if frame_is_polars:
        cells = frame[:, : len(shown)][picked].rows() if picked else []
    else:
        cells = list(frame.iloc[picked, : len(shown)].itertuples(index=False, name=None))
    return f"{head}\n\n{_table([name for name, _ in shown], picked, cells, frame.shape[0], max(budget - len(head), 500))}"


def cell_text(value: Any) -> str:
    """One value as a reader would write it."""
    if (
        value is None
        or (isinstance(value, float) and value != value)
        or type(value).__name__ in ("NaTType", "NAType")
    ):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {cell_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple) or hasattr(value, "to_list"):
        return (
            "["
            + ", ".join(cell_text(item) for item in (value.to_list() if hasattr(value, "to_list") else value))
            + "]"
        )
    if hasattr(value, "item"):
        return cell_text(value.item())
    return str(value)


def _dtype(kind: Any) -> str:
    return str(kind)


def _schema(named: Sequence[tuple[str, str]]) -> str:
    listed = ", ".join(
        f"{_label(name)}: {kind if len(kind) <= CELL else kind[:CELL] + '…'}"
        for name, kind in named[:COLUMNS]
    )
    rest = f", and {len(named) - COLUMNS} more" if len(named) > COLUMNS else ""
    return f"columns: {listed}{rest}"


def _label(name: str) -> str:
    return " ".join(name.split()) or "(no name)"


def _spread(rows: int, most: int) -> list[int]:
    """Up to *most* row numbers: evenly spread, with the first and the last among them."""
    if rows <= most:
        return list(range(rows))
    return sorted({round(i * (rows - 1) / (most - 1)) for i in range(most)})


def _table(
    names: list[str], picked: list[int], cells: Sequence[tuple[Any, ...]], rows: int, budget: int
) -> str:
    lines = {row: _row([str(row), *map(_cell, values)]) for row, values in zip(picked, cells, strict=True)}
    top = [_row(["row", *map(_label, names)]), _row(["---"] * (len(names) + 1))]
    room = budget - sum(map(len, top)) - len(top)
    most = len(picked)
    while most > 1 and sum(len(lines[picked[i]]) + 1 for i in _spread(len(picked), most)) > room:
        most = most * 3 // 4
    kept = [picked[i] for i in _spread(len(picked), most)] if most > 1 else picked[:1]
    shown = [lines[row] for row in kept]
    note = f"\n({len(kept)} of {rows} rows, evenly spread)" if len(kept) < rows else ""
    return "\n".join([*top, *shown]) + note


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:
    text = " ".join(cell_text(value).split()).replace("|", "\\|")
    if len(text) > CELL:
        text = f"{text[: CELL // 2]} …({len(text)} characters)… {text[-CELL // 4 :]}"
    return text
