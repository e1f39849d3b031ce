"""The transport of cells, chats, tools and streams: the openai package.

The package builds the request, authenticates and speaks HTTP; its own retries are off, for the engine's limiter sees
every refusal. It hands over the raw bytes, which are read by the same reader as in the direct transport: the package
itself takes a truncated stream, a login page and an error body for answers.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai

from qwennb.config import Secret
from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.reply import payloads
from qwennb.errors import EndpointError, Incomplete, ServerFailed, TimedOut, Unreachable

CONNECT_SECONDS = 20.0


class SdkTransport:
    """Carries calls through `openai.AsyncOpenAI`, one client for each address and key."""

    def __init__(self, *, connections: int = 256) -> None:
        self._http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,  # a redirect would carry the key to another host
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        )
        self._clients: dict[tuple[str, Secret | None], openai.AsyncOpenAI] = {}

    async def send(self, call: Call) -> AsyncIterator[Payload]:
        """The payloads of the reply to *call*, as they arrive."""
        try:
            response = await self._client(call).post(
                call.path,
                cast_to=httpx2.Response,
                body=call.body,
                options={"headers": dict(call.headers)},
                stream=True,
                stream_cls=openai.AsyncStream[Any],
            )
        except openai.APIStatusError as error:
            response = error.response  # type: ignore[assignment]
        except openai.APIConnectionError as error:
            raise _connection(call, error.__cause__ or error) from None
        reply: httpx2.Response = response  # type: ignore[assignment]
        try:
            headers = {name.lower(): value for name, value in reply.headers.items()}
            async for payload in payloads(call, reply.status_code, headers, _pieces(reply)):
                yield payload
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise _connection(call, error) from None
        finally:
            await reply.aclose()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    def _client(self, call: Call) -> openai.AsyncOpenAI:
        # The client is kept by address and key, so that a key can't travel to an address it was not given for.
        name = (call.base_url, call.key)
        if name not in self._clients:
            without_key: dict[str, Any] = {} if call.key else {"Authorization": openai.omit}
            self._clients[name] = openai.AsyncOpenAI(
                base_url=call.base_url,
                api_key=call.key.reveal() if call.key else "none",
                max_retries=0,
                timeout=None,
                http_client=self._http,
                # These two would be taken from OPENAI_ORG_ID and OPENAI_PROJECT_ID, which are none of this server's business.
                default_headers={
                    "OpenAI-Organization": openai.omit,
                    "OpenAI-Project": openai.omit,
                    "Accept": "application/json, text/event-stream",
                    **without_key,
                },
            )
        return self._clients[name]


async def _pieces(reply: httpx2.Response) -> AsyncIterator[bytes]:
    if reply.is_closed:
        yield reply.content
        return
    async for piece in reply.aiter_bytes():
        yield piece


def _connection(call: Call, error: BaseException) -> EndpointError:
    certificate = next((e for e in _causes(error) if isinstance(e, ssl.SSLError)), None)
    if certificate is not None:
        return Unreachable(
            f"{call.place} has no certificate that this machine trusts ({certificate.reason or 'TLS'}). Check SSL_CERT_FILE."
        )
    if isinstance(error, httpx2.ConnectTimeout):
        return Unreachable(
            f"{call.place} did not take a connection within {CONNECT_SECONDS:.0f} s.", transient=True
        )
    if isinstance(error, httpx2.ProxyError):
        return Unreachable(f"The proxy of this environment refused the way to {call.place}: {error}.")
    if isinstance(error, httpx2.ConnectError):
        return Unreachable(f"{call.place} can't be reached: {_first(error)}.")
    if isinstance(error, httpx2.TimeoutException):
        return TimedOut(f"{call.place} fell silent.", maybe_billed=True)
    if isinstance(error, httpx2.DecodingError):
        return ServerFailed(f"{call.place} sent bytes that don't decompress.", maybe_billed=True)
    return Incomplete(f"The connection to {call.place} broke before the answer was whole.", maybe_billed=True)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def _first(error: BaseException) -> str:
    innermost = next((e for e in reversed(_causes(error)) if isinstance(e, OSError) and e.strerror), None)
    return (
        (innermost.strerror or str(innermost))
        if isinstance(innermost, OSError)
        else str(error).rstrip(".") or "no connection"
    )
