"""An answer on its way out: a body, or the events of a stream with the pauses between them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .connection import Header

__all__ = ["DONE", "Delivery", "Event", "comment", "encode"]

DONE = b"data: [DONE]\n\n"
JSON_TYPE: Header = ("content-type", "application/json")
STREAM_TYPE: Header = ("content-type", "text/event-stream; charset=utf-8")


_WIRE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode(value: Any) -> bytes:
    """JSON as servers write it: UTF-8, no spaces."""
    return _WIRE.encode(value).encode("utf-8", "surrogatepass")


def comment(text: str) -> bytes:
    """A line that a reader of events must skip."""
    return f": {text}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Event:
    """One event: a JSON value (sent as `data:`) or raw bytes, after a wait, worth some tokens."""

    data: Any
    wait: float = 0.0
    tokens: int = 0

    @property
    def encode(self) -> bytes:
        """As it goes over the wire."""
        return self.data if isinstance(self.data, bytes) else b"data: " + encode(self.data) + b"\n\n"


@dataclass(slots=True)
class Delivery:
    """What is about to be sent. Exactly one of `body` and `events` is used."""

    headers: list[Header] = field(default_factory=list)
    body: Any = None
    events: list[Event] | None = None
    wait: float = 0.0

    @property
    def type(self) -> Header:
        """The content type that was asked for."""
        return JSON_TYPE if self.events is None else STREAM_TYPE

    @property
    def head(self) -> list[Header]:
        """All headers."""
        return [self.type, *self.headers]

    @property
    def pieces(self) -> Iterable[bytes]:
        """The bytes, in the pieces in which they leave."""
        return [encode(self.body)] if self.events is None else [event.encode for event in self.events]
