"""Columns: speed beside hand-written loops, the same column again, servers that queue, memory, interrupts.

Everything that is measured runs in a process of its own, which prints its figures as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from qwennb import Qwen
from qwennb.cache import Name, record_of
from qwennb.client import Options
from qwennb.frames.prompts import RequestTemplate
from tests.benchmarks.servers import Endpoint, endpoint

ROWS, IN_FLIGHT, LATENCY, ROUNDS = 20_000, 256, 50, 3
OPENAI_ROWS = 4_000  # its rate does not depend on how many there are
MODEL = "qwen3.5-flash"
ASK = "Is this review positive or negative? review number {{ n }} the food was fine"

RUN = """
import json, resource, sys, time
import polars as pl
import qwennb.frames
from qwennb import Qwen
url, folder, rows, unique, ask = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
table = pl.DataFrame({"n": range(rows)}).with_columns(pl.col("n") % unique)
qwen = Qwen(endpoint=url, model="qwen3.5-flash", cache_dir=folder, concurrency=256)
print("begin", flush=True)
began, cpu = time.perf_counter(), time.process_time()
made = table.qwen.ask(ask, client=qwen, progress=False)
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
assert made["answer"].null_count() == 0
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps({"rate": rows / seconds, "cpu": 1e3 * cpu / rows, "peak": peak}))
"""


def speed() -> str:
    """20,000 unique short rows, durable cache on, beside the bare aiohttp loop and AsyncOpenAI, by turns."""
    ours, bare, package = [], [], []
    with endpoint(LATENCY) as server, tempfile.TemporaryDirectory() as folders:
        for turn in range(ROUNDS):
            bare.append(_by_hand(server, "aiohttp", ROWS))
            ours.append(_column(server, Path(folders, str(turn)), ROWS, ROWS)["rate"])
            package.append(_by_hand(server, "openai", OPENAI_ROWS))
    against = [o / b for o, b in zip(ours, bare, strict=True)]
    against_package = [o / p for o, p in zip(ours, package, strict=True)]
    return (
        f"{ROWS:,} unique rows, {IN_FLIGHT} in flight, {LATENCY} ms: {_median(ours):,.0f} rows/s; "
        f"{_median(against):.2f} x the bare aiohttp loop's {_median(bare):,.0f} ({_range(against)}; required: 0.5, aim 0.8); "
        f"{_median(against_package):.1f} x AsyncOpenAI's {_median(package):,.0f} ({_range(against_package)}; required: 6, aim 12)"
    )


def again_few() -> str:
    """The same column again in a fresh process: 1,000,000 rows, 100,000 unique."""
    return _again(1_000_000, 100_000, "150,000, aim 400,000")


def again_all() -> str:
    """The same column again in a fresh process: 1,000,000 rows, all unique."""
    return _again(1_000_000, 1_000_000, "50,000, aim 120,000")


def _again(rows: int, unique: int, required: str) -> str:
    with endpoint() as server, tempfile.TemporaryDirectory() as folder:
        fill(server, Path(folder), unique)
        figures = [_column(server, Path(folder), rows, unique) for _ in range(ROUNDS)]
        asked = server.get("stats")["served"] - 1  # one was asked to know what a record looks like
    rates, peak = [figure["rate"] for figure in figures], max(figure["peak"] for figure in figures)
    return (
        f"the same column again, {rows:,} rows, {unique:,} unique: {_median(rates):,.0f} rows/s ({_range(rates, ',.0f')}; "
        f"required: {required}), {asked:.0f} asked, peak {peak:,} MiB"
    )


SINK = """
import json, resource, sys, time
import polars as pl
from qwennb import Qwen
url, folder, source, out, ask = sys.argv[1:]
qwen = Qwen(endpoint=url, model="qwen3.5-flash", cache_dir=folder, concurrency=256)
began = time.perf_counter()
pl.scan_parquet(source).qwen.ask(ask, client=qwen, progress=False).sink_parquet(out)
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def memory() -> str:
    """5,000,000 rows, 50,000 unique, lazily from Parquet to Parquet; every unique question is asked on the way."""
    rows, unique = 5_000_000, 50_000
    with endpoint(1) as server, tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in.parquet"), Path(folder, "out.parquet")
        table = pl.DataFrame({"n": range(rows)}).with_columns(pl.col("n") % unique)
        table.write_parquet(source, row_group_size=100_000)
        said = _child(SINK, server.base_url, Path(folder, "cache"), source, out, ASK)
        asked, height = server.get("stats")["served"], pl.scan_parquet(out).select(pl.len()).collect().item()
    return (
        f"{height:,} rows, {unique:,} unique, from Parquet to Parquet: peak {said['peak']:,} MiB "
        f"(required: 1,536, aim 800), {said['seconds']:.0f} s, {asked:.0f} asked"
    )


SLOTS, SLOT_LATENCY = 32, 100
INTERRUPTS = 5


def slots() -> str:
    """A server that queues beyond 32 slots and never refuses; then its slots are doubled."""
    with (
        endpoint(SLOT_LATENCY, slots=SLOTS) as server,
        tempfile.TemporaryDirectory() as folder,
        _running(RUN, server.base_url, folder, 100_000, 100_000, ASK),
    ):
        first = _steady(server, SLOTS, until=10.0, watch=10.0)
        server.get(f"slots/{2 * SLOTS}")
        began, reached = time.monotonic(), None
        while reached is None and time.monotonic() - began < 30:
            if _watched(server, 1.0, 2 * SLOTS)[0] >= 0.9:
                reached = time.monotonic() - began
        second = _steady(server, 2 * SLOTS, until=max(20.0 - (time.monotonic() - began), 0), watch=10.0)
    met = "not" if reached is None else f"within {reached:.0f} s"
    return (
        f"a server that queues beyond {SLOTS} slots, after 10 s: {first[0]:.0%} of its rate, on average {first[1]:.2f} x and at "
        f"most {first[2]:.2f} x the slots in flight (required: 90 %, 2 x; aim: 97 %, 1.25 x); slots doubled: 90 % of the new rate "
        f"{met} (required: 20 s, aim: 8 s), after 20 s {second[0]:.0%}, on average {second[1]:.2f} x, at most {second[2]:.2f} x"
    )


def _steady(server: Endpoint, slots: int, *, until: float, watch: float) -> tuple[float, float, float]:
    time.sleep(until)
    return _watched(server, watch, slots)


def _watched(server: Endpoint, seconds: float, slots: int) -> tuple[float, float, float]:
    """The share of its full rate at which a server of so many slots works; mean and most in flight, in slots."""
    began, before, in_flight = time.monotonic(), server.get("stats")["served"], []
    while time.monotonic() - began < seconds:
        time.sleep(0.1)
        in_flight.append(server.get("stats")["inflight"] / slots)
    rate = (server.get("stats")["served"] - before) / (time.monotonic() - began)
    return rate / (slots * 1000 / SLOT_LATENCY), statistics.mean(in_flight), max(in_flight)


INTERRUPTED = """
import json, sys, time
import polars as pl
from qwennb import Qwen
url, folder, ask = sys.argv[1:]
table = pl.DataFrame({"n": range(100_000)})
qwen = Qwen(endpoint=url, model="qwen3.5-flash", cache_dir=folder, concurrency=256)
print("begin", flush=True)
try:
    table.lazy().qwen.ask(ask, client=qwen, progress=False).collect()
except KeyboardInterrupt:
    print(json.dumps({"back": time.time()}), flush=True)
"""


def interrupt() -> str:
    """Ctrl-C while a lazy column runs, to the moment that the next line runs."""
    waits = []
    for _ in range(INTERRUPTS):
        with (
            endpoint(LATENCY) as server,
            tempfile.TemporaryDirectory() as folder,
            _running(INTERRUPTED, server.base_url, folder, ASK) as process,
        ):
            while server.get("stats")["served"] < 500:
                time.sleep(0.05)
            sent = time.time()
            process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            waits.append(json.loads(process.stdout.readline())["back"] - sent)
    return (
        f"interrupt to prompt in a lazy run, {len(waits)} times: median {_median(waits):.2f} s, at most {max(waits):.2f} s "
        "(required: 1 s, aim: 0.3 s)"
    )


def fill(server: Endpoint, folder: Path, unique: int) -> None:
    """Put the answers to *unique* questions into the cache, fifty thousand at a time."""
    qwen = Qwen(endpoint=server.base_url, model=MODEL, cache_dir=folder)
    answer = qwen.ask(ASK, n=-1)
    written = orjson.loads(record_of(answer))
    request_template = RequestTemplate(MODEL, None, settings=Options().settings)
    identity = qwen.endpoint.identity(MODEL)

    def records() -> Iterator[tuple[Name, bytes]]:
        for n in range(unique):
            text = ASK.replace("{{ n }}", str(n))
            written["request"]["messages"][-1]["content"] = text
            yield Name(request_template.key(text), identity), orjson.dumps(written)

    made = records()
    while some := list(islice(made, 50_000)):
        qwen.session.memory.store.put(some)


def _by_hand(server: Endpoint, kind: str, rows: int) -> float:
    script = Path(__file__).with_name("handwritten.py")
    command = [sys.executable, script, str(server.port), kind, str(rows), str(IN_FLIGHT)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(said[said.index("rows/s") - 1])


def _column(server: Endpoint, folder: Path, rows: int, unique: int) -> dict[str, float]:
    return _child(RUN, server.base_url, folder, rows, unique, ASK)


def _child(script: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(said.splitlines()[-1])


@contextlib.contextmanager
def _running(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def _median(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def _range(figures: Sequence[float], form: str = ".2f") -> str:
    return f"{min(figures):{form}} to {max(figures):{form}}"
