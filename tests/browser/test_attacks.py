"""Two hundred attacks in a live JupyterLab, in cells and in every widget: none comes to life, and nothing leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from qwennb.simulator import Reply, Simulator, ToolCall

pytestmark = pytest.mark.timeout(
    600
)  # all that is waited for ends by itself; a loaded machine may take its time
FILE = Path(__file__).parents[1] / "answer" / "attacks.json"
ATTACKS = json.loads(FILE.read_text(encoding="utf-8"))

# What no output of ours may hold once the front end has rendered it. The front end's own: anchors beside headings.
ACTIVE = """() => {
  const found = [];
  for (const area of document.querySelectorAll('.jp-OutputArea-output')) for (const node of area.querySelectorAll('*')) {
    const name = node.tagName.toLowerCase();
    if (node.closest('mjx-container, .MathJax_CHTML, .MathJax_Preview, script[type^="math/"]')) {
      if (name === 'a' || node.hasAttribute('href')) found.push(node.outerHTML.slice(0, 200));  // no formula leads anywhere
      continue;
    }
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
# The same for all that is ever drawn, for as long as it is there: widgets have fields and buttons of their own, and no more.
WATCH = """() => {
  window.alive = [];
  window.drawn = 0;
  const active = /^(script|img|image|iframe|object|embed|style|link|meta|base|form|video|audio|source|svg|math|template|portal|marquee|frame|frameset|applet|area|map)$/;
  const control = /^(input|button|textarea|select|option|datalist|label)$/;
  const led = /^(href|src|action|formaction|xlink:href|background|poster)$/i;
  const look = one => {
    drawn += 1;
    const name = one.tagName.toLowerCase(), tell = () => alive.push(one.outerHTML.slice(0, 200));
    const picture = name === 'img' && (one.getAttribute('src') || '').startsWith('data:image/png;base64,');
    // MathJax says a formula again, for screen readers.
    if (active.test(name) && !picture && !(name === 'math' && one.closest('mjx-assistive-mml'))) tell();
    if (control.test(name) && one.closest('.jp-RenderedMarkdown')) tell();
    for (const at of one.attributes) {
      if (/^on/i.test(at.name) || at.name === 'data-commandlinker-command' || at.name === 'srcdoc') tell();
      if (led.test(at.name) && !picture && !(/^(https?:\\/\\/|#)/i.test(at.value)
          && one.closest('.jp-RenderedMarkdown'))) tell();
    if (one.closest('mjx-container') && (name === 'a' || one.hasAttribute('href'))) tell();  // no formula leads anywhere
    }
  };
  new MutationObserver(found => {
    for (const {type, target, addedNodes} of found) for (const one of type === 'attributes' ? [target] : addedNodes) {
      if (!(one instanceof Element) || !one.closest('.jp-OutputArea-output')) continue;
      look(one);
      if (type !== 'attributes') one.querySelectorAll('*').forEach(look);
    }
  }).observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ['href', 'src', 'srcdoc', 'action', 'onerror', 'onload', 'onclick'],
  });
}"""
# A kernel drops what is not fetched fast enough: of 20,000 outputs in one go 8,025 arrived. Here none may be lost.
LOSE_NOTHING = """
import zmq
_thread = get_ipython().kernel.iopub_thread
_thread.schedule(lambda: _thread.socket.setsockopt(zmq.SNDHWM, 0))
"""
SET_UP = f"""{LOSE_NOTHING}
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
        yield opened, browser, log, sim
        opened.close()
        browser.close()


def test_no_attack_comes_to_life_in_a_live_notebook(attacked):
    opened, *_ = attacked
    assert opened.page.locator(".jp-OutputArea-output").count() > 3 * len(ATTACKS)
    for number in range(5, len(CELLS)):
        assert len(opened.shown(number)) > 60, (number, opened.shown(number))
    assert opened.page.evaluate(ACTIVE) == []
    assert opened.dialogs == [] and opened.strangers() == []


def test_nor_where_the_saved_file_is_exported(attacked, tmp_path):
    nbconvert = pytest.importorskip("nbconvert")
    import nbformat

    opened, browser, *_ = attacked
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


SEEN = [
    f"{LOSE_NOTHING}\nimport sys\nsys.path.insert(0, {str(FILE.parents[2])!r})\nfrom tests.browser import attacked",
    "panel = attacked.chat()",
    "play = attacked.playground('{echo}')",
    "made = attacked.review()",
    "usage = attacked.usage()",
    "attacked.progressing()",
]
FIELDS = {  # every field of every widget that a text can be typed into
    1: ["The model wants to call", "Your message", "Variable", "Model", "Save as"],
    2: ["prompt", "inputs", "system", "choices", "schema", "stop", "input 1", "A1", "copy"],
    3: [],
    4: [],
    5: [],
}
EVERYTHING = "\n\n".join(ATTACKS).encode("utf-8", "replace").decode()  # the wire holds no half characters
OVER = "all are through"  # said last, so all that came before is drawn


@pytest.fixture(scope="module")
def widgets(attacked) -> Iterator[tuple]:
    """Every widget, with all attacks gone through it from the kernel, in the page of the cells and under the same log."""
    opened, _, _, sim = attacked
    with Simulator("vllm", script=lambda asked: Reply(str(asked.body["messages"][-1]["content"]))) as echo:
        opened.begin([cell.replace("{echo}", f"vllm+{echo.base_url}") for cell in SEEN])
        opened.page.evaluate(WATCH)
        for number in range(len(SEEN)):
            opened.run(number)
            opened.wait_done(300)
            if number:
                expect(opened.output(number)).to_contain_text(OVER, timeout=120_000)
        yield opened, sim


def is_dead(opened) -> None:
    assert opened.page.evaluate("alive") == []
    assert opened.dialogs == [] and opened.strangers() == []


def test_no_attack_comes_to_life_in_any_widget(widgets):
    opened, _ = widgets
    assert opened.page.evaluate("drawn") > 100 * len(ATTACKS)
    is_dead(opened)


def test_nor_where_it_is_typed_answered_or_called_with(widgets):
    opened, sim = widgets
    page = opened.page
    for number, known in FIELDS.items():
        fields = opened.output(number).locator("input[type=text], textarea")
        named = fields.evaluate_all(
            "all => all.map(one => [...one.labels].map(label => label.textContent).join())"
        )
        rows = [name for name in named if name[:1] == "A" or name.startswith("input ")]
        assert set(named) - set(rows) == set(known) - set(rows), f"a field of cell {number} was not attacked"
        for label in known:
            field = opened.output(number).get_by_label(label, exact=True)
            if field.is_visible():
                field.fill(EVERYTHING.replace("\0", ""))
                field.blur()
    chat = opened.output(1)
    for name in ("Attach", "Save"):
        chat.get_by_role("button", name=name, exact=False).first.click()
    chat.get_by_label("Model", exact=True).fill("")
    told = iter(
        [
            Reply(EVERYTHING, reasoning=EVERYTHING),
            Reply(None, tool_calls=[ToolCall("weather", {"city": EVERYTHING})]),
        ]
    )
    sim.script(lambda asked: next(told, Reply(EVERYTHING)))
    for number in (1, 2):
        chat.get_by_label("Your message", exact=True).fill(EVERYTHING.strip("\n"))
        chat.get_by_role("button", name="Send").click()
        if number == 2:
            chat.get_by_role("button", name="Allow").click(timeout=60_000)
        expect(chat).to_contain_text(f"{number} answer", timeout=60_000)
        expect(chat.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)
    for name in ("Run", "Copy as column call"):
        opened.output(2).get_by_role("button", name=name, exact=True).click()
    typed = opened.output(3)
    typed.get_by_role("button", name="More").first.click()
    typed.get_by_label("file", exact=True).first.fill(EVERYTHING.replace("\0", "").replace("\n", " "))
    typed.get_by_role("button", name="Export").first.click()
    typed.get_by_role("button", name="Fix").first.click()
    typed.get_by_label("Correction", exact=True).first.fill(EVERYTHING.replace("\0", ""))
    typed.get_by_role("button", name="Save").first.click()
    assert page.evaluate("alive.length") == 0
    is_dead(opened)


def test_nor_in_what_is_left_of_the_widgets(widgets, attacked):
    import nbconvert
    import nbformat

    opened, _ = widgets
    opened.save()
    opened.reopen_without_kernel(trusted=False)
    assert opened.page.evaluate(ACTIVE) == []
    is_dead(opened)
    read = nbformat.read(opened.path, as_version=4)
    page = opened.page.context.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_content(nbconvert.HTMLExporter().from_notebook_node(read)[0])
    found = page.evaluate(ACTIVE)
    assert [one for one in found if "data:image/png" not in one] == [] and dialogs == []
    page.close()


def test_nothing_left_by_chromiums_own_log(attacked):
    opened, browser, log, _ = attacked
    opened.page.context.close()
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
