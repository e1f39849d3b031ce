"""A notebook with every widget in it, saved: valid, without a key, and read by whoever has only the file.

JupyterLab can be told to save the state of widgets with the notebook. Both ways are tried.
"""

from __future__ import annotations

import json

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from qwennb.notebook.widgets.static import VIEW
from qwennb.simulator import Reply, Simulator

CANARY = "sk-canary-5b83c0de17"
SAYS = "It costs $5 here and $6 there."
BEGIN = """%reload_ext qwennb
import polars as pl
from qwennb import Qwen, widgets
qwen = Qwen(budget=2.0)
prices = pl.DataFrame({"said": ["$5 or $6", "$7 or $8", "$5 or $8"], "label": ["$5", "$10", "$5"]})
"""
CELLS = [
    BEGIN,
    "chat = widgets.ChatPanel(qwen)\nchat",
    "play = widgets.Playground('Which of $1 and $2? {{ said }}', prices, client=qwen, variants=[{'system': '$3 or $4'}])\nplay",
    "review = widgets.Review(prices, answer='label', source='said', labels={labels!r}, by='$1 and $2')\nreview",
    "usage = widgets.Usage(qwen)\nusage",
    "made = prices.qwen.ask('Say {{ said }}')",
    "",
]
RECORDS = {
    1: ["Is it $5 or $6?", SAYS],
    2: ["Which of $1 and $2? $5 or $6", "system $3 or $4", SAYS],
    3: ["3 of 3 rows labelled.", "$10"],
    4: ["qwen3.5-flash", "of this client's budget of $2.00"],
    5: ["3 rows, 3 unique ·"],
}
STATE = "application/vnd.jupyter.widget-state+json"
TOGGLE = "() => jupyterapp.commands.execute('@jupyter-widgets/jupyterlab-manager:saveWidgetState')"


@pytest.fixture(scope="module")
def used(notebooks, tmp_path_factory):
    """The notebook, in which everything has been used."""
    labels = str(tmp_path_factory.mktemp("labels") / "labels.jsonl")
    with Simulator("openrouter", api_key=CANARY, script=lambda asked: Reply(SAYS)) as sim:
        environ = {"QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": CANARY}
        opened = notebooks([cell.replace("{labels!r}", repr(labels)) for cell in CELLS], **environ)
        opened.run_all()
        opened.wait_done()
        message = opened.page.get_by_label("Your message", exact=True)
        message.fill("Is it $5 or $6?")
        message.press("Enter")
        expect(opened.output(1)).to_contain_text("1 answer,", timeout=30_000)
        opened.output(2).get_by_role("button", name="Run", exact=True).click()
        expect(opened.output(2)).to_contain_text("Done: 3 of 3 answered.", timeout=30_000)
        opened.output(3).locator(".qw").press_sequentially("rwr")
        expect(opened.output(3)).to_contain_text("3 of 3 rows labelled", timeout=30_000)
        expect(opened.output(4).locator("table").last).to_contain_text("qwen3.5-flash", timeout=30_000)
        opened.type_into(6, "from IPython.display import Markdown\nMarkdown('$a_1$')")
        opened.run(6)
        opened.output(6).locator(
            "mjx-container"
        ).wait_for()  # what came before would have been typeset before
        formulas = sum(opened.output(number).locator("mjx-container").count() for number in RECORDS)
        saved = {"as it comes": opened.save()}
        opened.page.evaluate(TOGGLE)
        try:
            saved["with the state of all widgets"] = opened.save()
        finally:
            opened.page.evaluate(TOGGLE)
        yield opened, saved, formulas


def is_read(shown: str, number: int) -> None:
    for words in RECORDS[number]:
        assert " ".join(words.split()) in " ".join(shown.split()), (number, words, shown)


@pytest.mark.parametrize("way", ["as it comes", "with the state of all widgets"])
def test_it_is_valid_without_a_key_and_read_by_whoever_has_the_file(used, way):
    opened, saved, _ = used
    state = saved[way]["metadata"].get("widgets", {}).get(STATE)
    assert (state is None) == (way == "as it comes"), "as JupyterLab was told"
    assert state is None or (len(state["state"]) == 2 * 4 and state["version_major"] == 2)
    assert VIEW in json.dumps(saved[way]) and CANARY not in json.dumps(saved[way])
    opened.path.write_text(json.dumps(saved[way]), encoding="utf-8")
    read = nbformat.read(opened.path, as_version=4)
    nbformat.validate(read)
    page = opened.page.context.new_page()
    page.set_content(HTMLExporter().from_notebook_node(read)[0], wait_until="domcontentloaded")
    for number in RECORDS:
        is_read(page.locator(".jp-Cell").nth(number).text_content() or "", number)
    page.close()
    opened.reopen_without_kernel(trusted=False, fresh=True)
    for number in RECORDS:
        is_read(opened.shown(number), number)
        assert "Error displaying widget" not in opened.shown(number)


def test_a_dollar_stays_a_dollar_in_every_record(used):
    assert used[2] == 0
