"""A conversation: questions that carry what was said before."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
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
    """A conversation with one client: `qwen.chat()` begins one, `Chat.load` goes on with one.

    A question that fails, or is interrupted, leaves it as it was.

    Parameters
    ----------
    client : Qwen
        Whom it asks through.
    system : str, optional
        What the model is told first.
    tools : sequence of callable
        Python functions that the model may call.
    approve : callable, optional
        Asked before a tool runs, with the call; without it, tools run when the model calls them.
    messages : sequence of Message
        What was said before.
    **options
        Options of a call, for all questions.

    Attributes
    ----------
    messages : tuple of Message
        All that was said.

    Raises
    ------
    BadInput
        If an option is none, or its value can't be one.

    Examples
    --------
    >>> chat = Chat(qwen, system="Be brief.")
    >>> print(chat.ask("What is the capital of France?"))
    Paris
    >>> [message.role for message in chat.messages]
    ['system', 'user', 'assistant']
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
        """Ask after all that was said.

        Parameters
        ----------
        prompt : str
            What is said. It is sent as it is; with values given by keyword it is a template.
        **options
            Options of a call but `system`, and values of the prompt's names.

        Returns
        -------
        Answer
            The last one, where tools were called on the way.

        Raises
        ------
        BadInput
            If an option is none, or is fixed for the conversation.
        ToolError
            If a tool can't be called, or the model never stops calling.
        QwenError
            What `Qwen.ask` raises.

        Examples
        --------
        >>> chat = qwen.chat()
        >>> print(chat.ask("What is the capital of {{ land }}?", land="Italy"))
        Rome
        """
        request, options = self._build_request(prompt, given)
        answers = self._session.run_tools(request, options, approve=self._approve)
        return self._add(request, answers)

    @takes_options
    async def ask_async(self, prompt: str, **given: Any) -> Answer:
        """Ask after all that was said, for `await`.

        Parameters
        ----------
        prompt : str
            What is said, as for `ask`.
        **options
            As for `ask`.

        Returns
        -------
        Answer
            As from `ask`.

        Raises
        ------
        QwenError
            What `ask` raises.

        Examples
        --------
        >>> import asyncio
        >>> print(asyncio.run(qwen.chat().ask_async("What is the capital of Italy?")))
        Rome
        """
        request, options = self._build_request(prompt, given)
        answers = await self._session.run_tools_async(request, options, approve=self._approve)
        return self._add(request, answers)

    def _add(self, request: Request, answers: Sequence[Answer]) -> Answer:
        """Add what was asked and what was said to the messages."""
        self.messages = (*request.messages, *turns_of(answers))
        self._session.emit_warnings()
        return answers[-1]

    def fork(self) -> Chat:
        """Make a conversation that has said the same so far, and goes its own way from here.

        Returns
        -------
        Chat
            With the same tools, options and `approve`.

        Examples
        --------
        >>> chat = qwen.chat(system="Be brief.")
        >>> other = chat.fork()
        >>> print(other.ask("What is the capital of Italy?"))
        Rome
        >>> len(chat.messages), len(other.messages)
        (1, 3)
        """
        twin = Chat(self._session, tools=self._tools, approve=self._approve, messages=self.messages)
        twin._options = self._options
        return twin

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to a file, pictures included. It is readable by you alone.

        Parameters
        ----------
        path : str or Path
            The file; what was there is replaced.

        Raises
        ------
        BadInput
            If it can't be written.

        Examples
        --------
        >>> chat = qwen.chat(system="Be brief.")
        >>> chat.save("talk.json")
        >>> Chat.load("talk.json").messages == chat.messages
        True
        """
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
        """Read the conversation that `save` wrote, to go on with.

        Parameters
        ----------
        path : str or Path
            The file.
        client : Qwen, optional
            Whom it asks from now on; without one, whatever `Qwen()` finds.
        **options
            Options of a call, for all questions; `tools` and `approve` are not in the file.

        Returns
        -------
        Chat
            With all that was said.

        Raises
        ------
        BadInput
            If it can't be read, or is no conversation.

        Examples
        --------
        >>> Chat.load("talk.json", qwen)
        Traceback (most recent call last):
            ...
        qwennb.errors.BadInput: The chat 'talk.json' can't be read: No such file or directory. Give the path that save() wrote.
        """
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
        """Write the conversation as Markdown, what was said as blocks of text, so that none of it is Markdown itself.

        Returns
        -------
        str
            One turn after the other.

        Examples
        --------
        >>> print(qwen.chat(system="Be brief.").to_markdown())
        **system**
        <BLANKLINE>
            Be brief.
        <BLANKLINE>
        """
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
        """Make the request of *prompt* after all that was said; with its options."""
        options, values = split(prompt, given)
        options = options.over(self._options)
        if options.system is not None:
            raise BadInput("A chat has its system text from the start: client.chat(system=…).")
        if options.overflow == "map":
            raise BadInput(
                'What goes in pieces is no turn of a conversation. Leave out overflow="map", or ask it alone: qwen.ask(…, overflow="map").'
            )
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
    return replace(message, parts=tuple(parts))
