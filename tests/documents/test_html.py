"""Web pages as text: what a reader sees, without what a browser runs."""

from __future__ import annotations

import time

import pytest

from qwennb.documents import read_document
from qwennb.errors import MediaError

PAGE = """<!DOCTYPE html><html><head><title>The Harbour</title><meta charset="utf-8"><style>p{color:red}</style>
<script>if (a < b) document.write("<p>no</p>")</script></head><body>
<h1>The  <em>Harbour</em></h1><p>Dues rose by 4&nbsp;%<br>in a year &amp; more: <a href="https://example.org">see</a>.</p>
<ul><li>Timber<ul><li>oak</li><li>pine</li></ul></li><li>Grain</li></ul><ol><li>Weigh<li>Pay</ol>
<table><caption>Cargo</caption><thead><tr><th>Port</th><th>Tons</th></tr></thead><tr><td>Riga</td><td>30
 <b>240</b></td></tr><tr><td>A|B</td></tr></table>
<pre>def f():
    return "&lt;"
</pre><!-- a comment <p>no</p> --><p>where a < b: <img src="https://example.org/x.png" alt="a chart">
<svg><text>no</text></svg><noscript>no</noscript><template>no</template><p>The end"""


def read(page):
    return read_document(page.encode() if isinstance(page, str) else page, "a.html").text()


def test_a_page_says_what_a_reader_sees():
    assert read(PAGE) == (
        "The Harbour\n\n# The Harbour\n\nDues rose by 4 %\nin a year & more: see.\n\n- Timber\n  - oak\n  - pine\n- Grain\n\n"
        "1. Weigh\n2. Pay\n\nCargo\n\n| Port | Tons |\n|---|---|\n| Riga | 30 240 |\n| A\\|B |  |\n\n"
        '```\ndef f():\n    return "<"\n\n```\n\nwhere a < b:  [picture: a chart]\n\nThe end'
    )


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<html>" + "<b" * 3, ""),
        ("<html>a<!-- never closed <p>b", "a"),
        ("<html>a<script>b</p>", "a"),
        ("<html>a &#" + "9" * 5000 + ";", "a &#" + "9" * 5000 + ";"),
        ("<html><a title='>'>a</a>", "a"),
        ("<html><td>a</td></table></li></ul></pre>b", "a\n\nb"),
        ("<html><script/>alert()</script>a", "a"),
        ("<html><table><tr><td>a<td>b<svg><p>c", "| a | b |\n|---|---|"),
        ('<html><meta charset="windows-1252">caf\xe9'.encode("latin-1"), "café"),
        ("<html>\u202eturned", "\u202eturned"),
    ],
)
def test_a_page_that_is_badly_written_is_read_as_a_browser_would(page, said):
    assert read(page) == said


@pytest.mark.parametrize(
    "again",
    ["<div>", "<table><tr><td>", "<!--", "<a ", "<a \"'", "<ul><li>x", "<", "<script>", "<title></title>", "<img alt=", "<pre>", "&amp", "</p "],
)  # fmt: skip
def test_no_page_of_many_tags_takes_longer_than_its_bound(again):
    start = time.thread_time()
    try:
        read("<html>" + again * (600_000 // len(again)))
    except MediaError as error:
        assert str(error) == (
            "a.html can't be read within 3 s: it holds more tags than a page does; give a part of it"
        )
    assert time.thread_time() - start < 5
