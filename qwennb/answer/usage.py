"""What an answer used and what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

CostSource = Literal["server", "table", "local"]


class Cost(float):
    """US dollars, as a number that knows where it comes from.

    An unknown price is None, never a `Cost` of zero.

    Attributes
    ----------
    source : {"server", "table", "local"}
        Whether the endpoint said so, our dated prices say so (an estimate), or it is free because it was asked on this machine.
    estimated : bool
        True where it comes from our table.

    Examples
    --------
    >>> cost = qwen.ask("What is the capital of France?").cost
    >>> cost.source, cost.estimated
    ('server', False)
    >>> print(cost + 1)
    1.0000...
    """

    __slots__ = ("source",)
    source: CostSource

    def __new__(cls, dollars: float, source: CostSource) -> Self:
        """A number can only be given its value here."""
        cost = super().__new__(cls, dollars)
        cost.source = source
        return cost

    def __getnewargs__(self) -> tuple[float, CostSource]:  # type: ignore[override]
        return (float(self), self.source)

    @property
    def estimated(self) -> bool:
        """True when the figure comes from our table and not from the endpoint."""
        return self.source == "table"

    def __str__(self) -> str:
        return money(self, estimated=self.estimated)

    def __repr__(self) -> str:
        return f"Cost({float(self)!r}, {self.source!r})"


def money(dollars: float | None, *, estimated: bool = False) -> str:
    """Write a sum as people read it: `$0.0012`, `≈ $1.40`, `price unknown`."""
    if dollars is None:
        return "price unknown"
    figure = (
        f"${dollars:.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.6f}".rstrip("0").ljust(5, "0")
    )
    if dollars and figure == "$0.00":
        figure = "under $0.000001"
    return f"≈ {figure}" if estimated else figure


def spell_tokens(read: int, written: int, thought: int = 0, *, estimated: bool = False) -> str:
    """Write how many tokens were *read* and *written*, and how many of those *thought*: `76 in, 165 out (77 thought)`."""
    share = f" ({thought:,} thought)" if thought else ""
    return f"{'≈ ' if estimated else ''}{read:,} in, {written:,} out{share}"


def sum_costs(costs: Iterable[Cost | None]) -> Cost | None:
    """Add *costs*: None where one is unknown, an estimate where one that is not zero is an estimate."""
    known = list(costs)
    if any(cost is None for cost in known):
        return None
    estimated = any(cost.estimated for cost in known if cost)
    return Cost(sum(cost or 0.0 for cost in known), "table" if estimated else "server")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the endpoint counted them.

    Attributes
    ----------
    input, output, total : int
        What was sent, what was answered, and both together.
    reasoning : int
        The share of `output` that was thought.
    cached, cache_write, image, video : int
        Shares of `input`: what the endpoint had remembered, what it has remembered now, pictures, video.
    estimated : bool
        True where the counts are ours, because the endpoint gave none.

    Examples
    --------
    >>> usage = qwen.ask("What is in the chart?", images=["chart.png"]).usage
    >>> usage.input > 100, usage.estimated
    (True, False)
    >>> usage.total == usage.input + usage.output
    True
    >>> (usage + usage).input == 2 * usage.input
    True
    """

    input: int = 0
    output: int = 0
    reasoning: int = 0
    cached: int = 0
    cache_write: int = 0
    image: int = 0
    video: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        numbers = {name: getattr(self, name) + getattr(other, name) for name in _NAMES[:-1]}
        return Usage(**numbers, estimated=self.estimated or other.estimated)

    def to_json(self) -> dict[str, Any]:
        """Write the counts that are not zero."""
        made = {}
        for name in _NAMES:
            if value := getattr(self, name):
                made[name] = value
        return made

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Usage:
        """Read the usage that `to_json` wrote."""
        return cls(**data)


_NAMES = tuple(field.name for field in fields(Usage))
