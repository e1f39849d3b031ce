"""The pieces in which an answer arrives, and the draft that they make.

Every endpoint's reply, streamed or whole, is read into `Chunk`s by its dialect; `Fold` adds them up. What comes out is
a `Draft`: an answer not yet validated, priced or named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qwennb.answer.usage import Usage
from qwennb.request import ToolCall


@dataclass(frozen=True, slots=True)
class Logprob:
    """One token of the answer with its log probability, and the likeliest others."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> list[Any]:
        """Write a short list: token, log probability, others."""
        return [self.token, self.logprob, [list(pair) for pair in self.top]]

    @classmethod
    def from_json(cls, data: list[Any]) -> Logprob:
        """Read the value that `to_json` wrote."""
        return cls(data[0], data[1], tuple((token, logprob) for token, logprob in data[2]))


@dataclass(frozen=True, slots=True)
class WebSource:
    """A page that a searching model names. Shown, never fetched."""

    title: str
    url: str

    def to_json(self) -> list[str]:
        """Title and address."""
        return [self.title, self.url]


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call: its place among the calls and what is new of it."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of an answer. What is empty is simply not in this piece."""

    text: str = ""
    reasoning: str = ""
    reasoning_blocks: tuple[dict[str, Any], ...] = ()
    tool_calls: tuple[CallPiece, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    sources: tuple[WebSource, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    served_by: str | None = None
    id: str | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer as it came, before anyone has looked whether it is what was asked for."""

    text: str = ""
    reasoning: str = ""
    reasoning_blocks: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Logprob, ...] | None = None
    sources: tuple[WebSource, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    served_by: str | None = None
    id: str | None = None
