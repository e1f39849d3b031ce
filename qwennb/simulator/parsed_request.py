"""A question as the server understood it: what scripts and faults are given, and what answers are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any, Literal

from .models import SimModel
from .tokens import Counts

__all__ = ["Asked", "Constraint", "text_of"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the answer's text must fit."""

    kind: Literal["schema", "json", "regex", "grammar", "choice"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `body` holds only the fields that the server reads, `sent` all that came.

    `index` counts questions from 0 (refused ones too). `key` is the sha256 of the content, and of which draw it is where
    that is said (`sample`); `seed` the simulator's.
    """

    index: int
    dialect: str
    model: SimModel
    body: dict[str, Any]
    sent: dict[str, Any]
    headers: Mapping[str, str]
    key: str
    seed: int
    thinking: bool
    counts: Counts
    messages: list[dict[str, Any]]
    constraint: Constraint | None = None
    budget: int | None = None

    @property
    def sample(self) -> int:
        """Which draw this is, from 0. A real server draws by chance; this one is told, in a header."""
        said = self.headers.get("x-sample", "")
        return int(said) if said.isdecimal() else 0

    @property
    def stream(self) -> bool:
        """Asked for as a stream."""
        return self.body.get("stream") is True

    @property
    def text(self) -> str:
        """The text of the last user message."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message)
        return ""

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The functions that may be called."""
        tools = self.body.get("tools")
        found = (
            [tool.get("function") for tool in tools if isinstance(tool, dict)]
            if isinstance(tools, list)
            else []
        )
        return [tool for tool in found if isinstance(tool, dict)]

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Every part of every message."""
        return [
            part
            for message in self.messages
            if isinstance(content := message.get("content"), list)
            for part in content
            if isinstance(part, dict)
        ]

    def random(self, purpose: str = "", draw: int = 0) -> Random:
        """Random numbers that depend on the seed, the content and the purpose alone."""
        digest = blake2b(f"{self.seed}/{self.key}/{purpose}/{draw}".encode(), digest_size=8).digest()
        return Random(int.from_bytes(digest, "big"))


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, its parts joined by newlines."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
    )
