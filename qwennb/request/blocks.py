"""Rows that stand together in one question: each in a block of its own, tagged and numbered from 1.

    <row n="1">
    the text of a row
    </row>

Whoever writes such a question writes it here (joins: `left` and `right`; windows: `row`), and whoever has to know what stands in
one reads it here. A number is a position, never a row's own name: what stands together follows from content alone. A text that
holds such a tag itself is written with `&lt;` in place of its bracket, and read back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Tag = Literal["row", "left", "right"]
_TAGS = "row|left|right"
# A bracket before one of our tags; and one that is spelled out already, so that it is told from ours when it is read.
_TAG_IN_TEXT = re.compile(rf"<(?=/?(?:{_TAGS})\b)|&(?=(?:amp;)*lt;/?(?:{_TAGS})\b)")
_SPELLED = re.compile(rf"&(?:lt;(?=/?(?:{_TAGS})\b)|amp;(?=(?:amp;)*lt;/?(?:{_TAGS})\b))")
_BLOCK = re.compile(rf'^<({_TAGS}) n="(\d+)">\n(.*?)\n</\1>$', re.M | re.S)


class Block(NamedTuple):
    """One row of a question: its tag, its position, its text."""

    tag: str
    number: int
    text: str


def write_blocks(texts: Sequence[str], tag: Tag = "row") -> str:
    """Write *texts* as blocks, one below the other."""
    return "\n".join(
        f'<{tag} n="{number}">\n{_spell(text)}\n</{tag}>' for number, text in enumerate(texts, start=1)
    )


def read_blocks(text: str) -> list[Block]:
    """Read the blocks in a question, in their order."""
    return [Block(tag, int(number), _unspell(inside)) for tag, number, inside in _BLOCK.findall(text)]


def _spell(text: str) -> str:
    return _TAG_IN_TEXT.sub(lambda found: "&lt;" if found[0] == "<" else "&amp;", text)


def _unspell(text: str) -> str:
    return _SPELLED.sub(lambda found: "<" if found[0] == "&lt;" else "&", text)


# ---------------------------------------------------------------------- what is asked of them

GROUPS, ORDER, MATCHES = "groups", "order", "matches"


def groups_schema(count: int) -> dict[str, Any]:
    """Ask which of so many rows are the same: every position once, in the group that it belongs to."""
    return _object(GROUPS, {"type": "array", "items": _positions(count), "maxItems": count})


def order_schema(count: int) -> dict[str, Any]:
    """Ask for an order of so many rows, the most first: every position once."""
    return _object(ORDER, {**_positions(count), "minItems": count})


def matches_schema(count: int) -> dict[str, Any]:
    """Ask which of so many rows match the one on the left: any number of positions, or none."""
    return _object(MATCHES, _positions(count))


def _positions(count: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": count}, "maxItems": count}


def _object(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}
