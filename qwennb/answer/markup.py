r"""Model text as inert Markdown, and as plain text.

A live notebook trusts its outputs: JupyterLab runs `<script>` out of Markdown, nbconvert serves it on. So nothing that
a model wrote is passed through. The text is read once, line by line, and written anew:

    code        fences at the left margin, longer than any run of backticks inside, so that no renderer can take their
                content for text; spans only where every renderer agrees that they are code, else `<code>` and entities
    HTML        `<` is `&lt;`
    images      `[image: host]`; nothing is fetched
    links       http and https, with their host to be seen; any other stays as typed
    mathematics `\(…\)`, `\[…\]` and bare environments become `$…$` and `$$…$$`; a formula that could mean anything
                but mathematics is shown as code
    dollars     that open no formula are kept from opening one

The only tags that come out are `<code>` and `<span>`, without attributes. Where a backslash would have to escape, an
entity does: what stands before it can't undo it.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["code_block", "host_of", "inert", "literal", "plain", "plain_piece", "settled"]

# Bidirectional overrides make text read as what it is not; other controls steer terminals.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|\x1b"
)
_BREAKS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

_FENCE = re.compile(
    r"^(?P<margin>[ \t>]*)(?P<item>(?:[-*+]|\d{1,9}[.)])[ \t]+)?(?P<fence>`{3,}|~{3,})(?P<info>.*)$"
)
_ITEM = re.compile(r"^[ \t>]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_LANGUAGE = re.compile(r"^\s*\{?\.?([\w+#.-]{1,30})")
# Languages that a front end does not show but runs or draws.
_DRAWN = frozenset(
    {"mermaid", "math", "geojson", "topojson", "stl", "vega", "vega-lite", "html+svg", "echarts"}
)

_ENVIRONMENTS = {"equation": "", "displaymath": "", "align": "aligned", "eqnarray": "aligned", "gather": "gathered",
                 "multline": "gathered", "alignat": "aligned", "flalign": "aligned"}  # fmt: skip
_BEGIN = re.compile(r"^\\begin\{(" + "|".join(_ENVIRONMENTS) + r")(\*?)\}")
_DISPLAY_LINES = 60
# Macros that link, style, load or redefine, and Markdown that would come to life where a `$` means nothing.
_NO_FORMULA = re.compile(
    r"\\(?:href|url|style|class|cssId|html\w*|data|require|[gex]?def|let|(?:re)?newcommand|providecommand|"
    r"(?:re)?newenvironment|DeclareMathOperator|includegraphics|input|include|csname|catcode|unicode|bbox|special|"
    r"write|toggle|mathtip|texttip|tooltip|Newextarrow|action|mmlToken|verb|lower|raise)\b|[`%]|!\[|\]\s*[(\[:]|://|&#|&\w+;"
)
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\b.*?\b(?<!\\)[A-Za-z]{2,}")

_ESCAPABLE = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ENTITY = {"<": "&lt;", "[": "&#91;", "]": "&#93;", "!": "&#33;", "`": "&#96;", "&": "&amp;"}
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\\[\]|]+", re.IGNORECASE)
_SCHEME = re.compile(r"(https?):(?=//)", re.IGNORECASE)
_LITERAL = re.compile(r"[!-/:-@\[-`{-~]")
_MARKS = re.compile(r"[!#$&*<=>@\[\\\]^_`{|}~]|:(?=//)|^[-+]|^\d(?=\d*[.)])")
_DESTINATION = re.compile(
    r"\(\s*(?:<(?P<angled>[^<>\n]{0,4000})>|(?P<bare>(?:[^\s()\\]|\\.|\([^\s()]*\)){0,4000}))"
    r"(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)"
)
_IN_ADDRESS = re.compile(r"[^A-Za-z0-9:/?#@&+,;=%.-]")
_OPENED = re.compile(r"\\\(|\\\[|\$\$|!\[")
_CLOSED = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "![": ")"}
_HELD_BACK = 2_000  # characters; a formula that is longer was none
_HOST = re.compile(r"^(?:[\w-]+\.)*[\w-]+\.?(?::\d+)?$", re.ASCII)


def inert(text: str) -> str:
    """*text* as Markdown in which nothing is active: no HTML, no image, no link but to a host that is seen."""
    return "\n".join(_Page(_clean(text).split("\n")).written()).strip("\n")


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
        """All that can be shown, as `inert(settled(…))` of the whole."""
        rest = "".join(self._rest)
        page = _Page(_clean(rest).split("\n"), in_list=self._in_list)
        page.written()
        at, made, in_list = page.cut
        if at:
            # The lines as they came, not as they were cleaned: an escape sequence may yet go on.
            lines = _BREAKS.sub("\n", rest).split("\n")
            if len(lines) == len(page.lines):
                self._finished.append("\n".join(page.made[:made]))
                self._in_list = in_list
                rest = "\n".join(lines[at:])
        self._rest = [rest]
        page = _Page(_clean(settled(rest)).split("\n"), in_list=self._in_list)
        return "\n".join([*self._finished, *page.written()]).strip("\n")


def plain(text: str) -> str:
    """*text* for a terminal: no escape sequence and no control character but tab and line end."""
    return _clean(text).strip("\n")


def plain_piece(text: str) -> str:
    """As `plain`, for a piece of a text that is still coming."""
    return _clean(text)


def literal(text: str) -> str:
    """*text* as one line of Markdown or HTML that shows it as it is."""
    made = _entities(_MARKS, " ".join(_clean(text).split()))
    # An entity keeps Markdown from seeing a dollar, but not MathJax, which reads the page and pairs two of one element.
    return made.replace("&#36;", "<span>&#36;</span>") if made.count("&#36;") > 1 else made


def code_block(text: str, language: str = "") -> str:
    """*text* in a fence that it can't leave."""
    text = _clean(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    found = _LANGUAGE.match(language)
    named = found[1] if found and found[1].casefold() not in _DRAWN else ""
    return f"{fence}{named}\n{text}\n{fence}"


def host_of(address: str) -> str | None:
    """The host that a browser would ask for *address*; None when it is not plainly http or https."""
    address = html.unescape(address)
    if "\\" in address or any(not sign.isprintable() or sign.isspace() for sign in address):
        return None  # browsers mend such addresses, each in its own way
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except (ValueError, UnicodeError):
        return None
    return f"{host}{port}" if _HOST.match(host) else None


def settled(text: str) -> str:
    """What of a *text* that still grows can be shown: without a formula, link or image that has only begun."""
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


def _entities(marks: re.Pattern[str], text: str) -> str:
    return marks.sub(lambda mark: f"&#{ord(mark[0])};", text)


def _clean(text: str) -> str:
    text = _BREAKS.sub("\n", _ESCAPES.sub("", text))
    return _CONTROLS.sub("", text).encode("utf-8", "replace").decode()


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

    def written(self) -> list[str]:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip(" \t>"):
                self._end_paragraph()
                self.made.append(line.replace("\t", " ").rstrip())
                self.at += 1
                if not line and self.at < len(self.lines):
                    self.cut = (self.at, len(self.made), self.in_list)
            elif (fence := _FENCE.match(line)) and not (fence["fence"][0] == "`" and "`" in fence["info"]):
                self._fenced(fence)
            elif not (self._indented(line) or self._formula(line)):
                self.in_list = bool(_ITEM.match(line)) or (self.in_list and line[0] in " \t>")
                self.paragraph.append(line)
                self.at += 1
        self._end_paragraph()
        return self.made

    def _end_paragraph(self) -> None:
        if self.paragraph:
            # One dollar alone opens nothing; two in one paragraph may be taken for a formula.
            self.made += _inline_lines(self.paragraph)
            self.paragraph = []

    def _block(self, block: str) -> None:
        self._end_paragraph()
        self.made += ["", *block.split("\n"), ""]

    def _fenced(self, opening: re.Match[str]) -> None:
        """A fence, to its end or to the end of the text: a model that is still writing has not closed it."""
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

    def _indented(self, line: str) -> bool:
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
        """A formula that stands on lines of its own."""
        start = line.lstrip(" \t")
        if start.startswith("$$"):
            body, end = start[2:], "$$"
        elif start.startswith("\\["):
            body, end = start[2:], "\\]"
        elif found := _BEGIN.match(start):
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
        if end.startswith("\\end") and (found := _BEGIN.match(start)) and (name := _ENVIRONMENTS[found[1]]):
            inner = re.sub(r"^\{\d+\}\s*", "", inner) if "at" in found[1] else inner
            inner = f"\\begin{{{name}}} {inner} \\end{{{name}}}"
        formula = _formula_text(inner, "$$")
        if formula is None:
            self._block(code_block("\n".join(self.lines[self.at : last + 1]), "latex"))
        else:
            self._block(f"$$\n{formula}\n$$")
        self.at = last + 1
        return True


def _without(line: str, margin: str) -> str:
    """*line* without what indents its block: as much of *margin* as there is."""
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


def _inline_lines(lines: list[str]) -> list[str]:
    inlines = [_Inline(line) for line in lines]
    made = [inline.written() for inline in inlines]
    dollars = sum(inline.dollars for inline in inlines) + 2 * sum(inline.formulas for inline in inlines)
    sign = "$" if dollars == 1 else "<span>\\$</span>"
    return [line.replace(_DOLLAR, sign) for line in made]


_DOLLAR = "\x01"  # `_clean` leaves no such character


@dataclass(slots=True)
class _Inline:
    """One line of text."""

    text: str
    at: int = 0
    dollars: int = 0
    formulas: int = 0
    pairs: dict[int, int] | None = None

    def written(self) -> str:
        made: list[str] = []
        while self.at < len(self.text):
            made.append(self._next())
        return "".join(made)

    def _next(self) -> str:
        sign = self.text[self.at]
        read = {
            "\\": self._backslash, "`": self._code, "$": self._dollar, "!": self._image, "[": self._link,
            "<": self._angle, "]": self._bracket, "h": self._bare, "H": self._bare, "@": self._at,
        }.get(sign)  # fmt: skip
        made = read() if read is not None else None
        if made is None:
            self.at += 1
            return "&#96;" if sign == "`" else _DOLLAR if sign == "$" else sign
        return made

    def _backslash(self) -> str | None:
        following = self.text[self.at + 1 : self.at + 2]
        for opening, closing, fence in (("(", "\\)", "$"), ("[", "\\]", "$$")):
            if following != opening:
                continue
            end = self.text.find(closing, self.at + 2)
            if end > 0 and not self.text.startswith("(", end + 2):  # an escaped bracket, not a formula
                whole, inner = self.text[self.at : end + 2], self.text[self.at + 2 : end].strip()
                self.at = end + 2
                return self._mathematics(whole, inner, fence)
        if following not in _ESCAPABLE or not following:
            return None
        self.at += 2
        if following == "$":
            self.dollars += 1
            return _DOLLAR
        return _ENTITY.get(following, "\\" + following)

    def _mathematics(self, whole: str, inner: str, fence: str) -> str:
        formula = _formula_text(inner, fence)
        if formula is None:
            return _code_span(whole)
        self.formulas += 1
        return f"{fence}{formula}{fence}"

    def _code(self) -> str | None:
        run = re.compile(r"`+").match(self.text, self.at)
        assert run is not None
        for closing in re.compile(r"`+").finditer(self.text, run.end()):
            if len(closing[0]) == len(run[0]):
                inner = self.text[run.end() : closing.start()]
                self.at = closing.end()
                return _code_span(inner[1:-1] if inner[:1] == inner[-1:] == " " and inner.strip() else inner)
        self.at = run.end()
        return "&#96;" * len(run[0])

    def _dollar(self) -> str | None:
        fence = "$$" if self.text.startswith("$$", self.at) else "$"
        start = self.at + len(fence)
        end = self.text.find(fence, start)
        while end > 0 and self.text[end - 1] == "\\":
            end = self.text.find(fence, end + 1)
        inner = self.text[start:end] if end > start else ""
        if _is_formula(inner, self.text[end + len(fence) : end + len(fence) + 1], fence):
            self.at = end + len(fence)
            return self._mathematics(fence + inner + fence, inner.strip(), fence)
        self.dollars += 1
        return None

    def _image(self) -> str | None:
        if not self.text.startswith("[", self.at + 1):
            return None
        found = self._destination(self.at + 1)
        if found is None:
            self.at += 1
            return "&#33;"
        label, address, self.at = found
        host = host_of(address)
        shown = f"&#91;image: {literal(host)}&#93;" if host else "&#91;image&#93;"
        return f"{shown} {literal(label)}".rstrip() if label else shown

    def _link(self) -> str | None:
        found = self._destination(self.at)
        host = host_of(found[1]) if found else None
        if found is None or host is None:
            return None
        label, address, self.at = found
        return _linked(label, address, host)

    def _angle(self) -> str:
        found = re.compile(r"<(https?://[^\s<>]+)>", re.IGNORECASE).match(self.text, self.at)
        host = host_of(found[1]) if found else None
        if found is None or host is None:
            self.at += 1
            return "&lt;"
        self.at = found.end()
        return _linked(found[1], found[1], host)

    def _bracket(self) -> str | None:
        if self.text[self.at + 1 : self.at + 2] not in ("(", "[", ":"):
            return None
        self.at += 1
        return "&#93;"

    def _at(self) -> str | None:
        """Between words it would be an address that some renderer writes to."""
        if not (self.at and re.match(r"[\w.+-]@\w", self.text[self.at - 1 : self.at + 2])):
            return None
        self.at += 1
        return "&#64;"

    def _bare(self) -> str | None:
        """An address in the text: written as a link, so that every renderer ends it at the same place."""
        if self.at and (self.text[self.at - 1].isalnum() or self.text[self.at - 1] in "/@"):
            return None
        found = _ADDRESS.match(self.text, self.at)
        address = found[0].rstrip(".,;:!?*_~") if found else ""
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(".,;:!?*_~")
        if (host := host_of(address)) is not None:
            self.at += len(address)
            return _linked(address, address, host)
        if scheme := _SCHEME.match(self.text, self.at):
            self.at = scheme.end()  # some renderer would make a link of it
            return f"{scheme[1]}&#58;"
        return None

    def _destination(self, at: int) -> tuple[str, str, int] | None:
        """Label, address and end of the `[label](address "title")` at *at*."""
        if self.pairs is None:
            self.pairs = _brackets(self.text)
        close = self.pairs.get(at)
        found = _DESTINATION.match(self.text, close + 1) if close is not None else None
        if close is None or found is None:
            return None
        return self.text[at + 1 : close], found["angled"] or found["bare"] or "", found.end()


def _brackets(text: str) -> dict[int, int]:
    """Where each bracket that opens is closed."""
    waiting: list[int] = []
    pairs: dict[int, int] = {}
    for found in re.finditer(r"\\.|[\[\]]", text):
        if found[0] == "[":
            waiting.append(found.start())
        elif found[0] == "]" and waiting:
            pairs[waiting.pop()] = found.start()
    return pairs


def _linked(label: str, address: str, host: str) -> str:
    # Written so that no renderer finds anything in the address but the address; who is asked, as it is shown.
    parts = urlsplit(html.unescape(address))
    rest = parts._replace(scheme="", netloc="").geturl()
    rest = _IN_ADDRESS.sub(lambda sign: "".join(f"%{byte:02X}" for byte in sign[0].encode()), rest)
    target = f"{parts.scheme}://{host}{rest.replace('&', '&amp;')}"
    shown = label if label == address else _unmarked(label)
    seen = "" if _shows(shown, host) else f" ({literal(host)})"
    return f"[{literal(shown) or literal(host)}]({target}){seen}"


def _unmarked(label: str) -> str:
    return re.sub(r"[*`]+|(?<!\w)_+|_+(?!\w)|\\(?=[!-/:-@\[-`{-~])", "", label).strip()


def _shows(label: str, host: str) -> bool:
    """Whether *label* is an address at this *host*, and so hides nothing."""
    return label.isascii() and (label == host or (host_of(label) == host and "@" not in label))


def _code_span(inner: str) -> str:
    """*inner* as code. Backticks only where no renderer could end them early, or read through them."""
    if not inner.strip():
        return "&#96;" + inner + "&#96;"
    if "`" in inner or re.search(r"[<|\\$&]|!\[|\]\s*[(\[:]", inner):
        return f"<code>{_entities(_LITERAL, inner)}</code>"
    return f"`{inner}`"


def _is_formula(inner: str, following: str, fence: str) -> bool:
    r"""Whether what stands between dollars is mathematics and not money.

    As pandoc has it: no space inside the dollars, no digit behind. And no two words, unless it looks like TeX.
    """
    if not inner.strip() or (fence == "$" and "$" in inner.replace("\\$", "")):
        return False
    if fence == "$$":
        return True
    if inner[0].isspace() or inner[-1].isspace() or following.isdigit():
        return False
    if re.search(r"\\[A-Za-z]|[\^_=]", inner):
        return True
    return not (_WORDS.search(inner) or re.match(r"[\d.,]+\s*[^\W\d]{2,}|[\d.,]+[kKmMbB]?\s*[-–/(]", inner))


def _formula_text(inner: str, fence: str) -> str | None:
    """*inner* as every renderer reads it; None for what could be more than mathematics."""
    if not inner or _NO_FORMULA.search(inner.replace("\\%", "")) or fence in inner.replace("\\$", ""):
        return None
    bare = re.sub(r"\\.", "", inner)
    if bare.count("{") != bare.count("}"):
        return None
    return re.sub(r"\\?>\s*", r"\\gt ", re.sub(r"\\?<\s*", r"\\lt ", inner))
