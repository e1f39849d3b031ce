"""One line of a pack: a key, its request, its answer, spelled in one way only.

A line is believed when it is byte for byte what we would write for what it says: then no name stands twice in it, no
field is smuggled past the key, nothing is spelled so that two readers see two things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from qwennb.answer import Answer
from qwennb.cache.record import KEY_LENGTH, Name
from qwennb.cache.recorded import record_of
from qwennb.errors import PackRefused, QwenError
from qwennb.request import KEY_VERSION, Request, Schema, key_of

START = len('{"key":"') + KEY_LENGTH + len('",')
LONGEST_ENDPOINT = 500
_FLOAT = re.compile(rb"[0-9](?:\.0|e)")


_CANT = (QwenError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def rewrite(record: bytes) -> bytes | None:
    """A stored *record*, as it is written today; None where it can't be read, or holds no whole answer."""
    try:
        data = orjson.loads(record)
        answer = _answer(data["answer"], request_of(data["request"]))
    except _CANT:
        return None
    return record_of(answer)


def check_line(line: bytes, at: str) -> Name:
    """The name of what *line* holds; PackRefused, told *at* which line, where it is not what we would write."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise PackRefused(f"{at}: it is not JSON.") from None
    try:
        key, asked = data["key"], data["request"]
        request = request_of(asked)
        answer = _answer(data["answer"], request)
        canonical = request.canonical()
        if _key_of(canonical) != key:
            raise PackRefused(f"{at}: its key is not that of its request. Somebody changed one of them.")
        again = orjson.dumps({"key": key, "request": canonical, "answer": answer.to_json()})
    except PackRefused:
        raise
    except _CANT as error:
        raise PackRefused(f"{at}: it holds no request with its answer ({_error_text(error)}).") from None
    if again != line:
        raise PackRefused(
            f"{at}: it is not spelled as a pack spells it: a name given twice or unknown, a space, another order."
        )
    return Name(key, answer.endpoint)


def _key_of(canonical: Mapping[str, Any]) -> str:
    """The key; in a fifth of the time where there is no number of which JSON has two spellings."""
    spelled = orjson.dumps({"v": KEY_VERSION, **canonical}, option=orjson.OPT_SORT_KEYS)
    return key_of(canonical) if _FLOAT.search(spelled) else sha256(spelled).hexdigest()


def read_line(line: bytes) -> tuple[Name, bytes]:
    """The name and the record of a line that was checked before."""
    record = b"{" + line[START:]
    return Name(line[8 : 8 + KEY_LENGTH].decode(), orjson.loads(record)["answer"]["endpoint"]), record


def request_of(data: Mapping[str, Any]) -> Request:
    """The request that *data* spells. A schema is taken as it is: nothing is ever held against one that came in a pack."""
    schema = data.get("schema")
    if schema is None:
        return Request.from_json(data)
    if not isinstance(schema, dict):
        raise TypeError("a schema is an object")
    return Request.from_json({**data, "schema": Schema(orjson.dumps(schema).decode())})


def _error_text(error: BaseException) -> str:
    text = str(error) if isinstance(error, QwenError | ValueError) else f"{type(error).__name__}: {error}"
    return text[:200]


_CONSENTS = {"True", "False", "None"}
# What an answer's JSON may be made of: by name, the type that its value must have.
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "text": str, "endpoint": str, "served_by": str, "finish_reason": str, "attempts": int, "created": str, "usage": dict,
    "cost": list, "reasoning": str, "reasoning_blocks": (list, dict), "tool_calls": list, "tool_results": list,
    "consents": list, "logprobs": list, "sources": list, "defaults": dict,
}  # fmt: skip


def _answer(data: Mapping[str, Any], request: Request) -> Answer:
    """The answer that *data* spells, if every field of it is what it should be; ValueError and its like otherwise."""
    for name, value in data.items():
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
            raise ValueError(f"{name} is {type(value).__name__}")
    answer = Answer.from_json(data, request)
    if not answer.complete:
        raise ValueError("the answer is not whole")
    if not answer.endpoint.isprintable() or not 0 < len(answer.endpoint) <= LONGEST_ENDPOINT:
        raise ValueError("its endpoint can't be one")
    if answer.attempts < 1 or datetime.fromisoformat(data["created"]).tzinfo is None:
        raise ValueError("its number of attempts or its date can't be")
    usage = data["usage"]
    counts = [value for name, value in usage.items() if name != "estimated"]
    if (
        not all(type(count) is int and count > 0 for count in counts)
        or usage.get("estimated", True) is not True
    ):
        raise ValueError("its usage can't be")
    if answer.cost is not None and not (
        answer.cost >= 0 and answer.cost.source in ("server", "table", "local") and len(data["cost"]) == 2
    ):
        raise ValueError("its cost can't be")
    texts = [
        *(answer.tool_results or ()),
        *(t for c in answer.tool_calls for t in (c.id, c.name, c.arguments)),
    ]
    texts += [text for source in answer.sources for text in (source.title, source.url)]
    texts += [lp.token for lp in answer.logprobs or ()]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its tool calls, sources or tokens can't be")
    if answer.consents and not (
        len(answer.consents) == len(answer.tool_results or ())
        and set(map(repr, answer.consents)) <= _CONSENTS
    ):
        raise ValueError("what was allowed can't be")
    if not all(isinstance(lp.logprob, int | float) for lp in answer.logprobs or ()):
        raise ValueError("its log probabilities can't be")
    return answer
