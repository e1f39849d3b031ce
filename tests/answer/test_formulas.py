"""A formula is mathematics and nothing else, however it is written, and whoever reads it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from qwennb.answer import markup
from tests.answer.test_markup import ATTACKS, READERS, commonmark

# What links, loads, styles, names, redefines, moves or refers, in MathJax 2, 3 and 4, KaTeX and their extensions.
MORE_THAN_MATHEMATICS = frozenset(
    """
    href url style class cssId data htmlId htmlClass htmlStyle htmlData require def gdef edef xdef let futurelet global long
    newcommand renewcommand providecommand newenvironment renewenvironment DeclareMathOperator DeclarePairedDelimiter
    includegraphics input include csname endcsname catcode unicode char bbox special write toggle endtoggle mathtip texttip
    tooltip Newextarrow action mmlToken verb lower raise raisebox moveleft moveright hspace hskip kern mkern mskip mspace rule
    Rule llap rlap mathllap mathrlap mathclap smash label ref eqref color textcolor colorbox fcolorbox definecolor enclose
    mathchoice vcenter vspace expandafter noexpand newcolumntype setOptions phase mathmbox toggle
    """.split()  # noqa: SIM905
)
BODIES = (
    r"\href{https://evil.example}{good.example}",
    r"\gdef\sum{9}",
    r"\require{html}",
    r"\unicode{x202e}",
)
# How a formula can begin and end without a dollar or a bracket that is seen as one.
DISGUISES = [
    ("&#36;", "&#36;"), ("&#x24;", "&#X24;"), ("&dollar;", "&dollar;"), ("&#0000000036;", "&#36"), ("&#36;$", "$&#36;"),
    (r"\$", r"\$"), (r"\$\$", r"\$\$"), (r"\&#36;", r"\&#36;"), (r"\\(", r"\\)"), (r"\\[", r"\\]"), ("&#92;(", "&#92;)"),
    ("&bsol;&lpar;", "&bsol;&rpar;"), (r"\\&#40;", r"\\&#41;"), (r"\(a\)\(", r"\)"), (r"\(a\)\(\\ ", r"\)"), ("$a$$", "$$"),
    (r"so \begin{equation}", r"\end{equation} it is"), (r"so \begin{equation*}", r"\end{equation*}"),
    (r"so \begin {equation}", r"\end {equation}"), (r"\begin{own}", r"\end{own}"), (r"so \begin{own}", r"\end{own}"),
    (r"so &#92;begin{align}", r"&#92;end{align}"), (r"\\begin{align}", r"\\end{align}"), (r"so \begin{cases}", r"\end{cases}"),
    ("**$**", "**$**"), ("> $$", "$$"), ("| $$", "$$ |"), ("- $$", "$$"), ("# $$", "$$"), ("$$\n", "\n$$"), ("", ""),
    (r"\begin{align}" + "\n", "\n" + r"\end{align}"), ("$x$ `", "` $x$"), (r"[$](https://good.example) ", "$"), ("x&#36;&", "&#36;"),
]  # fmt: skip


class Runs(HTMLParser):
    """The runs of text that MathJax and KaTeX look for formulas in: no tag in them, and not in code."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = [""]
        self._code = 0

    def handle_starttag(self, tag, attrs):
        self._code += tag in ("code", "pre")
        if tag != "br":
            self.runs.append("")

    def handle_endtag(self, tag):
        self._code -= tag in ("code", "pre")
        self.runs.append("")

    def handle_data(self, data):
        if not self._code:
            self.runs[-1] += data


def runs_of(page: str) -> list[str]:
    reader = Runs()
    reader.feed(page)
    reader.close()
    return [run for run in reader.runs if run.strip()]


def by_nbconvert(source: str) -> str:
    from nbconvert.filters import markdown2html_mistune

    return markdown2html_mistune(source)


def hostile(page: str) -> set[str]:
    return {
        name
        for run in runs_of(page)
        for name in re.findall(r"\\\s*([A-Za-z]+)", run)
        if name in MORE_THAN_MATHEMATICS
    }


@pytest.mark.parametrize("read", [*READERS, by_nbconvert, str])
@pytest.mark.parametrize("body", BODIES)
def test_nothing_but_mathematics_reaches_a_reader_of_formulas(read, body):
    for opening, closing in DISGUISES:
        for shown in (markup.inert, markup.literal):
            made = shown(f"{opening}{body}{closing}")
            if read is str and "`" in made:
                continue  # as it stands it is code
            assert not hostile(read(made)), (opening, closing, made)


@pytest.mark.parametrize("read", [*READERS, by_nbconvert])
def test_no_attack_reaches_a_reader_of_formulas(read):
    for attack in ATTACKS:
        for shown in (markup.inert, markup.literal):
            assert not hostile(read(shown(attack))), (attack, shown(attack))


@pytest.mark.slow
def test_a_text_that_grows_reaches_no_reader_of_formulas_either():
    for opening, closing in DISGUISES:
        whole = f"{opening}{BODIES[0]}{closing}"
        growing = markup.Growing()
        for sign in whole:
            growing.add(sign)
            assert not hostile(commonmark(growing.inert())), whole


@pytest.mark.parametrize("name", sorted(MORE_THAN_MATHEMATICS))
@pytest.mark.parametrize(
    "form", [r"${}$", r"so \[{}\]", r"so \begin{{equation}}{}\end{{equation}} so", "$$\n{}\n$$"]
)
def test_a_command_that_is_not_known_makes_a_formula_code(name, form):
    shown = markup.inert(form.format(f"\\{name}{{a}}{{b}}"))
    assert re.fullmatch(r"<samp>\n\n```latex\n.*\n```\n\n</samp>", shown, re.DOTALL) or (
        "$" not in shown and name in shown
    ), shown


@pytest.mark.parametrize(
    "said",
    [
        r"\begin{array}{*{99999}{c}}x\end{array}", r"\begin{array}{@{\hskip 9em}c}x\end{array}", r"x\\[-99em]y", r"x\\[9999em]y",
        r"\!\!\!\!\!\!\!\!\!x", r"\begin{own}x\end{own}", r"\begin{align", r"x\%`a`", r"50% off \frac12", r"a\ä",
    ],
)  # fmt: skip
def test_what_moves_repeats_or_can_not_be_read_is_no_formula(said):
    assert "$" not in markup.inert(f"\\[{said}\\]")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (r"so \begin{equation}a = b\end{equation} it is", "so $$a = b$$ it is"),
        (r"so \begin{align*}a &= b\end{align*}", r"so $$\begin{aligned} a &= b \end{aligned}$$"),
        (r"\begin{cases}1 & x > 0\\0\end{cases}", "$$\n\\begin{cases}1 & x \\gt 0\\\\0\\end{cases}\n$$"),
        (r"\begin{array}{c|c}a & b\end{array}", "$$\n\\begin{array}{c|c}a & b\\end{array}\n$$"),
        (r"\(a\)\(b\)", "$a$ $b$"),
        (r"\(a \\b\)", r"$a \\ b$"),
        (r"\(a \\\alpha\)", r"$a \\\alpha$"),
        (r"\(a \\\)", "$a$"),
        (r"\(\mathcal{L}_{\text{CE}} = -\sum_{i=1}^{N} y_i \log \hat{y}_i\)", r"$\mathcal{L}_{\text{CE}} = -\sum_{i=1}^{N} y_i \log \hat{y}_i$"),
        (r"\(\operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V\)", r"$\operatorname{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$"),
        (r"\(\boxed{\dfrac{3}{4}} \pmod{7}\)", r"$\boxed{\dfrac{3}{4}} \pmod{7}$"),
        (r"\[\int_0^\infty e^{-x^2}\,dx = \tfrac{\sqrt{\pi}}{2} \tag{1}\]", "$$\n\\int_0^\\infty e^{-x^2}\\,dx = \\tfrac{\\sqrt{\\pi}}{2} \\tag{1}\n$$"),
    ],
)  # fmt: skip
def test_mathematics_stays_mathematics(said, shown):
    assert markup.inert(said) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("R&D at AT&T, a & b", "R&D at AT&T, a & b"),
        ("&lt;b&gt; &amp; &copy; &quot;x&quot;", '<b> & © "x"'),
        ("5 &lt; 6 &#8364; &euro;", "5 < 6 € €"),
        ("&amp;#36; &unknown; &", "&#36; &unknown; &"),
        (r"C:\Users\new and \alpha", r"C:\Users\new and \alpha"),
        (r"\*no\* \# \| \_x\_", "*no* # | _x_"),
        ("&#x202e;a&#27;[1mb", "a[1mb"),
        (r"\ref{a} and \begin{own} b", r"\ref{a} and \begin{own} b"),
    ],
)
def test_what_is_no_formula_is_seen_as_it_was_meant(said, shown):
    for read in (commonmark, by_nbconvert):
        assert "".join(runs_of(read(markup.inert(said)))).strip() == shown


@pytest.mark.parametrize(
    "said",
    [
        "ftp://a.example/x", "FTP://a.example", "see <ftp://a.example>", "[x](ftp://a.example)", "sftp://a.example",
        "file:///etc/passwd", "vscode://file/x", "//a.example/x", "mailto:a@b.example", "ftp&#58;//a.example", "&#102;tp://a.example",
    ],
)  # fmt: skip
def test_no_renderer_makes_a_link_of_another_scheme(said):
    made = markup.inert(said)
    assert "://" not in made and not re.search(r"(?<![/;])//\w", made) and "@" not in made, made
    assert "<a " not in by_nbconvert(made) and "<a " not in commonmark(made)
