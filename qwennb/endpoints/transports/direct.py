"""The transport of columns: aiohttp, straight to the socket.

Thousands of small requests spend a fraction of a millisecond each here, where the openai package spends several.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.reply import payloads
from qwennb.errors import EndpointError, Incomplete, ServerFailed, TimedOut, Unreachable

CONNECT_SECONDS = 20.0
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


class DirectTransport:
    """Carries calls through one `aiohttp.ClientSession`, opened with the first."""

    def __init__(self, *, connections: int = 256) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call) -> AsyncIterator[Payload]:
        """The payloads of the reply to *call*, as they arrive."""
        headers = {"Content-Type": "application/json", **call.headers}
        if call.key is not None:
            headers["Authorization"] = f"Bearer {call.key.reveal()}"
        try:
            async with self._open().post(
                call.url,
                data=orjson.dumps(call.body),
                headers=headers,
                allow_redirects=False,
                timeout=_TIMEOUT,
                proxy=_proxy(call.base_url),
            ) as reply:
                del headers  # it holds the key, and a traceback may print this frame
                heads = {name.lower(): value for name, value in reply.headers.items()}
                async for payload in payloads(call, reply.status, heads, reply.content.iter_any()):
                    yield payload
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ServerTimeoutError):
                raise
            raise _connection(call, error) from None

    async def get(self, call: Call) -> tuple[int, bytes]:
        """The status and the first MiB of what stands at *call*'s address (probes, lists of models)."""
        headers = dict(call.headers)
        if call.key is not None:
            headers["Authorization"] = f"Bearer {call.key.reveal()}"
        try:
            async with self._open().get(
                call.url,
                headers=headers,
                allow_redirects=False,
                timeout=_TIMEOUT,
                proxy=_proxy(call.base_url),
            ) as reply:
                del headers
                return reply.status, await reply.content.read(1 << 20)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _connection(call, error) from None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=300),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                headers={"Accept": "application/json, text/event-stream"},
            )
        return self._session


@lru_cache(maxsize=64)
def _proxy(base_url: str) -> str | None:
    """The environment's proxy for this address. aiohttp's own `trust_env` would look for it with every request, and
    read passwords for the host out of the user's netrc besides."""
    parts = urlsplit(base_url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _connection(call: Call, error: BaseException) -> EndpointError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        reason = getattr(getattr(error, "certificate_error", None), "reason", None) or "TLS"
        return Unreachable(
            f"{call.place} has no certificate that this machine trusts ({reason}). Check SSL_CERT_FILE."
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return Unreachable(f"The proxy of this environment refused the way to {call.place}.")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error) or "no connection"
        return Unreachable(f"{call.place} can't be reached: {reason.rstrip('.')}.")
    if isinstance(error, aiohttp.ConnectionTimeoutError | asyncio.TimeoutError) and not isinstance(
        error, aiohttp.SocketTimeoutError
    ):
        return Unreachable(
            f"{call.place} did not take a connection within {CONNECT_SECONDS:.0f} s.", transient=True
        )
    if isinstance(error, aiohttp.ServerTimeoutError):
        return TimedOut(f"{call.place} fell silent.", maybe_billed=True)
    if isinstance(error, aiohttp.ClientPayloadError) and "encoding" in str(error).lower():
        return ServerFailed(f"{call.place} sent bytes that don't decompress.", maybe_billed=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return ServerFailed(f"{call.place} answered something that is not HTTP.", maybe_billed=True)
    return Incomplete(f"The connection to {call.place} broke before the answer was whole.", maybe_billed=True)
