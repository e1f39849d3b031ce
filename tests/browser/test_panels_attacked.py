"""Every panel in Notebook 7, its whole state replaced by attacks: nothing comes to life, and nothing leaves."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.hurt import END, NAMES, OBSERVE

ROOT = Path(__file__).parents[2]
BEGIN = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.browser.hurt import hurt, make
made = {{}}"""
SHOW = [f"made[{name!r}] = make({name!r})\nmade[{name!r}]" for name in NAMES]
HURT = "for panel in made.values():\n    hurt(panel)\nprint('hurt them', len(made))"


def test_no_attack_comes_to_life_in_a_panel_in_notebook_7(notebook):
    opened = notebook([BEGIN, *SHOW, HURT])
    page = opened.page.context.new_page()
    page.add_init_script(OBSERVE)
    page.goto(opened.lab.address(opened.path, classic=True))
    page.wait_for_function(
        """() => { const shown = window.jupyterapp && jupyterapp.shell.currentWidget, kernel = shown && shown.sessionContext
            && shown.sessionContext.session && shown.sessionContext.session.kernel; return kernel && kernel.status === 'idle'; }""",
        timeout=200_000,
    )
    page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells') }")
    expect(page.get_by_text(f"hurt them {len(NAMES)}", exact=False).last).to_be_visible(timeout=200_000)
    expect(page.locator(".qw").filter(has_text=END)).to_have_count(len(NAMES))
    assert page.evaluate("drawn") > 2_000
    assert page.evaluate("alive") == []
    assert opened.dialogs == [] and opened.strangers() == []
    page.close()
