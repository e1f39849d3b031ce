"""A conversation: questions that carry what was said before."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qwennb.answer import Answer
from qwennb.client.options import Options, split, takes_options
from qwennb.client.runtime import runtime
from qwennb.client.session import Session
from qwennb.client.tools import turns_of
from qwennb.errors import BadInput, show_value
from qwennb.files import replace_file
from qwennb.request import Message, Request, Text, ToolCall, file_path, media_from_json
from qwennb.text import plural

if TYPE_CHECKING:
    from qwennb.client.qwen import Qwen

VERSION = 1


class Chat:
    """A conversation with one client.

    `messages` is all that was said. A question that fails, or is interrupted, leaves it as it was. `approve` is asked
    before a tool runs; without it, tools run when the model calls them.
    """

    def __init__(
        self,
        client: Qwen | Session,
        *,
        system: str | None = None,
        tools: Sequence[Any] = (),
        approve: Callable[[ToolCall], bool] | None = None,
        messages: Sequence[Message] = (),
        **options: Any,
    ) -> None:
        self._session = client if isinstance(client, Session) else client.session
        self._options = Options(**options)
        Options(system=system, tools=tools)  # what can't be one is said now
        self._tools = tuple(tools or ())
        self._approve = approve
        opening = (Message("system", (Text(system),)),) if system else ()
        self.messages: tuple[Message, ...] = (*opening, *messages)

    @takes_options
    def ask(self, prompt: str, **given: Any) -> Answer:
        """The answer to *prompt*, after all that was said. What is said is sent as it is; with values it is a template."""
        request, options = self._build_request(prompt, given)
        answers = self._session.run_tools(request, options, approve=self._approve)
        return self._add(request, answers)

    @takes_options
    async def ask_async(self, prompt: str, **given: Any) -> Answer:
        """As `ask`, for `await`."""
        request, options = self._build_request(prompt, given)
        answers = await self._session.run_tools_async(request, options, approve=self._approve)
        return self._add(request, answers)

    def _add(self, request: Request, answers: Sequence[Answer]) -> Answer:
        """Put what was asked and said to the messages."""
        self.messages = (*request.messages, *turns_of(answers))
        self._session.emit_warnings()
        return answers[-1]

    def fork(self) -> Chat:
        """A conversation that has said the same so far, and goes its own way from here."""
        twin = Chat(self._session, tools=self._tools, approve=self._approve, messages=self.messages)
        twin._options = self._options
        return twin

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to *path*, pictures included. The file is readable by you alone."""
        written = []
        for message in self.messages:
            data = message.to_json()
            for part, item in zip(data["content"] if message.media else (), message.parts, strict=False):
                content = getattr(item, "data", None)
                if content is not None:
                    part["base64"] = base64.b64encode(content).decode()
            written.append(data)
        text = orjson.dumps({"qwennb_chat": VERSION, "messages": written}, option=orjson.OPT_INDENT_2)
        target = file_path("The file", path)
        try:
            replace_file(target, text)
        except OSError as error:
            raise BadInput(
                f"The chat can't be written to {show_value(str(path))}: {error.strerror}."
            ) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str], client: Qwen | None = None, **options: Any) -> Chat:
        """The conversation that `save` wrote, to go on with."""
        try:
            written = file_path("The file", path).read_bytes()
        except OSError as error:
            raise BadInput(
                f"The chat {show_value(str(path))} can't be read: {error.strerror}. Give the path that save() wrote."
            ) from None
        try:
            data = orjson.loads(written)
            if data["qwennb_chat"] != VERSION:
                raise BadInput(f"{Path(path).name} was written by a newer qwennb. Upgrade to read it.")
            messages = [_message(item) for item in data["messages"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise BadInput(f"{Path(path).name} is not a chat that qwennb wrote.") from None
        session = Session({}, runtime) if client is None else client.session
        return cls(session, messages=messages, **options)

    def to_markdown(self) -> str:
        """The conversation as Markdown text, model text in quotes of its own so that it stays text."""
        turns = []
        for message in self.messages:
            said = message.text or ", ".join(f"{call.name}({call.arguments})" for call in message.tool_calls)
            shown = "\n".join(f"    {line}" for line in said.splitlines()) or "    (nothing)"
            media = "".join(f"\n\n{item!r}" for item in message.media)
            turns.append(f"**{message.role}**\n\n{shown}{media}")
        return "\n\n".join(turns) + "\n"

    def __repr__(self) -> str:
        turns = sum(message.role == "user" for message in self.messages)
        return f"<Chat of {plural(turns, 'question')}>"

    def _build_request(self, prompt: str, given: dict[str, Any]) -> tuple[Request, Options]:
        """The request that *prompt* makes after all that was said, and its options."""
        options, values = split(prompt, given)
        options = options.over(self._options)
        if options.system is not None:
            raise BadInput("A chat has its system text from the start: client.chat(system=…).")
        options = self._session.with_defaults(
            options
        )  # the client's own system text opens a chat that has none
        if self._tools and options.tools is None:
            options = Options(tools=self._tools).over(options)
        said = prompt if values or not isinstance(prompt, str) else Text(prompt)
        return self._session.build_request(said, values, options, self.messages), options


def _message(data: dict[str, Any]) -> Message:
    content = data.get("content")
    contents = (
        [base64.b64decode(p.pop("base64")) if "base64" in p else None for p in content]
        if isinstance(content, list)
        else []
    )
    message = Message.from_json(data)
    if not any(contents):
        return message
    parts = [
        part if raw is None else media_from_json(described, raw)
        for part, described, raw in zip(message.parts, content or (), contents, strict=True)
    ]
    return Message(
        message.role,
        tuple(parts),
        message.tool_calls,
        message.tool_call_id,
        message.reasoning,
        message.reasoning_blocks,
    )
