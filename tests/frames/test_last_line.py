"""A run says that it is over once, with the numbers of the whole run: also one whose rows polars brings piece by piece."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import subprocess
import sys
import threading

import polars as pl
import pytest

from qwennb import Qwen
from qwennb.errors import KeyRefused, QwenError, Stopped
from qwennb.frames import EVALUATIONS, Progress, QwenFrameWarning
from qwennb.frames.outcome import Outcome
from qwennb.frames.progress import Tally

ROWS = 400
ASK = "Say {{ n }}"


@pytest.fixture
def source(tmp_path):
    """A file of many row groups: a streaming run brings it in many batches."""
    pl.DataFrame({"n": range(ROWS)}).write_parquet(tmp_path / "in.parquet", row_group_size=20)
    return pl.scan_parquet(tmp_path / "in.parquet")


class Watcher:
    """What a run has said."""

    def __init__(self, stop_at: int = ROWS + 1) -> None:
        self.seen: list[Progress] = []
        self.over = threading.Event()
        self._stop_at = stop_at

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        if progress.done >= self._stop_at:
            progress.stop()
        if progress.finished:
            self.over.set()

    @property
    def last(self) -> Progress:
        """The last word, which is the only one of its kind."""
        assert self.over.wait(30)
        EVALUATIONS.settle(at_once=True)
        assert [progress.finished for progress in self.seen] == [False] * (len(self.seen) - 1) + [True]
        return self.seen[-1]


RUNS = {
    "in-memory": lambda lf, out: lf.collect(),
    "streaming": lambda lf, out: lf.collect(engine="streaming"),
    "sink": lambda lf, out: lf.sink_parquet(out),
    "batches": lambda lf, out: list(lf.collect_batches(chunk_size=50)),
    "background": lambda lf, out: lf.collect(background=True).fetch_blocking(),
    "async": lambda lf, out: asyncio.run(_collect(lf)),
    "together": lambda lf, out: pl.collect_all([lf, lf.select("n")]),
    "to a function": lambda lf, out: lf.sink_batches(lambda df: None),
}


async def _collect(lf):
    return await lf.collect_async(engine="streaming")


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.slow
def test_a_lazy_run_is_over_once_with_the_numbers_of_the_whole(simulate, client, tmp_path, source, how):
    watcher = Watcher()
    lf = source.qwen.ask(ASK, client=client(simulate()), progress=watcher)
    RUNS[how](lf, tmp_path / "out.parquet")
    last = watcher.last
    assert (last.rows, last.unique, last.done, last.failed) == (ROWS, ROWS, ROWS, 0)


def test_rows_without_a_question_count_also_where_a_whole_batch_has_none(simulate, client, tmp_path):
    table = pl.DataFrame({"n": [None if n < 20 else n for n in range(60)]})
    table.write_parquet(tmp_path / "in.parquet", row_group_size=20)
    watcher = Watcher()
    lf = pl.scan_parquet(tmp_path / "in.parquet").qwen.ask(ASK, client=client(simulate()), progress=watcher)
    lf.collect(engine="streaming")
    assert (watcher.last.rows, watcher.last.unique, watcher.last.done) == (60, 40, 40)


def test_rows_that_ask_nothing_look_for_nobody_and_say_nothing(capsys):
    seen, nowhere = [], Qwen(endpoint="http://127.0.0.1:9/v1")
    table = pl.LazyFrame({"text": [None, None], "gold": ["a", "b"]}, schema_overrides={"text": pl.String})
    made = table.qwen.classify("text", ["a", "b"], client=nowhere, progress=seen.append, truth="gold")
    assert made.collect()["label"].to_list() == [None, None] and not seen
    EVALUATIONS.settle(at_once=True)
    assert "2 rows without an answer" in capsys.readouterr().out and not seen


def test_an_expression_is_over_once_and_each_column_of_a_plan(simulate, client, source):
    qwen, watchers = client(simulate()), [Watcher(), Watcher()]
    source.with_columns(
        pl.col("n").cast(pl.String).qwen.ask("It {{ it }}", client=qwen, progress=watchers[0], meta=True)
    ).qwen.ask(ASK, into="b", client=qwen, progress=watchers[1]).collect(engine="streaming")
    assert [watcher.last.rows for watcher in watchers] == [ROWS, ROWS]


def test_the_same_plan_again_is_a_run_of_its_own_with_the_same_line(simulate, client, source):
    qwen, seen = client(simulate()), []
    for _ in range(2):
        watcher = Watcher()
        source.qwen.ask(ASK, client=qwen, progress=watcher).collect(engine="streaming")
        seen.append(watcher.last)
    assert seen[0].line == seen[1].line and seen[1].cached == ROWS


@pytest.mark.filterwarnings("ignore::qwennb.frames.QwenFrameWarning")
def test_a_run_that_fails_or_is_stopped_is_over_once_too(simulate, client, source, tmp_path):
    sim = simulate()
    sim.fault("401", when=lambda asked: asked.text.endswith("Say 300"))
    watcher = Watcher()
    with pytest.raises(KeyRefused):
        source.qwen.ask(ASK, client=client(sim), progress=watcher).sink_csv(tmp_path / "out.csv")
    assert 0 < watcher.last.done < ROWS
    watcher = Watcher(stop_at=50)
    with pytest.raises(Stopped):
        source.qwen.ask("Tell {{ n }}", client=client(sim), progress=watcher).collect(engine="streaming")
    assert 50 <= watcher.last.done < ROWS
    sim.fault("400", when=lambda asked: asked.text.endswith("Do 30"))
    watcher = Watcher()
    with pytest.raises(QwenError):
        source.qwen.ask("Do {{ n }}", client=client(sim), progress=watcher, on_error="raise").collect()
    assert watcher.last.failed == 1


def test_a_run_is_not_over_while_a_function_of_the_users_runs_polars_itself(simulate, client, source):
    """Inside it the nearest frame of polars is another's."""
    watcher, inner = Watcher(), threading.Event()

    def theirs(series):
        pl.LazyFrame({"a": [1]}).select(pl.col("a").map_batches(look, return_dtype=pl.Int64)).collect()
        return series

    def look(series):
        EVALUATIONS.settle()
        assert not watcher.over.is_set()
        inner.set()
        return series

    asked = source.qwen.ask(ASK, client=client(simulate()), progress=watcher)
    asked.with_columns(pl.col("n", "answer").map_batches(theirs)).collect()
    assert inner.is_set() and watcher.last.done == ROWS


def test_what_a_progress_function_raises_at_the_end_is_a_warning(simulate, client, source, recwarn):
    def ill(progress):
        if progress.finished:
            raise LookupError("no such place")

    source.qwen.ask(ASK, client=client(simulate()), progress=ill).collect()
    EVALUATIONS.settle(at_once=True)
    [warning] = [one for one in recwarn if one.category is QwenFrameWarning]
    assert "progress= raised LookupError" in str(warning.message)


SCRIPT = """
import sys
import polars as pl
from qwennb import Qwen
url, folder, source, code = sys.argv[1:]
qwen = Qwen(endpoint=f"openrouter+{url}", api_key="sk-sim", cache_dir=folder)
lf, ask = pl.scan_parquet(source), dict(prompt="Say {{ n }}", client=qwen, concurrency=20)
exec(code)
"""
LINE = "qwen3.5-flash · 400 rows, 400 unique · "


def script(sim, tmp_path, code, stderr=subprocess.PIPE):
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        sim.base_url,
        str(tmp_path / "cache"),
        str(tmp_path / "in.parquet"),
        code,
    ]
    return subprocess.run(command, stderr=stderr, stdout=subprocess.PIPE, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "lf.qwen.ask(**ask).collect(engine='streaming')",
        "lf.qwen.ask(**ask).sink_csv(folder + '.csv')",
        "lf.collect().qwen.ask(**ask)",
        "lf.collect().qwen.ask(progress=True, **ask)",
    ],
)
def test_a_run_whose_output_goes_to_a_pipe_says_one_line_at_its_end(simulate, tmp_path, source, code):
    [line] = script(simulate(latency=0.2), tmp_path, code).stderr.splitlines()
    assert line.startswith(LINE)


@pytest.mark.slow
def test_a_terminal_is_left_with_one_line_of_a_lazy_run(simulate, tmp_path, source):
    ours, theirs = pty.openpty()
    said: list[bytes] = []

    def read():
        try:
            while some := os.read(ours, 4096):
                said.append(some)
        except OSError:  # the other side is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    script(simulate(latency=0.2), tmp_path, "lf.qwen.ask(**ask).collect(engine='streaming')", theirs)
    os.close(theirs)
    reader.join(30)
    os.close(ours)
    shown = [part.split("\r\x1b[K")[-1] for part in b"".join(said).decode().split("\r\n")]
    assert len(shown) == 2 and shown[0].startswith(LINE) and shown[1] == ""
    assert b"".join(said).count(b" rows, ") == 1


def test_a_file_has_a_line_a_minute_and_one_at_the_end():
    out, times = io.StringIO(), iter(range(10_000))
    tally = Tally(400, 300, "m", out=out, clock=lambda: float(next(times)))
    for number in range(150):
        tally.add(str(number), Outcome(str(number), "x", cost=0.5))
        tally.show()
    lines = out.getvalue().splitlines()
    assert len(lines) == 2 and lines[0].startswith("6") and "/300, " in lines[0] and "a minute" in lines[1]
    assert not any("█" in line or "\r" in line for line in lines)
    tally.show(finished=True)
    tally.show(finished=True)
    assert out.getvalue().splitlines()[2:] == [
        "m · 400 rows, 300 unique, 150 not asked · 0 in, 0 out · $75.00"
    ]


def test_what_is_over_in_a_moment_says_nothing_in_a_file_unless_it_is_asked_for():
    for progress, lines in ((None, 0), (False, 0), (True, 1)):
        out = io.StringIO()
        tally = Tally(1, 1, "m", out=out, progress=progress, clock=lambda: 0.0)
        tally.show()
        tally.show(finished=True)
        assert len(out.getvalue().splitlines()) == lines
