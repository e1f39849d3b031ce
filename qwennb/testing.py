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

from qwennb.client import Qwen, Runtime, runtime
from qwennb.endpoints import Call, Payload
from qwennb.frames import forget_default

__all__ = ["Scripted", "ScriptedQwen", "no_network", "replaying", "scripted"]

# ---------------------------------------------------------------------- no network

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_refusing: list[list[str]] = []
_installed = threading.Lock()


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Inside it nobody in this process connects, sends, listens or looks up a name; local sockets (AF_UNIX) go on.

    Whoever tries gets an OSError. Gives the list of what was tried, for a test to look at.
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
    """Inside it every client that is made recalls from *pack*, and from nothing else, and no network is there.

    What the pack does not hold is a NotRecorded error. Gives a client that leaves everything open. Clients that were made
    before keep their settings.
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
    """A transport that says what it is told, over no network: the *lines* in turn, or what a function makes of the prompt.

    A line is a text, a dict (a `message` as an endpoint sends it, with tool calls for instance) or an error to be raised.
    The last line stands for all that follow. `bodies` are the requests as they would have gone over the wire.
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


class ScriptedQwen(Qwen):
    """A client whose model says what the `script` says. It has a memory of its own, which ends with it."""

    def __init__(self, script: Scripted, **settings: Any) -> None:
        self.script = script
        # Gone when the client is, at the interpreter's end at the latest.
        self._folder = tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True)
        self._own = Runtime({}, transport=script, bridge=runtime().bridge)
        given = {
            "endpoint": "openrouter",
            "api_key": "scripted",
            "cache_dir": self._folder.name,
            "cache": "on",
        }
        super().__init__(**given | settings)

    @property
    def _runtime(self) -> Runtime:
        return self._own


def scripted(*lines: Line, says: Callable[[str], Line] | None = None, **settings: Any) -> ScriptedQwen:
    """A client whose model says these *lines* in turn, the last one for good, or what *says* makes of each prompt.

    *settings* are those of a `Qwen`. What it was asked stands in `.script.bodies`.
    """
    return ScriptedQwen(Scripted(*lines, says=says), **settings)
