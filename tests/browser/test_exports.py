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
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qwennb.answer import Answer, markup
from qwennb.notebook.drift import CellQuestions, drift, page_of
from qwennb.request import Request, Text, user_message
from tests.answer.test_markup import commonmark
from tests.browser.corpus import ACTIVE, ATTACKS, outputs
from tests.browser.lab import FORMULA_FILES

pytestmark = pytest.mark.timeout(600)
CDN = "https://cdnjs.cloudflare.com/ajax/libs/"
SERVED = {
    f"{CDN}mathjax/2.7.7/": ("mathjax", "package/"),
    f"{CDN}mermaid/11.10.0/": ("mermaid", "package/dist/"),
}
LAST = r"After all of them \(\sum_{i} \frac{1}{2}\) is a sum."
# What MathJax has made that leads somewhere, is named, or is styled by what a formula said.
MADE = """() => [...document.querySelectorAll('.MathJax_CHTML, .MathJax, .mjx-chtml')].flatMap(
  one => [...one.querySelectorAll('a, [href], [onclick], form, img')].map(found => found.outerHTML.slice(0, 200)))"""
# Mermaid at work on all that it looks for, and on a diagram beside our outputs; what it has drawn.
DRAW = """async url => {
  const mermaid = (await import(url)).default;
  document.body.insertAdjacentHTML('beforeend', '<pre class="mermaid" id="own">graph TD; a-->b</pre>');
  const found = [...document.querySelectorAll('.mermaid, code.language-mermaid, .lang-mermaid')];
  await mermaid.run({nodes: found, suppressErrors: true});
  return [found.length, [...document.querySelectorAll('[data-processed]')].map(one => one.id)];
}"""


def want(name: str) -> None:
    """Skip where a reader of formulas is missing, which CI does not forgive."""
    if not FORMULA_FILES[name].exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not here: poe setup fetches it")


@cache
def archive(name: str) -> tarfile.TarFile:
    return tarfile.open(FORMULA_FILES[name])


@cache
def in_package(name: str, file: str) -> bytes | None:
    """A file of a package of npm, if it is there."""
    try:
        opened = archive(name).extractfile(file)
    except KeyError:
        return None
    return opened.read() if opened else None


@pytest.fixture(scope="module", params=["together", pytest.param("alone", marks=pytest.mark.nightly)])
def notebook(request, tmp_path_factory) -> Path:
    """A saved notebook of all attacks."""
    import nbformat.v4 as v4

    pages = outputs(alone=request.param == "alone")
    pages.append(Answer(Request("m", (user_message("x"),)), text=LAST)._repr_mimebundle_())
    shown = [v4.new_output("display_data", bundle) for bundle in pages]
    cells = [v4.new_code_cell("…", outputs=shown[start : start + 60]) for start in range(0, len(shown), 60)]
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
    """`look(file, served=…)`: the file in a page of its own; what it asked for, and what it said in dialogs."""
    browser = lab.launch()

    def seen(file: Path, *, served: bool = False):
        context = browser.new_context()
        page, asked, dialogs = context.new_page(), [], []

        def answer(route) -> None:
            url = route.request.url
            if urlsplit(url).scheme in ("file", "data", "blob"):
                return route.continue_()
            asked.append(url)
            for base, (name, folder) in SERVED.items() if served else ():
                if url.startswith(base) and (
                    body := in_package(name, folder + url.removeprefix(base).partition("?")[0])
                ):
                    kind = "text/javascript" if url.endswith("js") else None
                    return route.fulfill(
                        body=body, content_type=kind, headers={"Access-Control-Allow-Origin": "*"}
                    )
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
    assert page.locator(".jp-OutputArea-output").count() > len(ATTACKS) / 2
    assert page.evaluate(ACTIVE) == [] and dialogs == []
    assert page.locator(".jp-Mermaid, .mermaid").count() == 0
    assert {urlsplit(url).netloc for url in asked} <= {"cdnjs.cloudflare.com", "unpkg.com"}, (
        "its template's own"
    )
    page.context.close()


def test_nor_where_its_formulas_are_typeset_and_its_diagrams_drawn(exported, look):
    want("mathjax")
    want("mermaid")
    page, asked, dialogs = look(exported, served=True)
    page.evaluate("() => new Promise(done => MathJax.Hub.Queue(done))")
    assert page.locator(".MathJax_CHTML, .MathJax").count() > 10, "formulas are typeset"
    assert page.evaluate(MADE) == []
    assert "∑" in page.locator(".jp-OutputArea-output").last.text_content()
    assert page.evaluate("Object.keys(MathJax.InputJax.TeX.Definitions.macros.sum || {}).length") == 0
    drawn = page.evaluate(DRAW, f"{CDN}mermaid/11.10.0/mermaid.esm.min.mjs")
    assert drawn == [1, ["own"]], "what is marked as a diagram is drawn, and nothing of ours is marked"
    assert page.evaluate(ACTIVE) == [] and dialogs == []
    assert {urlsplit(url).netloc for url in asked} <= {"cdnjs.cloudflare.com", "unpkg.com"}
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
