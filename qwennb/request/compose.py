"""From what a user typed to a message: the template filled in, each value as the part that suits it.

Text and numbers become text, a frame its table, a picture, figure or array an image, dicts, lists and sets JSON;
anything else is its `str`, which for an `Answer` is its text. A string is always text here: never a path, never a URL.
What has no text but its address in memory is refused: such a question would never be answered from memory again.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import orjson

from qwennb.documents import cell_text, frame_text, is_frame
from qwennb.errors import BadInput, user_code
from qwennb.request.charts import is_chart, table_text
from qwennb.request.media import Image, Medium, Video
from qwennb.request.recognise import recognise
from qwennb.request.request import Message, Part, Text, merge_texts
from qwennb.request.template import Template


def user_message(
    prompt: str | Text,
    values: Mapping[str, Any] | None = None,
    *,
    images: Any = None,
    videos: Any = None,
    files: Any = None,
    keep_values: bool = False,
) -> Message:
    """Compose the user's message: *prompt* with *values* in its holes, then the media. A `Text` has no holes: it is data.

    With *keep_values* the message knows which of its texts stood for which name, so that a quote's place can be told in them.
    """
    if not isinstance(prompt, str | Text):
        raise BadInput(
            f'The prompt is {type(prompt).__name__}, not text. Put it in by name: ask("… {{{{ x }}}}", x=…).'
        )
    values = values or {}
    # A Text is data, and most prompts have no braces: there is nothing to cut.
    if isinstance(prompt, Text) or "{{" not in prompt:
        template = None
        names: frozenset[str] = frozenset()
    else:
        template = Template.of(prompt, values)
        names = frozenset(hole.name for hole in template.holes)
    if unused := values.keys() - names:
        named = ", ".join(f"`{name}`" for name in sorted(unused))
        raise BadInput(
            f"{named} is given and not used: the prompt has no {{{{ {min(unused)} }}}}, and there is no such option."
        )
    parts = [part_of(prompt)] if template is None else [*map(part_of, template.fill(values))]
    for name, read, given in (
        ("images", Image.of, images),
        ("videos", Video.of, videos),
        ("files", recognise, files),
    ):
        if given is not None:
            parts += map(read, _several(name, given))
    kept: tuple[tuple[str, str], ...] = ()
    if keep_values and template is not None:
        kept = tuple(
            (piece.source, part.text)
            for piece, part in zip(template.pieces, parts, strict=False)
            if not isinstance(piece, str) and isinstance(part, Text)
        )
    return Message("user", merge_texts(parts), values=kept)


def add_words(messages: tuple[Message, ...], words: str, *, to_system: bool) -> tuple[Message, ...]:
    """Say *words* at the end of the last of *messages*, or of the system text, which there may not have been."""
    if to_system and messages[0].role != "system":
        return (Message("system", (Text(words),)), *messages)
    place = 0 if to_system else len(messages) - 1
    said = messages[place]
    parts = merge_texts((*said.parts, Text(f"\n\n{words}")))
    return (*messages[:place], replace(said, parts=parts), *messages[place + 1 :])


def part_of(value: Any) -> Part:
    """Make the part that *value* travels as."""
    if isinstance(value, Text | Medium):
        return value
    if isinstance(value, str):
        return Text(str.__str__(value))  # a text that is also an enum's member stays the text
    if type(value) is int:  # before what takes long to rule out
        return Text(str(value))
    if _is_picture(value) or is_chart(value):
        return Image.of(value)
    if (text := table_text(value)) is not None:
        return Text(text)
    if is_frame(value):
        return Text(frame_text(value))
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return Text(_json(value))
    if isinstance(value, float | datetime.date | datetime.time):
        return Text(cell_text(value))
    return Text(_str(value))


_SPELLING = (
    orjson.OPT_INDENT_2
    | orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_NON_STR_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_in_json, option=_SPELLING).decode()
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, BadInput):
            raise error.__cause__ from None
        return _str(value)


def _in_json(value: Any) -> Any:
    """Find what stands in a list or dict for a value that JSON does not know."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)  # a set's own order changes from run to run
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type) and type(value).__str__ is object.__str__:
        return {f.name: getattr(value, f.name) for f in fields(value)}
    return _str(value)  # an Answer in a list is its text, not its cost and its date


def _str(value: Any) -> str:
    with user_code(
        f"str() of a {type(value).__name__}",
        BadInput,
        "Pass text, numbers, a frame, a picture, a dict or a list.",
    ):
        text = str(value)
    # An error or an Answer may speak of an address; a representation must not hold one.
    if _ADDRESS.search(text) and text == repr(value):
        raise BadInput(
            f"A {type(value).__name__} has no text of its own to put into a prompt. Pass text, numbers, a frame, a picture, a dict or a list."
        )
    return text


def _several(name: str, given: Any) -> Iterable[Any]:
    if isinstance(given, list | tuple):
        return given
    if isinstance(given, Mapping):
        raise BadInput(f"{name}= takes a list, not a dict.")
    return (given,)


def _is_picture(value: Any) -> bool:
    if isinstance(value, bytes | bytearray):
        return True
    known = (
        ("PIL.Image", "Image"),
        ("matplotlib.figure", "Figure"),
        ("matplotlib.axes", "Axes"),
        ("numpy", "ndarray"),
    )
    return any(
        isinstance(value, kind)
        for module, name in known
        if (kind := getattr(sys.modules.get(module), name, None)) is not None
    )
