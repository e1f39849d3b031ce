"""Ordinary `openai.OpenAI` and `openai.AsyncOpenAI` clients with a door of ours where the network would be.

The package builds a request and reads a reply; between the two stands a transport that carries nothing itself. A
question to `/chat/completions` is handed to a callable, and what that gives is written as the route's JSON or as its
events. Every other route is carried to the endpoint's real address, and only then is the real key written into a header:
the client itself holds a placeholder, and an address that does not exist.

Errors are raised as the package's own classes, with our sentence and with our error as their cause. They are raised here
and not sent as a reply with a status: the package would wrap the sentence into a dump of the reply's body, and a client
with `max_retries` would ask again what the engine has given up.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

import httpx2
import openai
import orjson
from openai import AsyncOpenAI, OpenAI
from openai.resources.chat import AsyncChat, Chat

from qwennb.config import Secret
from qwennb.endpoints.transports.connect import CONNECT_SECONDS
from qwennb.errors import (
    BadInput,
    BudgetExceeded,
    CreditExhausted,
    EndpointError,
    Incomplete,
    InvalidAnswer,
    KeyRefused,
    MissingKey,
    ModelRefused,
    NotRecorded,
    QwenError,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TimedOut,
    UnknownEndpoint,
    UnknownModel,
    Unreachable,
)

__all__ = [
    "AsyncDoor",
    "AsyncOpenAI",
    "Beyond",
    "Door",
    "OpenAI",
    "async_openai_client",
    "openai_client",
]

HOST = "qwennb.invalid"  # a name that no resolver knows: what slips past the transport goes nowhere
PLACEHOLDER = "held-by-qwennb"
QUESTION = "/chat/completions"
# Of the clients that carry the other routes. No connection is kept: none is left open by a client that was dropped, nor
# met again by another event loop. These routes are asked rarely.
_BEYOND: dict[str, Any] = {"follow_redirects": False, "limits": httpx2.Limits(max_keepalive_connections=0)}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beyond:
    """Where the other routes are carried: the endpoint's real address, and the key that goes there and nowhere else."""

    base_url: str
    key: Secret | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """What answers in place of the network. Each call may raise a `QwenError`.

    whole    the body of a question, and seconds to answer it in → the reply's JSON
    pieces   the same → the JSON of each event of a stream
    beyond   the method and path of any other route → where it is carried
    """

    whole: Callable[[Json, float | None], Json]
    pieces: Callable[[Json, float | None], Generator[Json]]
    beyond: Callable[[str, str], Beyond]


@dataclass(frozen=True, slots=True)
class AsyncDoor:
    """As `Door`, for `await`; but `beyond`, which may start a server, is called on a thread."""

    whole: Callable[[Json, float | None], Awaitable[Json]]
    pieces: Callable[[Json, float | None], AsyncGenerator[Json]]
    beyond: Callable[[str, str], Beyond]


def openai_client(door: Door, environ: Mapping[str, str]) -> OpenAI:
    """An `openai.OpenAI` whose calls go through *door*."""
    http = httpx2.Client(transport=_Transport(door), trust_env=False, follow_redirects=False)
    return UncountedOpenAI(http_client=http, **_settings(environ))


def async_openai_client(door: AsyncDoor, environ: Mapping[str, str]) -> AsyncOpenAI:
    """An `openai.AsyncOpenAI` whose calls go through *door*."""
    http = httpx2.AsyncClient(transport=_AsyncTransport(door), trust_env=False, follow_redirects=False)
    return UncountedAsyncOpenAI(http_client=http, **_settings(environ))


def _settings(environ: Mapping[str, str]) -> dict[str, Any]:
    # The package takes keys, organisations and headers of another account from the environment, which are none of this
    # endpoint's business: each is overruled by name.
    custom = environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip() for line in custom if ":" in line]
    overruled: dict[str, Any] = dict.fromkeys([*names, "OpenAI-Organization", "OpenAI-Project"], openai.omit)
    overruled = {name: value for name, value in overruled.items() if name.lower() != "authorization"}
    return {
        "base_url": f"https://{HOST}/v1",
        "api_key": PLACEHOLDER,
        "admin_api_key": "",
        "organization": "",
        "project": "",
        "webhook_secret": "",
        "max_retries": 0,  # the engine's own are behind the door
        "timeout": httpx2.Timeout(None, connect=CONNECT_SECONDS),
        "default_headers": {**overruled, "Authorization": f"Bearer {PLACEHOLDER}"},
    }


# ---------------------------------------------------------------------- counted once

# Who has OpenTelemetry watch the openai package would see each question twice, for our own spans are made where a request
# is really sent; and what is recalled would be counted though it costs nothing. So its instrumentors are told to pass over.


class UncountedOpenAI(OpenAI):
    """The package's own client, whose questions no instrumentor of OpenTelemetry counts beside us."""

    @cached_property
    def chat(self) -> Chat:
        """Its chat, likewise."""
        chat = super().chat
        own = vars(chat.completions)
        own["create"] = _pass_over(chat.completions.create)
        own["parse"] = _pass_over(chat.completions.parse)
        return chat


class UncountedAsyncOpenAI(AsyncOpenAI):
    """The same, for `await`."""

    @cached_property
    def chat(self) -> AsyncChat:
        """Its chat, likewise."""
        chat = super().chat
        own = vars(chat.completions)
        own["create"] = _await_over(chat.completions.create)
        own["parse"] = _await_over(chat.completions.parse)
        return chat


def _pass_over(ask: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(ask)
    def ask_uncounted(*given: Any, **options: Any) -> Any:
        with _no_instrumentation():
            return ask(*given, **options)

    return ask_uncounted


def _await_over(ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(ask)
    async def ask_uncounted(*given: Any, **options: Any) -> Any:
        with _no_instrumentation():
            return await ask(*given, **options)

    return ask_uncounted


def _no_instrumentation() -> AbstractContextManager[Any]:
    """Have instrumentors pass over what is called; there are none where their library is not loaded."""
    utils = sys.modules.get("opentelemetry.instrumentation.utils")
    return nullcontext() if utils is None else utils.suppress_instrumentation()


# ---------------------------------------------------------------------- the transports


class _Transport(httpx2.BaseTransport):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._http: httpx2.Client | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            path = _path(request)
            if not _is_question(request, path):
                return self._carry(request, path)
            body, seconds = _body(request.read()), _seconds(request)
            if not body.get("stream"):
                return _whole(self._door.whole(body, seconds))
            events = self._door.pieces(body, seconds)
            # What fails before the first piece fails the call, and not the loop over the stream.
            first = next(events, None)
            return _stream(_Events(first, events, request))
        except QwenError as error:
            raise _as_openai(error, request) from error

    def close(self) -> None:
        if self._http is not None:
            self._http.close()

    def _carry(self, request: httpx2.Request, path: str) -> httpx2.Response:
        outgoing = _outgoing(request, path, self._door.beyond(request.method, path))
        self._http = self._http or httpx2.Client(**_BEYOND)
        return _copy_reply(self._http.send(outgoing, stream=True))


class _AsyncTransport(httpx2.AsyncBaseTransport):
    def __init__(self, door: AsyncDoor) -> None:
        self._door = door
        self._http: httpx2.AsyncClient | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            path = _path(request)
            if not _is_question(request, path):
                return await self._carry(request, path)
            body, seconds = _body(await request.aread()), _seconds(request)
            if not body.get("stream"):
                return _whole(await self._door.whole(body, seconds))
            events = self._door.pieces(body, seconds)
            first = await anext(events, None)
            return _stream(_AsyncEvents(first, events, request))
        except QwenError as error:
            raise _as_openai(error, request) from error

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _carry(self, request: httpx2.Request, path: str) -> httpx2.Response:
        beyond = await asyncio.to_thread(self._door.beyond, request.method, path)
        outgoing = _outgoing(request, path, beyond)
        self._http = self._http or httpx2.AsyncClient(**_BEYOND)
        return _copy_reply(await self._http.send(outgoing, stream=True))


class _Events(httpx2.SyncByteStream):
    """The events of a stream as bytes. Closing it ends the asking."""

    def __init__(self, first: Json | None, rest: Generator[Json], request: httpx2.Request) -> None:
        self._first, self._rest, self._request = first, rest, request

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self._first is not None:
                yield _event(self._first)
            for data in self._rest:
                yield _event(data)
            yield b"data: [DONE]\n\n"
        except QwenError as error:
            raise _as_openai(error, self._request) from error

    def close(self) -> None:
        self._rest.close()


class _AsyncEvents(httpx2.AsyncByteStream):
    """As `_Events`, for `await`."""

    def __init__(self, first: Json | None, rest: AsyncGenerator[Json], request: httpx2.Request) -> None:
        self._first, self._rest, self._request = first, rest, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._first is not None:
                yield _event(self._first)
            async for data in self._rest:
                yield _event(data)
            yield b"data: [DONE]\n\n"
        except QwenError as error:
            raise _as_openai(error, self._request) from error

    async def aclose(self) -> None:
        await self._rest.aclose()


# ---------------------------------------------------------------------- requests and replies


def _path(request: httpx2.Request) -> str:
    """Read the route, with its query."""
    if request.url.host != HOST:
        raise BadInput(
            f"This openai client asks the endpoint of its Qwen only, and {request.url.host} is another. Make a client of "
            "its own for it: openai.OpenAI(base_url=…)."
        )
    return request.url.raw_path.decode("ascii").removeprefix("/v1")


def _is_question(request: httpx2.Request, path: str) -> bool:
    return request.method == "POST" and path.partition("?")[0] == QUESTION


def _body(content: bytes) -> Json:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise BadInput("The body of a question must be a JSON object.")
    return body


def _seconds(request: httpx2.Request) -> float | None:
    """Read the deadline that the caller gave, if any."""
    given = request.extensions.get("timeout", {}).get("read")
    return float(given) if given else None


def _whole(data: Json) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "application/json"}, content=orjson.dumps(data))


def _stream(events: httpx2.SyncByteStream | httpx2.AsyncByteStream) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=events)


def _event(data: Json) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


_KEPT_BACK = {"authorization", "cookie", "host", "openai-organization", "openai-project"}


def _outgoing(request: httpx2.Request, path: str, beyond: Beyond) -> httpx2.Request:
    url = httpx2.URL(beyond.base_url.rstrip("/") + path)
    headers = [("Host", url.netloc.decode("ascii"))]
    headers += [item for item in request.headers.multi_items() if item[0].lower() not in _KEPT_BACK]
    if beyond.key is not None:
        headers.append(("Authorization", f"Bearer {beyond.key.reveal()}"))
    deadlines = {"timeout": request.extensions.get("timeout", {})}
    return httpx2.Request(request.method, url, headers=headers, stream=request.stream, extensions=deadlines)


def _copy_reply(reply: httpx2.Response) -> httpx2.Response:
    return httpx2.Response(
        reply.status_code, headers=reply.headers, stream=reply.stream, extensions=reply.extensions
    )


# ---------------------------------------------------------------------- errors

# The status for an error that has none of its own; the first row that fits.
_STATUS: tuple[tuple[type[QwenError], int], ...] = (
    (KeyRefused, 401),
    (MissingKey, 401),
    (CreditExhausted, 402),
    (BudgetExceeded, 402),
    (ModelRefused, 404),
    (UnknownModel, 404),
    (RateLimited, 429),
    (ServerFailed, 502),
    (Incomplete, 502),
    (RequestRefused, 400),
    (BadInput, 400),
)
_KINDS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


def _as_openai(error: QwenError, request: httpx2.Request) -> openai.OpenAIError:
    """*error* as the class that a caller of the openai package catches."""
    sentence, kind = str(error), type(error).__name__
    code = error.code if isinstance(error, EndpointError) and error.code else kind
    body = {"message": sentence, "type": kind, "code": code, "param": None}
    if isinstance(error, TimedOut):
        late = openai.APITimeoutError(request)
        late.message, late.args = sentence, (sentence,)  # it takes no sentence of ours
        return late
    if isinstance(error, Unreachable | UnknownEndpoint):
        return openai.APIConnectionError(message=sentence, request=request)
    if isinstance(error, InvalidAnswer):
        reply = httpx2.Response(200, request=request, json={"error": body})
        return openai.APIResponseValidationError(reply, body, message=sentence)
    status = _status(error)
    if status is None or isinstance(error, NotRecorded):
        return openai.APIError(sentence, request, body=body)
    wait = error.retry_after if isinstance(error, EndpointError) else None
    headers = {} if wait is None else {"retry-after": f"{wait:g}"}
    reply = httpx2.Response(status, request=request, headers=headers, json={"error": body})
    general = openai.InternalServerError if status >= 500 else openai.APIStatusError
    return _KINDS.get(status, general)(sentence, response=reply, body=body)


def _status(error: QwenError) -> int | None:
    if isinstance(error, EndpointError) and error.status is not None and 400 <= error.status < 600:
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), None)
