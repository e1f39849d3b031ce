"""A server made of bytes: what it answers is written out, what it was asked is kept as it came."""

import asyncio
import gzip
import json
import socket
import ssl
import struct
from contextlib import asynccontextmanager

from qwennb.config import Secret
from qwennb.endpoints import DirectTransport, SdkTransport
from qwennb.endpoints.call import Call
from qwennb.endpoints.error_reply import classify_error, parse_error

TRANSPORTS = {"sdk": SdkTransport, "direct": DirectTransport}
KEY = "sk-canary-5e3c1a97"
WHOLE = {"choices": [{"index": 0, "message": {"content": "Grüße, 世界"}, "finish_reason": "stop"}]}
EVENTS = [
    {"choices": [{"delta": {"content": word}, "finish_reason": None}]} for word in ("Grüße", ", ", "世界 🐟")
]
BODY = json.dumps(WHOLE, ensure_ascii=False).encode()
STREAM = (
    b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in EVENTS)
    + b": a comment\n\ndata: [DONE]\n\n"
)


def reply(body=BODY, *, status="200 OK", kind="application/json", headers=(), length=None):
    """A reply as bytes."""
    length = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"content-length: {length}", *headers]
    if kind:
        lines.insert(1, f"content-type: {kind}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body=STREAM, *, kind="text/event-stream", ended=True, headers=()):
    """A chunked reply, one chunk."""
    head = "\r\n".join(["HTTP/1.1 200 OK", f"content-type: {kind}", "transfer-encoding: chunked", *headers])
    return (
        head.encode() + b"\r\n\r\n" + b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if ended else b"")
    )


def zipped(body):
    return gzip.compress(body)


class Asked:
    """One request as it came."""

    def __init__(self, head, body):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]
        self.body = body

    def header(self, name):
        """The values of the header *name*."""
        return [value for known, value in self.headers if known.lower() == name]


class Raw:
    """Answers each request with the same bytes (or with what a function makes of it), in pieces of *size*."""

    def __init__(self, answer, *, size=None, reset_after=None, close=False):
        self.answer, self.size, self.reset_after, self.close = answer, size, reset_after, close
        self.asked = []
        self.connections = 0
        self.writers = []
        self.came, self.gone = asyncio.Event(), asyncio.Event()  # a request came; somebody hung up

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = Asked(head[:-4], b"")
                length = asked.header("content-length")
                asked.body = await reader.readexactly(int(length[0])) if length else b""
                self.asked.append(asked)
                self.came.set()
                whole = self.answer(asked) if callable(self.answer) else self.answer
                await self._tell(writer, whole)
                if self.close or self.reset_after is not None:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()

    async def _tell(self, writer, whole):
        if self.reset_after is not None:
            writer.write(whole[: self.reset_after])
            await writer.drain()
            await asyncio.sleep(0.02)  # what was not read yet is thrown away by a reset
            plug = writer.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        step = self.size or len(whole) or 1
        for at in range(0, len(whole), step):
            writer.write(whole[at : at + step])
            await writer.drain()
            if self.size:
                await asyncio.sleep(0)


@asynccontextmanager
async def serving(raw, *, tls=None, host="127.0.0.1"):
    """The port at which *raw* answers."""
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    server = await asyncio.start_server(raw.serve, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def call(base_url, *, key=KEY, stream=True, endpoint="the place", body=None, headers=None):
    """A call as a dialect would make it."""
    made = body or {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    return Call(
        base_url,
        made | ({"stream": True} if stream else {}),
        lambda status, headers, body: classify_error(parse_error(status, headers, body), endpoint),
        endpoint,
        headers=headers or {},
        key=None if key is None else Secret(key),
    )


async def sent(transport, call):
    """The payloads of the reply."""
    try:
        return [payload async for payload in transport.send(call)]
    finally:
        await transport.close()
