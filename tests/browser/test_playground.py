"""The playground in a browser: asked by mouse and by keyboard, stopped, saved, seen without a kernel."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from qwennb.simulator import Simulator

CANARY = "sk-canary-90bb1c2d7e"
CELL = """
import polars as pl
from qwennb import Qwen, widgets
frame = pl.DataFrame({"review": ["The soup was cold.", "What a lovely evening!", "We waited an hour."]})
play = widgets.Playground(
    "Is this praise or a complaint? {{ review }}", frame,
    variants=[{"thinking": False, "choices": ["praise", "complaint"]}, {"thinking": False, "temperature": 0.2}],
    client=Qwen(cache_dir="{answers}"), name="{answers}",
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


def has_no_complaints(opened):
    """In the light, and in the dark."""
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        opened.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        opened.page.locator(f"[data-jp-theme-name='{theme}']").wait_for(state="attached")
        assert opened.complaints(".qw") == [], theme


def press(opened, name):
    opened.page.get_by_role("button", name=name, exact=True).click()


def test_a_grid_is_asked_changed_marked_and_copied(playground, sim):
    opened, page = playground, playground.page
    cells = page.get_by_role("cell")
    press(opened, "Run")
    opened.wait_text("Done: 6 of 6 answered.")
    expect(cells.first).to_contain_text(re.compile("praise|complaint"))
    expect(cells.nth(3)).to_contain_text("What a lovely evening!")
    assert cells.nth(3).locator("mark").count() or "≠ A" in cells.nth(3).inner_text()
    asked = [entry.body for entry in sim.ledger.asks()]
    assert sorted(body.get("temperature", 1) for body in asked) == [0.2] * 3 + [1] * 3
    page.get_by_label("prompt", exact=True).fill("Shorter: {{ review }}")
    press(opened, "More")
    page.get_by_label("rows", exact=True).fill("1")
    page.get_by_label("Model B", exact=True).select_option("qwen3.5-plus")
    press(opened, "Settings B")
    page.get_by_label("seed", exact=True).fill("11")
    has_no_complaints(opened)
    press(opened, "Run")
    opened.wait_text("Done: 2 of 2 answered.")
    bodies = {entry.body["model"].split("/")[-1]: entry.body for entry in sim.ledger.asks()[6:]}
    plus = next(body for model, body in bodies.items() if "plus" in model)
    assert (plus["seed"], plus["temperature"]) == (11, 0.2)
    assert plus["messages"][-1]["content"] == "Shorter: The soup was cold."
    press(opened, "Run")
    opened.wait_text("from the cache")
    assert sim.ledger.count() == 8
    press(opened, "Copy B1 as a %%qwen cell")
    copied = page.locator(".qw-copied pre")
    expect(copied).to_contain_text("%%qwen -m qwen3.5-plus")
    page.get_by_label("cell", exact=True).select_option("B1")
    press(opened, "Copy as column call")
    expect(copied).to_contain_text("frame.qwen.ask('Shorter: {{ review }}', model='qwen3.5-plus'")
    press(opened, "Copy as curl command")
    expect(copied).to_contain_text('-H "Authorization: Bearer $QWENNB_API_KEY"')
    expect(copied).to_be_focused()
    has_no_complaints(opened)
    state = page.evaluate("() => document.documentElement.outerHTML")
    assert CANARY not in state and CANARY not in json.dumps(opened.save())
    assert opened.strangers() == [] and opened.dialogs == []


def test_it_is_run_and_stopped_with_the_keyboard_alone_and_no_key_leaves_it(playground, sim):
    opened, keyboard = playground, playground.page.keyboard
    sim.pace(latency=60.0)
    opened.page.get_by_label("prompt", exact=True).focus()
    keyboard.press("Control+Enter")
    sim.ledger.wait_for(6, "arrived")
    expect(opened.page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    keyboard.press("Escape")
    opened.wait_text("Stopped: 0 of 6 answered.")
    assert "[stopped]" in opened.page.get_by_role("cell").first.inner_text()
    sim.pace()
    for _ in range(40):
        if opened.page.evaluate("() => document.activeElement.title") == "Add settings":
            break
        keyboard.press("Shift+Tab" if _ < 5 else "Tab")
    keyboard.press("Enter")
    expect(opened.page.get_by_label("Model C", exact=True)).to_be_visible()
    for key in "ramd":  # in the notebook's command mode: Raw, above, Markdown, delete
        keyboard.press(key)
    saved = opened.save()["cells"]
    assert [cell["cell_type"] for cell in saved] == ["code"] and "Playground(" in "".join(saved[0]["source"])


def test_the_keyboard_stays_in_the_panel_where_what_had_it_is_gone(playground):
    page, keyboard = playground.page, playground.page.keyboard
    page.get_by_role("button", name="Add settings").focus()
    for letter in "CDEFGH":
        keyboard.press("Enter")
        page.get_by_role("button", name=f"Settings {letter}").wait_for()
    expect(page.get_by_label("prompt", exact=True)).to_be_focused()  # there are no more than eight
    for name, within in (("More", "rows"), ("Settings A", "system")):
        button = page.get_by_role("button", name=name, exact=True)
        button.focus()
        keyboard.press("Enter")
        page.get_by_label(within, exact=True).focus()
        keyboard.press("Escape")
        expect(button).to_be_focused()
        expect(page.get_by_label(within, exact=True)).not_to_be_visible()


def test_in_notebook_7_no_key_reaches_the_notebook_and_axe_finds_nothing(playground):
    opened = playground
    both = CELL.replace("\nplay\n", "\ndisplay(play, widgets.Usage(play._client))\n")
    opened.type_into(0, both.replace("{answers}", str(opened.home / "classic")))
    opened.run(0)
    opened.wait_done()
    opened.save()
    page = opened.page.context.new_page()
    page.goto(opened.lab.address(opened.path, classic=True))
    there = replace(opened, page=page)
    page.get_by_label("prompt", exact=True).click()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Done: 6 of 6 answered.").first).to_be_visible()
    expect(page.locator(".qw-sum")).to_contain_text("6")
    page.get_by_role("button", name="Add settings").focus()
    for key in ("r", "m", "x", "d", "d", "a", "Enter"):  # Raw, Markdown, cut, delete, above
        page.keyboard.press(key)
    expect(page.get_by_label("Model C", exact=True)).to_be_visible()
    cells = "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type).join()"
    assert page.evaluate(cells) == "code"
    has_no_complaints(there)
    page.close()


def test_it_goes_on_after_a_reload_and_is_read_without_a_kernel(playground):
    opened = playground
    press(opened, "Run")
    opened.wait_text("Done: 6 of 6 answered.")
    opened.save()
    opened.reopen()
    press(opened, "Run")
    opened.wait_text("from the cache")
    opened.run(0)  # made again it is as it was left
    opened.wait_done()
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
