"""The rules of each answer: each says what is wrong with one, "" where nothing is, and None where it is not about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from qwennb.answer import read_form
from qwennb.checks.row import AnswerRow
from qwennb.errors import nearest
from qwennb.request import Schema, parse_json
from qwennb.text import first_words, join_some


def tell_failure(row: AnswerRow, value: Any, given: Any) -> str | None:
    """Say why the row failed."""
    return row.error


def check_json(row: AnswerRow, value: Any, given: Any) -> str | None:
    """Say what of an answer is no JSON: of its text, or of the arguments of its calls."""
    texts = [("", value)] if not (row.answer and row.answer.tool_calls) else _arguments(row)
    for what, text in texts:
        if isinstance(text, str):
            try:
                parse_json(text)
            except ValueError as error:
                return f"{what}no JSON: {first_words(str(error), 120)}"
    return ""


def _arguments(row: AnswerRow) -> list[tuple[str, str]]:
    assert row.answer is not None
    return [(f"{call.name}: ", call.arguments) for call in row.answer.tool_calls]


def check_calls(row: AnswerRow, value: Any, given: Any) -> str | None:
    """What the guide of Qwen 3.5 asks for: valid JSON where tools are on; and of a tool that was offered, in its form."""
    answer = row.answer
    if answer is None:
        return None
    offered = {tool.name: tool for tool in answer.request.tools}
    for call in answer.tool_calls:
        if call.name not in offered:
            return f"{call.name} is no tool that was offered{nearest(call.name, offered)}"
        try:
            arguments = parse_json(call.arguments)
            if not isinstance(arguments, dict):
                raise ValueError("its arguments are no JSON object")
            Schema.of(parse_json(offered[call.name].parameters)).check(arguments)
        except ValueError as error:
            return f"{call.name}: {first_words(str(error), 120)}"
    return "" if answer.tool_calls else None


def check_answer_form(row: AnswerRow, value: Any, given: Schema | None) -> str | None:
    """Say what does not fit the form that is *given*, or the one that was asked for."""
    if row.answer is not None and row.answer.tool_calls:
        return None
    try:
        if given is not None:
            given.read(value) if isinstance(value, str) else given.check(value)
        elif row.answer is not None:
            request = row.answer.request
            if request.schema is None and request.choices is None:
                return None
            read_form(request, row.answer.text)
    except ValueError as error:
        return first_words(str(error), 160)
    return ""


def check_between(row: AnswerRow, value: Any, given: tuple[Any, Any]) -> str | None:
    """Say of a value that is outside of two others."""
    low, high = given
    try:
        if isinstance(value, bool):
            raise TypeError
        return "" if low <= value <= high else f"not from {low} to {high}"
    except TypeError:
        return f"is {_kind(value)}, not from {low} to {high}"


def check_values(row: AnswerRow, value: Any, given: list[Any]) -> str | None:
    """Say of a value, or of one in a list, that is none of those *given*."""
    said = value if isinstance(value, list | tuple) else [value]
    strange = [one for one in said if not any(one == known and _alike(one, known) for known in given)]
    return f"none of {join_some([str(one) for one in given], 8)}" if strange else ""


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool)  # for Python True is 1


def check_pattern(row: AnswerRow, value: Any, given: re.Pattern[str]) -> str | None:
    """Say of a text in which the pattern is not found."""
    if not isinstance(value, str):
        return f"is {_kind(value)}, not text"
    return "" if given.search(value) else f"does not match {given.pattern}"


def check_quotes(row: AnswerRow, value: Any, given: Any) -> str | None:
    """Say of a quote that does not stand in the source."""
    if row.quotes is not None:
        lost = [one for one in row.quotes if not one.found]
        return "" if not lost else first_words(f"{lost[0].place}: {lost[0].quote or lost[0].claim}", 120)
    if row.source is None:
        return "has no source to look in"
    source = _plain_text(row.source)
    missing = [quote for quote in _quotes(value) if _plain_text(quote) not in source]
    return f"not in the source: {first_words(missing[0], 80)}" if missing else ""


_QUOTED = re.compile(r"[“„«]([^“”„«»]+)[”“»]|\"([^\"]+)\"")  # within a text, what stands in quotation marks


def _quotes(value: Any) -> list[str]:
    """Find the quotes in *value*: of a list each text, of a struct its `quote` or `quotes`, of a text what is in quotation marks."""
    if isinstance(value, Mapping):
        named = value.get("quotes", value.get("quote"))
        return [] if named is None else [named] if isinstance(named, str) else _quotes(named)
    if isinstance(value, list | tuple):
        return [quote for one in value for quote in ([one] if isinstance(one, str) else _quotes(one))]
    if isinstance(value, str):
        return [one or other for one, other in _QUOTED.findall(value)]
    return []


def _plain_text(text: str) -> str:
    """Write *text* so that how its blanks, quotation marks and letters are encoded makes no difference."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_MARKS).split()).casefold()


_MARKS = str.maketrans(dict.fromkeys("“”„«»", '"') | dict.fromkeys("‘’‚", "'") | {"\u00ad": None})


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    kinds = {str: "text", bool: "true or false", dict: "an object", list: "a list", int: "a number", float: "a number"}  # fmt: skip
    return kinds.get(type(value), type(value).__name__)
