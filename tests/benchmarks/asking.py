"""One question: remembered, and asked, against the openai package's own call."""

from __future__ import annotations

import json
import statistics
import tempfile
import time

from jupyter_client.manager import start_new_kernel
from openai import OpenAI

from qwennb import Qwen
from tests.benchmarks.servers import endpoint

CELL = """
import json, statistics, time
from qwennb import Qwen
qwen = Qwen(endpoint="{url}", cache_dir={folder!r})
qwen.ask("What is {{{{ n }}}}?", n=0)
times = []
for _ in range(1000):
    began = time.perf_counter()
    qwen.ask("What is {{{{ n }}}}?", n=0)
    times.append(time.perf_counter() - began)
print(json.dumps([statistics.median(times), sorted(times)[990]]))
"""


def cached() -> str:
    """A remembered answer, 1,000 synchronous calls in a kernel."""
    with endpoint() as server, tempfile.TemporaryDirectory() as folder:
        manager, kernel = start_new_kernel(kernel_name="python3")
        try:
            said: list[str] = []
            kernel.execute_interactive(
                CELL.format(url=server.base_url, folder=folder),
                timeout=120,
                output_hook=lambda message: said.append(
                    message["content"].get("text", str(message["content"]))
                ),
            )
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)
    figures = next((line for line in said if line.startswith("[")), None)
    if figures is None:
        raise RuntimeError("\n".join(said))
    median, p99 = json.loads(figures)
    return f"cached ask in a kernel: median {median * 1e3:.3f} ms, 99th percentile {p99 * 1e3:.3f} ms (required: 0.5 ms)"


def uncached() -> str:
    """An asked answer over a loopback endpoint without delay, beside the openai package in the same run."""
    with endpoint() as server, tempfile.TemporaryDirectory() as folder:
        qwen = Qwen(endpoint=server.base_url, cache_dir=folder)
        plain = OpenAI(base_url=server.base_url, api_key="none")
        ours, theirs = [], []
        qwen.ask("warm up")
        plain.chat.completions.create(model="m", messages=[{"role": "user", "content": "warm up"}])
        for n in range(200):
            began = time.perf_counter()
            qwen.ask(f"What is {n}?")
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            plain.chat.completions.create(
                model="qwen3.5-flash", messages=[{"role": "user", "content": f"What is {n}?"}]
            )
            theirs.append(time.perf_counter() - began)
    own, other = statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3
    return (
        f"uncached ask: median {own:.2f} ms, the openai package's own call {other:.2f} ms: "
        f"{own - other:+.2f} ms for key, cache, ledger and limiter (required: at most +3 ms)"
    )
