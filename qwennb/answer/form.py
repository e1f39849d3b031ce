"""Whether a text has the form that was asked for, and the value in it."""

from __future__ import annotations

from typing import Any

from qwennb.answer.chunk import Draft
from qwennb.request import Request, parse_json


def read_form(request: Request, text: str) -> Any:
    """The value in *text* when *request* asked for a form, else None. ValueError says, for the model, what does not fit."""
    if request.schema is not None:
        return request.schema.read(text)
    if request.choices is not None:
        return _choice(request.choices, text)
    return None


def read_draft(request: Request, draft: Draft) -> Any:
    """The value in *draft*, as `read_form`. One that was cut has none, however whole it looks: "yes" may begin "yes and no"."""
    if draft.tool_calls or (request.schema is None and request.choices is None):
        return None
    if draft.finish_reason == "length":
        raise ValueError("it was cut before its end")
    return read_form(request, draft.text)


def _choice(choices: tuple[str, ...], text: str) -> str:
    said = _in_json(text.strip())
    # From exact to generous: "C" and "C." may both be choices, and then a full stop is not decoration.
    for read in (str, str.casefold, _bare):
        meant = [choice for choice in choices if read(choice) == read(said)]
        if len(meant) == 1 and read(said):
            return meant[0]
    raise ValueError(f"the answer must be exactly one of: {'; '.join(choices)}")


def _in_json(said: str) -> str:
    """The choice in a JSON object or string, where that is what was said."""
    if said.startswith(("{", "```", '"')):
        try:
            value = parse_json(said)
        except ValueError:
            return said
        value = value.get("answer") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value.strip()
    return said


def _bare(words: str) -> str:
    return words.strip("\"'`*. \n").casefold()
