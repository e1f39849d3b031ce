"""Every attack, wherever a notebook can show it, exported as nbconvert does by default: none comes to life in Chromium.

The pages ask for MathJax, Mermaid and reveal.js over the network. MathJax is given to them out of npm's own archive, so
that what is left of a formula is typeset as a reader would see it; nothing else is reached.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qwennb.answer import Answer, markup
from qwennb.errors import BadInput
from qwennb.notebook.drift import CellQuestions, drift, page_of
from qwennb.request import Request, Text, user_message
from tests.answer.test_markup import commonmark
from tests.browser.lab import FORMULA_FILES
from tests.browser.test_attacks import ACTIVE, ATTACKS

pytestmark = pytest.mark.timeout(600)
MATHJAX = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/2.7.7/"
LAST = r"After all of them \(\sum_{i} \frac{1}{2}\) is a sum."
# What MathJax has made that leads somewhere, is named, or is styled by what a formula said.
MADE = """() => [...document.querySelectorAll('.MathJax_CHTML, .MathJax, .mjx-chtml')].flatMap(
  one => [...one.querySelectorAll('a, [href], [onclick], form, img')].map(found => found.outerHTML.slice(0, 200)))"""


def want(name: str) -> None:
    """Skip where a reader of formulas is missing, which CI does not forgive."""
    if not FORMULA_FILES[name].exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not here: poe setup fetches it")


def told(attack: str) -> list[Answer]:
    """The attack as an answer, a thought, an error, a footer, and the name and value of a column."""
    text = attack.encode("utf-8", "replace").decode()
    request = Request("m", (user_message("x"),))
    return [
        Answer(request, text=text),
        Answer(request, text="said", reasoning=text),
        Answer(request, error=BadInput(text)),
        Answer(Request(text, (user_message("x"),)), text="said"),
        Answer(request, text="{}", data={text: text}),
        Answer(request, text="{}", data=[{text: 1}, {text: text}]),
    ]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    """A saved notebook of all attacks."""
    import nbformat.v4 as v4

    pages = [page._repr_mimebundle_() for attack in ATTACKS for page in told(attack)]
    everything = "\n\n".join(ATTACKS).encode("utf-8", "replace").decode()
    pages += [page._repr_mimebundle_() for page in told(everything)]
    pages.append(Answer(Request("m", (user_message("x"),)), text=LAST)._repr_mimebundle_())
    outputs = [v4.new_output("display_data", bundle) for bundle in pages]
    cells = [
        v4.new_code_cell("…", outputs=outputs[start : start + 60]) for start in range(0, len(outputs), 60)
    ]
    made = v4.new_notebook(cells=cells)
    path = tmp_path_factory.mktemp("export") / "attacks.ipynb"
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["html", "slides"])
def exported(request, notebook) -> Path:
    """The page that `jupyter nbconvert --to …` makes of it, with its defaults."""
    made = notebook.with_name(f"{request.param}.html")
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", request.param, "--output", made.stem, notebook.name],
        cwd=notebook.parent, check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return made if made.exists() else notebook.with_name(f"{made.stem}.slides.html")


@pytest.fixture(scope="module")
def look(lab) -> Iterator:
    """`look(file, mathjax=…)`: the file in a page of its own; what it asked for, and what it said in dialogs."""
    browser = lab.launch()

    def seen(file: Path, *, mathjax: bool = False):
        context = browser.new_context()
        page, asked, dialogs = context.new_page(), [], []
        archive = tarfile.open(FORMULA_FILES["mathjax"]) if mathjax else None  # noqa: SIM115 (lives as long as the page)

        def answer(route) -> None:
            url = route.request.url
            if urlsplit(url).scheme in ("file", "data", "blob"):
                return route.continue_()
            asked.append(url)
            if archive is None or not url.startswith(MATHJAX):
                return route.abort()
            name = urlsplit(url).path.removeprefix(urlsplit(MATHJAX).path)
            try:
                return route.fulfill(body=archive.extractfile(f"package/{name}").read())
            except KeyError:
                return route.abort()

        context.route("**/*", answer)
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(file.as_uri(), wait_until="load", timeout=300_000)
        return page, asked, dialogs

    yield seen
    browser.close()


@pytest.mark.parametrize("to", ["html", "slides"])
def test_code_stands_in_a_font_for_code(look, tmp_path, to):
    import nbformat.v4 as v4

    said = "So `x = 1`:\n\n```python\nprint(1)\n```\n\n```\nplain\n```"
    output = v4.new_output(
        "display_data", Answer(Request("m", (user_message("x"),)), text=said)._repr_mimebundle_()
    )
    (tmp_path / "code.ipynb").write_text(
        json.dumps(v4.new_notebook(cells=[v4.new_code_cell("…", outputs=[output])]))
    )
    command = [sys.executable, "-m", "nbconvert", "--to", to, "--output", "code", "code.ipynb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    [made] = tmp_path.glob("code*.html")
    page, _, _ = look(made)
    fonts = page.evaluate(
        """() => [...document.querySelectorAll('.jp-RenderedMarkdown code, .jp-RenderedMarkdown .highlight pre')]
            .map(node => [node.textContent.trim(), getComputedStyle(node).fontFamily])"""
    )
    assert [text for text, font in fonts if "monospace" in font] == ["x = 1", "print(1)", "plain"], fonts


def test_no_attack_comes_to_life_in_an_export(exported, look, tmp_path):
    page, asked, dialogs = look(exported)
    assert page.locator(".jp-OutputArea-output").count() > 6 * len(ATTACKS)
    assert page.evaluate(ACTIVE) == [] and dialogs == []
    assert page.locator(".jp-Mermaid, .mermaid").count() == 0
    assert {urlsplit(url).netloc for url in asked} <= {"cdnjs.cloudflare.com", "unpkg.com"}, (
        "its template's own"
    )
    page.context.close()


def test_nor_where_its_formulas_are_typeset(exported, look):
    want("mathjax")
    page, _, dialogs = look(exported, mathjax=True)
    page.evaluate("() => new Promise(done => MathJax.Hub.Queue(done))")
    assert page.locator(".MathJax_CHTML, .MathJax").count() > 10, "formulas are typeset"
    assert page.evaluate(MADE) == [] and dialogs == []
    assert "∑" in page.locator(".jp-OutputArea-output").last.text_content()
    assert page.evaluate("Object.keys(MathJax.InputJax.TeX.Definitions.macros.sum || {}).length") == 0
    page.context.close()


def test_nor_where_katex_typesets_them_and_trusts_them(lab):
    want("katex")
    with tarfile.open(FORMULA_FILES["katex"]) as archive:
        scripts = [
            archive.extractfile(f"package/dist/{name}.min.js").read().decode()
            for name in ("katex", "contrib/auto-render")
        ]
    browser = lab.launch()
    page = browser.new_page()
    shown = [made for attack in ATTACKS for made in (markup.inert(attack), markup.literal(attack))]
    body = "\n".join(f"<div>{commonmark(made)}</div>" for made in shown)
    page.set_content(f"<!doctype html>{body}<div id=last>{commonmark(markup.inert(LAST))}</div>")
    for script in scripts:
        page.evaluate(script)
    made = page.evaluate(
        """() => {
          const macros = {}, pairs = [['$$', '$$', true], ['$', '$', false], ['\\\\(', '\\\\)', false], ['\\\\[', '\\\\]', true],
            ...['equation', 'align', 'gather', 'CD', 'alignat'].map(name => [`\\\\begin{${name}}`, `\\\\end{${name}}`, true])];
          renderMathInElement(document.body, {delimiters: pairs.map(([left, right, display]) => ({left, right, display})),
            macros, globalGroup: true, trust: true, strict: false, throwOnError: false});
          const led = [...document.querySelectorAll('.katex')].flatMap(
            one => [...one.querySelectorAll('a, img, [href], [id], [onclick]')].map(found => found.outerHTML.slice(0, 200)));
          return [Object.keys(macros), led, document.querySelectorAll('.katex').length, document.querySelector('#last').textContent];
        }"""
    )
    assert made[:2] == [[], []] and made[2] > 5 and "∑" in made[3]
    browser.close()


def test_no_attack_comes_to_life_in_a_drift_page(look, tmp_path):
    def asked(model: str, texts: list[str]) -> list[CellQuestions]:
        answers = [
            Answer(Request(model, (user_message(Text(f"{n} {text}")),)), text=text, endpoint=text)
            for n, text in enumerate(texts)
        ]
        return [CellQuestions(1, "\n".join(texts), tuple(answers), outputs="\n".join(texts))]

    texts = [attack.encode("utf-8", "replace").decode() for attack in ATTACKS]
    other = [
        CellQuestions(
            1, "", tuple(asked("n", texts[::-1])[0].answers), outputs=texts[0], trouble="\n".join(texts)
        )
    ]
    report = drift(texts[0], asked("m", texts), other, day=f"{datetime.now(UTC):%Y-%m-%d}", options=texts[2])
    file = tmp_path / "drift.html"
    file.write_text(page_of(report), encoding="utf-8")
    page, requests, dialogs = look(file)
    active = "a, img, script, svg, iframe, object, embed, form, input, button, link, base, video, audio, math"
    assert page.locator(active).count() == 0 and dialogs == [] and requests == []
    assert len(page.locator("main").text_content()) > sum(map(len, texts))
    page.context.close()
