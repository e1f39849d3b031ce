r"""Model text as inert Markdown, and as plain text.

A live notebook trusts its outputs: JupyterLab runs `<script>` out of Markdown, nbconvert serves it on. So nothing that
a model wrote is passed through. The text is read once, line by line, and written anew:

    code        fences at the left margin, longer than any run of backticks inside, so that no renderer can take their
                content for text, and named only by a language that is known; spans only where every renderer agrees that
                they are code, else `<code>` and entities
    HTML        `<` is `&lt;`
    images      `[image: host]`; nothing is fetched
    links       http and https, with their host to be seen; any other stays as typed
    mathematics `\(…\)`, `\[…\]` and environments become `$…$` and `$$…$$`; a formula that is not wholly of known commands
                is shown as code
    dollars     and backslashes that open no formula are kept from opening one
    entities    are read first, and judged as the signs that they stand for

The only tags that come out are `<code>`, `<samp>` and `<span>`, without attributes. Where a backslash would have to escape, an
entity does: what stands before it can't undo it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from qwennb.answer.formula import BEGIN, mend_formula, set_display
from qwennb.answer.inline import literal as literal
from qwennb.answer.inline import write_lines
from qwennb.terminal import LINE_BREAKS, drop_controls

_FENCE = re.compile(
    r"^(?P<margin>[ \t>]*)(?P<item>(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?P<fence>`{3,}|~{3,})(?P<info>.*)$"
)
# The languages that a fence may name. A front end highlights most of them, and runs or draws some others (`mermaid`, `math`,
# `geojson`, `vega`, `svg`), by names that each spells in its own way: nbconvert draws whatever begins with `mermaid`, and
# escapes nothing of it. So what a fence may be called is a list, and what is not on it is no name.
_WORDS = """
ada apl asm nasm armasm awk bash sh shell zsh fish ksh csh console shell-session sh-session powershell pwsh ps1 bat
batch cmd basic vb vbnet vba c h cpp c++ cc cxx hpp cuda cu opencl objective-c objc objectivec csharp cs c# fsharp
fs f# clojure clj cmake cobol coffeescript coffee common-lisp lisp elisp scheme racket css scss sass less crystal d
dart delphi pascal diff patch docker dockerfile elixir ex elm erlang erl fortran f90 gherkin glsl hlsl wgsl go
golang graphql groovy gradle haskell hs haxe hcl terraform tf html xhtml http ini cfg conf properties java
javascript js jsx mjs node json json5 jsonc jsonl ndjson julia jl kotlin kt latex tex bibtex llvm log lua make
makefile matlab octave markdown md mathematica wolfram meson mojo nginx nim nix ocaml ml perl pl php plain plaintext
text txt output prolog protobuf proto puppet python python3 py py3 pycon ipython ipython3 python-repl qml r rust rs
rst ruby rb sas scala solidity sparql sql mysql postgresql postgres psql plpgsql sqlite tsql stan stata svelte swift
systemverilog verilog vhdl tcl toml turtle typescript ts tsx vim viml vue wasm wast xml xslt yaml yml zig csv tsv
env dotenv gitignore ebnf regex requirements
"""
LANGUAGES = frozenset(_WORDS.split())
_LANGUAGE = re.compile(r"^\s*\{?\.?([\w+#-]{1,30})(?=[\s}:,;{]|$)")
_ITEM = re.compile(r"^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_DISPLAY_LINES = 60
LEFT, RIGHT = ":---", "---:"  # below the head of a column: the side that it is set to
# What a heading of a text is set down by, so that none of a notebook's own is as large.
_LOWER = 3
_HEADING = re.compile(r"^([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(#{1,6})(?=[ \t]|$)")
_UNDERLINE = re.compile(r"^(?P<quote>(?:[ ]{0,3}>)*)[ ]{0,3}(?P<rule>=+|-+)[ \t]*$")
_OPENED = re.compile(r"\\\(|\\\[|\$\$|!\[")
_CLOSED = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "![": ")"}
_HELD_BACK = 2_000  # characters; a formula that is longer was none


def table(rows: Sequence[Sequence[str]], rule: str = "---", right: Collection[int] = ()) -> str:
    """Write *rows* of any text as a Markdown table, the first as its head. *rule* is what stands below each of its cells.

    The columns numbered in *right* are set to the right.
    """
    rules = [RIGHT if number in right else rule for number in range(len(rows[0]))]
    return write_table([list(map(literal, row)) for row in rows], rules)


def write_table(rows: Sequence[Sequence[str]], rules: Sequence[str]) -> str:
    """Write *rows* of cells that are Markdown of ours, each in one line, with *rules* below the first of them."""
    lines = [f"| {' | '.join(cell or '&nbsp;' for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def inert(text: str) -> str:
    """Make of *text* Markdown in which nothing is active: no HTML, no image, no link but to a host that is seen."""
    return "\n".join(_Page(drop_controls(text).split("\n")).render()).strip("\n")


class Growing:
    """A text that is still coming, as inert Markdown: what is finished of it is read once, not with every piece.

    It is cut at an empty line outside of fences: nothing before that line can be changed by what follows, and of what
    stands before, only whether a list is open matters to what follows.
    """

    def __init__(self) -> None:
        self.empty = True
        self._finished: list[str] = []
        self._in_list = False
        self._rest: list[str] = []

    def add(self, text: str) -> None:
        """More has come."""
        self._rest.append(text)
        self.empty = self.empty and not text

    def inert(self) -> str:
        """Give all that can be shown, as `inert(complete_part(…))` of the whole."""
        rest = "".join(self._rest)
        page = _Page(drop_controls(rest).split("\n"), in_list=self._in_list)
        page.render()
        at, made, in_list = page.cut
        if at:
            # The lines as they came, not as they were cleaned: an escape sequence may yet go on.
            lines = LINE_BREAKS.sub("\n", rest).split("\n")
            if len(lines) == len(page.lines):
                self._finished.append("\n".join(page.made[:made]))
                self._in_list = in_list
                rest = "\n".join(lines[at:])
        self._rest = [rest]
        page = _Page(drop_controls(complete_part(rest)).split("\n"), in_list=self._in_list)
        return "\n".join([*self._finished, *page.render()]).strip("\n")


def plain(text: str) -> str:
    """Clean *text* for a terminal: no escape sequence and no control character but tab and line end."""
    return drop_controls(text).strip("\n")


def code_block(text: str, language: str = "") -> str:
    """Put *text* into a fence that it can't leave.

    nbconvert makes `<pre>` of a fence with a name, without `<code>`, and its style sheet has `<pre>` take the font of what
    stands around it: `<samp>` is what has one for code.
    """
    text = drop_controls(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    name = name_language(language)
    block = f"{fence}{name}\n{text}\n{fence}"
    return f"<samp>\n\n{block}\n\n</samp>" if name else block


def name_language(info: str) -> str:
    """Find the language that a fence's *info* names; empty where it names none that is known."""
    found = _LANGUAGE.match(info)
    return found[1] if found and found[1].casefold() in LANGUAGES else ""


def complete_part(text: str) -> str:
    """Cut a *text* that still grows to what can be shown: without a formula, link or image that has only begun."""
    paragraph = text.rfind("\n\n") + 1
    held = None
    for opening in _OPENED.finditer(text, paragraph):
        closing = _CLOSED[opening[0]]
        if held is None or opening.start() >= held:
            end = text.find(closing, opening.end())
            if end < 0:
                held = opening.start()
                break
            held = end + len(closing)
    else:
        return text
    return text if len(text) - held > _HELD_BACK else text[:held]


@dataclass(slots=True)
class _Page:
    """The lines of a text, read from the first to the last."""

    lines: list[str]
    made: list[str] = field(default_factory=list)
    at: int = 0
    paragraph: list[str] = field(default_factory=list)
    in_list: bool = False
    # Behind the last empty line: the line, how many lines are made, whether a list is open.
    cut: tuple[int, int, bool] = (0, 0, False)

    def render(self) -> list[str]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip(" \t>"):
                self._end_paragraph()
                self.made.append(line.replace("\t", " ").rstrip())
                self.at += 1
                if not line and self.at < len(self.lines):
                    self.cut = (self.at, len(self.made), self.in_list)
            elif (fence := _FENCE.match(line)) and not (fence["fence"][0] == "`" and "`" in fence["info"]):
                self._read_fence(fence)
            elif not (self._read_indented(line) or self._formula(line)):
                self.in_list = bool(_ITEM.match(line)) or (self.in_list and line[0] in " \t>")
                self.paragraph.append(line)
                self.at += 1
        self._end_paragraph()
        return self.made

    def _end_paragraph(self) -> None:
        if self.paragraph:
            self.made += write_lines(_lower_headings(self.paragraph))
            self.paragraph = []

    def _block(self, block: str) -> None:
        self._end_paragraph()
        self.made += ["", *block.split("\n"), ""]

    def _read_fence(self, opening: re.Match[str]) -> None:
        """Read a fence, to its end or to the end of the text: a model that is still writing has not closed it."""
        margin, mark = opening["margin"], opening["fence"]
        closing = re.compile(rf"^[ \t>]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*$")
        if opening["item"]:
            self.paragraph.append(f"{margin}{opening['item'].rstrip()}")
            margin = margin + " " * len(opening["item"])
        quoted = ">" in opening["margin"]
        self.at += 1
        inside: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if quoted and not line.lstrip().startswith(">"):
                break
            self.at += 1
            if closing.match(line):
                break
            inside.append(_without(line, margin))
        self._block(code_block("\n".join(inside), opening["info"]))

    def _read_indented(self, line: str) -> bool:
        """Code by indentation, outside of lists: given a fence, for entities would be seen in it."""
        if self.in_list or self.paragraph or not line.startswith(("    ", "\t")):
            return False
        inside: list[str] = []
        while self.at < len(self.lines) and (
            (line := self.lines[self.at]).startswith(("    ", "\t")) or not line.strip()
        ):
            inside.append(_without(line, "    "))
            self.at += 1
        self._block(code_block("\n".join(inside).rstrip("\n ")))
        return True

    def _formula(self, line: str) -> bool:
        """Read a formula that stands on lines of its own."""
        start = line.lstrip(" \t")
        if start.startswith("$$"):
            body, end = start[2:], "$$"
        elif start.startswith("\\["):
            body, end = start[2:], "\\]"
        elif found := BEGIN.match(start):
            body, end = start[found.end() :], f"\\end{{{found[1]}{found[2]}}}"
        else:
            return False
        last, gathered = self.at, [body]
        while end not in gathered[-1]:
            last += 1
            if last >= min(len(self.lines), self.at + _DISPLAY_LINES) or not self.lines[last].strip():
                return False
            gathered.append(self.lines[last].strip())
        gathered[-1], _, rest = gathered[-1].partition(end)
        if rest.strip(" \t.,;"):
            return False  # text goes on behind it: a formula within a line
        inner = " ".join(piece.strip() for piece in gathered).strip()
        found = BEGIN.match(start)
        formula = mend_formula(set_display(found[1], inner) if found else inner, "$$")
        if formula is None:
            self._block(code_block("\n".join(self.lines[self.at : last + 1]), "latex"))
        else:
            self._block(f"$$\n{formula}\n$$")
        self.at = last + 1
        return True


def _lower_headings(lines: list[str]) -> list[str]:
    """Write the headings of a paragraph's *lines* with more of their marks, and those with a line below them with marks."""
    made: list[str] = []
    for line in lines:
        if made and (rule := _UNDERLINE.match(line)) and (said := _titled(made[-1], rule["quote"])):
            level = 1 if rule["rule"][0] == "=" else 2
            made[-1] = f"{rule['quote']}{' ' if rule['quote'] else ''}{'#' * (level + _LOWER)} {said}"
        else:
            made.append(_HEADING.sub(lambda found: f"{found[1]}{'#' * min(6, len(found[2]) + _LOWER)}", line))
    return made


def _titled(line: str, quote: str) -> str:
    """What *line* says, where a rule below it, quoted as deeply, would make it a heading; else nothing."""
    said = line.removeprefix(quote)
    depth = quote.count(">")
    if line[: len(quote)] != quote or _HEADING.match(line) or _ITEM.match(line) or "|" in line:
        return ""
    return "" if said.lstrip().startswith(">") or (depth and not quote) else said.strip()


def _without(line: str, margin: str) -> str:
    """Take off *line* what indents its block: as much of *margin* as there is."""
    at = 0
    for sign in margin.expandtabs(4):
        if at >= len(line):
            break
        if line[at] == "\t" and len(margin.expandtabs(4)) >= at + 4:
            return line[at + 1 :]
        if line[at] not in (" ", ">") or (line[at] == ">" and sign != ">"):
            break
        at += 1
    return line[at:]
