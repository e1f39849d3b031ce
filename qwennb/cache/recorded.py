"""An answer as it is written down: the whole request and the answer, as JSON, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from qwennb.answer import Answer, Logprob, WebSource, read_form
from qwennb.errors import ValidatorFailed
from qwennb.request import Request


class _Tokens(msgspec.Struct, gc=False):
    input: int = 0
    output: int = 0


class Short(msgspec.Struct, gc=False):
    """What a column wants of a recorded answer. There may be a million: nothing else of the record is made."""

    text: str
    endpoint: str
    attempts: int
    finish_reason: str
    usage: _Tokens
    cost: tuple[float, str] | None = None


class ShortBeside(Short, gc=False):
    """The same with what came beside the answer, for a column that asked for it."""

    reasoning: str = ""
    logprobs: Any = None
    sources: Any = ()

    def __post_init__(self) -> None:
        if self.logprobs is not None:
            self.logprobs = tuple(map(Logprob.from_json, self.logprobs))
        self.sources = tuple(WebSource(*source) for source in self.sources)


class _ShortRecord(msgspec.Struct, gc=False):
    answer: Short


class _RecordBeside(msgspec.Struct, gc=False):
    answer: ShortBeside


_SHORT = msgspec.json.Decoder(_ShortRecord)
_SHORT_BESIDE = msgspec.json.Decoder(_RecordBeside)


def record_of(answer: Answer) -> bytes:
    """What is stored: the whole request and the answer."""
    # Names stay in the order in which they came: some endpoints want their reasoning blocks back unmodified.
    return orjson.dumps({"request": answer.request.canonical(), "answer": answer.to_json()})


def read_record(value: bytes) -> tuple[Request, Mapping[str, Any]]:
    """The request and the answer's JSON in a stored record."""
    data = orjson.loads(value)
    return Request.from_json(data["request"]), data["answer"]


def read_short(value: bytes) -> Short:
    """What a column wants of the answer in a stored record; ValueError where it can't be read."""
    try:
        return _SHORT.decode(value).answer
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def read_short_beside(value: bytes) -> ShortBeside:
    """As `read_short`, with what came beside the answer."""
    try:
        return _SHORT_BESIDE.decode(value).answer
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def read_answer(value: bytes, request: Request) -> Answer | ValueError | ValidatorFailed:
    """The recorded answer to *request*, validated again; the error where it does not fit it (any more)."""
    try:
        answer = Answer.from_json(orjson.loads(value)["answer"], request)
        if answer.tool_calls:
            return answer
        data = read_form(request, answer.text)
    except ValidatorFailed as error:
        return error
    except (ValueError, KeyError, TypeError) as error:
        return error if isinstance(error, ValueError) else ValueError(f"the record can't be read ({error!r})")
    return answer if data is None else replace(answer, data=data)
