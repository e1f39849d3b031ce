"""Reading JSON of which nothing is certain: what has another shape than it should counts as absent.

First the shapes, then the parts of a reply that all servers spell alike, give or take a field: text, tool calls, log
probabilities, usage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from qwennb.answer import CallPiece, Logprob, Usage


def mapping(value: Any) -> Mapping[str, Any]:
    """*value* where it is an object, else an empty one."""
    return (
        value if isinstance(value, dict) else {}
    )  # what JSON is read into; the abstract class is slow to ask


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects in the list *value*; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """*value* where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """*value* where it is a finite number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < float("inf") else None


def content_of(content: Any) -> str:
    """The text of a message's or delta's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(text(part.get("text")) for part in mappings(content)) if content else ""


def call_pieces(calls: Any) -> list[CallPiece]:
    """The pieces of tool calls in a message or delta."""
    made: list[CallPiece] = []
    for position, call in enumerate(mappings(calls)):
        function, index = mapping(call.get("function")), call.get("index")
        arguments = function.get("arguments") or ""
        made.append(
            CallPiece(
                index if isinstance(index, int) else position,
                text(call.get("id")),
                text(function.get("name")),
                arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode(),
            )
        )
    return made


def logprobs_of(given: Any) -> list[Logprob]:
    """The log probabilities of a choice; a token without one is left out."""
    made: list[Logprob] = []
    for item in mappings(mapping(given).get("content")):
        if (own := _pair(item)) is not None:
            others = [pair for other in mappings(item.get("top_logprobs")) if (pair := _pair(other))]
            made.append(Logprob(*own, tuple(others)))
    return made


def usage_of(data: Mapping[str, Any]) -> Usage:
    """The tokens that a reply says it took."""
    given, made = mapping(data.get("prompt_tokens_details")), mapping(data.get("completion_tokens_details"))
    if not given and not made:
        return Usage(
            input=_count(data, "prompt_tokens"),
            output=_count(data, "completion_tokens"),
            reasoning=_count(data, "reasoning_tokens"),
        )
    seen = mapping(given.get("multimodal_tokens"))
    return Usage(
        input=_count(data, "prompt_tokens"),
        output=_count(data, "completion_tokens"),
        reasoning=_count(made, "reasoning_tokens") or _count(data, "reasoning_tokens"),
        cached=_count(given, "cached_tokens"),
        cache_write=_count(given, "cache_write_tokens") or _count(given, "cache_creation_input_tokens"),
        image=_count(given, "image_tokens") or _count(seen, "image"),
        video=_count(given, "video_tokens") or _count(seen, "video"),
    )


def _count(where: Mapping[str, Any], name: str) -> int:
    value = where.get(name)
    return 0 if value is None else int(number(value) or 0)


def _pair(item: Mapping[str, Any]) -> tuple[str, float] | None:
    token, value = item.get("token"), item.get("logprob")
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return token, float(value)
