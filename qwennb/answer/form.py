"""Whether a text has the form that was asked for, and the value in it."""

from __future__ import annotations

from typing import Any

from qwennb.request import Request, parse_json


def read_form(request: Request, text: str) -> Any:
    """The value in *text* when *request* asked for a form, else None. ValueError says, for the model, what does not fit."""
    if request.schema is not None:
        return request.schema.read(text)
    if request.choices is not None:
        return _choice(request.choices, text)
    return None


def _choice(choices: tuple[str, ...], text: str) -> str:
    said = text.strip()
    if said.startswith(("{", "```")):
        try:
            value = parse_json(said)
        except ValueError:
            value = None
        if isinstance(value, dict) and isinstance(value.get("answer"), str):
            said = value["answer"].strip()
    bare = said.strip("\"'`*. \n").casefold()
    for choice in choices:
        if bare == choice.casefold() or said == choice:
            return choice
    raise ValueError(f"the answer must be exactly one of: {'; '.join(choices)}")
