"""A model that says what a script says."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

from qwennb.client import Qwen, Runtime, Session, runtime
from qwennb.endpoints import Call, Payload

Line = str | Mapping[str, Any] | Exception


class Scripted:
    """A model that says what it is told, over no network.

    `scripted(…)` makes a client of one; this is the script itself, which also tells what it was asked.

    Parameters
    ----------
    *lines : str, dict or Exception
        What is said in turn: a text, a message as an endpoint sends it (with tool calls, for instance), or an error to raise.
        The last one stands for all that follow.
    says : callable, optional
        Makes a line of each prompt, in place of *lines*.

    Attributes
    ----------
    bodies : list of dict
        The requests, as they would have gone over the wire.

    Raises
    ------
    Exception
        The errors among its lines.

    Examples
    --------
    >>> from qwennb.testing import scripted
    >>> qwen = scripted("complaint")
    >>> qwen.ask("Praise or complaint? The soup was cold.").text
    'complaint'
    >>> qwen.script.bodies[0]["messages"]
    [{'role': 'user', 'content': 'Praise or complaint? The soup was cold.'}]
    """

    def __init__(self, *lines: Line, says: Callable[[str], Line] | None = None) -> None:
        self._lines = list(lines) or ["ok"]
        self._says = says
        self._lock = threading.Lock()
        self.bodies: list[Mapping[str, Any]] = []

    async def send(self, call: Call) -> AsyncGenerator[Payload, None]:
        """The reply to *call*."""
        line = self._line(call.body)
        if isinstance(line, Exception):
            raise line
        message: dict[str, Any] = (
            {"role": "assistant", "content": line} if isinstance(line, str) else dict(line)
        )
        streams = bool(call.body.get("stream"))
        calls = [{"index": i, **one} for i, one in enumerate(message.get("tool_calls") or ())]
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "delta" if streams else "message": message,
            "finish_reason": "tool_calls" if calls else "stop",
        }
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        reply = {"id": "scripted", "model": call.body.get("model"), "choices": [choice], "usage": usage}
        yield Payload(reply, last=True)

    async def close(self) -> None:
        """There is nothing to close."""

    def _line(self, body: Mapping[str, Any]) -> Line:
        with self._lock:
            self.bodies.append(body)
            if self._says is not None:
                return self._says(_prompt(body["messages"]))
            return self._lines.pop(0) if len(self._lines) > 1 else self._lines[0]


def _prompt(messages: Iterable[Mapping[str, Any]]) -> str:
    """The text of the last question."""
    content = [message["content"] for message in messages if message["role"] == "user"][-1]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


class ScriptedRuntime(Runtime):
    """A runtime with a folder that is gone when the last that asks through it is, at the interpreter's end at the latest."""

    folder: tempfile.TemporaryDirectory[str]


class ScriptedQwen(Qwen):
    """A client whose model says what a script says, with a memory of its own that ends with it.

    Parameters
    ----------
    script : Scripted
        What is said.
    **settings
        Those of a `Qwen`.

    Attributes
    ----------
    script : Scripted
        What is said, and what was asked.

    Raises
    ------
    BadInput
        If a setting is none.

    Examples
    --------
    >>> from qwennb.testing import Scripted, ScriptedQwen
    >>> ScriptedQwen(Scripted("yes"), temperature=0).ask("Is it cold?").text
    'yes'
    """

    def __init__(self, script: Scripted, **settings: Any) -> None:
        self.script = script
        folder = tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True)
        own = ScriptedRuntime({}, transport=script, bridge=runtime().bridge)
        own.folder = folder
        given = {
            "endpoint": "openrouter",
            "api_key": "scripted",
            "cache_dir": folder.name,
            "cache": "on",
        }
        self.session = Session(given | settings, lambda: own)


def scripted(*lines: Line, says: Callable[[str], Line] | None = None, **settings: Any) -> ScriptedQwen:
    """Make a client whose model says these *lines* in turn, the last one for good.

    Parameters
    ----------
    *lines : str, dict or Exception
        A text, a message as an endpoint sends it (with tool calls, for instance), or an error to raise.
    says : callable, optional
        Makes a line of each prompt, in place of *lines*.
    **settings
        Those of a `Qwen`.

    Returns
    -------
    ScriptedQwen
        A client that asks nobody. What it was asked stands in `.script.bodies`.

    Raises
    ------
    BadInput
        If a setting is none.

    Examples
    --------
    >>> from qwennb.testing import scripted
    >>> qwen = scripted("one", "two")
    >>> [qwen.ask(question).text for question in ("a", "b", "c")]
    ['one', 'two', 'two']
    >>> qwen = scripted(says=lambda prompt: "praise" if "good" in prompt else "complaint")
    >>> df = pl.DataFrame({"review": ["good soup", "cold soup"]})
    >>> df.qwen.classify("review", ["praise", "complaint"], client=qwen)["label"].to_list()
    ['praise', 'complaint']
    """
    return ScriptedQwen(Scripted(*lines, says=says), **settings)
