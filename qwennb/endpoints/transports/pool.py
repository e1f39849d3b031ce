"""The connections of columns: HTTP/1.1 over asyncio's transports, read by httptools.

    take ──▶ ConnectionPool ── an idle connection, else a new one (`dial`); where all are lent, wait in line
                  ▲    │
        give_back │    ▼             ask: head and body, in one write
              HttpConnection ═══════════════════════════════════════════▶ server
                  ▲    HttpResponseParser ◀══ data_received ═════════════
                  │       on_headers_complete   status, headers; of a 1xx nothing
    async for  ◀──┤       on_body               a piece; over UNREAD of them the socket is paused
    piece         │       on_message_complete   whole: may be lent again, where both sides keep it
                  │       on_message_begin      when whole: nobody asked for that; the connection is closed
                  └──  connection_lost          whole, where the reply named no length; else it broke

A connection carries one exchange at a time. Left before its reply is whole (by an error, an interrupt, a timeout) it is
closed, so that the rest of an answer is never read as the next. A request is written once: what came of it, where the
connection breaks, nobody knows, and whether to ask again is the engine's to decide. Only a connection that ended while
nobody used it is passed over in silence.

httptools has no call for the end of input, no bounds for a head, and begins another message where bytes follow an answer:
`connection_lost`, `MOST_HEAD` and `on_message_begin` are for that. Bodies are handed over as they came; `direct.py` unpacks.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from qwennb.endpoints.call import Call
from qwennb.endpoints.transports import connect
from qwennb.errors import EndpointError

MOST_HEAD = 100 << 10  # bytes of a reply's headers: what httpx takes, so that neither transport takes less
UNREAD = (
    1 << 18
)  # bytes of a body that wait to be read before the socket is left to wait; chosen: a read of asyncio's
KEEP_SECONDS = 15.0  # idle, as aiohttp kept them: what lies longer, a server or a router may have forgotten without a word
FRESH_SECONDS = 300.0  # of a name's addresses, as aiohttp kept them
HEAD_START = 0.25  # seconds before the next address is tried beside one that is silent: RFC 8305
QUIET_SECONDS = 1.0  # idle; from then on the kernel is asked whether the other end has closed: a microsecond

Failure = Callable[[Call], EndpointError]
Found = tuple[Any, ...]  # an address as `getaddrinfo` gives it

_is_not_http: Failure = partial(connect.unreadable_reply, what="answered something that is not HTTP")


class ServerAddress(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


class HttpConnection(asyncio.Protocol):
    """One connection: sends a request, and is the reply's body in pieces. `status` and `headers` are there after `ask`.

    `is_free`: the reply was whole, nothing came after it, and the other end keeps the connection.
    """

    def __init__(self, address: ServerAddress, lost: Callable[[HttpConnection], None]) -> None:
        self.address = address
        self.idle_since = 0.0
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        # What the other transport's parser takes too: odd letters in a header, lines that end in LF alone, blanks after the
        # size of a chunk, a length beside chunks (which is then ignored, as RFC 9112 says).
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
            lenient_chunked_length=True,
        )
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._is_whole = self._is_paused = self._keeps = self.is_free = False
        self._failure: Failure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._unread = self._head_size = self._since_news = 0

    # ------------------------------------------------------------------ what the pool and the transport call

    async def ask(self, request: bytes, call: Call) -> None:
        """Send *request*, and wait for the head of its reply."""
        if self._is_whole:
            self._begin()
        self._call = call
        if self._failure is None:
            self._socket.write(request)
        while not self.status:
            await self._wait()

    def __aiter__(self) -> HttpConnection:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._is_whole:
                raise StopAsyncIteration
            await self._wait()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        if self._is_paused:
            self._is_paused = False
            self.is_free = self._is_whole and self._keeps
            if not self._socket.is_closing():
                self._socket.resume_reading()
        return piece

    def has_news(self) -> bool:
        """Ask the kernel whether something came that the loop has not seen: of an idle connection that is its end."""
        if not hasattr(select, "poll"):  # Windows
            return False
        poll = select.poll()
        poll.register(self._socket.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close at once, whatever is under way."""
        self.is_free = False
        self._socket.abort()

    async def _wait(self) -> None:
        if self._failure is not None:
            raise self._failure(self._call)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _fail(self, failure: Failure) -> None:
        self._keeps = self.is_free = False
        if not self._is_whole:
            self._failure = self._failure or failure
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------------ what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._socket = cast(
            "asyncio.Transport", transport
        )  # uvloop's is one by its methods, and not by its class

    def data_received(self, data: bytes) -> None:
        """Read on. A head, a trailer or a chunk's line that does not end is cut off: the parser bounds none of them."""
        self._since_news += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._since_news = MOST_HEAD + 1
        if self._since_news > MOST_HEAD:
            self._fail(_is_not_http)
            self._socket.abort()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def eof_received(self) -> None:
        """Lend it no more: asyncio closes it now, and tells so a turn of the loop later."""
        self.is_free = False

    def connection_lost(self, error: Exception | None) -> None:
        """End: of the reply too, where nothing but the end of the connection tells it."""
        self._lost(self)
        named = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self.status and error is None and self._failure is None and not named:
            self._is_whole = True
        self._fail(connect.broken_connection)

    # ------------------------------------------------------------------ what the parser calls

    def on_message_begin(self) -> None:
        """Refuse what nobody asked for: an answer beyond the answer, or one to the next question before it is asked."""
        if self._is_whole:
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; a trailer is passed over. Those of one name are one, as in the other transport."""
        self._head_size += len(name) + len(value)
        if self._head_size > MOST_HEAD or b"\0" in value:
            raise ValueError
        if not self.status:
            known, text = name.decode("latin-1").lower(), value.strip(b" \t").decode(errors="replace")
            self.headers[known] = f"{self.headers[known]}, {text}" if known in self.headers else text

    def on_headers_complete(self) -> None:
        """Note the status. A 1xx only says that the answer is still to come."""
        self._since_news = 0
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.headers = {}
            self._head_size = 0
            return
        if self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise ValueError  # a body that is packed on the way, which nobody asked for and httpx does not read either
        self.status = status

    def on_body(self, piece: bytes) -> None:
        """Hold a piece until it is read."""
        self._since_news = 0
        self._pieces.append(piece)
        self._unread += len(piece)
        if self._unread > UNREAD and not self._is_paused:
            self._is_paused = True
            self._socket.pause_reading()

    def on_message_complete(self) -> None:
        """Note that the reply is whole; that of a 1xx was none."""
        self._since_news = 0
        if self.status:
            self._is_whole = True
            self._keeps = self._parser.should_keep_alive()
            self.is_free = (
                self._keeps and not self._is_paused
            )  # while it is, what comes after the answer is not seen


class ConnectionPool:
    """The connections of one transport, at most *most* lent at a time (0: as many as are asked for). Used on one loop."""

    def __init__(self, most: int, *, keep_seconds: float = KEEP_SECONDS) -> None:
        self._turns = asyncio.Semaphore(most) if most else None
        self._keep_seconds = keep_seconds
        self._idle: dict[ServerAddress, list[HttpConnection]] = {}
        self._open: set[HttpConnection] = set()
        self._names: dict[ServerAddress, tuple[asyncio.Task[list[Found]], float]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(self, address: ServerAddress, call: Call) -> HttpConnection:
        """Lend a connection to *address* for *call*. Give it back, whatever comes."""
        if self._turns is not None:
            await self._turns.acquire()
        try:
            idle = self._idle.get(address)
            while idle:
                connection = idle.pop()  # the one that was used last
                lay = asyncio.get_running_loop().time() - connection.idle_since
                is_free = connection.is_free and lay < self._keep_seconds
                if is_free and (lay < QUIET_SECONDS or not connection.has_news()):
                    return connection
                connection.close()
            return await self._connect(address, call)
        except BaseException:
            if self._turns is not None:
                self._turns.release()
            raise

    def give_back(self, connection: HttpConnection) -> None:
        """Take *connection* back; one that is not good for another exchange is closed."""
        if self._turns is not None:
            self._turns.release()
        if not self._keep_seconds or not connection.is_free:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(connection.address, []).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keep_seconds, self._sweep)

    async def close(self) -> None:
        """Close every connection, and wait for the loop to have let go of them."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for task, _ in self._names.values():
            task.cancel()
        self._names.clear()
        for connection in tuple(self._open):
            connection.close()
        for _ in range(100):  # each is told of its end by one of the loop's next turns
            if not self._open:
                return
            await asyncio.sleep(0)

    def _sweep(self) -> None:
        """Close what was idle for too long, for all connections at once."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._keep_seconds
        for idle in self._idle.values():
            while idle and idle[0].idle_since <= oldest:
                idle.pop(0).close()
        if any(self._idle.values()):
            first = min(idle[0].idle_since for idle in self._idle.values() if idle)
            self._sweeper = loop.call_at(first + self._keep_seconds, self._sweep)

    def _forget(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.address, [])
        if connection in idle:
            idle.remove(connection)

    # ------------------------------------------------------------------ new connections

    async def _connect(self, address: ServerAddress, call: Call) -> HttpConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(connect.CONNECT_SECONDS):
                plug = await dial(await self._look_up(address))
                _, connection = await loop.create_connection(
                    partial(HttpConnection, address, self._forget),
                    sock=plug,
                    ssl=connect.certificates() if address.tls else None,
                    server_hostname=address.host if address.tls else None,
                )
        except ssl.SSLError as error:
            raise connect.certificate_error(call, error.reason or "TLS") from None
        except TimeoutError:
            raise connect.slow_to_connect(call) from None
        except OSError as error:
            self._names.pop(address, None)
            reason = connect.reason_of(error) or str(error) or "no connection"
            raise connect.unreachable(call, reason) from None
        self._open.add(connection)
        return connection

    async def _look_up(self, address: ServerAddress) -> list[Found]:
        """Give the addresses of a host: asked for once, however many connections are wanted at once."""
        loop = asyncio.get_running_loop()
        task, until = self._names.get(address, (None, 0.0))
        if task is None or loop.time() >= until:
            looking = loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            task = asyncio.ensure_future(looking)
            task.add_done_callback(_look_at)
            self._names[address] = task, loop.time() + FRESH_SECONDS
        return await asyncio.shield(task)


async def dial(addresses: list[Found]) -> socket.socket:
    """Connect to whichever of *addresses* takes the call first: families by turns, each with a head start (RFC 8305)."""
    ranks: Counter[int] = Counter()
    line = []
    for address in addresses:
        line.append((ranks[address[0]], address))
        ranks[address[0]] += 1
    waiting = [address for _, address in sorted(line, key=lambda ranked: ranked[0])]
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: BaseException = OSError("no address")
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.ensure_future(_open_socket(waiting.pop(0))))
            done, _ = await asyncio.wait(
                attempts, timeout=HEAD_START if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                attempts.discard(attempt)
                if (failed := attempt.exception()) is None:
                    return attempt.result()
                error = failed
        raise error
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_hang_up)
            attempt.cancel()


async def _open_socket(address: Found) -> socket.socket:
    family, kind, protocol, _, where = address
    plug = socket.socket(family, kind, protocol)
    try:
        plug.setblocking(False)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(plug, where)
    except BaseException:
        plug.close()
        raise
    return plug


def _hang_up(attempt: asyncio.Task[socket.socket]) -> None:
    """Close a connection that another was faster than."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _look_at(task: asyncio.Task[Any]) -> None:
    """Look at what became of *task*, so that nobody warns when all who waited have gone."""
    if not task.cancelled():
        task.exception()
