"""A record: the name it is filed under, the whole request and the answer in it, and the seal on it.

The name is the request's key with the identity of the endpoint that answered. On the way into a store each value is
sealed with a checksum over its name and itself, so that neither a flipped bit nor a row moved under another name can
pass for an answer. On the way out the seal is checked on every read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple, Self

import msgspec
import orjson

from qwennb.answer import Answer, Logprob, WebSource, read_form
from qwennb.errors import ValidatorFailed
from qwennb.request import Request

KEY_LENGTH = 64  # hex characters of a sha256
SEAL_LENGTH = 16  # bytes: the seal is against damage, and 2**-128 is never
HEX = frozenset("0123456789abcdef")


class Name(NamedTuple):
    """What an answer is filed under: a request's key and the endpoint that answered it. There may be a million."""

    key: str
    """64 hex characters of the request's sha256."""
    endpoint: str
    """The endpoint's identity: "openrouter", "vllm:Qwen/Qwen3.5-9B", "local:<sha256>"."""

    @property
    def text(self) -> str:
        """The name as one string. All endpoints of one key stand side by side when sorted."""
        return f"{self.key}@{self.endpoint}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the name that *text* spells; None where it is none of ours."""
        key, at, endpoint = text[:KEY_LENGTH], text[KEY_LENGTH : KEY_LENGTH + 1], text[KEY_LENGTH + 1 :]
        if at != "@" or not endpoint or not HEX.issuperset(key):
            return None
        return cls(key, endpoint)


def seal(text: str, value: bytes) -> bytes:
    """Put the checksum of its name and itself in front of *value*."""
    return blake2b(b"%b\0%b" % (text.encode(), value), digest_size=SEAL_LENGTH).digest() + value


def unseal(text: str, sealed: object) -> bytes | None:
    """Take the seal off; None where the seal does not fit (or there are no bytes at all)."""
    if type(sealed) is not bytes:
        return None
    value = sealed[SEAL_LENGTH:]
    fits = (
        blake2b(b"%b\0%b" % (text.encode(), value), digest_size=SEAL_LENGTH).digest() == sealed[:SEAL_LENGTH]
    )
    return value if fits else None


# ---------------------------------------------------------------------- what is in a record


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
    """Write down what is stored: the whole request and the answer."""
    # Names stay in the order in which they came: some endpoints want their reasoning blocks back unmodified.
    return orjson.dumps({"request": answer.request.canonical(), "answer": answer.to_json()})


def read_record(value: bytes) -> tuple[Request, Mapping[str, Any]]:
    """Read the request, and the answer's JSON, in a stored record."""
    data = orjson.loads(value)
    return Request.from_json(data["request"]), data["answer"]


def read_short(value: bytes) -> Short:
    """Read what a column wants of the answer in a stored record; ValueError where it can't be read."""
    try:
        return _SHORT.decode(value).answer
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def read_short_beside(value: bytes) -> ShortBeside:
    """Read the same with what came beside the answer."""
    try:
        return _SHORT_BESIDE.decode(value).answer
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def read_answer(value: bytes, request: Request) -> Answer | ValueError | ValidatorFailed:
    """Read the recorded answer to *request*, validated again; the error where it does not fit it (any more)."""
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
