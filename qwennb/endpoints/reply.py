"""What both transports do with the bytes of a reply, so that they can't differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import orjson

from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.sse import EventReader
from qwennb.errors import ServerFailed

MOST_BODY = 32 << 20
MOST_ERROR = 1 << 20
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
        raise call.read_error(status, headers, body)
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
