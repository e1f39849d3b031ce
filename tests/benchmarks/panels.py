"""How soon the chat shows what is typed and what comes, and how it scrolls, in a JupyterLab in Chromium."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from qwennb.simulator import Reply, Simulator
from tests.browser.lab import Lab, Notebook

CHAT = """from qwennb.notebook.widgets import ChatPanel
from qwennb.notebook.widgets.chat_attach import TypedQuestion
from qwennb.notebook.widgets.chat_talk import ChatTurn
import json, threading, time
came = {}
def watch():
    while not came or panel.is_busy or len(came) < 2:
        asking = panel._talk.asking
        came.setdefault(asking.text.count(" ") if asking else 0, time.time() * 1000)
        time.sleep(0.001)
panel = ChatPanel(name="measured")
panel"""
TURNS = """said = "A paragraph of **some** words with `code`.\\n\\n```python\\nprint(1)\\n```\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n"
panel._talk.branches[0] = [ChatTurn(TypedQuestion(f"question {n}"), partial=said * 2, ended="stopped") for n in range(200)]
panel.refresh()"""
# When each number of words was painted first: what is in the page before a frame is painted in it.
WATCH = """() => {
  window.painted = {};
  window.tasks = [];
  new PerformanceObserver(found => tasks.push(...found.getEntries().map(one => one.duration))).observe({type: 'longtask'});
  const look = () => {
    const them = document.querySelector('.qw-turn:last-child .qw-them'), now = Date.now();
    if (document.querySelector('.qw-turn')) painted.bubble ??= now;
    if (them) painted[(them.innerText.match(/w\\d+/g) || []).length] ??= now;
    requestAnimationFrame(look);
  };
  look();
}"""
SEND = """text => {
  const box = document.querySelector('.qw [data-home]');
  box.value = text;
  window.sent = Date.now();
  box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true}));
}"""


def chat() -> str:
    """Print the three figures: the bubble, a piece, the longest task while 200 turns are scrolled."""
    from playwright.sync_api import sync_playwright

    pieces = [f"w{n} " for n in range(200)]
    with Simulator("openrouter", api_key="sk-sim") as sim, sync_playwright() as playwright:
        lab = Lab(Path(tempfile.mkdtemp()), playwright).start()
        try:
            where = {"QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": "sk-sim"}
            opened = lab.open(
                [CHAT, "threading.Thread(target=watch).start()", TURNS, "print(json.dumps(came))"], where
            )
            opened.run(0)
            opened.wait_done()
            opened.page.wait_for_selector(".qw [data-home]")
            opened.page.evaluate(WATCH)
            sim.script([Reply("".join(pieces), chunks=pieces, chunk_delay=0.02)])
            opened.run(1)
            opened.page.evaluate(SEND, "go")
            opened.page.wait_for_function(
                "painted[200] && !document.querySelector('[aria-busy]')", timeout=60_000
            )
            return f"{_waits(opened)}; {_scrolling(opened)}"
        finally:
            lab.stop()


def _waits(opened: Notebook) -> str:
    page = opened.page
    painted: dict[str, Any] = page.evaluate("painted")
    bubble = painted.pop("bubble") - page.evaluate("sent")
    opened.run(3)
    opened.wait_done()
    came = json.loads(opened.shown(3).strip())
    first = lambda times, number: min(t for n, t in times.items() if int(n) >= number)  # noqa: E731
    waits = sorted(first(painted, n) - first(came, n) for n in range(1, 200))
    return f"the question is seen after {bubble} ms; a piece, of 50 a second, after {median(waits):.0f} ms (p95 {waits[189]:.0f})"


def _scrolling(opened: Notebook) -> str:
    page = opened.page
    opened.run(2)
    opened.wait_done()
    page.wait_for_function("document.querySelectorAll('.qw-turn').length === 200")
    page.evaluate("tasks.length = 0")
    page.locator(".qw-log").hover()
    for _ in range(60):
        page.mouse.wheel(0, -700)
        page.wait_for_timeout(16)
    page.wait_for_timeout(300)
    longest = max(page.evaluate("tasks"), default=0)
    return f"200 turns are scrolled with no task above {max(longest, 50):.0f} ms"
