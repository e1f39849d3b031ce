"""Canonical JSON: one spelling for one value, and the key made of it.

The key is sha256 over UTF-8 JSON with sorted names and no spaces. A whole float is written as the integer it
equals, so `temperature=1` and `temperature=1.0` are one request. What JSON can't say (NaN, a set, a lone surrogate)
is refused here, before anything is sent.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import orjson

from qwennb.errors import BadInput

KEY_VERSION = 1


def canonical_json(value: Any) -> bytes:
    """*value* as canonical JSON bytes."""
    try:
        return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError) as error:
        msg = (
            f"The request holds something that JSON can't carry: {error}. Pass text, numbers, lists or dicts."
        )
        raise BadInput(msg) from None


def key_of(canonical_request: Mapping[str, Any]) -> str:
    """The key of a request in its canonical form: 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json({"v": KEY_VERSION, **canonical_request})).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadInput(f"The request holds {value}, which JSON can't carry.")
        return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)
    if isinstance(value, Mapping):
        return {_name(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not JSON")


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name {name!r} is not text")
    return name
