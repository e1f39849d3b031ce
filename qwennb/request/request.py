"""What is asked, as a frozen value.

A `Request` is a model, a conversation and the options that the user set. `canonical()` is all of it that takes part
in the key: an option left alone is absent, media stand by their hash, and nothing about where or how it is sent
(endpoint, API key, streaming, timeouts) is in it. `Request.from_json(request.canonical())` has the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson

from qwennb.errors import BadInput
from qwennb.request.canonical import key_of
from qwennb.request.cite import CitedSchema
from qwennb.request.media import Medium
from qwennb.request.recognise import media_from_json
from qwennb.request.schema import Schema
from qwennb.request.settings import Settings
from qwennb.request.tool import Tool, ToolCall
from qwennb.terminal import flatten
from qwennb.text import first_words

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Text, as it is sent."""

    text: str

    def to_json(self) -> dict[str, Any]:
        """Spell the part as the key does."""
        return {"type": "text", "text": self.text}


Part = Text | Medium


def merge_texts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Join neighbouring texts of *parts* and leave empty ones out."""
    made: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and made and isinstance(made[-1], Text):
            made[-1] = Text(made[-1].text + part.text)
        elif not isinstance(part, Text) or part.text:
            made.append(part)
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    An assistant's turn may carry tool calls and the reasoning that led to it: as text, and as the blocks that some
    endpoints want back unmodified. Where quotes are looked for, `values` are the texts that its template's names stood for, and
    `stands_for` is the message that was too long, of which this one has what its pieces gave. Neither is in a key: they are
    what the user gave, and the same request again is given the same.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str = ""
    reasoning_blocks: str = ""
    values: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    stands_for: Message | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        """All of its text together."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Text):
            return self.parts[0].text
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def media(self) -> tuple[Medium, ...]:
        """Its pictures, videos and documents."""
        return tuple(part for part in self.parts if not isinstance(part, Text))

    def to_json(self, *, reasoning: bool = True) -> dict[str, Any]:
        """Spell the message as the key does; without its *reasoning* where that takes no part."""
        made: dict[str, Any] = {"role": self.role}
        parts = merge_texts(self.parts)
        if len(parts) == 1 and isinstance(parts[0], Text):
            made["content"] = parts[0].text
        elif parts:
            made["content"] = [part.to_json() for part in parts]
        if self.tool_calls:
            made["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.tool_call_id is not None:
            made["tool_call_id"] = self.tool_call_id
        if self.reasoning and reasoning:
            made["reasoning"] = self.reasoning
        if self.reasoning_blocks and reasoning and (blocks := orjson.loads(self.reasoning_blocks)):
            made["reasoning_blocks"] = blocks
        return made

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Message:
        """Read the message that `to_json` wrote; its media have a hash and no bytes."""
        content = data.get("content", [])
        parts: Iterable[Part] = [Text(content)] if isinstance(content, str) else map(_part, content)
        blocks = data.get("reasoning_blocks")
        return cls(
            role=data["role"],
            parts=tuple(parts),
            tool_calls=tuple(map(ToolCall.from_json, data.get("tool_calls", ()))),
            tool_call_id=data.get("tool_call_id"),
            reasoning=data.get("reasoning", ""),
            reasoning_blocks=orjson.dumps(blocks).decode() if blocks else "",
        )


def _schema(data: Mapping[str, Any]) -> Schema:
    made = Schema.of(data["schema"])
    return CitedSchema(made.text, made.name) if data.get("cite") else made


def _part(data: Mapping[str, Any]) -> Part:
    return Text(data["text"]) if data["type"] == "text" else media_from_json(dict(data))


@dataclass(frozen=True)
class Request:
    """One question to one model."""

    model: str
    messages: tuple[Message, ...]
    settings: Settings = field(default_factory=Settings)
    schema: Schema | None = None
    choices: tuple[str, ...] | None = None
    tools: tuple[Tool, ...] = ()

    def __post_init__(self) -> None:
        if self.settings.search and self.is_cited:
            raise BadInput(
                "cite=True checks each quote against what is sent, and pages of the web are not. Leave out search=, or cite=; "
                "the pages that a search finds stand in answer.sources without it."
            )
        if self.schema is not None and self.choices is not None:
            raise BadInput("Both schema= and choices= are given; an answer has one form. Give one of them.")
        if self.choices is not None:
            _check_choices(self.choices)

    def canonical(self) -> dict[str, Any]:
        """Collect everything that takes part in the key."""
        messages: list[dict[str, Any]] = []
        answered = True
        for message in reversed(self.messages):
            # Reasoning before the last question is dropped: the model's own template drops it too.
            answered = answered and message.role != "user"
            messages.append(message.to_json(reasoning=answered))
        messages.reverse()
        made: dict[str, Any] = {"model": self.model, "messages": messages, **self.settings.given()}
        if self.schema is not None:
            made["schema"] = self.schema.canonical()
            if self.is_cited:
                made["cite"] = True
        if self.choices is not None:
            made["choices"] = list(self.choices)
        if self.tools:
            made["tools"] = [tool.canonical() for tool in self.tools]
        return made

    @cached_property
    def key(self) -> str:
        """The name of this request: sha256 of its canonical form."""
        return key_of(self.canonical())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Request:
        """Read the request whose canonical form is *data*."""
        return cls(
            model=data["model"],
            messages=tuple(map(Message.from_json, data["messages"])),
            settings=Settings.among(data.get),
            schema=_schema(data) if "schema" in data else None,
            choices=tuple(data["choices"]) if "choices" in data else None,
            tools=tuple(map(Tool.of, data.get("tools", ()))),
        )

    @property
    def is_cited(self) -> bool:
        """Tell whether its answer is to come with quotes."""
        return isinstance(self.schema, CitedSchema)

    @property
    def is_text(self) -> bool:
        """Tell whether its answer is free text, be it with quotes, and has no form that must be whole."""
        if isinstance(self.schema, CitedSchema):
            return not self.schema.has_fields
        return self.schema is None and self.choices is None

    @property
    def question(self) -> str:
        """The text of the last user message, for people."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")

    @cached_property
    def media(self) -> tuple[Medium, ...]:
        """Every picture, video and document in it."""
        return tuple(
            part for message in self.messages for part in message.parts if not isinstance(part, Text)
        )

    def __repr__(self) -> str:
        return flatten(f"<Request {self.key[:12]} to {self.model}: {first_words(self.question, 60)!r}>")


def _check_choices(choices: tuple[str, ...]) -> None:
    if len(choices) < 2:
        raise BadInput("choices= needs at least two different answers to choose from.")
    for choice in choices:
        if not isinstance(choice, str) or not choice.strip() or choice != choice.strip():
            raise BadInput(f"{choice!r} can't be a choice: each is text without spaces around it.")
    if len({choice.casefold() for choice in choices}) < len(choices):
        raise BadInput("Two of the choices are the same but for capitals; an answer could not be told apart.")
