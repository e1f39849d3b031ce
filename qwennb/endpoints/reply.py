"""What both transports do with the bytes of a reply, so that they can't differ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.sse import MOST_BODY, EventReader
from qwennb.errors import ServerFailed

MOST_ERROR = 1 << 20


async def payloads(
    call: Call, status: int, headers: Mapping[str, str], pieces: AsyncIterator[bytes]
) -> AsyncIterator[Payload]:
    """The payloads in the reply's *pieces*; a refusal or something that is no reply at all is raised."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if status != 200:
        body = await _whole(pieces, MOST_ERROR, cut=True)
        if 300 <= status < 400:
            raise ServerFailed(
                f"{call.place} answered {status}, a redirect. Keys are not sent along redirects: give the final address as endpoint=.",
                status=status,
                transient=False,
            )
        raise call.read_error(status, headers, body)
    if kind == "text/event-stream" and call.stream:
        reader = EventReader()
        async for piece in pieces:
            for event in reader.feed(piece):
                yield Payload(_parsed(call, event), headers)
            if reader.done:
                break
        for event in reader.end():
            yield Payload(_parsed(call, event), headers)
        if reader.done:
            yield Payload(None, headers, last=True)
        return
    if kind not in ("application/json", "text/event-stream", ""):
        raise ServerFailed(
            f"{call.place} answered with {kind or 'no content type'} instead of JSON. Something between here and there "
            "(a proxy, a login page) may be answering in its place.",
            status=status,
        )
    body = await _whole(pieces, MOST_BODY, cut=False)
    yield Payload(_parsed(call, body), headers, last=True)


async def _whole(pieces: AsyncIterator[bytes], most: int, *, cut: bool) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > most:
            if cut:
                return bytes(body[:most])
            raise ServerFailed(
                f"The answer is over {most >> 20} MiB and still going; it was cut off.",
                maybe_billed=True,
                transient=False,
            )
    return bytes(body)


def _parsed(call: Call, body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ServerFailed(
            f"{call.place} answered {len(body)} bytes that are not JSON.", status=200, maybe_billed=True
        ) from None
