"""The transport of cells, chats, tools and streams: the openai package.

The package builds the request, authenticates and speaks HTTP; its own retries are off, for the engine's limiter sees
every refusal. It hands over the raw bytes, which are read by the same reader as in the direct transport: the package
itself takes a truncated stream, a login page and an error body for answers.

What is no question (a probe, a list of models, a file up or down) goes through the same HTTP client, without the package.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
import openai

from qwennb.config import Secret
from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.reply import MOST_ERROR, payloads
from qwennb.endpoints.transports import connect
from qwennb.errors import EndpointError

MOST_PAGE = 16 << 20

# The headers of the call that is being made. The package would spell them in ASCII, which lacks letters that names have.
_own_headers: ContextVar[Mapping[str, str]] = ContextVar("_own_headers")


def _is_others(record: logging.LogRecord) -> bool:
    """Leave out what the libraries log of our own calls: texts of questions among it, in a log that was set up for another's."""
    return _own_headers.get(None) is None


for _name in (
    "openai._base_client",
    "openai._response",
    "openai._legacy_response",
    "httpx2",
    *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
):
    logging.getLogger(_name).addFilter(_is_others)


class SdkTransport:
    """Carries calls through `openai.AsyncOpenAI`, one client for each address and key. *connections*: 0 for as many as are wanted."""

    def __init__(self, *, connections: int = 256) -> None:
        self._connections = connections
        self._http: dict[str | None, httpx2.AsyncClient] = {}
        self._clients: dict[tuple[str, Secret | None], _Client] = {}

    async def send(self, call: Call) -> AsyncGenerator[Payload, None]:
        """The payloads of the reply to *call*, as they arrive."""
        reply = await self._send(call)
        try:
            headers = {name.lower(): value for name, value in reply.headers.items()}
            async for payload in payloads(call, reply.status_code, headers, _pieces(reply)):
                yield payload
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise _explain(call, error) from None
        finally:
            await reply.aclose()

    async def get(self, call: Call) -> tuple[int, bytes]:
        """The status and the body of what stands at *call*'s address (probes, lists of models)."""
        async with self.exchange(call, "GET") as reply:
            return reply.status_code, await read_page(call, reply)

    @asynccontextmanager
    async def exchange(self, call: Call, method: str, **content: Any) -> AsyncIterator[httpx2.Response]:
        """One exchange that is no question, with *content* as httpx takes it: the reply, of any status."""
        headers = {"Accept": connect.ACCEPT, "User-Agent": connect.user_agent()}
        if call.key is not None:
            headers["Authorization"] = f"Bearer {call.key.reveal()}"
        _own_headers.set(call.headers)
        http = self._through(connect.proxy_of(call.base_url))
        try:
            async with http.stream(method, call.url, headers=headers, **content) as reply:
                yield reply
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise _explain(call, error) from None

    async def close(self) -> None:
        """Close every connection."""
        for client in self._http.values():
            await client.aclose()

    async def _send(self, call: Call) -> httpx2.Response:
        headers: dict[str, Any] = {"Authorization": openai.omit} if call.key is None else {}
        _own_headers.set(call.headers)
        try:
            reply: Any = await self._client(call).post(
                call.path,
                cast_to=httpx2.Response,
                body=call.body,
                options={"headers": headers},
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
        except openai.APIStatusError as error:
            return error.response
        except openai.APIConnectionError as error:
            raise _explain(call, error.__cause__ or error) from None
        response: httpx2.Response = reply
        return response

    def _client(self, call: Call) -> _Client:
        # The client is kept by address and key, so that a key can't travel to an address it was not given for.
        name = (call.base_url, call.key)
        if name not in self._clients:
            self._clients[name] = _Client(
                base_url=call.base_url,
                api_key=call.key.reveal() if call.key else "none",
                admin_api_key="none",
                max_retries=0,
                timeout=None,
                http_client=self._through(connect.proxy_of(call.base_url)),
            )
        return self._clients[name]

    def _through(self, proxy: str | None) -> httpx2.AsyncClient:
        if proxy not in self._http:
            self._http[proxy] = openai.DefaultAsyncHttpxClient(
                proxy=proxy,
                verify=connect.certificates(),
                trust_env=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none are kept
                follow_redirects=False,  # a redirect would carry the key to another host
                timeout=httpx2.Timeout(None, connect=connect.CONNECT_SECONDS, pool=None),
                limits=httpx2.Limits(
                    max_connections=self._connections or None,
                    max_keepalive_connections=self._connections or None,
                ),
                event_hooks={"request": [_add_own_headers], "response": [_limit_error_body]},
            )
        return self._http[proxy]


async def read_page(call: Call, reply: httpx2.Response) -> bytes:
    """Read the body of a *reply* that is no answer; it has a bound."""
    page = bytearray()
    async for piece in reply.aiter_bytes():
        page += piece
        if len(page) > MOST_PAGE:
            raise connect.unreadable_reply(call, f"sent a page of over {MOST_PAGE >> 20} MiB")
    return bytes(page)


class _Client(openai.AsyncOpenAI):
    """The package's client without what it takes from OPENAI_… variables: those were set for another server."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        """The plain ones; the package would add OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID."""
        return {
            "Accept": connect.ACCEPT,
            "Content-Type": "application/json",
            "User-Agent": connect.user_agent(),
        }


class _Bounded(httpx2.AsyncByteStream):
    """The first so many bytes of a stream."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for piece in self._stream:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _add_own_headers(request: httpx2.Request) -> None:
    for name, value in _own_headers.get({}).items():
        request.headers[name] = value  # in UTF-8, as the direct transport writes it


async def _limit_error_body(reply: httpx2.Response) -> None:
    # The package reads a refusal's body to its end, however long it is.
    if reply.status_code != 200 and isinstance(reply.stream, httpx2.AsyncByteStream):
        reply.stream = _Bounded(reply.stream, MOST_ERROR)


async def _pieces(reply: httpx2.Response) -> AsyncIterator[bytes]:
    if reply.is_closed:
        yield reply.content
        return
    async for piece in reply.aiter_bytes():
        yield piece


def _explain(call: Call, error: BaseException) -> EndpointError:
    tls = next((cause for cause in connect.causes_of(error) if isinstance(cause, ssl.SSLError)), None)
    match error:
        case httpx2.ConnectError() if tls is not None:
            return connect.certificate_error(call, tls.reason or "TLS")
        case httpx2.ConnectTimeout():
            return connect.slow_to_connect(call)
        case httpx2.ProxyError():
            return connect.unreachable(call, str(error))
        case httpx2.ConnectError():
            return connect.unreachable(call, connect.http_reason(error))
        case httpx2.TimeoutException():
            return connect.silent(call)
        case httpx2.DecodingError():
            return connect.unreadable_reply(call, "sent bytes that don't decompress")
        case httpx2.RemoteProtocolError() if not any(
            word in str(error) for word in ("disconnected", "peer closed", "unexpectedly closed")
        ):
            return connect.unreadable_reply(call, "answered something that is not HTTP")
        case _:
            return connect.broken_connection(call)
