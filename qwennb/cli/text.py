"""Plain text of at most 100 columns: tables, wrapped lines, sizes, sums. No colours and no cursor movements."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from qwennb.terminal import flatten

WIDTH = 100


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """*rows* in columns as wide as they need; the columns numbered in *right* are set to the right."""
    rows = [list(map(flatten, row)) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def wrap(text: str, *, indent: str = "  ", first: str | None = None) -> list[str]:
    """*text* in lines."""
    return textwrap.wrap(
        flatten(text),
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plural(count: int, noun: str) -> str:
    """`1 answer`, `1,200 answers`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def amount(size: int) -> str:
    """Bytes as people read them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} bytes"


def tokens(count: int | None) -> str:
    """A window: `1M`, `262k`."""
    if count is None:
        return "?"
    return f"{count / 1e6:.0f}M" if count >= 1_000_000 else f"{count // 1000}k"
