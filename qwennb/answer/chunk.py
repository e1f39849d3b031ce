"""The pieces in which an answer arrives, and how they are folded into one.

Every endpoint's reply, streamed or whole, is read into `Chunk`s by its dialect. `Fold` adds them up: text, reasoning
(from its own field, or out of a leading `<think>` block in the text), tool calls pieced together by index, usage, the
reason why it ended. What comes out is a `Draft`: an answer not yet validated, priced or named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from qwennb.answer.usage import Usage
from qwennb.request import ToolCall

_OPEN, _CLOSE = "<think>", "</think>"
# Servers without a reasoning parser leave the thought in the text, without its opening tag when the template wrote it.
_LOST_OPENING = re.compile(r"\A(.*?)(?:\A|\n)</think>(?:\n+|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Logprob:
    """One token of the answer with its log probability, and the likeliest others."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> list[Any]:
        """A short list: token, log probability, others."""
        return [self.token, self.logprob, [list(pair) for pair in self.top]]

    @classmethod
    def from_json(cls, data: list[Any]) -> Logprob:
        """The value that `to_json` wrote."""
        return cls(data[0], data[1], tuple((token, logprob) for token, logprob in data[2]))


@dataclass(frozen=True, slots=True)
class Source:
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
    sources: tuple[Source, ...] = ()
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
    sources: tuple[Source, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    served_by: str | None = None
    id: str | None = None


@dataclass(slots=True)
class Fold:
    """Adds chunks up. `add` gives back what is new to show; `draft` is what there is so far."""

    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _blocks: list[dict[str, Any]] = field(default_factory=list)
    _calls: dict[int, list[str]] = field(default_factory=dict)
    _logprobs: list[Logprob] = field(default_factory=list)
    _sources: dict[str, Source] = field(default_factory=dict)
    _tail: Draft = field(default_factory=Draft)
    _thinking: str | None = ""
    ended: bool = False

    def add(self, chunk: Chunk) -> Chunk:
        """Take *chunk* in; the chunk that comes back has a leading think block moved from text to reasoning."""
        if chunk.text:
            text, reasoning = self._without_thought(chunk.text)
            chunk = replace(chunk, text=text, reasoning=chunk.reasoning + reasoning)
        if chunk.text:
            self._text.append(chunk.text)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        self._blocks.extend(chunk.reasoning_blocks)
        for piece in chunk.tool_calls:
            call = self._calls.setdefault(piece.index, ["", "", ""])
            call[0] = call[0] or piece.id
            call[1] = call[1] or piece.name
            call[2] += piece.arguments
        self._logprobs.extend(chunk.logprobs)
        for source in chunk.sources:
            self._sources.setdefault(source.url, source)
        self.ended = self.ended or chunk.ended
        known = {
            name: value
            for name in ("finish_reason", "usage", "cost", "served_by", "id")
            if (value := getattr(chunk, name)) is not None
        }
        if known:
            self._tail = replace(self._tail, **known)
        return chunk

    def draft(self) -> Draft:
        """What has arrived, folded."""
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        if self._thinking and not reasoning:
            text += self._thinking  # a half-written opening tag that never became one
        if not reasoning and (lost := _LOST_OPENING.match(text)):
            reasoning, text = lost[1].strip("\n"), text[lost.end() :]
        return replace(
            self._tail,
            text=text,
            reasoning=reasoning,
            reasoning_blocks=orjson.dumps(_joined(self._blocks)).decode() if self._blocks else "",
            tool_calls=tuple(
                ToolCall(call_id or f"call_{index}", name, arguments)
                for index, (call_id, name, arguments) in sorted(self._calls.items())
            ),
            logprobs=tuple(self._logprobs) or None,
            sources=tuple(self._sources.values()),
        )

    def _without_thought(self, text: str) -> tuple[str, str]:
        """Split *text* at a leading think block. `_thinking` holds what can't be decided yet; None: decided, no more."""
        if self._thinking is None:
            return text, ""
        held = self._thinking + text
        start = held.lstrip()
        if not start.startswith(_OPEN):
            if _OPEN.startswith(start):
                self._thinking = held
                return "", ""
            self._thinking = None
            return held, ""
        end = start.find(_CLOSE)
        if end >= 0:
            self._thinking = None
            already = len("".join(self._reasoning))
            thought = start[len(_OPEN) : end]
            return start[end + len(_CLOSE) :].lstrip("\n"), thought[already:] if already else thought.lstrip(
                "\n"
            )
        # Inside the block: pass on the thought as it comes, but for what may be the beginning of the closing tag.
        safe = start[len(_OPEN) :]
        keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if safe.endswith(_CLOSE[:n])), 0)
        shown = safe[: len(safe) - keep]
        already = len("".join(self._reasoning))
        self._thinking = held
        return "", shown[already:]


def _joined(blocks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Streamed reasoning blocks with pieces of one index put together; whole ones stay as they are."""
    joined: list[dict[str, Any]] = []
    for block in blocks:
        last = joined[-1] if joined else None
        same = (
            last is not None
            and last.get("type") == block.get("type")
            and last.get("index") == block.get("index")
        )
        if (
            last is None
            or not same
            or block.get("index") is None
            or block.get("type") == "reasoning.encrypted"
        ):
            joined.append(dict(block))
            continue
        for name, value in block.items():
            piecewise = (
                name in ("text", "summary") and isinstance(value, str) and isinstance(last.get(name), str)
            )
            last[name] = last[name] + value if piecewise else value if value is not None else last.get(name)
    return joined
