"""Raw requests over raw sockets: nothing of the client is used to test its witness."""

import http.client
import json
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from qwennb.simulator import LEFT_OUT, MODELS

KEY = "sk-sim"


@dataclass
class Heard:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The JSON events of a stream, without comments and [DONE]."""
        lines = [line for line in self.body.decode().split("\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]

    @property
    def done(self):
        return self.body.rstrip().endswith(b"data: [DONE]")

    def joined(self, field="content"):
        deltas = [choice["delta"] for event in self.events for choice in event.get("choices", [])]
        return "".join(delta.get(field) or "" for delta in deltas)


def valid(dialect, **changes):
    """A body that the dialect accepts."""
    body = {"model": MODELS[dialect][0].id, "messages": [{"role": "user", "content": "Say hello to Ada."}]}
    return {name: value for name, value in (body | changes).items() if value is not LEFT_OUT}


def send(sim, method, path, body=None, headers=None, key=KEY):
    """One request on a connection of its own."""
    address = urlsplit(sim.root_url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
    sent = (
        {"content-type": "application/json"}
        | ({"authorization": f"Bearer {key}"} if key else {})
        | (headers or {})
    )
    try:
        connection.request(
            method, path, body, {name: value for name, value in sent.items() if value is not None}
        )
        answer = connection.getresponse()
        return Heard(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def ask(sim, body=None, headers=None, **changes):
    """One chat request."""
    body = valid(sim.dialect, **changes) if body is None else body
    path = urlsplit(sim.base_url).path + "/chat/completions"
    return send(sim, "POST", path, body if isinstance(body, str) else json.dumps(body), headers)


def get(sim, path, **more):
    return send(sim, "GET", path, **more)


def raw(sim, body, *, read=True, timeout=120.0):
    """A chat request on a bare socket: (bytes that came, what ended it)."""
    address = urlsplit(sim.root_url)
    text = json.dumps(body).encode()
    path = urlsplit(sim.base_url).path + "/chat/completions"
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(text)}\r\n\r\n"
    plug = socket.create_connection((address.hostname, address.port), timeout)
    plug.sendall(head.encode() + text)
    if not read:
        return plug
    came = b""
    with plug:
        try:
            while piece := plug.recv(65_536):
                came += piece
                if came.endswith(b"0\r\n\r\n"):
                    return came, "end"
        except ConnectionResetError:
            return came, "reset"
        except TimeoutError:
            return came, "silence"
    return came, "closed"
