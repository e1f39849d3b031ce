"""Tab within the parentheses of a verb, as it is seen in JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

BEGIN = """import polars as pl, qwennb
from qwennb import Qwen
df, qwen = pl.DataFrame({"review": ["a"]}), Qwen(endpoint="simulator")
print("begun")"""


@pytest.fixture(scope="module")
def begun(notebooks):
    """A notebook in which qwennb is imported, and no more: the extension is not loaded."""
    opened = notebooks([BEGIN, ""])
    opened.run(0)
    opened.wait_text("begun")
    opened.wait_done()
    return opened


@pytest.mark.parametrize("jedi", [True, False], ids=["with jedi", "without jedi"])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("df.qwen.classify(", "labels="),
        ("qwennb.classify(", "labels="),
        ("qwen.ask(", "thinking="),
        ('qwennb.col("review").classify(', "labels="),
    ],
)
def test_tab_in_the_parentheses_of_a_verb_shows_its_options_in_jupyterlab(begun, text, wanted, jedi):
    begun.type_into(0, f"get_ipython().Completer.use_jedi = {jedi}\nprint('set', {jedi})")
    begun.run(0)
    begun.wait_text(f"set {jedi}")
    begun.type_into(1, text)
    begun.cell(1).locator(".cm-content").click()
    begun.page.keyboard.press("Control+End")
    begun.page.keyboard.press("Tab")
    shown = begun.page.locator(".jp-Completer:not(.lm-mod-hidden) .jp-Completer-match")
    expect(shown.filter(has_text=wanted)).to_have_count(1)
    seen = shown.all_inner_texts()
    assert {wanted, "cache=", "model="} <= {*seen} and "ArithmeticError" not in seen
    begun.page.keyboard.press("Escape")
    expect(begun.page.locator(".jp-Completer:not(.lm-mod-hidden)")).to_have_count(0)


def test_what_an_option_means_stands_in_one_line_beside_it(begun):
    begun.type_into(0, "%reload_ext qwennb\nprint('loaded')")
    begun.run(0)
    begun.wait_text("loaded")
    begun.wait_done()
    begun.type_into(1, "%qwen --s")
    begun.cell(1).locator(".cm-content").click()
    begun.page.keyboard.press("Control+End")
    begun.page.keyboard.press("Tab")
    rows = begun.page.locator(".jp-Completer:not(.lm-mod-hidden) .jp-Completer-item")
    expect(rows.filter(has_text="--schema")).to_contain_text("form of the answer".replace(" ", "\u00a0"))
    heights = rows.evaluate_all(
        "all => all.map(row => [row.querySelector('.jp-Completer-typeExtended').scrollHeight, row.clientHeight])"
    )
    assert all(told <= row + 2 for told, row in heights), heights
    begun.page.keyboard.press("Escape")
