"""A record: the name it is filed under, the whole request and the answer in it, and the seal on it.

The name is the request's key with the identity of the endpoint that answered. On the way into a store each value is
sealed with a checksum over its name and itself, so that neither a flipped bit nor a row moved under another name can
pass for an answer. On the way out the seal is checked on every read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, Literal, NamedTuple, Self

import msgspec
import orjson
from msgspec import Meta

from qwennb.answer import Answer, Logprob, WebSource, read_form, with_quotes
from qwennb.errors import ValidatorFailed
from qwennb.request import Request

KEY_LENGTH = 64  # hex characters of a sha256
SEAL_LENGTH = 16  # bytes: the seal is against damage, and 2**-128 is never
HEX = frozenset("0123456789abcdef")
LONGEST_ENDPOINT = 500  # characters of an identity


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


class BriefAnswer(msgspec.Struct, gc=False):
    """What a column wants of a recorded answer. There may be a million: nothing else of the record is made."""

    text: str
    endpoint: str
    attempts: int
    finish_reason: str
    usage: _Tokens
    cost: tuple[float, str] | None = None
    choice_logprobs: tuple[float, ...] | None = None


class DetailedAnswer(BriefAnswer, gc=False):
    """The same with what the answer came with, for a column that asked for it."""

    reasoning: str = ""
    logprobs: Any = None
    sources: Any = ()

    def __post_init__(self) -> None:
        if self.logprobs is not None:
            self.logprobs = tuple(map(Logprob.from_json, self.logprobs))
        self.sources = tuple(WebSource(*source) for source in self.sources)


class _BriefRecord(msgspec.Struct, gc=False):
    answer: BriefAnswer


class _DetailedRecord(msgspec.Struct, gc=False):
    answer: DetailedAnswer


_BRIEF = msgspec.json.Decoder(_BriefRecord)
_DETAILED = msgspec.json.Decoder(_DetailedRecord)


class _AnswerForm(msgspec.Struct, forbid_unknown_fields=True):
    """What the JSON of an answer may be made of."""

    text: str
    endpoint: Annotated[str, Meta(min_length=1, max_length=LONGEST_ENDPOINT)]
    served_by: str
    finish_reason: str
    attempts: Annotated[int, Meta(ge=1)]
    created: Annotated[datetime, Meta(tz=True)]
    usage: dict[str, int | bool]
    cost: tuple[Annotated[float, Meta(ge=0)], Literal["server", "table", "local"]] | None = None
    reasoning: str = ""
    reasoning_blocks: list[Any] | dict[str, Any] = []
    tool_calls: list[dict[str, str]] = []
    tool_results: list[str] = []
    consents: list[bool | None] = []
    logprobs: list[tuple[str, float, list[Any]]] = []
    choice_logprobs: list[Annotated[float, Meta(le=0)]] = []
    sources: list[tuple[str, str]] = []
    defaults: dict[str, Any] = {}


def check_answer_form(data: Mapping[str, Any]) -> None:
    """Refuse JSON that is no answer's, with a ValueError that names the field."""
    try:
        form = msgspec.convert(data, _AnswerForm)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    counts = [count for name, count in form.usage.items() if name != "estimated"]
    is_sound = all(type(count) is int and count > 0 for count in counts)
    if not is_sound or form.usage.get("estimated", True) is not True:
        raise ValueError("its usage can't be")
    if form.consents and len(form.consents) != len(form.tool_results):
        raise ValueError("what was allowed can't be")


def record_of(answer: Answer) -> bytes:
    """Write down what is stored: the whole request and the answer."""
    # Names stay in the order in which they came: some endpoints want their reasoning blocks back unmodified.
    return orjson.dumps({"request": answer.request.canonical(), "answer": answer.to_json()})


def read_record(value: bytes) -> tuple[Request, Mapping[str, Any]]:
    """Read the request, and the answer's JSON, in a stored record."""
    data = orjson.loads(value)
    return Request.from_json(data["request"]), data["answer"]


def read_brief(value: bytes, *, detailed: bool = False) -> BriefAnswer:
    """Read what a column wants of the answer in a stored record, or a DetailedAnswer; ValueError where it can't be read."""
    try:
        return (_DETAILED if detailed else _BRIEF).decode(value).answer
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
    if data is not None:
        answer = replace(answer, data=data)
    return with_quotes(answer) if request.is_cited else answer
