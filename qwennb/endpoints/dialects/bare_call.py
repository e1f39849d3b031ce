"""Tool calls that a server left in the text.

Where the server's parser does not know the model's way of calling, the call arrives as the answer's text: bare JSON,
JSON in `<tool_call>` tags, or in a Markdown fence. It counts as a call only when there is nothing else in the text,
and each object names a tool that was given and nothing but its arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

import orjson

from qwennb.request import ToolCall

_TAG = re.compile(r"\s*<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)
_JSON = json.JSONDecoder()


def bare_calls(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls of tools called *names* that *text* is; none when it is anything else."""
    calls = [_call(value, names) for value in _objects(text.strip())]
    whole = [call for call in calls if call is not None]
    if len(whole) != len(calls):
        return ()
    return tuple(
        ToolCall(f"call_{endpoint}", name, arguments) for endpoint, (name, arguments) in enumerate(whole)
    )


def _objects(text: str) -> list[Any]:
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    if text.startswith("<tool_call>"):
        if _TAG.sub("", text).strip():
            return []
        text = "\n".join(_TAG.findall(text))
    values: list[Any] = []
    at = 0
    try:
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            value, at = _JSON.raw_decode(text, at)
            values.append(value)
    except (ValueError, RecursionError):
        return []
    return values


def _call(value: Any, names: Collection[str]) -> tuple[str, str] | None:
    if (
        not isinstance(value, dict)
        or set(value) != {"name", "arguments"}
        or not isinstance(value["name"], str)
    ):
        return None
    if value["name"] not in names:
        return None
    arguments = value["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return None
    return (value["name"], orjson.dumps(arguments).decode()) if isinstance(arguments, dict) else None
