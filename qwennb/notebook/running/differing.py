"""Where two outputs begin to differ, in lines for people. Whether they differ is nbval's to say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from qwennb.answer import markup
from qwennb.notebook.running.cells import Difference, tells_state

LINES = 8
WIDTH = 160
_PICTURES = ("image/png", "image/jpeg")
_NOT_COMPARED = (*_PICTURES, "application/vnd.jupyter.widget-view+json")


def first_difference(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Difference:
    """The first part in which the outputs *now* are not those that were *saved*."""
    before, after = _parts(saved), _parts(now)
    for part in dict.fromkeys([*before, *after]):
        if (lines := _differing(before.get(part, []), after.get(part, []))) is not None:
            return Difference(part, lines)
    return Difference("output", ("the outputs come in another order",))


def redrawn(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> int:
    """How many pictures are not the bytes that were saved."""
    pairs = zip(_pictures(saved), _pictures(now), strict=False)
    return sum(one != other for one, other in pairs)


def _parts(outputs: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The texts of *outputs* by what they are: a stream's name, a mime type, an error."""
    made: dict[str, list[str]] = {}
    for output in outputs:
        if tells_state(output):
            continue
        kind = output["output_type"]
        if kind == "stream":
            made.setdefault(output["name"], []).append(output["text"])
        elif kind == "error":
            made.setdefault("error", []).append(f"{output['ename']}: {output['evalue']}")
        for mime, value in output.get("data", {}).items():
            if mime not in _NOT_COMPARED:
                made.setdefault(mime, []).append(_text(value))
    return made


def _pictures(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [output.get("data", {}).get(mime) for output in outputs for mime in _PICTURES]
    return ["".join(str(picture).split()) for picture in found if picture is not None]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _differing(before: list[str], after: list[str]) -> tuple[str, ...] | None:
    if before == after:
        return None
    old, new = ("\n".join(texts).splitlines() for texts in (before, after))
    lines = list(difflib.unified_diff(old, new, "saved", "now", n=0, lineterm=""))[2:]
    told = [_short(line) for line in lines if not line.startswith("@@")]
    more = [f"… and {len(told) - LINES} more lines"] if len(told) > LINES else []
    return (*told[:LINES], *more)


def _short(line: str) -> str:
    plain = markup.plain(line)
    return plain if len(plain) <= WIDTH else plain[: WIDTH - 1] + "…"
