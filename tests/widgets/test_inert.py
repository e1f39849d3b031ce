"""A model's text as nodes: nothing that is not in the lists, whatever was written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.notebook.widgets import inert
from qwennb.notebook.widgets.inert import GrowingTree, read_tree

TAGS = {
    "p", "em", "strong", "s", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "blockquote", "div", "span",
    "pre", "code", "a", "br", "hr", *inert.MATH,
}  # fmt: skip
ATTRIBUTES = {"href", "class", "lang", "start", *inert.MATH_ATTRIBUTES}
PIECES = st.sampled_from(
    [
        "a", " ", "\n", "\n\n", "*", "**", "_", "`", "```", "~~~", "#", "> ", "- ", "1. ", "|", "|-|", "[", "]", "(", ")", "![",
        "<", ">", "<img src=x onerror=alert(1)>", "<script>", "javascript:", "data:text/html,", "https://a.example/", "&lt;",
        "&#106;", "$", "$$", "\\(", "\\)", "\\[", "\\]", "{", "}", "\\frac", "\\text{<img>}", "\\href{javascript:x}{y}",
        "\\begin{align}", "\\end{align}", "\\", "^", "_", "\x1b[31m", "\u202e", "[x]: javascript:alert(1)", "mermaid",
    ]
)  # fmt: skip


def walk(nodes, depth=0):
    assert depth < 400
    for node in nodes:
        if isinstance(node, str):
            continue
        tag, attributes, inside = node
        yield tag, attributes
        yield from walk(inside, depth + 1)


def words(nodes) -> str:
    return "".join(node if isinstance(node, str) else words(node[2]) for node in nodes)


def check(nodes):
    for tag, attributes in walk(nodes):
        assert tag in TAGS and set(attributes) <= ATTRIBUTES
        assert attributes.get("href", "https://").startswith(("http://", "https://"))
        assert attributes.get("class", "plain") in {"plain", "heading", "note", "right", "table"}
        assert all(isinstance(value, str | int) for value in attributes.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_only_known_nodes_come_out_of_any_text(text):
    check(read_tree(text))
    growing = GrowingTree()
    for at in range(0, len(text), 7):
        growing.add(text[at : at + 7])
        check(growing.read_tail())
    check(growing.finished)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_characters="`~[&\x1b\x9b\x90"), max_size=200))
def test_letters_of_a_text_are_not_lost(text):
    kept = words(read_tree(text))
    assert all(sign in kept for sign in text if sign.isalpha() and sign.isascii())


@pytest.mark.parametrize(
    "text",
    [
        "{" * 2_000, "$" + "{" * 2_000 + "}" * 2_000 + "$", "> " * 10_000 + "x", ">" * 10_000 + "x", "- " * 10_000,
        "\n".join(" " * (2 * n) + "- x" for n in range(3_000)), "$" + "\\sqrt" * 1_000 + "x$", "x" * 1_000_000,
        "[" * 50_000, "]" * 9_000 + "[" * 9_000, "*a " * 10_000, "![" * 20_000, "`" * 30_000, "|a" * 5_000 + "|\n" + "|-" * 5_000 + "|\n", "<" * 50_000,
        "$x$ " * 5_000, "$a" * 20_000, "\\(" * 20_000, "$$" * 20_000, "\\begin{align}" * 3_000, "https://a.b/(" * 5_000,
        "&#36;" * 20_000, "_a_ " * 5_000, "***" * 10_000, "[a](<" * 10_000, "~~~\n" * 10_000,
    ],
    ids=lambda text: text[:12].replace(" ", "_").replace("\n", "/"),
)  # fmt: skip
def test_what_is_written_to_break_a_reader_is_read_within_seconds(text):
    began = time.process_time()
    check(read_tree(text))
    growing = GrowingTree()
    growing.add(text)
    check(growing.read_tail())
    assert time.process_time() - began < 6


def test_markdown_is_what_it_says():
    nodes = read_tree(
        "# Head\n\nIt is **bold**, `code` and ~~gone~~.\n\n3. three\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n"
    )
    assert ["p", {"class": "heading"}, ["Head"]] in nodes
    assert ["pre", {"lang": "python"}, ["print(1)"]] in nodes
    found = list(walk(nodes))
    assert ("ol", {"start": 3}) in found and ("td", {"class": "right"}) in found and ("s", {}) in found


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("[here](https://evil.example/x)", "https://evil.example/x", "here (evil.example)"),
        ("<https://a.example/b>", "https://a.example/b", "https://a.example/b"),
        ("see https://a.example/b.", "https://a.example/b", "see https://a.example/b."),
        (
            "[https://good.example](https://evil.example)",
            "https://evil.example",
            "https://good.example (evil.example)",
        ),
        ("[x](https://good.example@evil.example/)", "https://evil.example/", "x (evil.example)"),
    ],
)
def test_a_link_shows_whom_it_leads_to(text, address, shown):
    nodes = read_tree(text)
    assert ("a", {"href": address}) in list(walk(nodes)) and words(nodes) == shown


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](data:text/html,x)",
        "[x](/local)",
        "[x](file:///etc)",
        "![x](https://a.example/p.png)",
    ],
)
def test_nothing_else_is_a_link_and_no_picture_is_fetched(text):
    assert {tag for tag, _ in walk(read_tree(text))} == {"p"}


@pytest.mark.parametrize(
    "text", ["$x^2$", r"\(x^2\)", "$$\nx^2\n$$", r"\[ x^2 \]", r"\begin{align}x&=1\\y&=2\end{align}"]
)
def test_a_formula_is_mathml(text):
    assert "math" in {tag for tag, _ in walk(read_tree(text))}


@pytest.mark.parametrize(
    "text",
    [
        r"$\href{javascript:alert(1)}{x}$", r"$\text{<img src=x onerror=alert(1)>}$", r"$\unicode{x}$", r"$\style{x}{y}$",
        r"$\require{html}$", r"$\def\x{y}\x$",
    ],
)  # fmt: skip
def test_what_is_more_than_mathematics_stands_as_code(text):
    tags = {tag for tag, _ in walk(read_tree(text))}
    assert tags <= {"p", "code", "math", "mrow", "mtext", "mi"} and "a" not in tags
    assert "href" not in str([attributes for _, attributes in walk(read_tree(text))])


def test_money_is_no_formula():
    assert {tag for tag, _ in walk(read_tree("It costs $5 or $6, and $1-$2 more."))} == {"p"}


def test_what_is_finished_of_a_growing_text_is_read_once_and_comes_to_the_same():
    text = "# A\n\nFirst **one**.\n\n- a\n- b\n\n```python\nx = 1\n\ny = 2\n```\n\nLast $x^2$."
    growing = GrowingTree()
    for sign in text:
        growing.add(sign)
        tail = growing.read_tail()
    assert [*growing.finished, *tail] == read_tree(text)
