"""The playground in a browser: asked by mouse and by keyboard, stopped, saved, seen without a kernel."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbconvert import HTMLExporter

from qwennb.simulator import Simulator

CANARY = "sk-canary-90bb1c2d7e"
CELL = """
import polars as pl
from qwennb import Qwen, widgets
frame = pl.DataFrame({"review": ["The soup was cold.", "What a lovely evening!", "We waited an hour."]})
play = widgets.Playground(
    "Is this praise or a complaint? {{ review }}", frame,
    variants=[{"thinking": False, "choices": ["praise", "complaint"]}, {"thinking": False, "temperature": 0.2}],
    client=Qwen(cache_dir="{answers}"),
)
play
"""


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key=CANARY) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def one_kernel(notebooks, sim):
    """A notebook that asks the simulator, for all tests here."""
    return notebooks([], QWENNB_ENDPOINT=f"openrouter+{sim.base_url}", QWENNB_API_KEY=CANARY)


@pytest.fixture
def playground(one_kernel, sim, tmp_path):
    """The notebook with a playground in it, which knows no answers yet."""
    sim.reset()
    one_kernel.begin([CELL.replace("{answers}", str(tmp_path))])
    one_kernel.run_all()
    one_kernel.wait_done()
    return one_kernel


def field(opened, name):
    return opened.page.get_by_label(name, exact=True)


def press(opened, name):
    opened.page.get_by_role("button", name=name, exact=True).click()


def holds(opened, name, text):
    """Wait until the field called *name* holds *text*."""
    opened.page.wait_for_function(
        """([name, text]) => [...document.querySelectorAll('.jp-Cell-outputArea label')].some(label =>
             label.textContent === name && label.control && label.control.value.includes(text))""",
        arg=[name, text],
        timeout=60_000,
    )


def test_a_grid_is_asked_changed_and_copied(playground, sim):
    opened = playground
    press(opened, "Run")
    opened.wait_text("Done: 6 of 6 answered.")
    assert field(opened, "A1").input_value() in ("praise", "complaint")
    holds(opened, "B2", "What a lovely evening!")
    asked = [entry.body for entry in sim.ledger.asks()]
    assert sorted(body.get("temperature", 1) for body in asked) == [0.2] * 3 + [1] * 3
    field(opened, "prompt").fill("Shorter: {{ review }}")
    field(opened, "seed").nth(1).fill("11")
    field(opened, "rows").fill("1")
    field(opened, "model B").select_option("qwen3.5-plus")
    opened.page.wait_for_function(
        """() => {
          const seeds = [...document.querySelectorAll('label')].filter(label => label.textContent === 'seed');
          return seeds.length === 2 && seeds[1].control && seeds[1].control.value === '11';  // drawn anew for the model
        }"""
    )
    press(opened, "Run")
    opened.wait_text("Done: 2 of 2 answered.")
    bodies = {entry.body["model"].split("/")[-1]: entry.body for entry in sim.ledger.asks()[6:]}
    plus = next(body for model, body in bodies.items() if "plus" in model)
    assert (plus["seed"], plus["temperature"]) == (11, 0.2)
    assert plus["messages"][-1]["content"] == "Shorter: The soup was cold."
    press(opened, "Run")
    opened.wait_text("from the cache")
    assert sim.ledger.count() == 8
    field(opened, "cell").select_option("B1")
    press(opened, "Copy as %%qwen")
    holds(opened, "copy", "%%qwen -m qwen3.5-plus")
    press(opened, "Copy as column call")
    holds(opened, "copy", "frame.qwen.ask('Shorter: {{ review }}', model='qwen3.5-plus'")
    press(opened, "Copy as curl")
    holds(opened, "copy", '-H "Authorization: Bearer $QWENNB_API_KEY"')
    assert opened.page.evaluate("() => document.activeElement.value.startsWith('curl')")
    assert opened.complaints() == []
    state = opened.page.evaluate("() => document.documentElement.outerHTML")
    assert CANARY not in state and CANARY not in json.dumps(opened.save())
    assert opened.strangers() == [] and opened.dialogs == []


def test_it_is_run_and_stopped_with_the_keyboard_alone(playground, sim):
    opened = playground
    keyboard = opened.page.keyboard
    sim.pace(latency=60.0)

    def tab_to(description):
        for _ in range(60):
            if opened.page.evaluate("() => document.activeElement.textContent") == description:
                return
            keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {description}")

    field(opened, "prompt").focus()
    tab_to("Run")
    keyboard.press("Enter")
    sim.ledger.wait_for(6, "arrived")
    opened.page.get_by_role("button", name="Stop", exact=True).and_(
        opened.page.locator(":enabled")
    ).wait_for()
    tab_to("Stop")
    keyboard.press("Space")
    opened.wait_text("Stopped: 0 of 6 answered.")
    assert field(opened, "A1").input_value() == "[stopped]"
    sim.pace()
    tab_to("Add settings")
    keyboard.press("Enter")
    field(opened, "model C").wait_for()


def test_it_goes_on_after_a_reload_and_is_read_without_a_kernel(playground):
    opened = playground
    press(opened, "Run")
    opened.wait_text("Done: 6 of 6 answered.")
    opened.save()
    opened.reopen()
    press(opened, "Run")
    opened.wait_text("from the cache")
    opened.save()
    saved = nbformat.read(opened.path, as_version=4)
    nbformat.validate(saved)
    assert "widgets" not in saved["metadata"]
    page, _ = HTMLExporter().from_notebook_node(saved)
    for words in ("A: qwen3.5-flash, thinking False", "3: Is this praise or a complaint? We waited an hour."):
        assert words in page
    opened.reopen_without_kernel(trusted=False)
    shown = opened.shown(0)
    assert "2: Is this praise or a complaint? What a lovely evening!" in shown
    assert "3 of 3 answered" in shown and "Error displaying widget" not in shown
