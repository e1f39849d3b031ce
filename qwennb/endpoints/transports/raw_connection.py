"""One question and its reply over a kept connection.

aiohttp makes a request and a response object for each exchange, with cookies, redirects, traces and timers that a column
has no use for: three quarters of an exchange's time. Here its connections (pool, TLS, name look-up) and its parser are
used without them. What goes out is the head, written once for each address and key, and the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from qwennb.endpoints.transports.connect import MOST_HEAD, MOST_HEADERS

READ = 1 << 16


class Road:
    """The way to one address: what tells its connections from others', and what stands before each body."""

    def __init__(self, url: str, headers: Mapping[str, str], session: aiohttp.ClientSession) -> None:
        self.request = aiohttp.ClientRequest(
            "POST",
            URL(url),
            headers={**session.headers, **headers},
            loop=asyncio.get_running_loop(),
            session=session,
        )
        sent = {**self.request.headers}
        sent.pop("Content-Length", None)
        if any(sign in value for value in sent.values() for sign in "\r\n\0"):
            raise ValueError("a header holds a line break")
        lines = [f"POST {self.request.url.raw_path_qs} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.items())]
        self._head = "\r\n".join(lines).encode() + b"\r\nContent-Length: %d\r\n\r\n"

    def message(self, body: bytes) -> bytes:
        """All that is sent for *body*."""
        return self._head % len(body) + body


class RawConnection:
    """A connection for the time of one exchange. Where it is left before the reply's end, it is closed."""

    def __init__(self, session: aiohttp.ClientSession, road: Road, timeout: aiohttp.ClientTimeout) -> None:
        self._session = session
        self._road = road
        self._timeout = timeout
        self._connection: Any = None

    async def ask(self, body: bytes) -> tuple[int, Mapping[str, str], AsyncIterator[bytes]]:
        """Send *body*; the reply's status, its headers and its body in pieces."""
        connector = self._session.connector
        assert connector is not None
        try:
            self._connection = await connector.connect(self._road.request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        protocol = self._connection.protocol
        protocol.set_response_params(
            read_until_eof=True,
            read_bufsize=READ,
            max_line_size=MOST_HEAD,
            max_field_size=MOST_HEAD,
            max_headers=MOST_HEADERS,
        )
        self._connection.transport.write(self._road.message(body))
        status = 100
        while 100 <= status < 200 and status != 101:
            try:
                message, content = await protocol.read()
            except HttpProcessingError as error:
                raise aiohttp.ClientResponseError(
                    self._road.request.request_info, (), status=error.code
                ) from error
            status = message.code
        return status, message.headers, content.iter_any()

    async def __aenter__(self) -> RawConnection:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._connection is None:
            return
        if kind is None:
            self._connection.release()  # closes it where anything of the reply is still to come
        else:
            self._connection.close()
