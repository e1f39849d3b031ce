"""Plain text for people: cut to a length, counts with their nouns, sizes, lists, tables. No colours and no cursor movements."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from qwennb.terminal import flatten

WIDTH = 100  # columns of a line of the command line


def shorten(text: str, most: int) -> str:
    """*text*, cut where it has more than *most* characters; the mark of the cut is one of them."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def first_words(text: str, most: int) -> str:
    """Put *text* into one line of at most *most* characters."""
    return shorten(" ".join(text.split()), most)


def join_some(items: Sequence[str], most: int, separator: str = ", ", last: str = ", and ") -> str:
    """Join the first *most* of *items*, and say how many more there are."""
    more = f"{last}{len(items) - most:,} more" if len(items) > most else ""
    return separator.join(items[:most]) + more


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Say `1 answer`, `1,200 answers`; *nouns* where it is not an s."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def amount(size: int, *, kilo: int = 1000) -> str:
    """Bytes as people read them, *kilo* of each unit in the next."""
    for power, name in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= kilo**power:
            return f"{size / kilo**power:,.1f} {name}"
    return f"{size} bytes"


def spell_window(tokens: int | None) -> str:
    """Say how many tokens: `1M`, `262k`."""
    if tokens is None:
        return "?"
    return f"{tokens / 1e6:.0f}M" if tokens >= 1_000_000 else f"{tokens // 1000}k"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """Lay out *rows* in columns as wide as they need; the columns numbered in *right* are set to the right."""
    flat = [[flatten(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
    return [
        (
            indent
            + "  ".join(
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in flat
    ]


def wrap(text: str, *, indent: str = "  ", first: str | None = None) -> list[str]:
    """Break *text* into lines of `WIDTH` columns."""
    return textwrap.wrap(
        flatten(text),
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
