"""The kit itself: what it says of a notebook is what happened there."""

from __future__ import annotations

from tests.conftest import until


def test_a_notebook_runs_saves_and_is_read_without_a_kernel(notebook):
    opened = notebook(
        ["import os\nprint('here is', os.environ['WORD'])", "1 / 0", "print('never')"], WORD="amber"
    )
    opened.run_all()
    opened.wait_text("here is amber")
    opened.wait_done()
    assert "ZeroDivisionError" in opened.shown(1) and opened.shown(2) == ""
    saved = opened.save()
    assert saved["cells"][0]["outputs"][0]["text"] == ["here is amber\n"]
    for again in (opened.reopen, opened.reload):
        again()
        assert "here is amber" in opened.shown(0)
        opened.type_into(2, "print('still', os.environ['WORD'])")
        opened.run(2)
        opened.wait_text("still amber")
        opened.wait_done()
    for fresh in (False, True):
        opened.reopen_without_kernel(fresh=fresh)
        assert "here is amber" in opened.shown(0) and "still" not in opened.shown(2)
        assert opened.path.name not in [session["path"] for session in opened.lab.ask("sessions")]
    assert opened.strangers() == [] and opened.dialogs == []


def test_what_leaves_the_page_and_what_opens_in_it_is_seen(notebook):
    opened = notebook(
        [
            """from IPython.display import HTML\nHTML('<script>alert(1)</script><img src="http://evil.example/p.png">')"""
        ]
    )
    opened.run_all()
    opened.wait_done()
    opened.page.wait_for_function(
        "() => performance.getEntriesByType('resource').some(e => e.name.includes('evil'))"
    )
    assert set(opened.strangers()) == {"http://evil.example/p.png"} and opened.dialogs == ["1"]


def test_what_leaves_a_window_that_the_page_opens_is_seen_too(notebook):
    opened = notebook(
        ["from IPython.display import HTML\nHTML('<script>window.open(\"http://evil.example/w\")</script>')"]
    )
    with opened.page.expect_popup():
        opened.run_all()
    opened.wait_done()

    def is_seen() -> bool:
        opened.page.wait_for_timeout(50)  # only meanwhile does Playwright hear
        return "http://evil.example/w" in opened.strangers()

    until(is_seen, "what the window asked for")


def test_the_next_notebook_finds_nothing_of_the_one_before(notebook):
    before = notebook(["word = 'amber'\nprint(word)"])
    before.run_all()
    before.wait_text("amber")
    before.page.evaluate(
        "() => { jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'}); window.running = true; }"
    )
    before.page.locator(".jp-Cell-inputArea .cm-content").first.fill("not saved")
    before.close()
    after = notebook(["print('word' in globals())"])
    after.run_all()
    after.wait_text("False")
    after.wait_done()
    assert after.page.locator(".jp-Notebook").count() == 1 and after.strangers() == []


def test_a_cell_is_interrupted(notebook):
    opened = notebook(["import time\nprint('begun', flush=True)\ntime.sleep(60)"])
    opened.run_all()
    opened.wait_text("begun")
    opened.interrupt()
    opened.wait_done()
    assert "KeyboardInterrupt" in opened.shown(0)
