"""Columns against an endpoint that fails in every way there is: every row is right or says why it is not, in its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import polars as pl
import pytest

from qwennb.frames import QwenFrameWarning
from qwennb.simulator import Fault, Simulator

# ---------------------------------------------------------------------- failures that pass


PASSING = ("500", "502", "503", "504", "529")


def through_failures(simulate, client, rows):
    """A column of *rows* while a fifth of all requests fails: requests a row, and rows lost."""
    # One after the other draws: each has its share of a fifth.
    shares = [0.04 / (1 - 0.04 * place) for place in range(len(PASSING))]
    faults = [Fault(name, probability=share) for name, share in zip(PASSING, shares, strict=True)]
    sim = simulate(faults=faults, latency=0.01)
    made = pl.DataFrame({"n": range(rows)}).qwen.ask(
        "Say {{ n }}", client=client(sim), max_tokens=20, thinking=False, on_error="column"
    )
    lost = made.filter(pl.col("answer_error").is_not_null())
    assert lost.is_empty(), lost
    assert all(answer.endswith(f"Say {n}") for n, answer in made.select("n", "answer").iter_rows())
    failed = sum(sim.ledger.count(f"status {status}") for status in PASSING)
    assert 0.15 < failed / sim.ledger.count("asked") < 0.25, "a fifth of them failed"
    return sim.ledger.count("asked") / rows


@pytest.mark.slow
def test_a_fifth_of_all_requests_failing_costs_no_row(simulate, client):
    assert through_failures(simulate, client, 1_000) <= 1.5


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_fifth_of_ten_thousand_requests_failing_costs_no_row(simulate, client, record_property):
    each = through_failures(simulate, client, 10_000)
    record_property("requests a row", each)
    print(f"{each:.3f} requests a row")
    assert each <= 1.5


def through_an_outage(simulate, client, rows, seconds):
    """A column while everything fails: requests beyond one a row."""
    sim = simulate(faults=[Fault("503")])
    with pytest.warns(QwenFrameWarning, match=f"{rows:,} of {rows:,} questions"):
        made = pl.DataFrame({"n": range(rows)}).qwen.ask("Say {{ n }}", client=client(sim), timeout=seconds)
    assert made["answer"].null_count() == rows
    return sim.ledger.count("asked") - rows


@pytest.mark.slow
def test_a_full_outage_costs_at_most_the_quota_of_retries(simulate, client):
    assert through_an_outage(simulate, client, 100, 4) <= 400


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_a_minute_of_outage_costs_at_most_the_quota_of_retries(simulate, client, record_property):
    extra = through_an_outage(simulate, client, 250, 60)
    record_property("extra requests", extra)
    print(f"{extra} extra requests")
    assert extra <= 400


# ---------------------------------------------------------------------- everything at once, and kills


# 429 and capacity: refusals that have nothing to do with the rate.
SOAK = (
    "400", "408", "409", "422", "429", "capacity", "500", "502", "503", "504", "524", "529", "html", "html_as_json", "error_in_200",
    "no_choices", "bad_utf8", "bad_json", "nan_body", "duplicate_body", "empty_body", "reset", "reset_midway",
    "short_body", "null_content", "empty_content", "content_filter",
)  # fmt: skip
SHARE = 0.3

CHILD = """
import os, sys
import polars as pl
from qwennb import Qwen

url, folder, rows, out = sys.argv[1:]
qwen = Qwen(endpoint="openrouter+" + url, api_key="sk-sim", cache_dir=folder, concurrency=64, timeout=30)
table = pl.DataFrame({"n": range(int(rows))})
made = table.qwen.ask("Say {{ n }}", client=qwen, max_tokens=20, thinking=False, on_error="column", meta=True)
made.write_parquet(out)
"""


def soak(folder, *, rows, kills, seed):
    """A column through all of it, killed on the way: its rows, and how many answers were paid for twice."""
    each = SHARE / len(SOAK)
    faults = [Fault(name, probability=each / (1 - each * place)) for place, name in enumerate(SOAK)]
    out = folder / "out.parquet"
    with Simulator("openrouter", api_key="sk-sim", latency=0.01, faults=faults, seed=seed) as sim:
        command = [sys.executable, "-c", CHILD, sim.base_url, str(folder / "cache"), str(rows), str(out)]
        for kill in range(1, kills + 1):
            with subprocess.Popen(command) as child:
                sim.ledger.wait_for(rows * kill // (kills + 1), "paid", timeout=300)
                os.kill(child.pid, signal.SIGKILL)
            sim.ledger.wait_idle(60)
        subprocess.run(command, check=True, timeout=600)
        sim.ledger.wait_idle(60)
        return (
            pl.read_parquet(out),
            sum(sim.ledger.duplicates.values()),
            len({e.fault for e in sim.ledger.asks()}),
        )


def check_soaked(made, rows):
    assert made["n"].to_list() == list(range(rows)), "none is missing, none out of place"
    right = made.filter(pl.col("answer_error").is_null())
    assert all(answer.endswith(f"Say {n}") for n, answer in right.select("n", "answer").iter_rows())
    failed = made.filter(pl.col("answer_error").is_not_null())
    assert failed["answer"].null_count() == failed.height
    assert failed["answer_error"].str.contains(r"^\w+: ").all()
    return failed.height


@pytest.mark.slow
def test_a_column_through_twenty_seven_faults_and_a_kill_is_right_or_says_why_not(tmp_path):
    rows = 600
    made, twice, kinds = soak(tmp_path, rows=rows, kills=1, seed=7)
    assert 0 < check_soaked(made, rows) < rows * 0.15
    assert twice <= 128 and kinds == len(SOAK) + 1


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_ten_thousand_rows_through_twenty_seven_faults_and_three_kills(tmp_path, record_property):
    rows = 10_000
    made, twice, kinds = soak(tmp_path, rows=rows, kills=3, seed=19)
    failed = check_soaked(made, rows)
    record_property("failed", failed)
    record_property("paid twice", twice)
    print(f"{failed} of {rows} rows failed, {twice} answers were paid for twice")
    assert failed < rows * 0.15 and twice <= 3 * 128 and kinds == len(SOAK) + 1
