# ruff: noqa: D102  # asyncio names these methods and tells what they are for
"""HTTP/1.1 on raw bytes: one `Connection` per socket, one `Exchange` per request on it.

Written on `asyncio.Protocol` and not on a web framework, because half of what the simulator is for cannot be
said through one: a body that stops short, a reset in the middle of a chunk, one byte at a time.
Requests on a connection are taken one after the other. When the caller hangs up, the task that is answering is
cancelled, so that whoever counts answers knows that this one was not delivered.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

__all__ = ["Connection", "Exchange", "Header"]

Header = tuple[str, str]
TAIL = 4096
LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 768 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class _BadHttpError(Exception):
    """What came in is not HTTP/1.1."""


class Exchange:
    """One request and the means to answer it, byte by byte if need be.

    `seal` is held while the last bytes leave and `sealed` is called before it is let go: whoever reads what `sealed` wrote down
    under the same lock can't see an answer that is not yet counted.
    """

    __slots__ = ("_connection", "body", "headers", "method", "path", "query", "seal", "sealed")

    def __init__(
        self, connection: Connection, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        path, _, query = target.partition("?")
        self.method = method
        self.path = unquote(path) if "%" in path else path
        self.query = dict(parse_qsl(query)) if query else {}
        self.headers = headers
        self.body = body
        self.seal: AbstractContextManager[Any] = nullcontext()
        self.sealed: Callable[[], None] = lambda: None
        self._connection = connection

    async def send(self, status: int, body: bytes, headers: Iterable[Header] = ()) -> None:
        """A whole answer with its length; returns once the operating system has taken all of it."""
        await self.last(head(status, [*headers, ("content-length", str(len(body)))]) + body)

    async def begin(self, status: int, headers: Iterable[Header] = ()) -> None:
        """The head of an answer whose length is not known yet."""
        await self.raw(head(status, [*headers, ("transfer-encoding", "chunked")]))

    async def write(self, data: bytes) -> None:
        """One chunk after `begin`."""
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, data: bytes = b"") -> None:
        """One more chunk, and the empty one that says that the answer is whole."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        await self.last(chunk + b"0\r\n\r\n")

    async def last(self, data: bytes) -> None:
        """Bytes as they are, after which the answer is counted."""
        if len(data) > TAIL:
            await self.raw(data[:-TAIL])
            data = data[-TAIL:]
        with self.seal:
            if gone := self._connection.put(data):
                self.sealed()
        if not gone:
            await self.raw(b"")
            self.sealed()

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        await self._connection.write(data)

    def close(self) -> None:
        """Say goodbye after what was written, as a server does that has no more to say."""
        self._connection.close()

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        self._connection.reset()


def head(status: int, headers: Iterable[Header]) -> bytes:
    """The status line and the headers."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


@dataclass(slots=True)
class _Head:
    method: str
    target: str
    headers: dict[str, str]
    start: int
    length: int | None  # None: the body comes in chunks


class Connection(asyncio.Protocol):
    """One socket. Hands each request to *answer* and waits for it before it takes the next."""

    def __init__(self, answer: Callable[[Exchange], Awaitable[None]], alive: set[Connection]) -> None:
        self._answer = answer
        self._alive = alive
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # `write` then returns only when all is handed over
        self._alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._alive.discard(self)
        self._closing = True
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._take()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What an Exchange calls.

    def put(self, data: bytes) -> bool:
        """Write without waiting; whether the operating system took all of it."""
        if self._closing:
            raise ConnectionResetError("the caller has hung up")
        self._transport.write(data)
        return self._writable.is_set() and not self._transport.is_closing()

    async def write(self, data: bytes) -> None:
        self.put(data)
        if not self._writable.is_set():
            await self._writable.wait()
            if self._closing:
                raise ConnectionResetError("the caller hung up while the answer was being written")

    def close(self) -> None:
        self._closing = True
        self._transport.close()

    def reset(self) -> None:
        self._closing = True
        plug = self._transport.get_extra_info("socket")
        if plug is not None:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def stop(self) -> None:
        """Drop the connection and wait for whoever was answering on it."""
        task = self._task
        self._closing = True
        self._transport.abort()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # One request after the other.

    def _take(self) -> None:
        try:
            exchange = self._parse()
        except _BadHttpError as error:
            body = f'{{"error":"{error}"}}'.encode()
            self._transport.write(
                head(400, [("content-length", str(len(body))), ("connection", "close")]) + body
            )
            self.close()
            return
        if exchange is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(exchange))
            self._task.add_done_callback(self._on_done)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._answer(exchange)
        except (ConnectionError, asyncio.CancelledError):
            if not self._closing:
                raise
        if exchange.headers.get("connection", "").lower() == "close" and not self._closing:
            self.close()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the simulator failed to answer", "exception": error, "task": task}
            )
            self.reset()
        if not self._closing:
            self._take()

    def _parse(self) -> Exchange | None:
        """The next whole request in the buffer, or None until more has come."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > LONGEST_HEAD:
                    raise _BadHttpError("the head is too long")
                return None
            self._head = _read_head(bytes(self._buffer[:end]).decode("latin-1"), end + 4)
            if self._head.headers.get("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        known = self._head
        if known.length is None:
            found = _read_chunks(self._buffer, known.start)
            if found is None:
                return None
            body, used = found
        else:
            used = known.start + known.length
            if len(self._buffer) < used:
                return None
            body = bytes(self._buffer[known.start : used])
        del self._buffer[:used]
        self._head = None
        return Exchange(self, known.method, known.target, known.headers, body)


def _read_head(text: str, start: int) -> _Head:
    first, *lines = text.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _BadHttpError("not an HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise _BadHttpError("a header without a colon")
        headers[name.strip().lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _Head(words[0], words[1], headers, start, None)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LONGEST_BODY:
        raise _BadHttpError("content-length is not a number, or too large")
    return _Head(words[0], words[1], headers, start, int(length))


def _read_chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    """A chunked body and where it ends, or None until the last chunk is there."""
    body, at = bytearray(), start
    while True:
        line = buffer.find(b"\r\n", at)
        if line < 0:
            return None
        try:
            size = int(bytes(buffer[at:line]).split(b";")[0], 16)
        except ValueError:
            raise _BadHttpError("a chunk without its size") from None
        at = line + 2
        if len(body) + size > LONGEST_BODY:
            raise _BadHttpError("the body is too large")
        if len(buffer) < at + size + 2:
            return None
        body += buffer[at : at + size]
        at += size + 2
        if size == 0:
            return bytes(body), at
