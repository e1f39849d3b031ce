"""The pool of connections: replies cut anywhere, connections that end, a line for them, and what httptools leaves to us."""

import asyncio
import contextlib
import json
import socket
import time

import pytest

from qwennb.endpoints import DirectTransport
from qwennb.endpoints.transports.pool import (
    MOST_HEAD,
    UNREAD,
    ConnectionPool,
    HttpConnection,
    ServerAddress,
    dial,
)
from qwennb.errors import EndpointError, Incomplete, ServerFailed

from .wire import BODY, EVENTS, STREAM, WHOLE, Raw, call, chunked, reply, serving, zipped

HERE = ServerAddress("here", 80, tls=False)
ASKED = call("http://here/v1")
LOOPS = [asyncio.new_event_loop]
with contextlib.suppress(ImportError):  # there is none for Windows
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


@pytest.fixture(params=LOOPS, ids=lambda made: made.__module__.partition(".")[0])
def run(request):
    """Run a coroutine on each kind of loop."""

    def run_on_loop(work):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(work)

    return run_on_loop


async def ask(transport, port, **given):
    return [p.data async for p in transport.send(call(f"http://127.0.0.1:{port}/v1", stream=False, **given))]


# ---------------------------------------------------------------------- cut anywhere


class Wire(asyncio.Transport):
    """A transport that leads nowhere: what was written is thrown away, what comes is given by hand."""

    def __init__(self):
        super().__init__()
        self.closed = False

    def write(self, data):
        pass

    def is_closing(self):
        return self.closed

    def abort(self):
        self.closed = True

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


async def read(pieces):
    """What a connection makes of *pieces*, after which it ends: status, headers, body or error, and whether it may serve again."""
    connection = HttpConnection(HERE, lambda _: None)
    connection.connection_made(Wire())
    asking = asyncio.ensure_future(connection.ask(b"", ASKED))
    await asyncio.sleep(0)  # it waits for the head
    for piece in pieces:
        connection.data_received(piece)
    again = connection.is_free
    connection.connection_lost(None)
    body = bytearray()
    try:
        await asking
        async for piece in connection:
            body += piece
    except EndpointError as error:
        return type(error).__name__, connection.status, bytes(body), again
    return connection.status, dict(connection.headers), bytes(body), again


REPLIES = {
    "a length": reply(BODY, headers=["x-one: 1", "x-one: Grüße", "x-empty:"]),
    "chunks": chunked(STREAM),
    "three chunks": chunked(STREAM[:90]).removesuffix(b"0\r\n\r\n") + b"00a;q=1\r\n" + b"b" * 10 + b"\r\n000\r\n\r\n",
    "trailers": chunked(STREAM).removesuffix(b"\r\n") + b"x-cost: 5\r\ncontent-type: text/html\r\n\r\n",
    "hints first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + reply(BODY),
    "no length": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + BODY,
    "of old": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "of old, kept": b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
    "closed afterwards": reply(BODY, headers=["connection: close"]),
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an empty body": reply(b"", status="500 Oops"),
    "a length that is not kept": reply(BODY[:20], length=len(BODY)),
    "a chunk that is not kept": chunked(STREAM, ended=False),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "no HTTP after a while": chunked(STREAM).replace(b"\r\n0\r\n", b"\r\nzz\r\n"),
    "another protocol": reply(status="101 Switching Protocols", headers=["upgrade: x", "connection: upgrade"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_the_same_wherever_it_is_cut(name):
    whole = REPLIES[name]

    async def read_all():
        expected = await read([whole])
        assert await read([whole[at : at + 1] for at in range(len(whole))]) == expected
        for at in range(1, len(whole)):
            assert await read([whole[:at], whole[at:]]) == expected
        return expected

    expected = asyncio.run(read_all())
    assert expected[-1] is (name in ("a length", "chunks", "three chunks", "trailers", "hints first", "of old, kept", "no body", "an empty body"))  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_that_ends_at_any_byte_is_whole_or_an_error(name):
    whole = REPLIES[name]

    async def read_all():
        full = await read([whole])
        for at in range(len(whole)):
            told = await read([whole[:at]])
            if isinstance(told[0], int):
                # Without a length, the end of the connection is the end of the answer: nobody can know better.
                assert told == full or name in ("no length", "of old")
                assert whole.startswith(b"HTTP/1")
            else:
                assert told[0] in ("Incomplete", "ServerFailed")

    asyncio.run(read_all())


def test_headers_of_one_name_are_one_and_trailers_are_none():
    _, headers, _, _ = asyncio.run(read([REPLIES["a length"]]))
    assert headers["x-one"] == "1, Grüße"
    assert headers["x-empty"] == ""
    _, headers, body, _ = asyncio.run(read([REPLIES["trailers"]]))
    assert headers["content-type"] == "text/event-stream"
    assert "x-cost" not in headers
    assert body == STREAM


# ---------------------------------------------------------------------- what httptools leaves to us


def test_a_body_without_length_ends_with_its_connection_and_not_with_a_reset(run):
    """httptools has no call for the end of input."""
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + BODY

    async def work():
        async with serving(Raw(whole, close=True)) as port:
            assert await ask(DirectTransport(), port) == [WHOLE]
        async with serving(Raw(whole, reset_after=len(whole))) as port:
            with pytest.raises(Incomplete):
                await ask(DirectTransport(), port)

    run(work())


def test_a_word_that_the_answer_is_still_to_come_is_no_answer(run):
    """httptools gives a 1xx as a whole message, and begins another for the answer."""

    async def work():
        raw = Raw(b"HTTP/1.1 102 Processing\r\ncontent-type: text/html\r\n\r\n" * 3 + reply())
        async with serving(raw) as port:
            transport = DirectTransport()
            assert [await ask(transport, port) for _ in range(3)] == [[WHOLE]] * 3
            await transport.close()
        return raw.connections

    assert run(work()) == 1


def test_what_comes_after_an_answer_is_not_read_as_the_next(run):
    """httptools begins another message in silence."""
    poison = reply(b'{"choices": [{"message": {"content": "not yours"}}]}')

    async def work():
        raw = Raw(reply() + poison)
        async with serving(raw) as port:
            transport = DirectTransport()
            said = [await ask(transport, port) for _ in range(3)]
            await transport.close()
        return said, len(raw.asked), raw.connections

    assert run(work()) == ([[WHOLE]] * 3, 3, 3)


@pytest.mark.parametrize("line", [b"x-long: ", b""], ids=["one header", "many headers"])
def test_headers_without_end_are_cut_off(line):
    """httptools holds as many as come."""

    async def feed():
        connection, wire = HttpConnection(HERE, lambda _: None), Wire()
        connection.connection_made(wire)
        connection.data_received(b"HTTP/1.1 200 OK\r\n" + line)
        piece, given = b"a" * 1000 if line else b"x-a: 1\r\n" * 125, 0
        while not wire.closed:
            connection.data_received(piece)
            given += len(piece)
        with pytest.raises(ServerFailed, match="not HTTP"):
            await connection.ask(b"", ASKED)
        return given

    assert MOST_HEAD * 0.7 < asyncio.run(feed()) < MOST_HEAD * 1.5


def test_another_protocol_is_no_http(run):
    """httptools raises HttpParserUpgrade, which is no HttpParserError."""

    async def work():
        raw = Raw(reply(status="101 Switching Protocols", headers=["upgrade: x", "connection: upgrade"]))
        async with serving(raw) as port:
            with pytest.raises(ServerFailed, match="not HTTP"):
                await ask(DirectTransport(), port)

    run(work())


# ---------------------------------------------------------------------- the pool


def test_no_more_connections_are_lent_than_there_may_be(run):
    async def work():
        raw = Raw(reply())
        async with serving(raw) as port:
            transport = DirectTransport(connections=2)
            said = await asyncio.gather(*(ask(transport, port) for _ in range(9)))
            await transport.close()
        return said, raw.connections

    said, connections = run(work())
    assert said == [[WHOLE]] * 9
    assert connections == 2


def test_who_waits_for_a_connection_and_gives_up_leaves_the_line(run):
    async def work():
        raw = Raw(b"")
        async with serving(raw) as port:
            transport = DirectTransport(connections=1)
            first = asyncio.create_task(ask(transport, port))
            await raw.came.wait()
            second, third = (asyncio.create_task(ask(transport, port)) for _ in range(2))
            await asyncio.sleep(0.01)  # both stand in line
            second.cancel()
            raw.answer = reply()
            first.cancel()
            async with asyncio.timeout(5):
                assert await third == [WHOLE]
            await transport.close()

    run(work())


def test_what_fails_gives_its_turn_back(run):
    async def work():
        raw = Raw(b"", close=True)
        async with serving(raw) as port:
            transport = DirectTransport(connections=1)
            for address in (port, 9, port, 9):
                with pytest.raises(EndpointError):
                    await ask(transport, address)
            raw.answer, raw.close = reply(), False
            async with asyncio.timeout(5):
                assert await ask(transport, port) == [WHOLE]
            await transport.close()

    run(work())


def test_a_connection_that_nobody_uses_is_closed_after_a_while(run):
    async def work():
        raw = Raw(reply())
        async with serving(raw) as port:
            pool = ConnectionPool(4, keep_seconds=0.05)
            address = ServerAddress("127.0.0.1", port, tls=False)
            held = [await pool.take(address, ASKED) for _ in range(3)]
            for connection in held:
                await connection.ask(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", ASKED)
                async for _ in connection:
                    pass
                pool.give_back(connection)
            async with asyncio.timeout(5):
                for writer in raw.writers:  # each closes once its other end has
                    await writer.wait_closed()
            assert not any(connection.is_free for connection in held)
            await pool.close()

    run(work())


def test_a_connection_that_ended_while_the_loop_stood_still_is_not_used():
    """The loop has not heard of it yet; the kernel has."""

    async def work():
        raw = Raw(reply())
        async with serving(raw) as port:
            transport = DirectTransport()
            assert await ask(transport, port) == [WHOLE]
            raw.writers[0].close()
            await (
                raw.writers[0].wait_closed()
            )  # the server runs on this loop too, and has closed: what it sent lies in the kernel
            before = len(raw.asked)
            time.sleep(1.1)  # noqa: ASYNC251 - as long as a connection is used without asking the kernel
            assert await ask(transport, port) == [WHOLE]
            await transport.close()
        return len(raw.asked) - before, raw.connections

    assert asyncio.run(work()) == (1, 2)


def test_closing_leaves_no_socket_open(run):
    async def work():
        raw = Raw(reply())
        async with serving(raw) as port:
            transport = DirectTransport()
            await asyncio.gather(*(ask(transport, port) for _ in range(5)))
            await transport.close()
            async with asyncio.timeout(5):
                for writer in raw.writers:  # each closes once its other end has
                    await writer.wait_closed()
            assert await ask(transport, port) == [WHOLE]  # a transport may be used again
            await transport.close()

    run(work())


def test_an_answer_that_nobody_reads_is_left_with_the_server(run):
    """A slow reader costs bounded memory: the socket waits, and so does the server; then it goes on."""
    event = b"data: " + json.dumps(EVENTS[0]).encode() + b"\n\n"
    length, wanted = len(event) * 300_000, 4 * UNREAD // len(event)

    async def work():
        raw = Raw(chunked(event * 300_000))
        async with serving(raw) as port:
            transport = DirectTransport()
            answer = transport.send(call(f"http://127.0.0.1:{port}/v1"))
            await anext(answer)
            await asyncio.sleep(0.2)  # for what would come meanwhile
            left = raw.writers[0].transport.get_write_buffer_size()
            for _ in range(wanted):
                await anext(answer)
            await answer.aclose()
            await transport.close()
        return left

    assert run(work()) > length / 2


def test_a_packed_answer_that_is_a_thousand_times_as_long_is_cut_off():
    async def work():
        raw = Raw(reply(zipped(b" " * (40 << 20)), headers=["content-encoding: gzip"]))
        async with serving(raw) as port:
            with pytest.raises(ServerFailed, match="over 32 MiB"):
                await ask(DirectTransport(), port)

    asyncio.run(work())


def test_an_address_that_is_silent_is_passed_over_for_the_next(run):
    """A listener whose line is full answers nobody, as an address does that leads nowhere."""

    async def work():
        with socket.socket() as silent, socket.socket() as good:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            crowd = [socket.socket() for _ in range(4)]
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(silent.getsockname())
            good.bind(("127.0.0.1", 0))
            good.listen()
            line = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one.getsockname()) for one in (silent, good)]
            try:
                async with asyncio.timeout(5):
                    plug = await dial(line)
                assert plug.getpeername() == good.getsockname()
                plug.close()
            finally:
                for one in crowd:
                    one.close()

    run(work())
