"""What a refusal means: from a status and a body in any server's shape to one error of ours.

The shapes differ (nested, flat, `detail`, a bare string; two of them on one host), the codes come in PascalCase and
snake_case, and money is refused as 429. So everything that may name the cause is collected and normalised, and a
table of rows, read from the top, says what it is. Messages are matched by a part, never whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from qwennb.endpoints.reading import mapping, number
from qwennb.errors import (
    ContentFiltered,
    CreditExhausted,
    EndpointError,
    KeyRefused,
    ModelRefused,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TimedOut,
)
from qwennb.text import shorten

_KEYLIKE = re.compile(r"\b(sk-|Bearer +|key *[:=] *[\"']?)[\w*.\-…]{6,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What a refusal says of itself. `codes` are without capitals and punctuation, `code` is as it was written."""

    status: int
    message: str = ""
    codes: tuple[str, ...] = ()
    retry_after: float | None = None
    instead: tuple[str, ...] = ()
    code: str = ""

    def names(self, *codes: str) -> bool:
        """True when one of its codes is among *codes* (both without capitals and punctuation)."""
        return any(code in self.codes for code in codes)

    def mentions(self, *words: str) -> bool:
        """True when its message has one of *words* in it."""
        message = self.message.lower()
        return any(word in message for word in words)


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row: when it holds, what it is, and what to do next."""

    when: Callable[[ErrorBody], bool]
    kind: type[EndpointError]
    next: str = ""
    transient: bool | None = None


_MONEY = (
    "commoditynotpurchased",
    "prepaidbilloverdue",
    "postpaidbilloverdue",
    "budgetlimitexceeded",
    "arrearage",
    "freetieronly",
    "allocationquotafreetieronly",
)

IN_PIECES = 'Qwen().ask("… {{ doc }}", doc=text, overflow="map")'

MEANINGS: tuple[ErrorRule, ...] = (
    # Money, in all its disguises, before anything that a status alone would call a matter of rate.
    ErrorRule(
        lambda s: s.names(*_MONEY),
        CreditExhausted,
        "Settle it in the account's console; waiting will not help.",
    ),
    ErrorRule(
        lambda s: s.mentions("free allocated quota exceeded"),
        CreditExhausted,
        "The free quota is spent: switch on paid use in the console.",
    ),
    ErrorRule(
        lambda s: (
            s.status == 402
            or s.names("paymentrequired")
            or (s.names("insufficientquota") and not s.mentions("allocated", "current quota"))
        ),
        CreditExhausted,
        "Add credit to the account, or choose another endpoint=.",
    ),
    ErrorRule(
        lambda s: (
            s.names("datainspectionfailed", "contentpolicyviolation", "contentfilter", "refusal")
            or (s.status == 403 and (s.names("moderation") or s.mentions("flagged", "moderation")))
        ),
        ContentFiltered,
        "Rephrase it; asking again the same way meets the same filter.",
    ),
    ErrorRule(
        lambda s: s.status == 401 or s.names("invalidapikey", "authentication"),
        KeyRefused,
        "Check the key; `qwennb doctor` tells where it is good.",
    ),
    ErrorRule(
        lambda s: (
            s.names("contextlengthexceeded", "exceedcontextsizeerror")
            or s.mentions(
                "range of input length",
                "maximum context length",
                "longer than the model's context",
                "exceeds the available context",
            )
        ),
        RequestRefused,
        f"Shorten the input, or ask in pieces: {IN_PIECES}.",
    ),
    ErrorRule(
        lambda s: s.mentions("product is not activated"),
        ModelRefused,
        "Activate the model in the console, or choose another model=.",
    ),
    ErrorRule(
        lambda s: (
            s.status == 404
            or s.names("modelnotfound", "notfound", "noendpoints", "modelnotsupported")
            or s.mentions("model not exist")
        ),
        ModelRefused,
        "`qwennb models` lists what is served where; the id, the region and the permission look alike here.",
    ),
    ErrorRule(
        lambda s: s.status == 403,
        KeyRefused,
        "The key lacks a permission, or the region is closed to it; see `qwennb doctor`.",
    ),
    ErrorRule(lambda s: s.status == 429, RateLimited),
    ErrorRule(lambda s: s.status in (408, 504), TimedOut),
    ErrorRule(lambda s: s.status in (501, 505), ServerFailed, transient=False),
    ErrorRule(lambda s: s.names("internalerroralgoinvalidparameter"), RequestRefused),
    ErrorRule(lambda s: s.status >= 500, ServerFailed),
    ErrorRule(lambda s: s.status == 409, ServerFailed, transient=True),
    ErrorRule(
        lambda s: s.status == 413,
        RequestRefused,
        "The request is too large for this endpoint: send fewer or smaller pictures.",
    ),
    ErrorRule(lambda s: 400 <= s.status < 500, RequestRefused),
    # Inside a 200: what the code says, else a failure of the server.
    ErrorRule(lambda s: s.names("ratelimitexceeded", "throttling", "limitrequests", "429"), RateLimited),
    ErrorRule(
        lambda s: s.names("invalidrequesterror", "badrequesterror", "invalidparameter", "400"), RequestRefused
    ),
    ErrorRule(lambda s: True, ServerFailed),
)


def classify_error(said: ErrorBody, endpoint: str, *, mid_answer: bool = False) -> EndpointError:
    """The error that *said* stands for. *mid_answer*: it came after the answer had begun."""
    row = next(row for row in MEANINGS if row.when(said))
    where = "broke off its answer" if mid_answer else "refused" if said.status < 500 else "failed"
    code = " ".join(filter(None, [str(said.status) if said.status != 200 else "", said.code]))
    message = f": {_scrub(said.message)}" if said.message else ""
    sentence = f"{endpoint} {where}{f' ({code})' if code else ''}{message}".rstrip(".") + "."
    offered = f"It offers instead: {', '.join(said.instead)}." if said.instead else ""
    return row.kind(
        " ".join(filter(None, (sentence, row.next, offered))),
        status=said.status,
        code=said.code or None,
        retry_after=said.retry_after,
        maybe_billed=mid_answer or said.status in (408, 504),
        transient=row.transient,
    )


def parse_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ErrorBody:
    """What the reply with *status*, *headers* (names in lower case) and *body* says."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    said = parse_error_body(data, status)
    return replace(said, retry_after=retry_after(headers, now()) or said.retry_after)


def parse_error_body(data: Any, status: int = 200) -> ErrorBody:
    """What the parsed body *data* says, in any server's shape."""
    whole = mapping(data)
    error = whole.get("error") or data
    if isinstance(error, str):
        return ErrorBody(status, error, _codes(whole.get("code")))
    told = mapping(error)
    metadata, availability = mapping(told.get("metadata")), mapping(told.get("availability"))
    message = told.get("message") or told.get("detail") or whole.get("message") or ""
    if isinstance(message, list):  # FastAPI's list of what is wrong
        message = "; ".join(map(_complaint, message))
    named = [
        told.get("code"),
        availability.get("code"),
        metadata.get("error_type"),
        "moderation" if metadata.get("flagged_input") else None,
        told.get("error_type"),
        told.get("type"),
        whole.get("code"),
    ]
    for inner in (told.get("code"), told.get("http_status")) if status == 200 else ():
        if isinstance(inner, int) and 400 <= inner < 600:
            status = inner
    offered = availability.get("fallback_models")
    return ErrorBody(
        status,
        str(message),
        _codes(*named),
        number(availability.get("retry_after")) or None,
        tuple(name for name in offered if isinstance(name, str)) if isinstance(offered, list) else (),
        next((name for name in named if isinstance(name, str) and not name.isdigit()), ""),
    )


def _complaint(item: Any) -> str:
    """Say one thing that is wrong, with the field that it is about: `messages.0.content: Field required`."""
    said = mapping(item)
    endpoint = said.get("loc")
    steps = [str(step) for step in endpoint] if isinstance(endpoint, list) else []
    where = ".".join(steps[1:] if steps[:1] == ["body"] else steps)
    words = str(said.get("msg", item))
    return f"{where}: {words}" if where else words


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait, from milliseconds, seconds or a date; None for junk and for what has passed."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _from_now(milliseconds / 1000, now)
    value = headers.get("retry-after")
    if value is None:
        return None
    if (seconds := _number(value)) is not None:
        return _from_now(seconds, now)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    wait = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return wait if wait > 0 else None


def _from_now(seconds: float, now: datetime) -> float | None:
    """*seconds* to wait; where they are a moment of today, counted from 1970 as some servers do, those until then."""
    until = seconds - now.timestamp()
    if abs(until) > 86_400:
        return seconds
    return until if until > 0 else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 < number < float("inf") else None


def _codes(*given: Any) -> tuple[str, ...]:
    found = [
        re.sub(r"[\W_]+", "", str(code)).lower()
        for code in given
        if isinstance(code, str | int) and not isinstance(code, bool)
    ]
    return tuple(dict.fromkeys(code for code in found if code))


def _scrub(message: str) -> str:
    """*message* on one line, cut, and without anything that looks like a key: some servers repeat it, masked or not."""
    return shorten(_KEYLIKE.sub(r"\1…", " ".join(message.split())), 400)
