"""Syntax colour of what asks, in JupyterLab and Notebook 7: the prompt is text, `{{ }}` an expression."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.lab import LABEXTENSION

ROOT = LABEXTENSION.parents[2]
ASKS = (
    """%%qwen -m plus --into 'my summary' Don't compare
for {{ df.head(3)["it's"] }} in class; {{{ n }}} and {{ 2 }} is """
    "{{ {'a': {1: 2}}['a'] }}"
)
PYTHON = "for x in range(3):\n    print('a')"
LINE = "x = 1\n%qwen --raw Don't {{ x }}\nprint(x)"
# The marks of a cell: kind and text, neighbours of one kind together.
MARKS = """cell => [...cell.querySelectorAll('.cm-line')].map(line => {
  const found = [];
  for (const one of line.querySelectorAll('[class*=qwennb-]')) {
    const kind = [...one.classList].find(name => name.startsWith('qwennb-')).slice(7), last = found[found.length - 1];
    if (last && last[0] === kind) last[1] += one.textContent; else found.push([kind, one.textContent]);
  }
  return found;
})"""
SEEN = """cell => Object.fromEntries([...cell.querySelectorAll('[class*=qwennb-]')].map(
  one => [one.className.match(/qwennb-\\w+/)[0].slice(7), getComputedStyle(one).color]))"""


@pytest.fixture(scope="module")
def opened(notebooks):
    return notebooks(
        [ASKS, PYTHON, LINE, {"cell_type": "markdown", "id": "m", "metadata": {}, "source": ASKS}]
    )


@pytest.fixture(scope="module", params=["lab", "notebook 7"])
def page(request, opened):
    """A page with these cells in it."""
    if request.param == "lab":
        yield opened.page
        return
    page = opened.page.context.new_page()
    page.goto(opened.lab.address(opened.path, classic=True))
    yield page
    page.close()


def cell(page, number):
    return page.locator(".jp-Notebook .jp-Cell").nth(number)


def test_the_prompt_is_text_and_what_stands_in_braces_an_expression(page):
    expect(cell(page, 0).locator(".qwennb-magic")).to_have_text("%%qwen", timeout=60_000)
    head, body = cell(page, 0).evaluate(MARKS)
    assert head == [
        ["magic", "%%qwen"], ["prompt", " "], ["option", "-m"], ["prompt", " plus "], ["option", "--into"], ["prompt", " "],
        ["string", "'my summary'"], ["prompt", " Don't compare"],
    ]  # fmt: skip
    assert body == [
        ["prompt", "for "], ["brace", "{{"], ["expression", " df.head("], ["number", "3"], ["expression", ")["],
        ["string", '"it\'s"'], ["expression", "] "], ["brace", "}}"], ["prompt", " in class; {"], ["brace", "{{"],
        ["expression", " n "], ["brace", "}}"], ["prompt", "} and {{ 2 }} is "], ["brace", "{{"], ["expression", " {"],
        ["string", "'a'"], ["expression", ": {"], ["number", "1"], ["expression", ": "], ["number", "2"],
        ["expression", "}}["], ["string", "'a'"], ["expression", "] "], ["brace", "}}"],
    ]  # fmt: skip
    assert cell(page, 1).locator("[class*=qwennb-]").count() == 0, "Python stays Python"
    assert cell(page, 3).locator("[class*=qwennb-]").count() == 0, "Markdown stays Markdown"
    assert cell(page, 2).evaluate(MARKS) == [
        [], [["magic", "%qwen"], ["prompt", " "], ["option", "--raw"], ["prompt", " Don't {{ x }}"]], [],
    ]  # fmt: skip


def test_its_colours_are_not_those_of_python_and_follow_the_theme(page):
    page.wait_for_selector(".qwennb-magic", timeout=60_000)
    keyword = cell(page, 1).locator(".cm-line span", has_text="for").first
    python = keyword.evaluate("one => getComputedStyle(one).color")
    light = cell(page, 0).evaluate(SEEN)
    assert len({light[kind] for kind in ("magic", "option", "prompt", "brace", "string", "number")}) == 6, (
        light
    )
    text = cell(page, 0).locator(".qwennb-prompt", has_text="for")
    assert text.evaluate("one => getComputedStyle(one).color") != python
    assert text.evaluate("one => getComputedStyle(one).fontWeight") == "400"
    try:
        set_theme(page, "JupyterLab Dark")
        page.wait_for_function(
            "was => getComputedStyle(document.querySelector('.qwennb-prompt')).color !== was",
            arg=light["prompt"],
        )
        dark = cell(page, 0).evaluate(SEEN)
    finally:
        set_theme(page, "JupyterLab Light")
    assert all(dark[kind] != light[kind] for kind in light), dark


def set_theme(page, name):
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", name)


def test_marks_come_and_go_with_the_first_line_and_typing_goes_on(page):
    first = cell(page, 0).locator(".cm-content")
    expect(cell(page, 0).locator(".qwennb-brace").first).to_be_visible(timeout=60_000)
    braces = cell(page, 0).locator(".qwennb-brace").count()
    first.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("#")
    expect(cell(page, 0).locator("[class*=qwennb-]")).to_have_count(0)
    page.keyboard.press("Backspace")
    expect(cell(page, 0).locator(".qwennb-brace")).to_have_count(braces)
    page.keyboard.press("Control+End")
    page.keyboard.type(" it's {{ more")
    expect(cell(page, 0).locator(".cm-line").last).to_contain_text("it's {{ more")


def test_a_long_cell_is_marked_where_it_is_seen_and_stays_quick(opened):
    opened.begin(["%%qwen\n" + "Tell me about {{ x }} and that's all.\n" * 20_000])
    page = opened.page
    page.wait_for_selector(".qwennb-brace")
    assert page.locator(".qwennb-brace").count() < 2_000
    spent = page.evaluate(
        """() => {
          const {editor} = jupyterapp.shell.currentWidget.content.widgets[0], begun = performance.now();
          for (let n = 0; n < 20; n++) editor.editor.dispatch({changes: {from: 30, insert: 'x'}});
          return (performance.now() - begun) / 20;
        }"""
    )
    assert spent < 50, f"{spent} ms for one key"


def test_what_fails_is_said_once_and_the_cell_can_be_written(opened):
    """The extension in a page that shares no CodeMirror: it gives a plugin that does nothing."""
    page = opened.page.context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.add_script_tag(path=LABEXTENSION / "static" / "remoteEntry.js")
    told = page.evaluate(
        """async () => {
          await _JUPYTERLAB.qwennb.init({});
          const plugins = [];
          for (let n = 0; n < 2; n++) plugins.push((await _JUPYTERLAB.qwennb.get('./extension'))().default);
          plugins.forEach(plugin => plugin.activate());
          return plugins.map(plugin => plugin.id);
        }"""
    )
    assert told == ["qwennb:colour"] * 2 and len(said) == 1 and "without colours" in said[0]
    page.close()


def test_what_is_served_is_named_by_its_hash():
    load = json.loads((LABEXTENSION / "package.json").read_text())["jupyterlab"]["_build"]["load"]
    file, _, version = load.partition("?v=")
    assert hashlib.sha256((LABEXTENSION / file).read_bytes()).hexdigest()[:20] == version, (
        "poe colour writes it"
    )


def test_a_wheel_and_an_editable_install_bring_it(tmp_path):
    build = (
        "import sys, hatchling.build as make; make.build_wheel(sys.argv[1]); make.build_editable(sys.argv[2])"
    )
    kinds = [tmp_path / "wheel", tmp_path / "editable"]
    with_tools = [
        sys.executable,
        "-m",
        "uv",
        "run",
        "-q",
        "--no-project",
        "--with",
        "hatchling",
        "--with",
        "editables",
    ]
    subprocess.run(
        [*with_tools, "python", "-c", build, *kinds], cwd=ROOT, check=True, capture_output=True, timeout=200
    )
    for kind in kinds:
        [wheel] = kind.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(kind)
        [share] = kind.glob("*.data/data/share/jupyter")
        assert sorted(file.relative_to(share).as_posix() for file in share.rglob("*") if file.is_file()) == [
            f"labextensions/qwennb/{name}"
            for name in ("install.json", "package.json", "static/remoteEntry.js")
        ]
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env={"PATH": "", "HOME": str(tmp_path), "JUPYTER_PATH": str(share)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    [line] = [line for line in (listed.stdout + listed.stderr).splitlines() if "qwennb v" in line]
    assert "enabled" in line and "OK" in line, line
