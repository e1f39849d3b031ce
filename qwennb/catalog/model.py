"""The nouns of the catalogue: a model, an endpoint that may serve it, its price there and its rate limit; the last two with a date and a source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from qwennb.answer import Usage

_MILLION = 1_000_000

# What packagers add to a model's name when they shrink or convert its weights. A word that is not here (as in
# `Qwen3.5-27B-heretic-8bit`) makes it another model.
_PACKING = (
    r"mlx|gguf|awq|gptq|ud|dwq|unsloth|instruct|latest|[bf]f?\d{1,2}|fp\d{1,2}|int\d|w\d+a\d+|\d+bit|nvfp4|mxfp\d"
    r"|i?q\d(?:_[0-9a-z]+)*"
)
_TAIL = re.compile(rf"(?:[-_.](?:{_PACKING}))+$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def plain_name(reported: str) -> str:
    """The bare name inside what a server reports: no owner, no file ending, no quantisation.

    `unsloth/Qwen3.5-9B-GGUF`, `Qwen3.5-9B-Q4_K_M.gguf` and `qwen3.5:9b-q8_0` all name `qwen3.5-9b`.
    """
    last = reported.strip().lower().replace("\\", "/").rsplit("/", 1)[-1].replace(":", "-")
    last = _SHARD.sub("", last.removesuffix(".gguf"))
    return _TAIL.sub("", last)


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the catalogue. `None` means that no source says.

    `ids` holds each endpoint's own ids, the first being the one to send. `hub` is where its open weights
    lie, `None` where they are not open. `max_input` depends on whether the model may think.
    """

    name: str
    aliases: tuple[str, ...]
    context: int
    modalities: frozenset[str]
    thinks: bool
    released: date
    max_thinking: int
    max_output: int | None = None
    hub: str | None = None
    max_input_thinking: int | None = None
    max_input_direct: int | None = None
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stands_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def open_weights(self) -> bool:
        """True when anybody can run it."""
        return self.hub is not None

    def max_input(self, *, thinking: bool) -> int:
        """The longest input in tokens."""
        return (self.max_input_thinking if thinking else self.max_input_direct) or self.context

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that unmistakably means this model."""
        hub = (self.hub,) if self.hub else ()
        return (self.name, *self.aliases, *hub, *(i for ids in self.ids.values() for i in ids))


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint: its name, the kind of server, and what is known of it as a whole."""

    name: str
    kind: str
    hosted: bool = False
    default_model: str | None = None
    batch_share: float | None = None
    batch_max_input: int | None = None

    @property
    def free(self) -> bool:
        """True for a server of one's own. Of an unknown base URL nobody can say."""
        return not self.hosted and self.kind != "openai"


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
