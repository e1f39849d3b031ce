"""Text in the form of Markdown: rows of cells as a table, blocks with one blank line between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Short rows of a table larger than this stay short: one long row among many would make them fill the memory.
_MOST_CELLS = 1_000_000


def write_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write *rows* as the lines of a Markdown table; the first is its head, and short ones are filled up."""
    width = max(map(len, rows), default=0)
    if not width:
        return []
    filled = width if width * len(rows) <= _MOST_CELLS else 0
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join([*row, *[""] * (filled - len(row))]) + " |" for row in cells]
    return [lines[0], "|" + "---|" * width, *lines[1:]]


def join_blocks(lines: Iterable[str]) -> str:
    """Join *lines*, of several blank ones in a row only one; none at the beginning and the end."""
    joined: list[str] = []
    for line in lines:
        if line or (joined and joined[-1]):
            joined.append(line)
    return "\n".join(joined).strip("\n")
