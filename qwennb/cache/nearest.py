"""What a request that was never recorded has otherwise than the nearest one that was.

A miss in replay has nearly always one small cause: an option, a word of the prompt, a picture that was drawn anew. The
recorded request that shares most with the missing one is found by counting what differs, and the difference is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import orjson

from qwennb.cache.record import Name
from qwennb.request import Image, Message, Request, Text, merge_texts
from qwennb.text import join_some, shorten

MOST_COMPARED = 20_000
TOO_FAR = 3.5  # beyond it, calling them near would only mislead
AROUND = 24  # characters of a text that are shown
MOST_TOLD = 4
MOST_NEAR = 100
_ACCEPT = ". To take the recorded answer all the same, type %qwen_pack FILE --accept-figures, or qwennb verify --accept-figures"


def difference(request: Request, recorded: Iterable[tuple[Name, bytes]], *, words: bool = True) -> str:
    """Say in a sentence what *request* has otherwise than the nearest of *recorded*; empty where none is near.

    Without *words* it says where texts differ, and shows nothing of them.
    """
    here = orjson.loads(orjson.dumps(request.canonical()))
    if not (near := _nearest(here, recorded)):
        return ""
    key, there = near[0]
    told = _describe_difference(here, there, words=words)
    figures = {item.digest for item in request.media if item.source.is_figure}
    is_drawn = any(
        medium.get("sha256") in figures for message in here["messages"] for medium in _media(message)
    )
    if is_drawn and all(one.startswith("the picture is another") for one in told):
        told[-1] += _ACCEPT
    return f"The nearest recorded request, {key[:12]}, differs: {join_some(told, MOST_TOLD, '; ')}. "


def find_same_but_figures(request: Request, recorded: Iterable[tuple[Name, bytes]]) -> list[Request]:
    """Make *request* with the figures of each *recorded* one that differs from it in how its figures are drawn, and in nothing else."""
    spots = [
        (m, p) for m, message in enumerate(request.messages) for p, part in enumerate(merge_texts(message.parts))
        if not isinstance(part, Text) and part.source.is_figure
    ]  # fmt: skip
    made: dict[str, Request] = {}
    for name, record in recorded if spots else ():
        if b'"sha256"' not in record or name.key in made:
            continue
        try:
            there = Request.from_json(orjson.loads(record)["request"])
            one = replace(request, messages=_with_figures(request.messages, there.messages, spots))
        except (IndexError, KeyError, TypeError, ValueError):
            continue
        if one.key == name.key:
            made[name.key] = one
    return list(made.values())


def _with_figures(
    mine: Sequence[Message], theirs: Sequence[Message], spots: Sequence[tuple[int, int]]
) -> tuple[Message, ...]:
    """Make *mine* with the pictures of *theirs* at *spots*. IndexError where they have none there."""
    made = [list(merge_texts(message.parts)) for message in mine]
    for m, p in spots:
        part = theirs[m].parts[p]
        if not isinstance(part, Image):
            raise IndexError
        made[m][p] = part
    return tuple(replace(message, parts=tuple(parts)) for message, parts in zip(mine, made, strict=True))


def media_of_nearest(request: Request, recorded: Iterable[tuple[Name, bytes]]) -> list[tuple[str, list[str]]]:
    """Find the recorded requests that are nearest to *request*, all as near: the key of each, and the hashes of its media.

    What a medium of *request* is makes no difference to that, only how many there are.
    """
    here = orjson.loads(orjson.dumps(request.canonical()))
    near = _nearest(here, recorded, media=False)
    return [(key, [_whole_hash(medium) for medium in _media(there["messages"][-1])]) for key, there in near]


def _nearest(
    here: Mapping[str, Any], recorded: Iterable[tuple[Name, bytes]], *, media: bool = True
) -> list[tuple[str, Mapping[str, Any]]]:
    """Find the recorded requests that differ least, with their keys; none where that is not near."""
    least, found = TOO_FAR, dict[str, Mapping[str, Any]]()
    for name, record in islice(recorded, MOST_COMPARED):
        there = orjson.loads(record)["request"]
        distance = _distance(here, there, media=media)
        if distance < least:
            least, found = distance, {}
        if distance == least and len(found) < MOST_NEAR:
            found.setdefault(name.key, there)
    return list(found.items())


def _distance(here: Mapping[str, Any], there: Mapping[str, Any], *, media: bool) -> float:
    """Count what differs: one for each option, and up to three for what was said. Without *media* only their number counts."""
    options = (here.keys() | there.keys()) - {"messages"}
    distance = float(sum(here.get(name) != there.get(name) for name in options))
    mine, theirs = here["messages"], there["messages"]
    if mine == theirs:
        return distance
    distance += min(abs(len(mine) - len(theirs)), 2) * 0.5
    a, b = _text(mine[-1]), _text(theirs[-1])
    one, other = _media(mine[-1]), _media(theirs[-1])
    distance += 0.3 * min(abs(len(one) - len(other)), 2)
    if media:
        distance += 0.2 * min(sum(x != y for x, y in zip(one, other, strict=False)), 2)
    if a != b:
        alike = _common_prefix(a, b) + _common_prefix(a[::-1], b[::-1])
        distance += 0.5 + 2 * (1 - min(1.0, alike / max(len(a), len(b), 1)))
    return distance + (0.5 if mine[:-1] != theirs[:-1] else 0.0)


def _describe_difference(here: Mapping[str, Any], there: Mapping[str, Any], *, words: bool) -> list[str]:
    told = []
    for name in sorted((here.keys() | there.keys()) - {"messages"}):
        mine, theirs = here.get(name), there.get(name)
        if mine == theirs:
            continue
        if name == "schema":
            told.append(
                "its schema is another" if mine and theirs else f"it has {'a' if theirs else 'no'} schema"
            )
        elif name == "tools":
            told.append(f"its tools are {_names(theirs)}, these are {_names(mine)}")
        else:
            told.append(f"{name} is {_value(theirs)} there and {_value(mine)} here")
    return told + _describe_messages(here["messages"], there["messages"], words=words)


def _describe_messages(mine: list[Any], theirs: list[Any], *, words: bool) -> list[str]:
    told = []
    if len(mine) != len(theirs):
        told.append(f"it has {len(theirs)} messages, this has {len(mine)}")
    for number, (a, b) in enumerate(zip(mine, theirs, strict=False), 1):
        if a == b:
            continue
        what = _what(a, number, len(mine))
        if a.get("role") != b.get("role"):
            told.append(f"its message {number} is the {b.get('role')}'s, this one's the {a.get('role')}'s")
            break
        if (one := _text(a)) != (other := _text(b)):
            told.append(_texts(what, one, other, words=words))
        for medium, recorded in zip(_media(a), _media(b), strict=False):
            if medium != recorded:
                told.append(_pictures(medium, recorded))
        if len(_media(a)) != len(_media(b)):
            told.append(f"{what} came with {len(_media(b))} files or pictures, this has {len(_media(a))}")
        if a.get("tool_calls") != b.get("tool_calls"):
            told.append(f"{what} called tools otherwise")
        if len(told) >= MOST_TOLD:
            break
    return told


def _what(message: Mapping[str, Any], number: int, count: int) -> str:
    role = message.get("role")
    if role == "system":
        return "the system text"
    if role == "tool":
        return f"a tool's result (message {number})"
    if number == count:
        return "the question"
    return f"message {number} ({role})"


def _texts(what: str, mine: str, theirs: str, *, words: bool) -> str:
    at = _common_prefix(mine, theirs)
    if not words:
        return f"{what} differs from character {at + 1:,} on (it has {len(theirs):,} characters, this has {len(mine):,})"
    return f"{what} says {_around(theirs, at)} where this says {_around(mine, at)} (character {at + 1:,})"


def _common_prefix(one: str, other: str) -> int:
    """Count the characters that both begin with; by halving, because comparing slices is a thousand times as fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _around(text: str, at: int) -> str:
    start = max(0, at - AROUND // 2)
    shown = text[start : at + AROUND]
    return repr(("…" if start else "") + shown + ("…" if at + AROUND < len(text) else ""))


def _pictures(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    noun = {"image": "picture", "video": "video", "pdf": "PDF", "document": "document"}.get(
        str(mine.get("type")), "file"
    )
    if mine.get("sha256") == theirs.get("sha256"):
        return f"the {noun} was prepared with other options"
    drawn = (
        "; a figure that another version of matplotlib draws has other pixels" if noun == "picture" else ""
    )
    return f"the {noun} is another (sha256 {_hash(theirs)} there, {_hash(mine)} here{drawn})"


def _hash(medium: Mapping[str, Any]) -> str:
    return str(medium.get("sha256") or medium.get("url") or "of frames")[:12]


def _whole_hash(medium: Mapping[str, Any]) -> str:
    return str(medium.get("sha256") or medium.get("url") or "")


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _media(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content", "")
    return [] if isinstance(content, str) else [part for part in content if part.get("type") != "text"]


def _names(tools: Any) -> str:
    return ", ".join(str(tool.get("name")) for tool in tools) if tools else "none"


def _value(value: Any) -> str:
    if value is None:
        return "left alone"
    shown = value if isinstance(value, str) else orjson.dumps(value).decode()
    return shorten(shown, 40)
