"""What runs in a process of its own: workbooks and Parquet files from strangers, whose few bytes may stand for billions of cells.

Run as a file, with the settings as JSON in its one argument and the document on stdin. Told on stdout are lines of JSON:
`{"count": 3}` sheets, then for each that is wanted `{"number": 2, "title": "Costs", "text": "…"}`; or `{"locked": true}`,
`{"broken": "why"}`. A text is what `{{ df }}` says of such a frame.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any


def main() -> None:
    """Read what is on stdin, and tell."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ["POLARS_MAX_THREADS"] = "1"  # each thread would take its part of the memory
    sys.path[:0] = settings["path"]
    from qwennb.documents.pdf_child import set_bounds

    import_readers(settings["kind"])
    set_bounds(settings["seconds"], settings["bytes"])
    content = sys.stdin.buffer.read()
    try:
        lines = (
            read_workbook(content, settings["wanted"])
            if settings["kind"] == "xlsx"
            else read_parquet(content)
        )
        for line in lines:
            report.write(json.dumps(line) + "\n")
        report.flush()
    except MemoryError:
        os._exit(1)
    os._exit(0)


def import_readers(kind: str) -> None:
    """Load what is needed, before the memory is bounded: the bound is on what a document makes of them."""
    import polars as pl

    import qwennb.documents.frame  # noqa: F401

    if kind == "xlsx":
        import python_calamine  # noqa: F401

    pl.DataFrame({"a": [1]}).select(pl.col("a").sum())  # its threads start


def read_parquet(content: bytes) -> Iterator[dict[str, Any]]:
    """Read a Parquet file as one frame."""
    import polars as pl

    from qwennb.documents.frame import frame_text

    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        yield {"broken": first_line(error)}
        return
    yield {"count": 1}
    yield {"number": None, "title": "", "text": frame_text(frame)}


def read_workbook(content: bytes, wanted: list[int] | None) -> Iterator[dict[str, Any]]:
    """Read the sheets of a workbook that are wanted, each as a frame."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    from qwennb.documents.frame import frame_text

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
    except PasswordError:
        yield {"locked": True}
        return
    except (CalamineError, OSError, ValueError) as error:
        yield {"broken": first_line(error)}
        return
    names = book.sheet_names
    yield {"count": len(names)}
    for number in wanted or range(1, len(names) + 1):
        if number > len(names):
            return
        try:
            rows = book.get_sheet_by_index(number - 1).to_python(skip_empty_area=True)
        except (CalamineError, OSError, ValueError) as error:
            yield {"broken": f"sheet {number}: {first_line(error)}"}
            return
        text = frame_text(make_frame(rows)) if any(map(any, rows)) else ""
        yield {"number": number, "title": names[number - 1], "text": text}


def make_frame(rows: list[list[Any]]) -> Any:
    """Make a frame of a sheet: its first row names the columns if it holds as many different words, else they are A, B, C."""
    import polars as pl

    head = rows[0]
    if (
        all(isinstance(name, str) and name.strip() for name in head)
        and len(set(head)) == len(head)
        and rows[1:]
    ):
        names, rows = head, rows[1:]
    else:
        names = [letters(i) for i in range(len(head))]
    columns = zip_longest(*rows, fillvalue="") if rows else ([] for _ in names)
    return pl.DataFrame(
        [make_column(name, list(values)) for name, values in zip(names, columns, strict=True)]
    )


def make_column(name: str, values: list[Any]) -> Any:
    """Make a column of a sheet: numbers, dates or truths where it has nothing else, and else words."""
    import polars as pl

    from qwennb.documents.cell import cell_text

    cells = [None if value == "" else value for value in values]
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds == {float} and all(cell is None or cell.is_integer() for cell in cells):
        cells = [None if cell is None else int(cell) for cell in cells]
    elif len(kinds) > 1 and kinds != {int, float}:
        cells = [None if cell is None else cell_text(whole(cell)) for cell in cells]
    return pl.Series(name, cells, strict=False)


def whole(cell: Any) -> Any:
    """Give a number without its `.0`: a workbook knows no other numbers than these."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def letters(number: int) -> str:
    """Name a column as spreadsheets do: A, B … Z, AA."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(65 + rest) + name
    return name


def first_line(error: Exception) -> str:
    """Give the first line of what a library says."""
    return str(error).split("\n", 1)[0]


if __name__ == "__main__":
    main()
