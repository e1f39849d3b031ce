"""Review: ten thousand rows opened and judged in a real JupyterLab. `python -m tests.benchmarks review`."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

ROWS, KEYS, RATE = 10_000, 50, 5  # a person's 5 rows a second, for ten seconds
CELLS = [
    (
        "import polars as pl\nfrom qwennb import widgets\nkinds = pl.Enum(['praise', 'complaint', 'other'])\n"
        f"frame = pl.DataFrame({{'review': [f'review {{n}}: ' + 'the soup was cold ' * 20 for n in range({ROWS})],"
        f" 'label': pl.Series(['praise', 'complaint'] * {ROWS // 2}, dtype=kinds)}})"
    ),
    "widgets.Review(frame, answer='label', source='review', labels={labels!r}, by='ada')",
]
# When the cell is asked for, and when its first row is drawn; when each key goes down, and when the next row is drawn.
OPEN = """() => new Promise(done => {
  const began = performance.now(), seen = new MutationObserver(() => {
    if (document.querySelector('.qwr-source .qwr-text')) { seen.disconnect(); requestAnimationFrame(() => done(performance.now() - began)); }
  });
  seen.observe(document.body, {childList: true, subtree: true});
  jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
  jupyterapp.commands.execute('notebook:run-cell');
})"""
WATCH = """() => {
  const panel = document.querySelector('.qw'), text = panel.querySelector('.qwr-source .qwr-text');
  window.waits = [];
  let began = 0;
  panel.addEventListener('keydown', () => { began = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => waits.push(performance.now() - began)))
    .observe(text, {characterData: true, childList: true, subtree: true});
}"""


def judged() -> str:
    """How soon the first of ten thousand rows is seen, how soon the next after a key, and what is on the disk."""
    from playwright.sync_api import sync_playwright

    from tests.browser.lab import Lab

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder), playwright).start()
        try:
            labels = Path(folder) / "labels.jsonl"
            opened = lab.open([CELLS[0], CELLS[1].format(labels=str(labels))], {})
            opened.run(0)
            opened.wait_done()
            opens = opened.page.evaluate(OPEN)
            opened.wait_done()
            opened.page.locator(".qwr-source .qwr-text").click()
            opened.page.evaluate(WATCH)
            began = time.monotonic()
            for number in range(KEYS):
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))
                opened.page.keyboard.press("rw"[number % 2])
            last = f"{KEYS:,} of {ROWS:,} rows labelled"
            opened.wait_text(last)
            seconds = time.monotonic() - began
            waits = opened.page.evaluate("waits")
            kept = [json.loads(line)["verdict"] for line in labels.read_text().splitlines()]
            wrong = sum(one != ("right", "wrong")[at % 2] for at, one in enumerate(kept))
            began = time.monotonic()
            opened.page.keyboard.type("r" * KEYS)  # as fast as a machine can
            opened.wait_text(f"{2 * KEYS:,} of {ROWS:,} rows labelled")
            fast = KEYS / (time.monotonic() - began)
        finally:
            lab.stop()
    return (
        f"review: {ROWS:,} rows open in {opens / 1000:.2f} s; at {KEYS / seconds:.1f} keys a second the next row is drawn after "
        f"{statistics.median(waits):.0f} ms (median; worst {max(waits):.0f}), {len(kept)} of {KEYS} labels on the disk, {wrong} "
        f"wrong; typed ahead, {fast:.0f} a second"
    )
