"""A stopped or interrupted run keeps every finished row, at once, and the same call asks only for the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from qwennb.errors import Stopped
from qwennb.frames import Progress

ROWS = 300
TABLE = pl.DataFrame({"n": range(ROWS)})
ASK = "Say {{ n }}"


def stop_after(done: int):
    def watch(progress: Progress) -> None:
        if progress.done >= done:
            progress.stop()

    return watch


@pytest.mark.slow
def test_a_stopped_run_keeps_every_finished_row(simulate, client):
    sim = simulate(latency=0.3)
    qwen = client(sim)
    part = TABLE.qwen.ask(ASK, client=qwen, progress=stop_after(20), on_error="column")
    some = part["answer"].count()
    assert 20 <= some < ROWS and part.height == ROWS
    sim.ledger.wait_idle()
    paid = sim.ledger.count("paid")
    whole = TABLE.qwen.ask(ASK, client=qwen)
    assert whole["answer"].null_count() == 0
    assert whole["answer"][0] == part["answer"][0]
    # What had been paid for when it was stopped is not paid for again.
    assert sim.ledger.count("paid") <= ROWS + (paid - some)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.slow
def test_stop_in_a_lazy_run_raises_stopped(simulate, client, engine):
    sim = simulate(latency=0.3)
    qwen = client(sim)
    seen: list[Progress] = []

    def watch(progress: Progress) -> None:
        seen.append(progress)
        stop_after(20)(progress)

    with pytest.raises(Stopped, match="Every finished answer is kept"):
        TABLE.lazy().qwen.ask(ASK, client=qwen, progress=watch).collect(engine=engine)
    kept = len(qwen.session.memory.store)
    assert 20 <= kept < ROWS, (seen[-1], sim.ledger.count("paid"), len(sim.ledger.asks()))
    plan = TABLE.qwen.plan(ASK, client=qwen)
    assert plan.to_ask <= ROWS - kept


RUN = """
import sys, threading, time
import polars as pl
from qwennb import Qwen
url, folder, how, out = sys.argv[1:]
qwen = Qwen(endpoint=f"openrouter+{url}", api_key="sk-sim", cache_dir=folder)
table = pl.DataFrame({"n": range(300)})
print("begin", flush=True)
try:
    if how == "eager":
        table.qwen.ask("Say {{ n }}", client=qwen)
    elif how == "expression":
        table.with_columns(pl.col("n").qwen.ask("Say {{ it }}", client=qwen))
    elif how == "lazy":
        table.lazy().qwen.ask("Say {{ n }}", client=qwen).collect()
    elif how == "streaming":
        table.lazy().qwen.ask("Say {{ n }}", client=qwen).collect(engine="streaming")
    else:
        table.lazy().qwen.ask("Say {{ n }}", client=qwen).sink_parquet(out)
    print("not interrupted")
except KeyboardInterrupt as error:
    when = time.time()
    print("interrupted", when, "twice" if "failed" in str(error) else "once", flush=True)
for _ in range(10_000):  # a second interrupt would come here
    pass
print("prompt", flush=True)
"""


@pytest.mark.parametrize(
    "how",
    [
        "eager",
        "streaming",
        *(pytest.param(how, marks=pytest.mark.slow) for how in ("expression", "lazy", "sink")),
    ],
)
@pytest.mark.slow
def test_an_interrupt_raises_once_and_at_once_and_keeps_what_is_done(simulate, client, tmp_path, how):
    sim = simulate(latency=0.5)
    command = [
        sys.executable,
        "-c",
        RUN,
        sim.base_url,
        str(tmp_path / "cache"),
        how,
        str(tmp_path / "out.parquet"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        sim.ledger.wait_for(40, timeout=120)
        sent = time.time()
        os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    lines = said.split("\n")
    assert (
        lines[0] == "begin"
        and lines[1].startswith("interrupted ")
        and lines[1].endswith("once")
        and lines[2] == "prompt"
    ), said
    assert float(lines[1].split()[1]) - sent < 20, "and not when the interpreter ends"
    sim.ledger.wait_idle()
    paid = {entry.key for entry in sim.ledger.paid()}
    assert 40 <= len(paid) < ROWS
    reader = client(sim)  # a folder that no client uses is closed
    kept = len(reader.session.memory.store)
    assert kept >= 40
    sim.pace(0.0)
    made = TABLE.qwen.ask("Say {{ n }}", client=client(sim))
    assert made["answer"].null_count() == 0
    # Only what was in the air when it came may have been paid for without being kept.
    assert sim.ledger.count("paid") - ROWS == len(paid) - kept


HANDLERS = """
import signal, threading
import polars as pl, qwennb
handler = lambda: signal.getsignal(signal.SIGINT)
def descriptor():
    now = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(now)
    return now
plan = lambda: pl.LazyFrame({"n": [1]}).qwen.ask("Say {{ n }}")
lf = plan()
assert handler() is not signal.default_int_handler and descriptor() >= 0, "a plan listens"
del lf
assert handler() is signal.default_int_handler and descriptor() == -1, "and leaves no trace"
signal.signal(signal.SIGINT, mine := lambda number, frame: None)
lf = plan()
assert handler() is mine, "who has a handler of their own keeps it"
signal.signal(signal.SIGINT, signal.default_int_handler)
built = []
thread = threading.Thread(target=lambda: built.append(plan()))
thread.start()
thread.join()
assert handler() is signal.default_int_handler, "another thread leaves the signals alone"
"""


@pytest.mark.slow
def test_the_handler_of_interrupts_is_ours_only_while_a_plan_lives():
    done = subprocess.run(
        [sys.executable, "-c", HANDLERS], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
