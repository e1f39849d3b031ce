"""HTTP/1.1 as callers speak it: kept alive, in pieces, in chunks, and badly."""

import json
import socket

import pytest

from .wire import KEY, valid

BODY = json.dumps(valid("vllm")).encode()
HEAD = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n".encode()


def talk(sim, *pieces, answers=1):
    """Send the pieces, read until so many answers have come or the line is closed."""
    came = b""
    with socket.create_connection(("127.0.0.1", sim.port), 30) as plug:
        for piece in pieces:
            plug.sendall(piece)
        while came.count(b'"object":"chat.completion"') < answers:
            piece = plug.recv(65_536)
            if not piece:
                break
            came += piece
    return came


@pytest.fixture
def sim(start):
    return start("vllm")


def test_requests_follow_each_other_on_one_connection(sim):
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    assert talk(sim, one, one, one + one, answers=4).count(b"HTTP/1.1 200 OK") == 4


def test_a_request_may_come_byte_by_byte(sim):
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    assert talk(sim, *(one[at : at + 1] for at in range(len(one)))).startswith(b"HTTP/1.1 200")


def test_a_body_may_come_in_chunks(sim):
    chunks = (
        b"".join(b"%x;note=1\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:7], BODY[7:]))
        + b"0\r\n\r\n"
    )
    assert talk(sim, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunks[:9], chunks[9:]).startswith(
        b"HTTP/1.1 200"
    )


def test_a_caller_who_asks_first_is_told_to_go_on(sim):
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    assert talk(sim, head, BODY).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


def test_connection_close_is_honoured(sim):
    one = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    assert talk(sim, one, answers=2).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "noise",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00\xff" * 40_000,
    ],
)
def test_what_is_not_http_is_refused_and_the_line_closed(sim, noise):
    assert talk(sim, noise).startswith(b"HTTP/1.1 400")
    assert talk(sim, HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY).startswith(b"HTTP/1.1 200")
