"""Cells: loading the extension, the way of a piece to the screen, a long answer at full speed, photographs."""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import start_new_kernel

LOADS = 11
BUDGET = 2_621_440  # pixels of a picture, the usual budget of a hosted model
LOADING = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
sys.path.insert(0, {folder!r})
began, busy = time.perf_counter(), time.process_time()
shell.run_line_magic("load_ext", {name!r})
print(time.perf_counter() - began, time.process_time() - busy)
"""


def loading() -> str:
    """`%load_ext qwennb` above an extension that does nothing, each in a fresh process, by turns."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "nothing_at_all.py").write_text("def load_ipython_extension(shell): pass\n")

        def seconds(name: str) -> list[float]:
            program = LOADING.format(folder=folder, name=name)
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            return [float(figure) * 1e3 for figure in done.stdout.split()]

        seconds("qwennb")  # files are read from memory from here on
        pairs = [(seconds("qwennb"), seconds("nothing_at_all")) for _ in range(LOADS)]
    extra = [ours[0] - theirs[0] for ours, theirs in pairs]
    busy = statistics.median(ours[1] - theirs[1] for ours, theirs in pairs)
    return (
        f"%load_ext qwennb: median {statistics.median(extra):.0f} ms above an empty extension, worst of {LOADS}: "
        f"{max(extra):.0f} ms (required: 150 ms); {busy:.0f} ms of them on a core"
    )


@contextmanager
def teller(pieces: int, a_second: float) -> Iterator[str]:
    """The address of an endpoint that tells the time: each piece of its answer says when it was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(
                b'{"object": "list", "data": [{"id": "qwen3.5-27b", "object": "model"}]}', "application/json"
            )

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.connection.setsockopt(6, 1, 1)  # no Nagle
            began = time.monotonic()
            for n in range(pieces):
                wait = began + n / a_second - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                line = "\n\n" if n % 60 == 59 else ""
                self._piece({"content": f"{time.monotonic():.6f} {line}"}, None)
            self._piece({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _piece(self, delta: dict[str, str], reason: str | None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            body = {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": "qwen3.5-27b",
                "choices": [choice],
            }
            self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
            self.wfile.flush()

        def _reply(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


def waits(pieces: int, a_second: float) -> tuple[list[float], float]:
    """For each piece of one answer, the seconds from when it was sent to the display that shows it; and displays a second.

    Endpoint and front end are this process, so that one clock is read; the kernel is another.
    """
    with teller(pieces, a_second) as address, tempfile.TemporaryDirectory() as folder:
        manager, kernel = start_new_kernel(kernel_name="python3")
        try:
            settings = {"ENDPOINT": f"vllm+{address}", "CACHE_DIR": folder, "CACHE": "off"}
            environ = {f"QWENNB_{name}": value for name, value in settings.items()}
            warm = "%qwen --quiet --max-tokens 1 warm up" if pieces < 100 else ""
            set_up = f"import os\nos.environ.update({environ})\n%load_ext qwennb\n{warm}"
            kernel.execute_interactive(set_up, timeout=120)
            wanted = kernel.execute("%qwen tell me the time")
            shown: dict[str, float] = {}
            displays: list[float] = []
            while True:
                try:
                    message = kernel.get_iopub_msg(timeout=60)
                except Empty:
                    raise RuntimeError("the kernel fell silent") from None
                now = time.monotonic()
                if message["parent_header"].get("msg_id") != wanted:
                    continue
                content = message["content"]
                if message["msg_type"] == "error":
                    raise RuntimeError(content["evalue"])
                if message["msg_type"] == "status" and content["execution_state"] == "idle":
                    break
                if "data" in content:
                    displays.append(now)
                    for told in content["data"]["text/plain"].split("[")[0].split():
                        shown.setdefault(told, now)
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)
    times = [(float(told), at) for told, at in shown.items() if told.replace(".", "").isdigit()]
    return [at - told for told, at in sorted(times)], len(displays) / (displays[-1] - displays[0])


def first() -> str:
    """A slow answer, after one that woke everything up: its first piece, and the later ones."""
    firsts, laters = [], []
    for _ in range(5):
        seconds, _ = waits(40, 25)
        firsts.append(seconds[0] * 1e3)
        laters += [wait * 1e3 for wait in seconds[1:]]
    return (
        f"from a piece's sending to its display: the first, median {statistics.median(firsts):.1f} ms, worst of 5 "
        f"{max(firsts):.1f} ms (required: 20 ms); later ones, median {statistics.median(laters):.0f} ms, worst of "
        f"{len(laters)} {max(laters):.0f} ms (required: 250 ms)"
    )


def long() -> str:
    """10,000 tokens at 500 a second."""
    seconds, displays = waits(10_000, 500)
    tenth = len(seconds) // 10
    early, late = statistics.median(seconds[:tenth]) * 1e3, statistics.median(seconds[-tenth:]) * 1e3
    return (
        f"10,000 tokens at 500 a second: shown {early:.0f} ms after sending in the first tenth, {late:.0f} ms in the last "
        f"(median; worst {max(seconds) * 1e3:.0f} ms), {displays:.1f} displays a second, {len(seconds):,} tokens seen"
    )


def photographs() -> str:
    """Photographs of 12 megapixels, beside a plain Pillow loop in the same run; two threads each way they come."""
    from PIL import Image as Pillow

    from qwennb.catalog import Images
    from qwennb.endpoints.media import picture as made_ready
    from qwennb.request import Image

    taken = Images(forms=("base64",), formats=("png", "jpeg", "webp"), max_pixels=BUDGET)
    photographs = [_photograph(n) for n in range(24)]
    plain, ours = [], []
    target = made_ready.scale_size(4000, 3000, taken.max_pixels)
    for turn in range(3):
        began = time.perf_counter()
        for data in photographs[:6]:
            opened = Pillow.open(io.BytesIO(data))
            resized = opened.resize(target, Pillow.Resampling.LANCZOS)
            resized.save(io.BytesIO(), "JPEG", quality=90)
        plain.append(6 / (time.perf_counter() - began))
        fresh = [data + b"\0" * turn for data in photographs]  # what was prepared once is remembered
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda data: made_ready.prepare_image(Image.of(data), taken, "here"), fresh))
        ours.append(24 / (time.perf_counter() - began))
    own, other = statistics.median(ours), statistics.median(plain)
    return (
        f"photographs of 12 megapixels to {target[0]}×{target[1]}: {own:.1f} a second on two threads, a plain loop of "
        f"open, resize and save {other:.1f}: {own / other:.1f} times as many (required: 2; aim: 20 a second)"
    )


def _photograph(seed: int) -> bytes:
    """A JPEG with soft shapes and a sensor's noise, of the size that a camera's is (about 4 MB)."""
    import numpy as np
    from PIL import Image as Pillow

    random = np.random.default_rng(seed)
    soft = Pillow.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize(
        (4000, 3000), Pillow.Resampling.BICUBIC
    )
    noisy = np.asarray(soft, dtype=np.int16) + random.normal(0, 7, (3000, 4000, 1)).astype(np.int16)
    file = io.BytesIO()
    Pillow.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()
