"""A run of a column, seen and stopped in the browser."""

from __future__ import annotations

import json

import nbformat
import pytest
from playwright.sync_api import expect

from qwennb.notebook.widgets.static import VIEW
from qwennb.simulator import Simulator

ROWS = 300
BEGIN = f"%reload_ext qwennb\nimport polars as pl\ntable = pl.DataFrame({{'n': range({ROWS})}})"
ASK = "made = table.qwen.ask('Say {{ n }}', concurrency=12)\nprint('there are', made['answer'].count())"
LAZY = "made = table.lazy().qwen.ask('Tell {{ n }}', meta=True).collect()\nprint('lazily', made['answer'].count())"


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key="sk-sim", latency=0.4) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def one_kernel(notebooks, sim):
    """A notebook that asks the simulator, for all tests here."""
    return notebooks([], QWENNB_ENDPOINT=f"openrouter+{sim.base_url}", QWENNB_API_KEY="sk-sim")


@pytest.fixture
def opened(one_kernel, sim):
    sim.reset()
    sim.pace(0.4)
    one_kernel.begin([BEGIN, ASK, ASK, LAZY])
    return one_kernel


def told(opened, cell: int) -> list[str]:
    """The lines that the outputs of a cell show."""
    return [line for line in opened.shown(cell).splitlines() if line.strip()]


def test_stop_is_heard_while_the_cell_runs_and_the_same_call_asks_only_for_the_rest(opened, sim):
    opened.run(0)
    opened.wait_done()
    opened.run(1)
    stop = opened.page.get_by_role("button", name="Stop")
    expect(stop).to_be_enabled(timeout=60_000)
    sim.ledger.wait_for(30, timeout=120)
    expect(opened.output(1)).to_contain_text(f"of {ROWS}")
    for words in ("a minute", "to come", "left"):
        expect(opened.output(1)).to_contain_text(words)
    assert opened.complaints() == []
    opened.output(1).get_by_role("button", name="More").click()
    for name in (
        "From cache",
        "Failed",
        "Answers a minute",
        "Tokens in",
        "Cost so far",
        "Cost at the end",
        "Time left",
    ):
        expect(opened.output(1)).to_contain_text(name)
    assert opened.complaints() == []
    stop.click()
    opened.wait_text("there are")
    opened.wait_done()
    line, there_are = told(opened, 1)
    kept = int(there_are.removeprefix("there are "))
    assert 20 <= kept < ROWS
    assert f" · {ROWS} rows, {ROWS} unique, {ROWS - kept} not asked · " in line

    sim.ledger.wait_idle()
    sim.pace(0.0)
    asked = len(sim.ledger.asks())
    opened.run(2)
    opened.wait_text(f"there are {ROWS}")
    opened.wait_done()
    assert len(sim.ledger.asks()) - asked <= ROWS - kept, "what was finished is not asked again"

    whole = told(opened, 2)[0]
    opened.run(1)
    opened.wait_text(f"there are {ROWS}")
    opened.wait_done()
    assert told(opened, 1)[0] == whole, "from memory it leaves the line that it left live"

    opened.run(3)
    opened.wait_text(f"lazily {ROWS}")
    opened.wait_done()
    assert f" · {ROWS} rows, {ROWS} unique · " in told(opened, 3)[0] and len(told(opened, 3)) == 2

    saved = opened.save()
    nbformat.validate(nbformat.from_dict(saved))
    assert VIEW not in json.dumps(saved) and "widgets" not in saved["metadata"]
    left = "print('left', len(__import__('ipywidgets').widgets.widget._instances))"
    opened.type_into(0, left)
    opened.run(0)
    opened.wait_text("left 0")
    assert opened.strangers() == [] and opened.dialogs == []


def test_an_interrupt_of_an_earlier_cells_plan_comes_once_and_leaves_the_line_too(opened, sim):
    opened.type_into(1, "plan = table.lazy().qwen.ask('Ask {{ n }}', concurrency=12)")
    # polars raises the interrupt; Python's own handler would raise it once more, in what follows.
    opened.type_into(
        2, "try:\n    plan.collect()\nexcept KeyboardInterrupt:\n    sum(range(10**6))\n    print('once')"
    )
    for cell in (0, 1):
        opened.run(cell)
        opened.wait_done()
    opened.run(2)
    expect(opened.page.get_by_role("button", name="Stop")).to_be_enabled()
    opened.interrupt()
    opened.wait_done()
    assert "once" in opened.shown(2) and "KeyboardInterrupt" not in opened.shown(2)
    assert "not asked · " in opened.shown(2) and opened.page.get_by_role("button", name="Stop").count() == 0


def test_a_run_whose_kernel_is_gone_says_so(opened, sim):
    opened.type_into(1, ASK.replace("Say", "Begin"))
    opened.run(0)
    opened.wait_done()
    opened.run(1)
    expect(opened.page.get_by_role("button", name="Stop")).to_be_enabled()
    opened.page.evaluate("() => { jupyterapp.shell.currentWidget.sessionContext.restartKernel() }")
    expect(opened.output(1).get_by_text("The kernel is gone, and this run with it.")).to_be_visible()
    assert opened.page.get_by_role("button", name="Stop").count() == 0
    broken = "() => [...document.querySelectorAll('.jp-OutputArea *')].map(one => getComputedStyle(one, '::before').content)"
    assert not [content for content in opened.page.evaluate(broken) if "\uf127" in content], "a broken link"
