"""One value of a frame as a reader would write it, the same on every machine.

Long text keeps its beginning and its end, with its length said between; a long list shows its first `ITEMS`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

WIDE = 120
ITEMS = 50

_ADDRESS = re.compile(r"<.* at 0x[0-9a-fA-F]+>", re.DOTALL)


def cell_text(value: Any) -> str:
    """Write *value* as text. What is missing (null, NaN, NaT) is empty."""
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        if value != value:
            return ""
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(float(value))
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(datetime.timedelta(value.days, value.seconds, value.microseconds))
    if type(value).__name__ == "Decimal":
        return format(value, "f") if value.is_finite() and abs(value.adjusted()) < 100 else str(value)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if isinstance(value, dict):
        return _list_text(
            "{}", (f"{cell_text(name)}: {cell_text(item)}" for name, item in value.items()), len(value)
        )
    if isinstance(value, list | tuple):
        return _list_text("[]", map(cell_text, value), len(value))
    if isinstance(value, set | frozenset):
        return _list_text("{}", sorted(map(cell_text, value)), len(value))
    for plain in ("to_list", "tolist"):  # a Series, an array, a number of numpy's
        if hasattr(value, plain):
            return cell_text(getattr(value, plain)())
    text = str(value)
    return f"({type(value).__name__})" if _ADDRESS.fullmatch(text) else text


def in_table(text: str, width: int) -> str:
    """Put *text* into one line of at most about *width* characters, where a bar can't end the cell."""
    if len(text) <= 4 * width:
        line = " ".join(text.split())
        if len(line) <= width:
            return line.replace("|", "\\|")
    ends = 2 * width
    head, tail = " ".join(text[:ends].split()), " ".join(text[-ends:].split())
    said = f" …({len(text)} characters)… " if width > 40 else "… "
    kept = max(width - len(said), 8)
    last = kept // 3
    # Cut first and escape then: the cut must not part a bar from its backslash.
    return f"{head[: kept - last]}{said}{tail[-last:]}".replace("|", "\\|")


def _list_text(brackets: str, items: Iterable[str], count: int) -> str:
    more = f", … ({count} items)" if count > ITEMS else ""
    return brackets[0] + ", ".join(islice(items, ITEMS)) + more + brackets[1]
