"""marimo: answers and panels as a cell's value, a column that runs; one server and one page of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from qwennb.simulator import Reply, Simulator
from tests.browser.lab import AXE
from tests.conftest import until

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
CELLS = [
    """import marimo as mo
import polars as pl
from qwennb import Qwen, widgets
qwen = Qwen(model="flash", budget=2.0, thinking=False)
table = pl.DataFrame({"n": range(90)})""",
    'qwen.ask("Alone", thinking=True)',
    'qwen.ask_many(["Two of them", "are a list"])',
    'widgets.Playground("Say {{ n }}", table, client=qwen, variants=[{}, {"temperature": 0.2}], rows=2)',
    "widgets.Usage(qwen)",
    "widgets.ChatPanel(qwen)",
    'made = table.qwen.ask("Tell {{ n }}", client=qwen, concurrency=4)\nmade["answer"].count()',
    'print("all", "through")',
]


def written(cells: list[str]) -> str:
    """A notebook of marimo, as it keeps one."""
    names = "mo, pl, Qwen, widgets, qwen, table"
    made = ["import marimo\n\napp = marimo.App()\n"]
    for number, cell in enumerate(cells):
        body = "\n".join(f"    {line}" for line in cell.splitlines())
        takes, gives = (
            ("", f"    return {names}")
            if not number
            else (names, "    return answers,")
            if "answers =" in cell
            else (names, "    return")
        )
        takes += ", answers" if cell.startswith("answers[") else ""
        made.append(f"\n\n@app.cell\ndef _({takes}):\n{body}\n{gives}\n")
    return "".join(made)


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(
        "openrouter", api_key="sk-sim", script=lambda asked: Reply(f"**{asked.text}**, ::lucide:rocket:: $5")
    ) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def page(lab, sim, tmp_path_factory) -> Iterator[Page]:
    """The page of a notebook, all cells of which are being run."""
    folder = tmp_path_factory.mktemp("marimo")
    (folder / "config" / "marimo").mkdir(parents=True)
    (folder / "config" / "marimo" / "marimo.toml").write_text("[runtime]\nauto_instantiate = true\n")
    (folder / "book.py").write_text(written(CELLS), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "marimo", "edit", "book.py", "--headless", "--no-token", "--skip-update-check", "-p", str(port)],
        cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={
            **os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "PYTHONPATH": str(ROOT),
            "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": "sk-sim", "QWENNB_CACHE_DIR": str(folder / "answers"),
        },
    )  # fmt: skip
    try:
        until(lambda: answers(port), "marimo's server", 120)
        opened = lab.chromium.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        opened.asked, opened.dialogs = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on("dialog", lambda dialog: (opened.dialogs.append(dialog.message), dialog.dismiss()))
        sim.pace(latency=0.3)
        opened.goto(f"http://127.0.0.1:{port}/")
        yield opened
        opened.context.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
    except OSError:
        return False
    return True


def test_a_column_shows_marimos_own_bar_and_leaves_its_line(page, sim):
    bar = page.locator("marimo-progress")
    expect(bar.get_by_text(re.compile(r"a minute · \$.* to come"))).to_be_visible()
    sim.pace(latency=0.0)
    expect(page.get_by_text("qwen3.5-flash · 90 rows, 90 unique · ")).to_be_visible()
    expect(bar).to_have_count(0)
    expect(page.get_by_text("all through", exact=True)).to_be_visible(timeout=200_000)


def test_an_answer_is_a_cells_value_alone_and_in_a_list(page):
    alone, first, second = (page.locator(".qwennb-answer").nth(at) for at in range(3))
    expect(alone.locator("strong")).to_have_text("Alone")
    expect(alone).to_contain_text("::lucide:rocket:: $5")
    expect(alone).to_contain_text("qwen3.5-flash · ")
    expect(first).to_contain_text("Two of them")
    expect(second).to_contain_text("are a list")


def test_a_chat_is_had_by_keyboard(page):
    message = page.get_by_label("Your message", exact=True)
    message.click()
    page.keyboard.type("two")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("lines")
    page.keyboard.press("Enter")
    expect(page.locator(".qw-them strong").first).to_contain_text("lines")
    expect(page.locator(".qw-you")).to_contain_text("two\nlines")
    expect(message).to_have_value("")


def test_panels_are_drawn_and_used_by_mouse_and_keyboard(page):
    prompt, cells = page.get_by_label("prompt", exact=True), page.get_by_role("cell", name="Say 1")
    expect(page.get_by_label("Model B", exact=True)).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("Done: 4 of 4 answered.").first).to_be_visible()
    expect(cells.last.locator("strong")).to_have_count(0)  # a column's texts, as they are
    prompt.fill("Once more {{ n }}")
    prompt.press("Control+Enter")
    expect(page.get_by_role("cell").filter(has_text="Once more 0").first).to_be_visible()
    expect(page.get_by_text("of this client's budget of $2.00")).to_be_visible()
    expect(page.locator(".qw-sum")).to_contain_text("102")  # three, ninety, two times four, and a chat
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        """() => axe.run({include: [{fromShadowDom: ['marimo-anywidget', '.qw']}]}, {resultTypes: ['violations']})
          .then(found => found.violations.map(one => one.id))"""
    )
    assert found == []
