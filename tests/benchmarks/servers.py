"""The measuring endpoint, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


class Endpoint:
    """The address of a running `endpoint.py`, and its counters."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}/v1"

    def get(self, path: str) -> dict[str, float]:
        """What stands at *path* (stats, reset, slots/N)."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}") as reply:
            return json.loads(reply.read())


@contextlib.contextmanager
def endpoint(latency_ms: float = 0, *, rate: float = 0, slots: int = 0) -> Iterator[Endpoint]:
    """Run the measuring endpoint for as long as the block lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("endpoint.py")
    process = subprocess.Popen(
        [sys.executable, script, str(port), str(latency_ms), "0", str(rate), str(slots)]
    )
    try:
        server = Endpoint(port)
        for _ in range(100):
            with contextlib.suppress(OSError):
                server.get("stats")
                break
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait()
