"""Every attack in marimo: as the value of a cell, alone or among others, none comes to life and nothing leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.corpus import ACTIVE
from tests.browser.hurt import END, NAMES, OBSERVE

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
SIZE = 300  # answers in one cell
APP = f"""
import marimo
app = marimo.App()

@app.cell
def _():
    import marimo as mo
    from tests.browser.corpus import ATTACKS, EVERYTHING, answers_with
    answers = [answer for attack in [*ATTACKS, EVERYTHING] for answer in answers_with(attack)]
    return ATTACKS, answers, mo

@app.cell
def _(answers, mo):
    mo.vstack([mo.vstack(answers[at : at + {SIZE}]) for at in range(0, len(answers), {SIZE})])
    return

@app.cell
def _(answers):
    answers[-6]
    return

@app.cell
def _(mo):
    mo.md("all are through")
    return
"""
PANELS = """
import marimo
app = marimo.App()

@app.cell
def _():
    import marimo as mo
    from tests.browser.hurt import END, hurt, make
    chat, playground, review, usage = make("chat"), make("playground"), make("review"), make("usage")
    return END, chat, hurt, mo, playground, review, usage

@app.cell
def _(chat):
    chat
    return

@app.cell
def _(playground):
    playground
    return

@app.cell
def _(review):
    review
    return

@app.cell
def _(usage):
    usage
    return

@app.cell
def _(mo):
    go = mo.ui.run_button(label="Attack")
    go
    return (go,)

@app.cell
def _(END, chat, go, hurt, mo, playground, review, usage):
    mo.stop(not go.value)
    for panel in (chat, playground, review, usage):
        hurt(panel)
    mo.md(END)
    return
"""


@pytest.fixture(params=["answers", "panels"])
def address(request, tmp_path_factory) -> Iterator[str]:
    """A marimo that shows every attack."""
    pytest.importorskip("marimo")
    folder = tmp_path_factory.mktemp("marimo")
    (folder / "app.py").write_text(APP if request.param == "answers" else PANELS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {
        **os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "QWENNB_CACHE_DIR": str(folder / "answers"),
        "XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder), "XDG_CACHE_HOME": str(folder),
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "marimo",
        "-q",
        "run",
        "app.py",
        "--headless",
        "--no-token",
        "--port",
        str(port),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 100
        while not answers(url):
            assert server.poll() is None and time.monotonic() < end, (folder / "log").read_text()
        yield url
    finally:
        server.terminate()
        server.wait(60)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=20).close()
    except OSError:
        return False
    return True


@pytest.fixture
def seen(lab, address) -> Iterator[tuple[Page, list[str], list[str]]]:
    """The page, what it asked of others, and its dialogs."""
    context = lab.chromium.new_context(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    dialogs: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    context.add_init_script(OBSERVE)
    page = context.new_page()
    page.goto(address)
    yield page, asked, dialogs
    context.close()


@pytest.mark.parametrize("address", ["answers"], indirect=True)
def test_no_attack_comes_to_life_in_marimo(seen, address):
    page, asked, dialogs = seen
    expect(page.get_by_text("all are through")).to_be_visible(timeout=200_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.output-area')].some(one => one.textContent.length > 100_000)",
        timeout=200_000,
    )
    assert page.evaluate(ACTIVE, ".output-area") == []
    assert dialogs == []
    assert {url for url in asked if urlsplit(url).hostname not in ("127.0.0.1", None)} == set()


@pytest.mark.parametrize("address", ["panels"], indirect=True)
def test_no_attack_comes_to_life_in_a_panel_in_marimo(seen):
    page, asked, dialogs = seen
    expect(page.locator(".qw")).to_have_count(len(NAMES), timeout=200_000)
    before = page.evaluate("drawn")
    page.get_by_role("button", name="Attack").click()
    expect(page.get_by_text(END).last).to_be_visible(timeout=200_000)
    assert page.evaluate("drawn") > before + 500
    assert page.evaluate("alive") == [] and dialogs == []
    assert {url for url in asked if urlsplit(url).hostname not in ("127.0.0.1", None)} == set()
