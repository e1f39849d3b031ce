"""Two hundred attacks in a live JupyterLab, which runs scripts out of Markdown: none runs, and nothing leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qwennb.simulator import Simulator

FILE = Path(__file__).parents[1] / "answer" / "attacks.json"
ATTACKS = json.loads(FILE.read_text(encoding="utf-8"))

# What no output of ours may hold once the front end has rendered it. The front end's own: anchors beside headings.
ACTIVE = """() => {
  const found = [];
  for (const area of document.querySelectorAll('.jp-OutputArea-output')) for (const node of area.querySelectorAll('*')) {
    const name = node.tagName.toLowerCase();
    if (node.closest('mjx-container')) continue;
    if (/^(script|img|image|iframe|object|embed|style|link|meta|base|form|input|button|textarea|select|video|audio|source|svg|math|template|portal|marquee|frame|frameset|applet|area|map)$/.test(name))
      found.push(node.outerHTML.slice(0, 200));
    for (const at of node.attributes) {
      if (/^on/i.test(at.name) || at.name === 'data-commandlinker-command' || at.name === 'srcdoc')
        found.push(node.outerHTML.slice(0, 200));
      const led = /^(href|src|action|formaction|xlink:href|background|poster)$/i.test(at.name);
      // In plain text and tracebacks the front end makes links of its own, which no output can prevent.
      if (led && area.matches('.jp-RenderedMarkdown') && !/^(https?:\\/\\/|#)/i.test(at.value))
        found.push(node.outerHTML.slice(0, 200));
    }
  }
  return found;
}"""
SET_UP = f"""
import json, pathlib, polars as pl
attacks = json.loads(pathlib.Path({str(FILE)!r}).read_text())
from qwennb.answer import Answer
from qwennb.errors import BadInput
from qwennb.request import Request, user_message
def answer(model="m", **parts):
    model = model.encode("utf-8", "replace").decode()
    return Answer(Request(model, (user_message("x"),)), **parts)
def told(name):
    try:
        return pl.DataFrame({{name: ["x"]}})
    except UnicodeEncodeError:  # half a pair of surrogates is no name of a column
        return pl.DataFrame()
frame = pl.concat([told(attack) for attack in dict.fromkeys(attacks)], how="horizontal")
def broken():
    raise ValueError("\\n".join(attacks))
%load_ext qwennb
"""
CELLS = [
    SET_UP,
    # streamed answers, with reasoning
    "for n in range(len(attacks)):\n    get_ipython().run_line_magic('qwen', f'{n}')",
    # footers
    "for attack in attacks:\n    display(answer(attack, text='said'))",
    # the names and values of a schema
    "display(answer(text='{}', data={attack: attack for attack in attacks}))",
    # errors
    "for attack in attacks:\n    display(answer(error=BadInput(attack)))",
    "%qwen about {{ broken() }}",
    "frame.qwen.ask('{{ nope }}')",
    # what was sent, and what it would cost
    "%qwen --into last About {{ frame }}",
    "print(frame.qwen.plan('{{ `' + frame.columns[0] + '` }}'))",
    "last",
    "%qwen_sent",
]


@pytest.fixture(scope="module")
def attacked(lab, tmp_path_factory) -> Iterator[tuple]:
    """The notebook of all attacks, run in a Chromium of its own, and the log of that Chromium's network."""
    log = tmp_path_factory.mktemp("log") / "net.json"
    told = iter(ATTACKS)
    with Simulator(
        "openrouter", api_key="sk-sim", script=lambda asked: next(told, "\n\n".join(ATTACKS))
    ) as sim:
        browser = lab.launch(f"--log-net-log={log}")
        opened = lab.open(
            CELLS,
            {"QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": "sk-sim"},
            browser=browser,
        )
        for number in range(len(CELLS)):  # one after the other, for some of them fail on purpose
            opened.run(number)
            opened.wait_done(100)
        yield opened, browser, log
        opened.close()
        browser.close()


def test_no_attack_comes_to_life_in_a_live_notebook(attacked):
    opened, _, _ = attacked
    assert opened.page.locator(".jp-OutputArea-output").count() > 3 * len(ATTACKS)
    for number in range(5, len(CELLS)):
        assert len(opened.shown(number)) > 60, (number, opened.shown(number))
    assert opened.page.evaluate(ACTIVE) == []
    assert opened.dialogs == [] and opened.strangers() == []


def test_nor_where_the_saved_file_is_exported(attacked, tmp_path):
    nbconvert = pytest.importorskip("nbconvert")
    import nbformat

    opened, browser, _ = attacked
    opened.save()
    read = nbformat.read(opened.path, as_version=4)
    empty = nbformat.v4.new_notebook()
    for sanitise in (False, True):
        exporter = nbconvert.HTMLExporter(sanitize_html=sanitise)
        asked = []
        for name, book in (("empty", empty), ("attacks", read)):
            file = tmp_path / f"{name}.html"
            file.write_text(exporter.from_notebook_node(book)[0], encoding="utf-8")
            context = browser.new_context()
            page, requests, dialogs = context.new_page(), [], []
            page.on("request", lambda request, into=requests: into.append(request.url))
            page.on("dialog", lambda dialog, into=dialogs: (into.append(dialog.message), dialog.dismiss()))
            page.goto(file.as_uri(), wait_until="load")
            assert dialogs == []
            asked.append({url for url in requests if urlsplit(url).scheme not in ("file", "data", "blob")})
            assert page.evaluate(ACTIVE) == []
            context.close()
        assert asked[1] <= asked[0], "nothing but what the template of every export asks for"


def test_nothing_left_by_chromiums_own_log(attacked):
    opened, browser, log = attacked
    opened.context.close()
    browser.close()  # the log is whole only then
    told = json.loads(log.read_text(encoding="utf-8"))
    kinds = {number: name for name, number in told["constants"]["logEventTypes"].items()}
    urls = {
        event["params"]["url"]
        for event in told["events"]
        if kinds[event["type"]] == "URL_REQUEST_START_JOB" and "url" in event.get("params", {})
    }
    assert any(url.startswith(opened.lab.url) for url in urls), "the log tells of what was asked"
    hosts = {urlsplit(url).hostname for url in urls if url.startswith(("http", "ws"))}
    named = {host for host in hosts if host and any(host in attack for attack in ATTACKS)}
    assert named == set(), urls
