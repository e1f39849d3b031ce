"""Spending, looked at in the browser, by keyboard, after a reload, and without a kernel."""

from __future__ import annotations

import json
import re

import nbformat
from nbconvert import HTMLExporter
from playwright.sync_api import expect

CANARY = "sk-canary-33fe0d2c17"
ASK = """%load_ext qwennb
import qwennb
from qwennb import Qwen
qwen = Qwen(budget=2.0, max_tokens=50)
for name in ("one", "two", "three"):
    qwen.ask("Say " + name)
"""


def test_spending_is_a_table_with_switches_that_stays(notebook, simulate):
    sim = simulate(api_key=CANARY)
    environ = {"QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": CANARY}
    opened = notebook([ASK, "qwennb.widgets.Usage(qwen)"], **environ)
    for cell in (0, 1):
        opened.run(cell)
        opened.wait_done()
    page, out = opened.page, opened.output(1)
    table = out.locator("table").last
    expect(table).to_contain_text("qwen3.5-flash")
    expect(out).to_contain_text("budget of $2.00")
    page.get_by_label("By", exact=True).focus()
    page.keyboard.type("not")  # a list is chosen from by typing
    expect(table).to_contain_text(opened.path.name)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.options[0].text") == "always"
    assert opened.complaints() == []
    opened.type_into(0, "qwen.ask('Say four')")
    opened.run(0)
    expect(table.locator("tr").last).to_contain_text(re.compile("all.*4"))  # live: nobody pressed anything

    opened.save()
    opened.reopen()
    page = opened.page
    page.get_by_label("By", exact=True).select_option("endpoint")
    opened.wait_text("openrouter")
    opened.run(1)
    opened.wait_done()
    expect(opened.output(1).locator("table").last).to_contain_text("openrouter")  # as it was left

    opened.save()
    saved = nbformat.read(opened.path, as_version=4)
    nbformat.validate(saved)
    html, _ = HTMLExporter().from_notebook_node(saved)
    assert "openrouter" in html.partition("jp-Cell-outputArea")[2] and "widgets" not in saved["metadata"]
    assert CANARY not in json.dumps(saved)
    opened.reopen_without_kernel(trusted=False)
    expect(opened.output(1).locator("table")).to_contain_text("openrouter")
    assert opened.strangers() == [] and opened.dialogs == []
