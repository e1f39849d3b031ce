"""The transport of columns: straight to the socket.

Thousands of small requests spend some hundredths of a millisecond each here, where the openai package spends several. What
goes out is the head, written once for each address and key, and the body; over a pool of connections of our own (`pool.py`).

A proxy has its own rules, and a password may stand in an address: such calls are carried by the other transport, whose
library knows them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import httpx2
import orjson

from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.reply import payloads
from qwennb.endpoints.transports import connect
from qwennb.endpoints.transports.pool import KEEP_SECONDS, ConnectionPool, HttpConnection, ServerAddress
from qwennb.endpoints.transports.sdk import SdkTransport


@dataclass(frozen=True, slots=True)
class Road:
    """The straight way to one address: where its connections lead, and what stands before each body."""

    address: ServerAddress
    head: bytes  # up to the length of the body


class DirectTransport:
    """Carries questions through one `ConnectionPool`. *connections*: 0 for as many as there are calls."""

    def __init__(self, *, connections: int = 256, keep: bool = True) -> None:
        self._pool = ConnectionPool(connections, keep_seconds=KEEP_SECONDS if keep else 0.0)
        self._sdk = SdkTransport(connections=connections)
        self._roads: dict[tuple[object, ...], Road | None] = {}

    async def send(self, call: Call) -> AsyncGenerator[Payload, None]:
        """The payloads of the reply to *call*, as they arrive."""
        name = (call.base_url, call.path, call.key, *call.headers.items())
        if name not in self._roads:
            self._roads[name] = _find_road(call)
        if (road := self._roads[name]) is None:
            async with aclosing(self._sdk.send(call)) as found:
                async for payload in found:
                    yield payload
            return
        body = orjson.dumps(call.body)
        connection = await self._pool.take(road.address, call)
        try:
            await connection.ask(b"%b%d\r\n\r\n%b" % (road.head, len(body), body), call)
            pieces = _unpack(connection) if "content-encoding" in connection.headers else connection
            async for payload in payloads(call, connection.status, connection.headers, pieces):
                yield payload
        except httpx2.DecodingError:
            raise connect.unreadable_reply(call, "sent bytes that don't decompress") from None
        finally:
            self._pool.give_back(connection)  # which closes it where anything of the reply is still to come

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
        await self._sdk.close()


def _find_road(call: Call) -> Road | None:
    """Find the straight way to *call*'s address; None where there is a proxy, or a password in the address."""
    if connect.proxy_of(call.base_url) is not None or "@" in call.base_url:
        return None
    url = httpx2.URL(call.url)
    tls = url.scheme == "https"
    headers = {
        "Host": url.netloc.decode("ascii"),
        "Accept": connect.ACCEPT,
        "Accept-Encoding": connect.encodings(),
        "User-Agent": connect.user_agent(),
        "Content-Type": "application/json",
        **call.headers,
    }
    if call.key is not None:
        headers["Authorization"] = f"Bearer {call.key.reveal()}"
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any(sign in line for line in lines for sign in "\r\n\0"):
        raise ValueError("a header holds a line break")
    target = url.raw_path.decode("ascii")
    head = "\r\n".join([f"POST {target} HTTP/1.1", *lines, "Content-Length: "])
    host = url.raw_host.decode("ascii")
    return Road(ServerAddress(host, url.port or (443 if tls else 80), tls), head.encode())


class _PackedBody(httpx2.AsyncByteStream):
    """The body of a reply, as httpx reads it."""

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._connection


def _unpack(connection: HttpConnection) -> AsyncIterator[bytes]:
    """Have httpx unpack the body, piece by piece, as it does for the other transport."""
    packing = {"Content-Encoding": connection.headers["content-encoding"]}
    return httpx2.Response(connection.status, headers=packing, stream=_PackedBody(connection)).aiter_bytes()
