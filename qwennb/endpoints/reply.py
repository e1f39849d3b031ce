"""What both transports do with the bytes of a reply, so that they can't differ.

A reply is one JSON object, or a stream of server-sent events: of these only what language-model servers use (`data:` lines,
blank lines between events, comments). Both keep to caps, so that a server which never ends costs bounded memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson

from qwennb.endpoints.call import Call, Payload
from qwennb.errors import ServerFailed

MOST_BODY = 32 << 20
MOST_ERROR = 1 << 20
MOST_LINE = 16 << 20  # of a stream
MOST_STREAM = 256 << 20
DONE = b"[DONE]"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CLOSING_SECONDS = 0.1


async def payloads(
    call: Call, status: int, headers: Mapping[str, str], pieces: AsyncIterator[bytes]
) -> AsyncIterator[Payload]:
    """The payloads in the reply's *pieces*; a refusal or something that is no reply at all is raised."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if status != 200:
        body = await _whole(call, pieces, MOST_ERROR, cut=True)
        if 300 <= status < 400:
            raise ServerFailed(
                f"{call.endpoint} answered {status}, a redirect. Keys are not sent along redirects: give the final address as endpoint=.",
                status=status,
                transient=False,
            )
        error = call.read_error(status, headers, body)
        error.request_id = headers.get("x-request-id")
        raise error
    if kind == "text/event-stream":
        reader = EventReader()
        async for piece in pieces:
            for event in reader.feed(piece):
                yield Payload(_parse(call, event), headers)
            if reader.done:
                break
        for event in reader.end():
            yield Payload(_parse(call, event), headers)
        if reader.done:
            yield Payload(None, headers, last=True)
            await _read_to_end(pieces)
        return
    if kind not in ("application/json", ""):
        raise ServerFailed(
            f"{call.endpoint} answered with {kind} instead of JSON. Something between here and there (a proxy, a login page) "
            "may be answering in its place.",
            status=status,
            maybe_billed=True,
        )
    body = await _whole(call, pieces, MOST_BODY, cut=False)
    yield Payload(_parse(call, body), headers, last=True)


async def _read_to_end(pieces: AsyncIterator[bytes]) -> None:
    """Read the few bytes that end a reply after its last event: only then is its connection good for the next."""
    with suppress(Exception):  # the answer is whole, whatever becomes of its connection
        async with asyncio.timeout(CLOSING_SECONDS):
            await anext(pieces)


async def _whole(call: Call, pieces: AsyncIterator[bytes], most: int, *, cut: bool) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > most:
            if cut:
                return bytes(body[:most])
            raise ServerFailed(
                f"The answer of {call.endpoint} is over {most >> 20} MiB and still going; it was cut off. Ask for less of it: "
                "fewer logprobs=, a smaller max_tokens=.",
                maybe_billed=True,
                transient=False,
            )
    return bytes(body)


def _parse(call: Call, body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ServerFailed(
            f"{call.endpoint} answered {len(body)} bytes that are not JSON.", status=200, maybe_billed=True
        ) from None


class EventReader:
    """Takes bytes in, gives the data of whole events out. `done` is set by the `[DONE]` event; what follows it is not read."""

    __slots__ = ("_begins", "_buffer", "_data", "_most_body", "_most_line", "_taken", "done")

    def __init__(self, most_line: int = MOST_LINE, most_body: int = MOST_STREAM) -> None:
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._taken = 0
        self._most_line = most_line
        self._most_body = most_body
        self._begins = True
        self.done = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Give the data of each event that *piece* completes."""
        self._taken += len(piece)
        if self._taken > self._most_body:
            raise ServerFailed(
                f"The answer is over {self._most_body >> 20} MiB and still going; it was cut off.",
                maybe_billed=True,
                transient=False,
            )
        start, unread = 0, len(self._buffer)  # what was there before has no line's end
        self._buffer += piece
        while (end := self._buffer.find(b"\n", unread)) >= 0:
            line = bytes(self._buffer[start:end]).removesuffix(b"\r")
            start = unread = end + 1
            if (event := self._take(line)) is not None:
                yield event
            if self.done:
                self._buffer.clear()
                return
        del self._buffer[:start]
        if len(self._buffer) > self._most_line:
            raise ServerFailed(
                f"One line of the answer is over {self._most_line >> 20} MiB; it was cut off.",
                maybe_billed=True,
                transient=False,
            )

    def end(self) -> Iterator[bytes]:
        """Give the last event, when the stream ended without a blank line after it."""
        for line in (bytes(self._buffer), b""):
            if (event := self._take(line)) is not None:
                yield event
        self._buffer.clear()

    def _take(self, line: bytes) -> bytes | None:
        if self._begins:
            self._begins, line = False, line.removeprefix(BYTE_ORDER_MARK)
        if line:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            return None
        if not self._data:
            return None
        data = b"\n".join(self._data)
        self._data.clear()
        if data.strip() == DONE:
            self.done = True
            return None
        return data
