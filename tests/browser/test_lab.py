"""The kit itself: what it says of a notebook is what happened there."""

from __future__ import annotations


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
    opened.reload()
    assert "here is amber" in opened.shown(0)
    opened.reopen_without_kernel()
    assert "here is amber" in opened.shown(0) and opened.lab.ask("sessions") == []
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
    assert opened.strangers() == ["http://evil.example/p.png"] and opened.dialogs == ["1"]


def test_a_cell_is_interrupted(notebook):
    opened = notebook(["import time\nprint('begun', flush=True)\ntime.sleep(60)"])
    opened.run_all()
    opened.wait_text("begun")
    opened.interrupt()
    opened.wait_done(20)
    assert "KeyboardInterrupt" in opened.shown(0)
