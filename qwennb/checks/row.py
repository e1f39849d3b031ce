"""One answer to be checked, as a plain value, wherever it came from: a column, a table's file, a pack.

What is not known of it is None, and a rule that needs it says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from qwennb.answer import Answer, Quote
from qwennb.errors import BadInput, nearest
from qwennb.request import parse_json

NAME_LENGTH = 20  # hexadecimal signs: among a million rows two of one name are as good as impossible


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer.

    name     what the same row is called in the next run: made of what was asked about, not of how, nor of the answer
    number   where it stands, for people
    asked    the key of what was asked: rows that have it in common are one answer
    value    what was answered, as a value; None where nothing was
    error    why not; empty where nothing failed
    truth    what is right; None where nobody says
    people   what people said of it, beside a judge
    source   the text in which quotes must stand
    quotes   those that an answer with `cite` came with, looked for already; None where it came with none
    tokens   in and out together
    answer   the recorded answer with its request, where it comes from a pack
    """

    name: str
    number: int
    value: Any = None
    asked: str = ""
    error: str = ""
    truth: Any = None
    people: Any = None
    source: str | None = None
    quotes: tuple[Quote, ...] | None = None
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    answer: Answer | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is anything to check: a row that was skipped has neither a value nor an error."""
        return self.value is not None or bool(self.error)


def name_row(content: Any) -> str:
    """Name a row by its *content*. None of the content can be read in the name."""
    written = orjson.dumps(
        content, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC
    )
    return hashlib.sha256(written).hexdigest()[:NAME_LENGTH]


def take_field(rows: Iterable[AnswerRow], field: str) -> list[tuple[AnswerRow, Any]]:
    """Give each row with the value of its *field* (`order.total`), or its whole value where none is named."""
    rows = list(rows)
    if not field:
        return [(row, row.value) for row in rows]
    found = [(row, _dig(_as_mapping(row.value), field)) for row in rows]
    holders = [_as_mapping(row.value) for row in rows if row.value is not None]
    if holders and not any(_has(holder, field) for holder in holders):
        known = list(dict.fromkeys(name for holder in holders for name in _names(holder)))
        there_are = f"; there are {', '.join(known[:20])}." if known else ": they are no JSON objects."
        raise BadInput(f"No answer has a field `{field}`{nearest(field, known) or there_are}")
    return found


def _as_mapping(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return parse_json(value)
        except ValueError:
            return None
    return value


def _dig(value: Any, field: str) -> Any:
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _has(value: Any, field: str) -> bool:
    first, _, rest = field.partition(".")
    if not isinstance(value, Mapping) or first not in value:
        return False
    return not rest or _has(value[first], rest)


def _names(value: Any, before: str = "") -> list[str]:
    if not isinstance(value, Mapping):
        return []
    return [
        name for key, inner in value.items() for name in (f"{before}{key}", *_names(inner, f"{before}{key}."))
    ]
