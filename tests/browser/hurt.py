"""Panels whose state is attacked: whatever Python would send, each text of it replaced by attacks, in turn.

A panel is filled as people fill it, with texts that are all MARK. Then every text that holds MARK is replaced, and after
that every text there is, names of kinds and of choices among them: what its module draws must hold nothing that acts.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from qwennb import Qwen
from qwennb.notebook.widgets import ChatPanel, Playground, Review, Usage
from qwennb.simulator import Reply, Simulator
from tests.browser.corpus import ATTACKS
from tests.conftest import until

# What a panel may be made of. Whatever else appears in one, or acts, however shortly, is in `alive`; shadow roots included.
OBSERVE = """(() => {
  window.alive = [];
  window.drawn = 0;
  const known = new Set(('div span p section header footer ul ol li dl dt dd table thead tbody tr th td caption blockquote pre ' +
    'code kbd em strong s br hr a article button textarea input select option optgroup label details summary progress meter h2 h3 ' +
    'fieldset legend output small mark ins del svg path math mrow mi mn mo mtext mspace mfrac msqrt mroot mstyle msub msup ' +
    'msubsup munder mover munderover mtable mtr mtd mpadded mphantom menclose').split(' '));
  const look = one => {
    if (!one.closest('.qw')) return;
    drawn += 1;
    const tell = () => alive.push(one.cloneNode().outerHTML.slice(0, 200)), name = one.tagName.toLowerCase();
    const picture = name === 'img' && /^(data:image\\/png;base64,|blob:)/.test(one.getAttribute('src') || '');
    if (!known.has(name) && !picture) tell();
    if (name === 'svg' && !one.classList.contains('qw-icon')) tell();
    for (const {name: at, value} of one.attributes) {
      if (/^on|^srcdoc$|^(form)?action$|^xlink|^is$/i.test(at) || /url\\(|javascript:/i.test(at === 'style' ? value : '')) tell();
      if (at === 'href' && !(name === 'a' && /^https?:\\/\\//i.test(value))) tell();
      if (at === 'src' && !picture) tell();
    }
  };
  const watch = root => new MutationObserver(found => {
    for (const {type, target, addedNodes} of found) for (const one of type === 'attributes' ? [target] : addedNodes)
      if (one instanceof Element) {
        look(one);
        if (type !== 'attributes') one.querySelectorAll('*').forEach(look);
      }
  }).observe(root, {subtree: true, childList: true, attributes: true});
  watch(document);
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (init) { const root = attach.call(this, init); watch(root); return root; };
})()"""
MARK = "marked by a test"
END = "all are through"
NAMES = ("chat", "playground", "review", "usage")
TOGETHER = 40  # attacks in one text: what draws never parses, so none can cover another


def make(name: str) -> Any:
    """A panel of this *name*, filled."""
    sim = Simulator("openrouter", api_key="sk-sim", script=lambda asked: Reply(MARK, reasoning=MARK)).start()
    folder = Path(tempfile.mkdtemp())
    qwen = Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-sim", cache_dir=folder, budget=2.0)
    panel: Any
    if name == "chat":
        panel, seen = ChatPanel(qwen), 3
        panel.act("send", text=MARK)
    elif name == "playground":
        panel, seen = Playground("Say {{ input }}", [MARK], client=qwen), 2
        panel.act("run", prompt="Say {{ input }}", typed=None, rows=1)
    elif name == "review":
        frame = pl.DataFrame({MARK: [MARK, "x"], "answer": [MARK, MARK]})
        panel, seen = Review(frame, answer="answer", source=MARK, labels=folder / "labels.jsonl", by=MARK), 2
        panel.act("press", letter="f")
    else:
        qwen.ask(MARK)
        panel, seen = Usage(qwen), 0
    panel.refresh()
    until(lambda: json.dumps(state(panel)).count(MARK) >= seen, f"{name} to show what it was filled with")
    return panel


def state(panel: Any) -> dict[str, Any]:
    """What is sent of it, but for what all widgets have."""
    own = [name for name in panel.traits(sync=True) if not name.startswith("_")]
    return {
        name: getattr(panel, name) for name in own if name not in ("layout", "comm", "tabbable", "tooltip")
    }


def hurt(panel: Any) -> None:
    """Send every attack in place of its texts; at the end what was there, and END."""
    was = state(panel)
    for replaces in (lambda text: MARK in text, lambda text: True):
        for start in range(0, len(ATTACKS), TOGETHER):
            attack = "\n".join(ATTACKS[start : start + TOGETHER])
            for name, value in was.items():
                setattr(panel, name, swap(value, attack, replaces))
            time.sleep(0.1)  # each is drawn, and not only the last
    for name, value in was.items():
        setattr(panel, name, value)
    panel.say(END)


def swap(value: Any, attack: str, replaces: Any) -> Any:
    """The same, with *attack* for each text that is to be replaced."""
    if isinstance(value, str):
        return attack if replaces(value) else value
    if isinstance(value, list | tuple):
        return [swap(one, attack, replaces) for one in value]
    if isinstance(value, dict):
        return {name: swap(one, attack, replaces) for name, one in value.items()}
    return value
