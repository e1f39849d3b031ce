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

# Part of every key. A change to what a request's canonical form looks like needs a new one.
KEY_VERSION = 1


def canonical_json(value: Any) -> bytes:
    """Write *value* as canonical JSON bytes."""
    try:
        return orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)
    except RecursionError:
        raise BadInput(
            "The request holds something nested too deeply for JSON. Make it flatter, or pass it as text."
        ) from None
    except TypeError as error:
        raise BadInput(
            f"The request holds something that JSON can't carry: {error}. Pass text, numbers, lists or dicts."
        ) from None


def key_of(canonical_request: Mapping[str, Any]) -> str:
    """Make the key of a request from its canonical form: 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json({"v": KEY_VERSION, **canonical_request})).hexdigest()


def plain(value: Any) -> Any:
    """Put *value* into plain dicts, lists, text and numbers; TypeError for what JSON can't say."""
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadInput(f"The request holds {value}, which JSON can't carry. Leave it out, or pass text.")
        # Above 2**63 integers can't be written; such a float keeps its own spelling.
        return int(value) if value.is_integer() and abs(value) < 2**63 else float(value)
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"the name {name!r} is not text")
        return dict(zip(value, map(plain, value.values()), strict=True))
    if isinstance(value, list | tuple):
        return list(map(plain, value))
    raise TypeError(f"{type(value).__name__} is not JSON")
