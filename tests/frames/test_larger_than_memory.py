"""A table larger than memory goes from file to file in batches; a crash half way costs nothing that was paid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import polars as pl
import pytest

SINK = r"""
import re, sys
from pathlib import Path
import polars as pl
from qwennb import Qwen
url, folder, source, out = sys.argv[1:]
qwen = Qwen(endpoint=f"openrouter+{url}", api_key="sk-sim", cache_dir=folder)
pl.scan_parquet(source).qwen.ask("Say {{ n }}", client=qwen, cache="on").sink_parquet(out)
# Of this program alone: what getrusage tells begins with the peak of whoever started it.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.fixture
def sink(tmp_path):
    def start(sim) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SINK, sim.base_url, str(tmp_path / "cache")]
        files = [str(tmp_path / name) for name in ("in.parquet", "out.parquet")]
        return subprocess.Popen([*command, *files], stdout=subprocess.PIPE, text=True)

    return start


@pytest.mark.slow
def test_a_killed_sink_pays_for_nothing_twice(simulate, client, tmp_path, sink):
    sim = simulate(latency=0.02)
    rows = 1000
    pl.DataFrame({"n": range(rows)}).write_parquet(tmp_path / "in.parquet", row_group_size=100)
    for done in (150, 400, 700):
        with sink(sim) as process:
            sim.ledger.wait_for(done, "paid", timeout=120)
            os.kill(process.pid, signal.SIGKILL)
        sim.ledger.wait_idle()
    reader = client(sim)  # a folder that no client uses is closed
    kept = len(reader.session.memory.store)
    before = sim.ledger.count("paid")
    with sink(sim) as process:
        process.communicate(timeout=120)
    made = pl.read_parquet(tmp_path / "out.parquet")
    assert made["n"].to_list() == list(range(rows)) and made["answer"].null_count() == 0
    # What was kept before the last kill was not asked for again.
    assert sim.ledger.count("paid") - before == rows - kept


@pytest.mark.slow
def test_a_million_rows_stay_in_bounded_memory(simulate, tmp_path, sink):
    sim = simulate()
    rows, unique = 1_000_000, 500
    pl.DataFrame({"n": range(rows)}).with_columns(pl.col("n") % unique, pad=pl.lit("x" * 100)).write_parquet(
        tmp_path / "in.parquet", row_group_size=50_000
    )
    with sink(sim) as process:
        said, _ = process.communicate(timeout=250)
    assert sim.ledger.count("asked") == unique
    assert pl.scan_parquet(tmp_path / "out.parquet").select(pl.len()).collect().item() == rows
    assert int(said) < 1200  # MiB; about 300 of them are Python, polars and the openai package
