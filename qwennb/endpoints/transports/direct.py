"""The transport of columns: aiohttp, straight to the socket.

Thousands of small requests spend a fraction of a millisecond each here, where the openai package spends several.

aiohttp makes a request and a response object for each exchange, with cookies, redirects, traces and timers that a column
has no use for: three quarters of an exchange's time. On a `Road` its connections (pool, TLS, name look-up) and its parser are
used without them. What goes out is the head, written once for each address and key, and the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import orjson
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.reply import payloads
from qwennb.endpoints.transports import connect
from qwennb.errors import EndpointError

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=connect.CONNECT_SECONDS)
MOST_PAGE = 16 << 20
READ = 1 << 16


class DirectTransport:
    """Carries calls through one `aiohttp.ClientSession`, opened with the first."""

    def __init__(self, *, connections: int = 256, keep: bool = True) -> None:
        self._connections, self._keep = connections, keep  # 0: as many as there are calls
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str | None] = {}
        self._roads: dict[tuple[object, ...], Road | None] = {}

    async def send(self, call: Call) -> AsyncGenerator[Payload, None]:
        """The payloads of the reply to *call*, as they arrive."""
        body = orjson.dumps(call.body)
        if (road := self._road(call)) is None:
            async with self.exchange(call, "POST", body) as reply:
                async for payload in payloads(call, reply.status, reply.headers, reply.content.iter_any()):
                    yield payload
            return
        try:
            async with road.ask(body) as (status, headers, pieces):
                async for payload in payloads(call, status, headers, pieces):
                    yield payload
        except (aiohttp.ClientError, OSError) as error:
            raise _explain(call, error) from None

    async def get(self, call: Call) -> tuple[int, bytes]:
        """The status and the body of what stands at *call*'s address (probes, lists of models)."""
        page = bytearray()
        async with self.exchange(call, "GET") as reply:
            async for piece in reply.content.iter_any():
                page += piece
                if len(page) > MOST_PAGE:
                    raise connect.unreadable_reply(call, f"sent a page of over {MOST_PAGE >> 20} MiB")
            return reply.status, bytes(page)

    @asynccontextmanager
    async def exchange(
        self, call: Call, method: str, body: aiohttp.FormData | bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange in aiohttp's own way (a file up, a list down, whatever goes through a proxy): the reply, of any status."""
        try:
            async with self._open().request(
                method,
                call.url,
                data=body,
                headers=_headers(call, body),
                proxy=self._proxy(call),
                allow_redirects=False,  # a redirect would carry the key to another host
                timeout=_TIMEOUT,
            ) as reply:
                yield reply
        except (aiohttp.ClientError, OSError) as error:
            raise _explain(call, error) from None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            self._roads.clear()

    def _road(self, call: Call) -> Road | None:
        """Find the straight way to *call*'s address; None where there is a proxy, or a password in the address."""
        name = (call.base_url, call.path, call.key, *call.headers.items())
        if name not in self._roads:
            straight = self._proxy(call) is None and "@" not in call.base_url
            self._roads[name] = Road(call.url, _headers(call, b""), self._open()) if straight else None
        return self._roads[name]

    def _proxy(self, call: Call) -> str | None:
        if call.base_url not in self._proxies:
            self._proxies[call.base_url] = connect.proxy_of(call.base_url)
        return self._proxies[call.base_url]

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections,
                    force_close=not self._keep,
                    ttl_dns_cache=300,
                    ssl=connect.certificates(),
                ),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json, text/event-stream", "User-Agent": connect.user_agent()},
                max_line_size=connect.MOST_HEAD,
                max_field_size=connect.MOST_HEAD,
                max_headers=connect.MOST_HEADERS,
            )
        return self._session


class Road:
    """The straight way to one address: what tells its connections from others', and what stands before each body."""

    def __init__(self, url: str, headers: Mapping[str, str], session: aiohttp.ClientSession) -> None:
        self._session = session
        self._request = aiohttp.ClientRequest(
            "POST",
            URL(url),
            headers={**session.headers, **headers},
            loop=asyncio.get_running_loop(),
            session=session,
        )
        sent = {**self._request.headers}
        sent.pop("Content-Length", None)
        if any(sign in value for value in sent.values() for sign in "\r\n\0"):
            raise ValueError("a header holds a line break")
        lines = [f"POST {self._request.url.raw_path_qs} HTTP/1.1", *(f"{n}: {v}" for n, v in sent.items())]
        self._head = "\r\n".join(lines).encode() + b"\r\nContent-Length: %d\r\n\r\n"

    @asynccontextmanager
    async def ask(self, body: bytes) -> AsyncIterator[tuple[int, Mapping[str, str], AsyncIterator[bytes]]]:
        """Send *body*; the reply's status, its headers and its body in pieces. Left before its end, the connection is closed."""
        connector = self._session.connector
        assert connector is not None
        try:
            connection = await connector.connect(self._request, [], _TIMEOUT)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        try:
            protocol, status = connection.protocol, 100
            assert protocol is not None and protocol.transport is not None
            protocol.set_response_params(
                read_until_eof=True,
                read_bufsize=READ,
                max_line_size=connect.MOST_HEAD,
                max_field_size=connect.MOST_HEAD,
                max_headers=connect.MOST_HEADERS,
            )
            protocol.transport.write(self._head % len(body) + body)
            while 100 <= status < 200 and status != 101:
                try:
                    message, content = await protocol.read()
                except HttpProcessingError as error:
                    raise aiohttp.ClientResponseError(
                        self._request.request_info, (), status=error.code
                    ) from error
                status = message.code
            yield status, message.headers, content.iter_any()
        except BaseException:
            connection.close()
            raise
        connection.release()  # closes it where anything of the reply is still to come


def _headers(call: Call, body: object) -> dict[str, str]:
    headers = dict(call.headers)
    if isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
    if call.key is not None:
        headers["Authorization"] = f"Bearer {call.key.reveal()}"
    return headers


def _explain(call: Call, error: BaseException) -> EndpointError:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return connect.certificate_error(call, getattr(error.certificate_error, "reason", None) or "TLS")
        case aiohttp.ClientConnectorSSLError():
            return connect.certificate_error(call, getattr(error.os_error, "reason", None) or "TLS")
        case aiohttp.ClientHttpProxyError():
            return connect.unreachable(call, f"{error.status} {error.message}")
        case aiohttp.ClientConnectorError():
            return connect.unreachable(
                call, connect.reason_of(error.os_error) or str(error.os_error) or "no connection"
            )
        case aiohttp.ConnectionTimeoutError():
            return connect.slow_to_connect(call)
        case aiohttp.ServerTimeoutError():
            return connect.silent(call)
        case aiohttp.ClientPayloadError() if "content-encoding" in str(error).lower():
            return connect.unreadable_reply(call, "sent bytes that don't decompress")
        case aiohttp.ClientResponseError():
            return connect.unreadable_reply(call, "answered something that is not HTTP")
        case _:
            return connect.broken_connection(call)
