"""Five hundred attacks in a live JupyterLab and in Notebook 7, in cells and in every widget: none comes to life, and
nothing leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from qwennb.simulator import Reply, Simulator, ToolCall
from tests.browser.corpus import ACTIVE, ATTACKS, EVERYTHING, replies

pytestmark = pytest.mark.timeout(
    600
)  # all that is waited for ends by itself; a loaded machine may take its time
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
    const icon = one.matches('svg.qw-icon') && !one.querySelector(':not(path)');  // the panels' own
    // A panel draws formulas and links of its own. MathJax says a formula again, for screen readers.
    const ours = icon || (one.closest('.qw') && name === 'math');
    const link = one.closest('.qw') && name === 'a' && /^https?:\\/\\//i.test(one.href) && /noreferrer/.test(one.rel);
    if (active.test(name) && !picture && !ours && !(name === 'math' && one.closest('mjx-assistive-mml'))) tell();
    const box = name === 'input' && one.type === 'checkbox' && one.disabled;  // of a list of tasks: nobody can press it
    if (control.test(name) && !box && one.closest('.jp-RenderedMarkdown')) tell();
    for (const at of one.attributes) {
      if (/^on/i.test(at.name) || at.name === 'data-commandlinker-command' || at.name === 'srcdoc') tell();
      if (led.test(at.name) && !picture && !link && !(/^(https?:\\/\\/|#)/i.test(at.value)
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
ROOT = Path(__file__).parents[2]
SET_UP = f"""{LOSE_NOTHING}
import sys, polars as pl
from qwennb.answer import Answer
sys.path.insert(0, {str(ROOT)!r})
from tests.browser.corpus import ATTACKS, answers_with, outputs
frame = pl.DataFrame({{attack: ["x"] for attack in dict.fromkeys(ATTACKS)}})
def broken():
    raise ValueError("\\n".join(ATTACKS))
%load_ext qwennb
"""
CELLS = [
    SET_UP,
    # streamed answers
    "for n in range({streamed}):\n    get_ipython().run_line_magic('qwen', f'{n}')",
    # answers, thoughts, footers, the names and values of a schema, errors
    "for output in outputs(alone={alone}):\n    display(output, raw=True)",
    "display(Answer(answers_with('x')[0].request, text='{}', data={attack: attack for attack in ATTACKS}))",
    "%qwen about {{ broken() }}",
    "frame.qwen.ask('{{ nope }}')",
    # what was sent, and what it would cost
    "%qwen --into last About {{ frame }}",
    "print(frame.qwen.plan('{{ `' + frame.columns[0] + '` }}'))",
    "last",
    "%qwen_sent",
]


@pytest.fixture(scope="module", params=["together", pytest.param("alone", marks=pytest.mark.nightly)])
def attacked(request, lab, tmp_path_factory) -> Iterator[tuple]:
    """The notebook of all attacks, run in a Chromium of its own, and the log of that Chromium's network."""
    log = tmp_path_factory.mktemp("log") / "net.json"
    alone = request.param == "alone"
    said = [Reply(text, reasoning=text) for text in replies(alone=alone)]
    told = iter(said)
    with Simulator("openrouter", api_key="sk-sim", script=lambda asked: next(told, EVERYTHING)) as sim:
        browser = lab.launch(f"--log-net-log={log}")
        cells = [cell.replace("{streamed}", str(len(said))).replace("{alone}", str(alone)) for cell in CELLS]
        opened = lab.open(
            cells,
            {"QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": "sk-sim"},
            browser=browser,
        )
        for number in range(len(CELLS)):  # one after the other, for some of them fail on purpose
            opened.run(number)
            opened.wait_done(550 if alone else 200)
        yield opened, browser, log, sim
        opened.close()
        browser.close()


def test_no_attack_comes_to_life_in_a_live_notebook(attacked):
    opened, *_ = attacked
    assert opened.page.locator(".jp-OutputArea-output").count() > len(ATTACKS) / 2
    for number in range(4, len(CELLS)):
        assert len(opened.shown(number)) > 60, (number, opened.shown(number))
    assert opened.page.evaluate(ACTIVE) == []
    assert opened.dialogs == [] and opened.strangers() == []


def test_nor_where_notebook_7_shows_what_was_saved(attacked):
    opened, *_ = attacked
    opened.save()
    page = opened.page.context.new_page()
    page.goto(opened.lab.address(opened.path, classic=True))
    page.wait_for_function(
        "count => document.querySelectorAll('.jp-OutputArea-output').length >= count",
        arg=opened.page.locator(".jp-OutputArea-output").count(),
    )
    page.locator(".jp-OutputArea-output").last.locator(":scope > *").first.wait_for()
    assert page.evaluate(ACTIVE) == []
    assert opened.dialogs == [] and opened.strangers() == []
    page.close()


SEEN = [
    f"{LOSE_NOTHING}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom tests.browser import attacked",
    "panel = attacked.chat()",
    "play = attacked.playground('{echo}')",
    "made = attacked.review()",
    "usage = attacked.usage()",
    "attacked.progressing()",
]
FIELDS = {  # every field of every widget that a text can be typed into
    1: ["Your message", "Name of a variable", "Model", "Save as"],
    2: ["prompt", "inputs"],
    3: [],
    4: [],
    5: [],
}
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
    assert opened.page.evaluate("drawn") > 100 * 352
    is_dead(opened)


def test_nor_where_it_is_typed_answered_or_called_with(widgets):
    opened, sim = widgets
    page, chat = opened.page, opened.output(1)
    for name in ("More", "Attach something"):
        chat.get_by_role("button", name=name).click()
    for label in FIELDS[1]:
        expect(chat.get_by_label(label, exact=True)).to_be_visible()
    for number, known in FIELDS.items():
        fields = opened.output(number).locator("input:not([type]), input[type=text], textarea")
        named = fields.evaluate_all(
            "all => all.map(one => one.ariaLabel || [...one.labels].map(label => label.firstChild.textContent).join())"
        )
        rows = [name for name in named if name[:1] == "A" or name.startswith("input ")]
        assert set(named) - set(rows) == set(known) - set(rows), f"a field of cell {number} was not attacked"
        for label in known:
            field = opened.output(number).get_by_label(label, exact=True)
            if field.is_visible():
                field.fill(EVERYTHING.replace("\0", ""))
                field.blur()
    for name in ("Attach this variable", "Save the conversation"):
        chat.get_by_role("button", name=name).click()
    chat.get_by_label("Model", exact=True).fill("")
    chat.get_by_label("Model", exact=True).blur()
    told = iter(
        [
            Reply(EVERYTHING, reasoning=EVERYTHING),
            Reply(None, tool_calls=[ToolCall("weather", {"city": EVERYTHING})]),
        ]
    )
    sim.script(lambda asked: next(told, Reply(EVERYTHING)))
    for number in (1, 2):
        chat.get_by_label("Your message", exact=True).fill(EVERYTHING.strip("\n"))
        chat.get_by_role("button", name="Send", exact=True).click()
        if number == 2:
            chat.get_by_role("button", name="Allow this call").click(timeout=60_000)
        expect(chat).to_contain_text(f"{number} answer", timeout=60_000)
        expect(chat.get_by_role("button", name="Send", exact=True)).to_be_visible(timeout=60_000)
    opened.output(2).get_by_role("button", name="Run", exact=True).click()
    opened.output(2).get_by_role("button", name="Copy A1 as a %%qwen cell").first.click()
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
    assert is_ours(opened.page.evaluate(ACTIVE))
    is_dead(opened)
    read = nbformat.read(opened.path, as_version=4)
    page = opened.page.context.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.set_content(nbconvert.HTMLExporter().from_notebook_node(read)[0])
    assert is_ours(page.evaluate(ACTIVE)) and dialogs == []
    page.close()


def is_ours(found: list[str]) -> bool:
    """Tell whether of what could act there are only the pictures that Review leaves, which carry themselves."""
    return all(
        one.startswith(('<img src="data:image/png;', '<img alt="Confusion matrix of ')) for one in found
    )


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
