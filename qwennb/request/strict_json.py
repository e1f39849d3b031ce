"""Reading JSON that a model wrote: one value, strictly.

The lenient readers hide what the model really said: of a name that stands twice the last one wins, `NaN` and `1e999`
become numbers that no JSON can carry, half of a surrogate pair becomes text that can't be saved. Each is an error
here, in words that can go back to the model. A fence around the value is all that is forgiven.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

_LANGUAGE = re.compile(r"(?:json)?\s", re.IGNORECASE)


def parse_json(text: str, *, exact: bool = False) -> Any:
    """Read the one JSON value in *text*; a fence around it is allowed. ValueError for anything else.

    *exact*: a number with more digits than a float keeps stays text, for a Decimal to be made of it.
    """
    body = text.strip()
    if len(body) >= 6 and body.startswith("```") and body.endswith("```"):
        inner = body[3:-3]
        if language := _LANGUAGE.match(inner):
            body = inner[language.end() :].strip()
    if not body:
        raise ValueError("the answer is empty where JSON was asked for")
    try:
        value = json.loads(
            body,
            object_pairs_hook=_no_twins,
            parse_constant=_no_constant,
            parse_float=_exactly if exact else _finite,
        )
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON: {error}") from None
    if "\\ud" in body or "\\uD" in body:
        _check_pairs(value)
    return value


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twin = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twin!r} stands twice in one object")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _exactly(digits: str) -> float | str:
    number = _finite(digits)
    return number if Decimal(repr(number)) == Decimal(digits) else digits


def _check_pairs(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a \\u escape is half of a surrogate pair") from None
