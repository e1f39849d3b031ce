"""What came of one question of a column: a value or an error, and what there is to say about it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import polars as pl

from qwennb.answer import Logprob, Quote, WebSource
from qwennb.errors import QwenError
from qwennb.request import CitedSchema


class Details(NamedTuple):
    """What an answer came with, because it was asked for."""

    reasoning: str = ""
    logprobs: Sequence[Logprob] | None = None
    sources: Sequence[WebSource] = ()
    confidence: float | None = None


class Votes(NamedTuple):
    """How the draws of a row went: how far they agree, how many came, whether it was a tie, and those that failed."""

    agreement: float | None
    draws: int
    tie: bool
    lost: Sequence[Outcome]


class Outcome(NamedTuple):
    """One question's value or error. A tuple, because there may be a million of them."""

    key: str
    value: Any = None
    error: QwenError | None = None
    model: str = ""
    endpoint: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    attempts: int = 0
    finish_reason: str = ""
    cached: bool = False
    details: Details | None = None
    votes: Votes | None = None
    quotes: Sequence[Quote] = ()

    @classmethod
    def from_error(cls, key: str, error: QwenError, model: str = "", endpoint: str = "") -> Outcome:
        """What came of a question that failed with *error*, at the cost that the error tells."""
        return cls(key, None, error, model, endpoint, *error.tokens, error.cost, error.attempts)

    @property
    def is_cut(self) -> bool:
        """True for a text that ends at the column's own `max_tokens`."""
        return self.finish_reason == "length" and self.error is None


_META: dict[str, pl.DataType] = {
    "key": pl.String(),
    "error": pl.String(),
    "model": pl.String(),
    "endpoint": pl.String(),
    "input_tokens": pl.Int64(),
    "output_tokens": pl.Int64(),
    "cost": pl.Float64(),
    "attempts": pl.Int64(),
    "finish_reason": pl.String(),
}
_TOKEN = {"token": pl.String(), "logprob": pl.Float64()}
_DETAILS: dict[str, pl.DataType] = {
    "reasoning": pl.String(),
    "logprobs": pl.List(pl.Struct({**_TOKEN, "top": pl.List(pl.Struct(_TOKEN))})),
    "confidence": pl.Float64(),
    "sources": pl.List(pl.Struct({"title": pl.String(), "url": pl.String()})),
}


_VOTES: dict[str, pl.DataType] = {"agreement": pl.Float64(), "draws": pl.Int64(), "tie": pl.Boolean()}


def meta_type(details: Sequence[str], *, of_the_run: bool, of_draws: bool = False) -> pl.Struct:
    """The type of a meta column that tells the *details* that were asked for."""
    run: dict[str, pl.DataType] = {"cached": pl.Boolean()} if of_the_run else {}
    votes = _VOTES if of_draws else {}
    return pl.Struct({**_META, **{name: _DETAILS[name] for name in details}, **votes, **run})


def count_votes(draws: Sequence[Outcome | None], dtype: pl.DataType, span: float | None) -> Outcome | None:
    """What the *draws* of one row come to; None where they were not all asked.

    Of labels the majority, of several labels those that most draws have, of numbers the median. How far the draws agree is
    the share of those that gave that; of numbers, how near they lie to it, where *span* is the whole range.
    """
    asked = [draw for draw in draws if draw is not None]
    if len(asked) < len(draws):
        return None
    came = [draw for draw in asked if draw.error is None]
    value, tie, agreement = (
        _decide([draw.value for draw in came], dtype, span) if came else (None, False, None)
    )
    first = next((draw for draw in came if draw.value == value), (came or asked)[0])
    costs = [draw.cost for draw in asked]
    return first._replace(
        key=asked[0].key,
        value=value,
        input_tokens=sum(draw.input_tokens for draw in asked),
        output_tokens=sum(draw.output_tokens for draw in asked),
        cost=None if None in costs else sum(cost or 0.0 for cost in costs),
        attempts=sum(draw.attempts for draw in asked),
        cached=all(draw.cached for draw in asked),
        votes=Votes(agreement, len(came), tie, [draw for draw in asked if draw.error is not None]),
    )


def _decide(values: list[Any], dtype: pl.DataType, span: float | None) -> tuple[Any, bool, float]:
    """The value that *values* come to, whether it was a tie, and how far they agree."""
    count = len(values)
    if dtype.is_numeric():
        value = statistics.median_low(values) if dtype.is_integer() else statistics.median(values)
        off = sum(abs(one - value) for one in values) / count
        return value, False, max(0.0, 1 - off / (span or 1.0))
    if isinstance(dtype, pl.List):
        votes = Counter(label for labels in values for label in labels)
        order = _labels_of(dtype.inner, votes)
        value = [label for label in order if 2 * votes[label] > count]
        same = sum(sorted(labels) == sorted(value) for labels in values)
        return value, any(2 * votes[label] == count for label in votes), same / count
    votes = Counter(values)
    most = max(votes.values())
    first, *others = [label for label in _labels_of(dtype, votes) if votes[label] == most]
    return first, bool(others), most / count


def _labels_of(dtype: Any, votes: Iterable[Any]) -> list[Any]:
    return dtype.categories.to_list() if isinstance(dtype, pl.Enum) else list(votes)


def confidence_of(logprobs: Sequence[Logprob], label: str | None) -> float | None:
    """How sure the model was, from 0 to 1: the probability of the *label*'s tokens together, or of a token on average."""
    if not logprobs:
        return None
    said = "".join(one.token for one in logprobs)
    start = -1 if label is None else said.casefold().rfind(label.casefold())
    if label is None or start < 0:
        return math.exp(min(0.0, sum(one.logprob for one in logprobs) / len(logprobs)))
    end, spot, meant = start + len(label), 0, list[float]()
    for one in logprobs:  # a label may stand in JSON, whose own tokens say nothing of it
        if spot < end and spot + len(one.token) > start:
            meant.append(one.logprob)
        spot += len(one.token)
    return math.exp(min(0.0, sum(meant)))


_QUOTE: dict[str, pl.DataType] = {
    "quote": pl.String(),
    "file": pl.String(),
    "page": pl.Int64(),
    "line": pl.Int64(),
    "found": pl.Boolean(),
}


def quotes_type(form: CitedSchema) -> pl.DataType:
    """The type of a column of quotes: a struct for each field of the *form*, or a list of them, each with its claim."""
    if form.has_fields:
        return pl.Struct(dict.fromkeys(form.fields, pl.Struct(_QUOTE)))
    return pl.List(pl.Struct({"claim": pl.String(), **_QUOTE}))


def quotes_series(outcomes: Sequence[Outcome], dtype: pl.DataType) -> pl.Series:
    """The quotes of each outcome. A field that is null, and a row that failed, has none."""
    if isinstance(dtype, pl.List):
        values: list[Any] = [
            [{"claim": quote.claim, **_quote(quote)} for quote in outcome.quotes]
            if outcome.value is not None
            else None
            for outcome in outcomes
        ]
    else:
        values = [
            {quote.claim: _quote(quote) for quote in outcome.quotes} if outcome.value is not None else None
            for outcome in outcomes
        ]
    return pl.Series("quotes", values, dtype=dtype)


def _quote(quote: Quote) -> dict[str, Any]:
    return {name: getattr(quote, name) for name in _QUOTE} | {"quote": quote.quote or None}


def error_text(error: QwenError | None) -> str | None:
    """An error as a cell shows it."""
    return None if error is None else f"{type(error).__name__}: {error}"


def meta_series(outcomes: list[Outcome], dtype: pl.Struct) -> pl.Series:
    """What there is to say about each outcome, as a column of structs."""
    columns: dict[str, pl.Series] = {}
    for field in dtype.fields:
        if field.name == "error":
            values: list[Any] = [error_text(outcome.error) for outcome in outcomes]
        elif field.name in _VOTES:
            values = [outcome.votes and getattr(outcome.votes, field.name) for outcome in outcomes]
        elif field.name in _DETAILS:
            values = [outcome.details and _PLAIN[field.name](outcome.details) for outcome in outcomes]
        else:
            place = Outcome._fields.index(field.name)
            values = [outcome[place] for outcome in outcomes]
        columns[field.name] = pl.Series(field.name, values, dtype=field.dtype)
    return pl.DataFrame(columns).to_struct("meta")


def _tokens(details: Details) -> list[dict[str, Any]] | None:
    if details.logprobs is None:
        return None
    return [
        {**_token(one.token, one.logprob), "top": [_token(*other) for other in one.top]}
        for one in details.logprobs
    ]


def _token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob}


_PLAIN: dict[str, Callable[[Details], Any]] = {
    "reasoning": lambda details: details.reasoning or None,
    "logprobs": _tokens,
    "confidence": lambda details: details.confidence,
    "sources": lambda details: [{"title": one.title, "url": one.url} for one in details.sources],
}
