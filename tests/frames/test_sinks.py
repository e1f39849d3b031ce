"""A sink whose run is stopped, interrupted or fails leaves no half table that looks finished; what was paid is kept."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

import polars as pl
import pytest

from qwennb.errors import KeyRefused, Stopped
from qwennb.frames.polars_calls import read_sink_target

ROWS = 400
ASK = "Say {{ n }}"
READ = {"parquet": pl.read_parquet, "csv": pl.read_csv, "ndjson": pl.read_ndjson, "ipc": pl.read_ipc}


@pytest.fixture
def source(tmp_path):
    """A file of many row groups, so that some are written before others are asked for."""
    pl.DataFrame({"n": range(ROWS)}).write_parquet(tmp_path / "in.parquet", row_group_size=20)
    return pl.scan_parquet(tmp_path / "in.parquet")


def stop_after(done):
    return lambda progress: progress.stop() if progress.done >= done else None


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["parquet", "csv", *(pytest.param(form, marks=pytest.mark.nightly) for form in ("ndjson", "ipc"))]
)
def test_stop_removes_the_partial_file_and_the_same_sink_again_makes_the_whole_one(
    simulate, client, tmp_path, source, form
):
    sim = simulate(latency=0.15)
    qwen, out = client(sim), tmp_path / f"out.{form}"
    out.write_text("an older table")

    def sink(**options):
        getattr(source.qwen.ask(ASK, client=qwen, **options), f"sink_{form}")(out)

    with pytest.raises(Stopped):
        sink(progress=stop_after(100))
    assert not out.exists()
    kept = len(qwen.session.memory.store)
    assert 40 <= kept < ROWS
    sim.ledger.wait_idle()
    asked = sim.ledger.count("asked")
    sim.pace(0.0)
    sink()
    assert READ[form](out)["n"].to_list() == list(range(ROWS))
    assert sim.ledger.count("asked") - asked <= ROWS - kept, "what was kept is not asked for again"


def test_an_older_file_that_was_not_yet_touched_stays(simulate, client, tmp_path, source):
    """Sorted first, nothing is written before every row is answered."""
    out = tmp_path / "out.csv"
    out.write_text("an older table")
    os.utime(out, (1e9, 1e9))
    asked = source.qwen.ask(ASK, client=client(simulate(latency=0.3)), progress=stop_after(20))
    with pytest.raises(Stopped):
        asked.sort("answer").sink_csv(out)
    assert out.read_text() == "an older table"


@pytest.mark.filterwarnings("ignore::qwennb.frames.QwenFrameWarning")
def test_an_error_that_ends_the_run_removes_it_too(simulate, client, tmp_path, source):
    sim = simulate()
    sim.fault("401", when=lambda asked: asked.text.endswith("Say 300"))
    with pytest.raises(KeyRefused):
        source.qwen.ask(ASK, client=client(sim)).sink_csv(tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


RUN = """
import os, sys
import polars as pl
from qwennb import Qwen
url, folder, source, out = sys.argv[1:]
qwen = Qwen(endpoint=f"openrouter+{url}", api_key="sk-sim", cache_dir=folder)
try:
    pl.scan_parquet(source).qwen.ask("Say {{ n }}", client=qwen).sink_csv(out)
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted", os.path.exists(out))
"""


@pytest.mark.slow
def test_an_interrupt_removes_it_too(simulate, tmp_path, source):
    sim = simulate(latency=0.3)
    files = [str(tmp_path / name) for name in ("cache", "in.parquet", "out.csv")]
    command = [sys.executable, "-c", RUN, sim.base_url, *files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        sim.ledger.wait_for(60, "paid", timeout=120)
        os.kill(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert said == "interrupted False\n"


def test_a_finished_sink_stays_and_a_failed_row_does_not_end_it(simulate, client, tmp_path, source):
    sim = simulate()
    sim.fault("400", when=lambda asked: asked.text.endswith("Say 300"))
    source.qwen.ask(ASK, client=client(sim), on_error="column").sink_csv(tmp_path / "out.csv")
    made = pl.read_csv(tmp_path / "out.csv")
    assert made.height == ROWS and made["answer"].null_count() == 1


def test_a_stopped_collect_touches_no_file(simulate, client, tmp_path, source):
    (tmp_path / "out.csv").write_text("mine")
    path = tmp_path / "out.csv"
    with pytest.raises(Stopped):
        source.qwen.ask(ASK, client=client(simulate(latency=0.3)), progress=stop_after(20)).collect()
    assert path.read_text() == "mine"


def test_the_sink_of_another_thread_is_left_alone(simulate, client, tmp_path, source):
    """Another query writes a file while our sink is stopped: which of the two is ours can't be told, so both stay."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(series):
        begun.set()
        go_on.wait(30)
        return series

    def theirs():
        pl.LazyFrame({"a": [1, 2]}).with_columns(
            pl.col("a").map_batches(slow, return_dtype=pl.Int64)
        ).sink_csv(tmp_path / "theirs.csv")

    thread = threading.Thread(target=theirs)
    thread.start()
    try:
        assert begun.wait(30)
        with pytest.raises(Stopped):
            ours = source.qwen.ask(ASK, client=client(simulate(latency=0.3)), progress=stop_after(20))
            ours.sink_csv(tmp_path / "ours.csv")
        assert (tmp_path / "ours.csv").exists()
    finally:
        go_on.set()
        thread.join()
    assert pl.read_csv(tmp_path / "theirs.csv")["a"].to_list() == [1, 2]


@pytest.mark.parametrize("together", [False, True], ids=["collect", "collect_all"])
def test_a_lazy_sink_is_removed_too(simulate, client, tmp_path, source, together):
    """polars gives a Parquet file that failed a footer about once in ten: it would read as a smaller table."""
    asked = source.qwen.ask(ASK, client=client(simulate(latency=0.3)), progress=stop_after(20))
    outs = [tmp_path / "out.parquet", tmp_path / "out.csv"][: 1 + together]
    sinks = [getattr(asked, f"sink_{out.suffix[1:]}")(out, lazy=True) for out in outs]
    with pytest.raises(Stopped):
        pl.collect_all([*sinks, source.select("n")]) if together else sinks[0].collect()
    assert [out.name for out in outs if out.exists()] == []


def test_a_buffer_holds_nothing_that_reads_as_a_table(simulate, client, source):
    buffer = io.BytesIO()
    with pytest.raises(Stopped):
        source.qwen.ask(ASK, client=client(simulate(latency=0.3)), progress=stop_after(20)).sink_parquet(
            buffer
        )
    with pytest.raises(pl.exceptions.ComputeError):
        pl.read_parquet(buffer)


def test_where_a_lazy_sink_writes_can_still_be_read_out_of_polars_plan(tmp_path):
    """polars' private ground, `LazyFrame._ldf.visit()`: where it moves, this goes red, and half tables would stay."""
    out = tmp_path / "out.parquet"
    assert read_sink_target(pl.LazyFrame({"a": [1]}).sink_parquet(out, lazy=True)) == str(out)
