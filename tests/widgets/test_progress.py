"""The line that a column leaves is the same in every kernel; Stop is there only where it is heard."""

from __future__ import annotations

import pytest
from ipywidgets.widgets.widget import _instances

from qwennb.frames import Progress
from qwennb.notebook.widgets.progress import INTERRUPT, ProgressPanel, Runs
from qwennb.notebook.widgets.static import VIEW
from tests.notebook.conftest import Kernel

TABLE = "table = pl.DataFrame({'n': [0, 1, 2, 2]})"


def progress(**more) -> Progress:
    given = {
        "rows": 400, "unique": 300, "done": 30, "cached": 10, "failed": 2, "tokens": (1200, 90), "cost": 0.5, "seconds": 10.0,
        "finished": False, "model": "qwen3.5-flash", "stop": lambda: None, "run": 1,
    }  # fmt: skip
    return Progress(**{**given, **more})


@pytest.fixture
def panel():
    made = ProgressPanel(progress())
    yield made
    made.close()


def shown(panel, **more):
    panel.see(progress(**more))
    panel.draw()
    return panel.shown


def test_the_panel_says_how_far_it_is_and_what_it_costs(panel):
    assert [part for part in panel.shown["line"] if part] == [
        "30 of 300", "120 a minute", "$0.50, about $4.50 to come", "about 2 min 15 s left", "2 failed",
    ]  # fmt: skip
    assert panel.shown["share"] == 0.1
    assert panel.shown["figures"] == {
        "Answered": "30 of 300", "Rows": "400", "From cache": "10", "Failed": "2", "Answers a minute": "120", "Tokens in": "1,200",
        "Tokens out": "90", "Cost so far": "$0.50", "Cost at the end": "about $5.00", "Time left": "about 2 min 15 s",
        "Model": "qwen3.5-flash",
    }  # fmt: skip


def test_what_is_not_known_is_said_so(panel):
    figures = shown(panel, done=0, cached=0, cost=None, failed=0)["figures"]
    assert figures["Cost so far"] == figures["Cost at the end"] == "price unknown"
    assert figures["Time left"] == "not known yet"
    assert [part for part in panel.shown["line"] if part] == ["0 of 300", "0 a minute", "price unknown"]
    assert shown(panel, note="It waits for the server.")["note"] == "It waits for the server."


def test_where_no_button_is_heard_it_is_off_and_says_interrupt(panel):
    assert panel.shown["stops"] == INTERRUPT


def test_stop_stops_once(panel):
    stopped = []
    shown(panel, stop=lambda: stopped.append(1))
    panel.act("stop")
    panel.act("stop")
    assert stopped == [1] and shown(panel, stop=lambda: stopped.append(1))["stops"] == "stopping"


def test_a_run_where_nobody_looks_makes_no_widget():
    before = set(_instances)
    runs = Runs()
    runs.see(progress(seconds=5.0))
    assert set(_instances) <= before
    runs.see(progress(done=300, finished=True))
    runs.settle()
    assert set(_instances) <= before


@pytest.fixture(scope="module")
def sim():
    from qwennb.simulator import Simulator

    with Simulator("openrouter", api_key="sk-sim") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def kernel(sim, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    running = Kernel(
        {
            "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": "sk-sim", "QWENNB_CACHE_DIR": str(home / "cache"),
            "HOME": str(home), "IPYTHONDIR": str(home / "ipython"),
        }
    )  # fmt: skip
    try:
        assert running.run("%load_ext qwennb").status == "ok"
        # Loaded before polars is, and the first column in the same cell: it is watched all the same.
        first = running.run(f"import polars as pl\n{TABLE}\nmade = table.qwen.ask('Say {{{{ n }}}}')")
        assert len(lines(first)) == 1
        yield running
    finally:
        running.stop()


def lines(ran) -> list[str]:
    shown = [one for one in ran.outputs if one["output_type"] == "display_data"]
    assert all(VIEW not in one["data"] and not one["metadata"] for one in shown)
    return [one["data"]["text/plain"] for one in shown]


@pytest.mark.slow
def test_a_run_is_one_line_shown_once_live_or_from_memory_watched_or_not(kernel):
    code = "made = table.qwen.ask('Tell {{ n }}')"
    live, known = kernel.run(code), kernel.run(code)
    watched = kernel.run(code, answers=[])
    assert live.count("display_data") == 1 and live.count("update_display_data") == 0
    assert lines(live) == lines(known) == lines(watched)
    assert lines(live)[0].startswith("qwen3.5-flash · 4 rows, 3 unique · ") and "$" in lines(live)[0]


@pytest.mark.slow
def test_a_plan_is_one_line_however_often_polars_asks(kernel):
    for plan in (
        "table.lazy().qwen.ask('Plan {{ n }}', meta=True).collect()",
        "table.with_columns(pl.col('n').qwen.ask('It {{ it }}', meta=True).alias('s')).unnest('s')",
        "table.lazy().qwen.ask('Of {{ n }}', schema='a int, b int', into='s').select(pl.col('s').struct.field('a', 'b')).collect()",
        "table.lazy().qwen.ask('Stream {{ n }}').collect(engine='streaming')",
    ):
        [line] = lines(kernel.run(f"made = {plan}"))
        assert line.startswith("qwen3.5-flash · 4 rows, 3 unique · "), (plan, line)


@pytest.mark.slow
def test_how_well_a_column_agrees_with_its_truth_is_printed_once_in_its_cell(kernel):
    kernel.run("known = table.with_columns(gold=pl.lit('yes'))")
    for call in (
        "known.qwen.classify('n', ['yes', 'no'], truth='gold')",
        "known.lazy().qwen.classify('n', ['yes', 'no'], truth='gold', meta=True).collect()",
        "known.lazy().qwen.classify('n', ['yes', 'no'], truth='gold', progress=False).collect()",
    ):
        ran = kernel.run(f"made = {call}")
        assert ran.printed.count("`label` against `gold`: accuracy") == 1, call


@pytest.mark.slow
def test_two_columns_are_two_lines_and_none_after_the_extension_is_unloaded(kernel):
    both = "made = table.qwen.ask('First {{ n }}').qwen.ask('Second {{ n }}', into='other')"
    assert len(lines(kernel.run(both))) == 2
    kernel.run("%unload_ext qwennb")
    assert lines(kernel.run("made = table.qwen.ask('Third {{ n }}')")) == []
    kernel.run("%load_ext qwennb")
    assert len(lines(kernel.run("made = table.qwen.ask('Third {{ n }}')"))) == 1
    assert kernel.run("%reload_ext qwennb").status == "ok"
    assert len(lines(kernel.run("made = table.qwen.ask('Third {{ n }}')"))) == 1


@pytest.mark.slow
def test_an_interrupt_is_ours_in_every_cell_while_a_plan_lives(kernel):
    kernel.run("import signal\nplan = table.lazy().qwen.ask('Later {{ n }}')")
    assert "Interrupts._handle" in kernel.value("signal.getsignal(signal.SIGINT)")


PLANS = {
    "collect": "made = plan.collect()",
    "streaming": "made = plan.collect(engine='streaming')",
    "sink": "import tempfile\nplan.sink_parquet(tempfile.mktemp())",
    "awaited": "made = await plan.collect_async(engine='streaming')",
    "batches": "made = list(plan.collect_batches(chunk_size=10))",
}


@pytest.fixture(scope="module")
def pieces(kernel, tmp_path_factory):
    """In the kernel, a plan over a file of many row groups."""
    file = tmp_path_factory.mktemp("pieces") / "in.parquet"
    ran = kernel.run(
        f"pl.DataFrame({{'n': range(200)}}).write_parquet({str(file)!r}, row_group_size=10)\n"
        f"pieces = pl.scan_parquet({str(file)!r})\nprint('made')"
    )
    assert ran.printed == "made\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", PLANS)
def test_a_plan_in_many_batches_leaves_one_line_in_one_place_live_or_from_memory(kernel, pieces, how):
    code = f"plan = pieces.qwen.ask('{how} {{{{ n }}}}')\n{PLANS[how]}\nprint('after')"
    rans = [kernel.run(code), kernel.run(code), kernel.run(code, answers=[])]
    for ran in rans:
        (first, line), (second, after) = ran.kept
        assert (first, second, after["text"]) == ("display_data", "stream", "after\n")
        assert line["data"]["text/plain"].startswith("qwen3.5-flash · 200 rows, 200 unique · ")
        shown = [content["data"]["text/plain"] for _, kind, content in ran.messages if "display" in kind]
        assert [one for one in shown if " rows, " in one] == [line["data"]["text/plain"]], "said once"
    assert len({ran.kept[0][1]["data"]["text/plain"] for ran in rans}) == 1


@pytest.mark.slow
def test_a_watched_plan_that_lasts_leaves_the_same_line_in_the_same_place(kernel, pieces, sim):
    code = (
        "made = pieces.qwen.ask('Long {{ n }}', concurrency=10).collect(engine='streaming')\nprint('after')"
    )
    sim.pace(0.2)
    try:
        live = kernel.run(code, answers=[])
    finally:
        sim.pace(0.0)
    again = kernel.run(code)
    assert live.count("comm_open") > 0 and again.count("comm_open") == 0
    kept = [[content.get("data", content.get("text")) for _, content in ran.kept] for ran in (live, again)]
    assert kept[0] == kept[1] and kept[0][0]["text/plain"].startswith("qwen3.5-flash · 200 rows, ")


@pytest.mark.slow
def test_a_plan_that_failed_leaves_one_line_of_what_was_done(kernel, pieces, sim):
    sim.fault("401", when=lambda asked: asked.text.endswith("Fail 150"))
    ran = kernel.run("made = pieces.qwen.ask('Fail {{ n }}').collect(engine='streaming')")
    assert ran.status == "error"
    [line] = lines(ran)
    assert " rows, " in line
