"""`lane="batch"`: half the price, hours later, and the same column as the live lane makes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import polars as pl
import pytest

import qwennb
from qwennb import Qwen
from qwennb.client import QwenWarning
from qwennb.errors import BadInput, NotRecorded, QwenError, UnsupportedOption
from qwennb.frames import QwenFrameWarning
from qwennb.simulator import Options, Simulator

TABLE = pl.DataFrame({"n": [*range(20), None, 3], "text": [f"text {n}" for n in range(22)]})
ASK = "Say {{ n }}"
PLAIN = {"thinking": False, "max_tokens": 50}


def batches_made(sim: Simulator) -> int:
    return sum(
        e.path.endswith("/batches") and e.method == "POST" and e.status == 200 for e in sim.ledger.entries()
    )


@pytest.fixture
def sim(simulate):
    return simulate("dashscope", options=Options(batch_polls=1))


# ---------------------------------------------------------------------- the same column


VERBS = {
    "ask": lambda table, **o: table.qwen.ask(ASK, **PLAIN, **o),
    "classify": lambda table, **o: table.qwen.classify("text", ["praise", "complaint"], **o),
    "extract": lambda table, **o: table.qwen.extract("text", "name, age int", **o),
    "score": lambda table, **o: table.qwen.score("text", "how urgent, 0 to 1", **o),
    "filter": lambda table, **o: table.qwen.filter("{{ text }} is short", **o),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_column_comes_out_whichever_lane_ran(sim, client, tmp_path, verb):
    by_batch, live = client(sim), client(sim, cache_dir=tmp_path / "elsewhere")
    made = VERBS[verb](TABLE, client=by_batch, lane="batch")
    assert {entry.method for entry in sim.ledger.asks()} == {"BATCH"} and batches_made(sim) == 1
    assert made.equals(VERBS[verb](TABLE, client=live))
    asked = sim.ledger.count("asked")
    assert made.equals(VERBS[verb](TABLE, client=by_batch)), "the live lane finds what the batch brought"
    assert made.equals(VERBS[verb](TABLE, client=live, lane="batch")), (
        "and the batch lane what the live one did"
    )
    assert sim.ledger.count("asked") == asked


def test_it_costs_half_and_the_plan_says_so(sim, client, tmp_path):
    by_batch, live = client(sim), client(sim, cache_dir=tmp_path / "elsewhere")
    half = TABLE.qwen.plan(ASK, client=by_batch, lane="batch", **PLAIN)
    whole = TABLE.qwen.plan(ASK, client=live, **PLAIN)
    assert (half.cost, half.at_most) == (pytest.approx(whole.cost / 2), pytest.approx(whole.at_most / 2))
    assert "by batch (50% of the price)" in str(half) and half.seconds is None
    costs = [
        TABLE.qwen.ask(ASK, client=qwen, lane=lane, meta=True, **PLAIN)["answer_meta"]
        .struct.field("cost")
        .sum()
        for qwen, lane in ((by_batch, "batch"), (live, "live"))
    ]
    assert costs[0] == pytest.approx(costs[1] / 2)
    assert costs[0] <= half.at_most


@pytest.mark.parametrize("how", ["in-memory", "streaming", "sink", "expression"])
def test_a_lazy_plan_is_one_batch(sim, client, tmp_path, how):
    """Also from a file of many row groups, with several columns made of the answers, and one row that fails."""
    TABLE.write_parquet(tmp_path / "in.parquet", row_group_size=3)
    sim.fault("400", times=1)
    lf = pl.scan_parquet(tmp_path / "in.parquet")
    options = {"client": client(sim), "lane": "batch", "meta": True, "on_error": "column", **PLAIN}
    if how == "expression":
        lf = lf.with_columns(pl.col("n").qwen.ask(ASK, into="made", **options).struct.unnest())
    else:
        lf = lf.qwen.ask(ASK, **options)
    if how == "sink":
        lf.sink_parquet(tmp_path / "out.parquet")
        made = pl.read_parquet(tmp_path / "out.parquet")
    else:
        made = lf.collect(engine="in-memory" if how == "expression" else how)
    name = "made" if how == "expression" else "answer"
    assert made["n"].to_list() == TABLE["n"].to_list() and batches_made(sim) == 1
    failed = made.filter(pl.col(f"{name}_error").is_not_null())
    assert (
        failed.height == 1 and failed[f"{name}_meta"].struct.field("error")[0] == failed[f"{name}_error"][0]
    )
    assert made[name].null_count() == 2  # it, and the row without a number


def test_a_base_url_with_the_two_routes_takes_batches_too(sim, tmp_path):
    qwen = Qwen(endpoint=sim.base_url, api_key="sk-sim", cache_dir=tmp_path / "cache", model="qwen3.5-flash")
    made = TABLE.qwen.ask(ASK, client=qwen, lane="batch", meta=True, max_tokens=50)
    assert made["answer"].null_count() == 1 and batches_made(sim) == 1
    assert made["answer_meta"].struct.field("cost").null_count() == TABLE.height, (
        "a price that nobody knows is none"
    )


def test_who_looks_sees_what_is_waited_for(sim, client):
    notes = []
    TABLE.qwen.ask(
        ASK, client=client(sim), lane="batch", progress=lambda p: notes.append((p.done, p.note)), **PLAIN
    )
    assert (0, "batch batch_00000000 at dashscope-intl: 0 of 20 answered") in notes
    assert notes[-1] == (20, "")


# ---------------------------------------------------------------------- what fails


@pytest.mark.slow
def test_a_line_that_failed_is_one_null_and_the_next_call_asks_only_that(sim, client):
    qwen = client(sim)
    sim.fault("500", times=1)
    with pytest.warns(QwenFrameWarning, match=r"1 of 20 questions of column `answer` failed.*ServerFailed"):
        made = TABLE.qwen.ask(ASK, client=qwen, lane="batch", **PLAIN)
    assert made["answer"].null_count() == 2
    assert TABLE.qwen.ask(ASK, client=qwen, lane="batch", **PLAIN)["answer"].null_count() == 1
    assert (sim.ledger.count("paid"), batches_made(sim)) == (20, 2)


@pytest.mark.parametrize("lazy", [False, True])
def test_an_endpoint_without_batches_refuses_before_anything_is_sent(simulate, client, lazy):
    sim = simulate("openrouter")
    table = TABLE.lazy() if lazy else TABLE
    with pytest.raises(UnsupportedOption, match="takes no batches.*dashscope-intl"):
        table.qwen.ask(ASK, client=client(sim), lane="batch").lazy().collect()
    with pytest.raises(UnsupportedOption, match="takes no batches"):
        table.qwen.plan(ASK, client=client(sim), lane="batch")
    assert sim.ledger.count("asked") == 0


def test_other_lanes_and_a_cache_that_is_off_are_refused(sim, client):
    with pytest.raises(BadInput, match="lane='fast' is not known. Use 'live', 'batch'"):
        TABLE.qwen.ask(ASK, lane="fast")
    with pytest.raises(UnsupportedOption, match="needs the cache"):
        TABLE.qwen.ask(ASK, client=client(sim), lane="batch", cache="off")
    assert sim.ledger.count("arrived") == 0


def test_replay_orders_nothing(sim, client):
    with pytest.raises(NotRecorded):
        TABLE.qwen.ask(
            ASK, client=client(sim), lane="batch", cache="replay", on_error="raise", model="qwen3.5-flash"
        )
    assert batches_made(sim) == 0


def test_a_wrong_key_stops_the_run(sim, client):
    with pytest.raises(QwenError, match="Keys belong to one region"):
        TABLE.qwen.ask(ASK, client=client(sim, api_key="sk-wrong"), lane="batch", **PLAIN)


# ---------------------------------------------------------------------- left, and taken up again


def stop_at_once(progress):
    if progress.note.startswith("batch "):
        progress.stop()


@pytest.mark.slow
def test_stop_leaves_the_batch_running_and_says_how_to_go_on(simulate, client):
    sim = simulate("dashscope", options=Options(batch_polls=3))
    qwen = client(sim)
    with pytest.warns(
        QwenWarning,
        match=r"Stopped waiting. Batch batch_00000000 goes on at dashscope-intl. The same call .* qwennb.batches\(\)",
    ):
        part = TABLE.qwen.ask(ASK, client=qwen, lane="batch", progress=stop_at_once, **PLAIN)
    assert part.height == TABLE.height and part["answer"].null_count() == TABLE.height
    plan = TABLE.qwen.plan(ASK, client=qwen, lane="batch", **PLAIN)
    assert (plan.under_way, plan.to_ask, plan.cost) == (20, 0, 0) and "20 under way in a batch" in str(plan)
    # More rows, in another order: what is under way is not ordered again.
    more = pl.concat([TABLE.reverse(), pl.DataFrame({"n": [77], "text": ["new"]})])
    made = more.qwen.ask(ASK, client=qwen, lane="batch", **PLAIN)
    assert made["answer"].null_count() == 1
    assert (sim.ledger.count("paid"), batches_made(sim)) == (21, 2) and not sim.ledger.duplicates


RUN = """
import sys
import polars as pl
from qwennb import Qwen
url, folder, rows, how = sys.argv[1:]
qwen = Qwen(endpoint=f"dashscope-intl+{url}", api_key="sk-sim", cache_dir=folder)
table = pl.DataFrame({"n": range(int(rows))})
try:
    options = dict(client=qwen, lane="batch", thinking=False, max_tokens=50)
    if how == "eager":
        made = table.qwen.ask("Say {{ n }}", **options)
    else:
        made = table.lazy().qwen.ask("Say {{ n }}", **options).collect(engine=how)
    print(made["answer"].null_count())
except KeyboardInterrupt as interrupt:
    print("interrupted", *getattr(interrupt, "__notes__", []))
"""


def start(sim, folder, rows, how="eager"):
    command = [sys.executable, "-c", RUN, sim.base_url, str(folder), str(rows), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["eager", pytest.param("streaming", marks=pytest.mark.nightly)])
def test_an_interrupted_kernel_leaves_its_batch_to_the_next_one(simulate, tmp_path, how):
    sim = simulate("dashscope", options=Options(batch_polls=6))
    with start(sim, tmp_path / "cache", 30, how) as kernel:
        sim.ledger.wait_for(5, "finished", timeout=120)  # a list, a file, a batch, and two looks at it
        os.kill(kernel.pid, signal.SIGINT)
        said, _ = kernel.communicate(timeout=120)
    assert said.startswith("interrupted")
    if how == "eager":
        assert "Batch batch_00000000 goes on at dashscope-intl. The same call takes up" in said
    with start(sim, tmp_path / "cache", 30, how) as kernel:
        said, _ = kernel.communicate(timeout=120)
    assert said == "0\n"
    assert (sim.ledger.count("paid"), batches_made(sim)) == (30, 1)


def kill_after(simulate, folder, requests):
    """A kernel killed with -9 once the endpoint has seen so many requests, and another that goes on."""
    sim = simulate("dashscope", options=Options(batch_polls=3))
    with start(sim, folder, 40) as kernel:
        sim.ledger.wait_for(requests, "arrived", timeout=120)
        os.kill(kernel.pid, signal.SIGKILL)
    with start(sim, folder, 40) as kernel:
        said, _ = kernel.communicate(timeout=120)
    assert said == "0\n"
    assert (sim.ledger.count("paid"), batches_made(sim)) == (40, 1), requests


@pytest.mark.slow
@pytest.mark.parametrize("requests", [3, 6])
def test_a_kernel_killed_at_any_moment_pays_for_nothing_twice(simulate, tmp_path, requests):
    """While the batch is made, while the answers are fetched."""
    kill_after(simulate, tmp_path / "cache", requests)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("again", range(5))
@pytest.mark.parametrize("requests", range(1, 8))
def test_kernels_killed_everywhere_pay_for_nothing_twice(simulate, tmp_path, requests, again):
    kill_after(simulate, tmp_path / "cache", requests)


def test_what_is_under_way_is_listed_cancelled_and_forgotten(simulate, client):
    sim = simulate("dashscope", options=Options(batch_polls=100, batch_answers=5))
    qwen = client(sim)
    assert qwennb.batches(qwen) == []
    with pytest.warns(QwenWarning, match="Stopped waiting"):
        TABLE.qwen.ask(ASK, client=qwen, lane="batch", progress=stop_at_once, **PLAIN)
    (order,) = qwennb.batches(qwen)
    assert (order.id, order.endpoint, order.model, order.questions) == (
        "batch_00000000",
        "dashscope-intl",
        "qwen3.5-flash",
        20,
    )
    assert order.status == "in_progress, 0 of 20 answered" and "sk-" not in repr(order)
    order.cancel()
    assert order.status == "cancelled, 20 of 20 answered"
    # What was answered before is fetched by the next call, which orders the others anew.
    with pytest.warns(QwenWarning, match="Stopped waiting. Batch batch_00000001"):
        part = TABLE.qwen.ask(ASK, client=qwen, lane="batch", progress=stop_at_once, **PLAIN)
    assert part["answer"].count() == 6  # one of the five answers two rows
    assert [order.questions for order in qwennb.batches(qwen)] == [15]
    qwennb.batches(qwen)[0].forget()
    assert qwennb.batches(qwen) == []


def test_where_every_answer_is_there_no_note_of_a_batch_is_read(sim, client):
    qwen = client(sim)
    made = TABLE.qwen.ask(ASK, client=qwen, lane="batch", **PLAIN)
    (qwen.session.config.cache_dir / "batches" / "torn.json").write_text("{")
    assert TABLE.qwen.ask(ASK, client=qwen, lane="batch", **PLAIN).equals(made)
    with pytest.raises(QwenError, match=r"torn\.json can't be read"):
        TABLE.qwen.ask("Tell {{ n }}", client=qwen, lane="batch", **PLAIN)


def test_a_batch_of_another_endpoint_needs_that_endpoints_client(simulate, client):
    sim = simulate("dashscope", options=Options(batch_polls=100))
    with pytest.warns(QwenWarning):
        TABLE.qwen.ask(ASK, client=client(sim), lane="batch", progress=stop_at_once, **PLAIN)
    (order,) = qwennb.batches(client(simulate("openrouter")))
    with pytest.raises(BadInput, match="handed in at dashscope-intl"):
        order.cancel()
