"""For tests of one's own code that asks a model: answers from a pack, from a script, and no network.

from qwennb.testing import no_network, replaying, scripted

def test_the_report_names_the_city():
    with replaying("tests/report.qwenpack"):        # whatever client the code makes recalls from the pack
        assert "Ulm" in report()

def test_a_complaint_is_passed_on():
    qwen = scripted("complaint")                    # a client whose model says this
    assert sorted_mail("The soup was cold.", qwen) == "complaints"
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qwennb.client import Qwen, Runtime, Session, runtime
from qwennb.endpoints import Call, Payload
from qwennb.frames import forget_default

__all__ = ["Scripted", "ScriptedQwen", "no_network", "replaying", "scripted"]

# ---------------------------------------------------------------------- no network

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_refusing: list[list[str]] = []
_installed = threading.Lock()


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse the network to everybody in this process while it stands.

    Connecting, sending, listening and looking up a name are refused; local sockets (AF_UNIX) go on.

    Yields
    ------
    list of str
        What was tried, for a test to look at.

    Raises
    ------
    PermissionError
        An OSError, raised where somebody tries.

    Examples
    --------
    >>> from qwennb.testing import no_network
    >>> import socket
    >>> with no_network() as tried:
    ...     socket.create_connection(("127.0.0.1", 80))
    Traceback (most recent call last):
        ...
    PermissionError: [Errno 13] The network is refused here: ...
    >>> tried
    ['getaddrinfo 127.0.0.1']
    """
    if _installed.acquire(blocking=False):  # once: an audit hook can't be taken out again
        sys.addaudithook(_look)
    tried: list[str] = []
    _refusing.append(tried)
    try:
        yield tried
    finally:
        _refusing[:] = [one for one in _refusing if one is not tried]


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if not _refusing or not event.startswith("socket."):
        return
    what = event.removeprefix("socket.")
    if what in ("connect", "bind", "sendto", "sendmsg"):
        if arguments[0].family not in _INTERNET:
            return
        where = arguments[-1]
    elif what in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo"):
        where = arguments[0]
    else:
        return
    for tried in _refusing:
        tried.append(f"{what} {where}")
    raise PermissionError(errno.EACCES, f"The network is refused here: {what} {where}")


# ---------------------------------------------------------------------- replaying


@contextmanager
def replaying(pack: str | os.PathLike[str] | None = None) -> Iterator[Qwen]:
    """Let every client that is made while it stands recall from a pack, and from nothing else, without a network.

    Clients that were made before keep their settings. When it is over, everything is as it was.

    Parameters
    ----------
    pack : str or path, optional
        The pack's file; without it nothing is known.

    Yields
    ------
    Qwen
        A client that leaves model and endpoint to the pack.

    Raises
    ------
    PackRefused
        If the file is no pack.
    NotRecorded
        Where something is asked that the pack does not hold.

    Examples
    --------
    >>> from qwennb.testing import replaying
    >>> qwen.pack(qwen.ask("What is the capital of France?")).write("answers.qwenpack")
    >>> with replaying("answers.qwenpack") as reader:
    ...     reader.ask("What is the capital of France?").text
    'Paris'
    >>> with replaying("answers.qwenpack") as reader:
    ...     reader.ask("What is the capital of Italy?")
    Traceback (most recent call last):
        ...
    qwennb.errors.NotRecorded: ...
    """
    shared_runtime = runtime()
    with tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as folder:
        settings = {
            "QWENNB_CACHE": "replay",
            "QWENNB_CACHE_DIR": folder,
            "QWENNB_ABOVE": '{"cache":"replay"}',
        }
        before = {name: os.environ.get(name) for name in (*settings, "QWENNB_PACK")}
        loaded = shared_runtime.packs.loaded
        os.environ.update(settings)
        os.environ.pop("QWENNB_PACK", None)
        shared_runtime.packs.forget()
        forget_default()
        try:
            if pack is not None:
                shared_runtime.load(pack)
            with no_network():
                yield Qwen(cache_dir=folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            shared_runtime.packs.loaded = loaded
            forget_default()


# ---------------------------------------------------------------------- scripted

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
