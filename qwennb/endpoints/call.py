"""One call to an endpoint, and what can carry it.

A `Call` is what goes over the wire, ready made by a dialect. A `Transport` carries it and gives back each JSON
payload as it arrives: one for a whole reply, many for a stream. It raises only our own errors.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from qwennb.config import Secret
from qwennb.errors import EndpointError

ErrorReader = Callable[[int, Mapping[str, str], bytes], EndpointError]
"""Tells what a refusal means: its status, its headers (names in lower case) and its body."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it goes over the wire. The key is a `Secret` until the header is written."""

    base_url: str
    body: Mapping[str, Any]
    read_error: ErrorReader
    endpoint: str
    path: str = "/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict)
    key: Secret | None = None

    @property
    def url(self) -> str:
        """The whole address."""
        return self.base_url.rstrip("/") + self.path


@dataclass(frozen=True, slots=True)
class Payload:
    """One JSON object of a reply. `last` marks the end that the server itself declared."""

    data: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    last: bool = False


class Transport(Protocol):
    """What carries calls."""

    def send(self, call: Call) -> AsyncGenerator[Payload, None]:
        """The payloads of the reply to *call*, as they arrive."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
