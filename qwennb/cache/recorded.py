"""An answer as it is written down: the whole request and the answer, as JSON, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from qwennb.answer import Answer, read_form
from qwennb.request import Request

__all__ = ["read_answer", "read_record", "record_of"]


def record_of(answer: Answer) -> bytes:
    """What is stored: the whole request and the answer."""
    # Names stay in the order in which they came: some endpoints want their reasoning blocks back unmodified.
    return orjson.dumps({"request": answer.request.canonical(), "answer": answer.to_json()})


def read_record(value: bytes) -> tuple[Request, Mapping[str, Any]]:
    """The request and the answer's JSON in a stored record."""
    data = orjson.loads(value)
    return Request.from_json(data["request"]), data["answer"]


def read_answer(value: bytes, request: Request) -> Answer | ValueError:
    """The recorded answer to *request*, validated again; the error where it does not fit it (any more)."""
    try:
        answer = Answer.from_json(orjson.loads(value)["answer"], request)
        if answer.tool_calls:
            return answer
        data = read_form(request, answer.text)
    except (ValueError, KeyError, TypeError) as error:
        return error if isinstance(error, ValueError) else ValueError(f"the record can't be read ({error!r})")
    return answer if data is None else replace(answer, data=data)
