"""Prices and rate limits, as rows with a date and a source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from qwennb.answer import Usage

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What one million tokens cost in `currency`, for inputs of up to `up_to` tokens (`None`: any).

    Where nothing is said of cached tokens they are charged as ordinary input, so an estimate errs upwards.
    `usd` is what one unit of the currency is worth.
    """

    input: float
    output: float
    currency: str
    checked: date
    source: str
    cache_read: float | None = None
    cache_write: float | None = None
    up_to: int | None = None
    since: date | None = None
    usd: float = 1.0

    def dollars(self, usage: Usage) -> float:
        """What this usage costs, in US dollars."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        sum_ = (
            plain * self.input + usage.cached * read + usage.cache_write * write + usage.output * self.output
        )
        return sum_ * self.usd / _MILLION

    def worst_dollars(self, input_tokens: int, output_tokens: int) -> float:
        """The most that a request of this size can cost: every token of input written to a cache."""
        dearest = max(self.input, self.cache_write or 0.0)
        return (input_tokens * dearest + output_tokens * self.output) * self.usd / _MILLION


@dataclass(frozen=True, slots=True)
class RateQuota:
    """Requests and tokens (in and out together) that an account may use in a minute, for one model."""

    rpm: int
    tpm: int
    checked: date
    source: str
