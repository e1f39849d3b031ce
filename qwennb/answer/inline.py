"""One line of a model's text, written so that nothing in it is active.

Everything that is not a formula, code or a link comes out with its entities read, without a backslash, and with no two
dollars in one element: MathJax reads the finished page, where an entity is the sign that it stands for, so an entity
hides nothing from it. A backslash and a dollar each stand in a `<span>` of their own, which no reader of formulas looks
across.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from qwennb.answer.formula import BEGIN, mend_formula, set_display
from qwennb.terminal import drop_controls

_ENTITY = {"<": "&lt;", "&": "&amp;"}
_DOLLAR = "\x01"  # `drop_controls` leaves no such character
_BACKSLASH = "<span>&#92;</span>"
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\b.*?\b(?<!\\)[A-Za-z]{2,}")
_ESCAPABLE = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_REFERENCE = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]{1,31});?")
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\\[\]|]+", re.IGNORECASE)
_LITERAL = re.compile(r"[!-/:-@\[-`{-~]")
_MARKS = re.compile(r"[!#&*<=>@\[\]^_`{|}~]|:(?=//)|^[-+]|^\d(?=\d*[.)])")
# Signs of which some renderer would make a link, or an address to write to, of what we made none of.
_JOINT = re.compile(r":(?=//)|/(?=/\w)|\](?=[(\[:])|(?<=[\w.+-])@(?=\w)")
_DESTINATION = re.compile(
    r"\(\s*(?:<(?P<angled>[^<>\n]{0,4000})>|(?P<bare>(?:[^\s()\\]|\\.|\([^\s()]*\)){0,4000}))"
    r"(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)"
)
_IN_ADDRESS = re.compile(r"[^A-Za-z0-9:/?#@&+,;=%.-]")
_HOST = re.compile(r"^(?:[\w-]+\.)*[\w-]+\.?(?::\d+)?$", re.ASCII)


def host_of(address: str) -> str | None:
    """Find the host that a browser would ask for *address*; None when it is not plainly http or https."""
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


def write_lines(lines: list[str]) -> list[str]:
    """Write the lines of one paragraph, inert. One dollar alone opens nothing; two may be taken for a formula."""
    inlines = [_Inline(line) for line in lines]
    made = [inline.render() for inline in inlines]
    dollars = sum(inline.dollars for inline in inlines) + 2 * sum(inline.formulas for inline in inlines)
    sign = "$" if dollars == 1 else "<span>\\$</span>"
    return [line.replace(_DOLLAR, sign) for line in made]


@dataclass(slots=True)
class _Inline:
    """One line of text."""

    text: str
    at: int = 0
    dollars: int = 0
    formulas: int = 0
    pairs: dict[int, int] | None = None

    def render(self) -> str:
        made: list[str] = []
        while self.at < len(self.text):
            piece = self._next()
            # Two formulas without a space between: some reader takes the second one for text.
            made += [" ", piece] if piece[:1] == "$" and made and made[-1][-1:] == "$" else [piece]
        return "".join(made)

    def _next(self) -> str:
        sign = self.text[self.at]
        read = {
            "\\": self._backslash, "`": self._code, "$": self._dollar, "!": self._image, "[": self._link,
            "<": self._angle, "h": self._bare, "H": self._bare, "&": self._reference,
        }.get(sign)  # fmt: skip
        made = read() if read is not None else None
        if made is None:
            made = f"&#{ord(sign)};" if _JOINT.match(self.text, self.at) else _DOLLAR if sign == "$" else sign
            self.at += 1
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
        if (found := BEGIN.match(self.text, self.at)) is not None:
            closing = f"\\end{{{found[1]}{found[2]}}}"
            end = self.text.find(closing, found.end())
            if end > 0:
                whole = self.text[self.at : end + len(closing)]
                inner = set_display(found[1], self.text[found.end() : end])
                self.at = end + len(closing)
                return self._mathematics(whole, inner, "$$")
        if not following:
            return None  # a line break, or the end
        self.at += 1
        if following not in _ESCAPABLE:
            return _BACKSLASH
        self.at += 1
        return self._sign(following)

    def _reference(self) -> str:
        """Read an entity, so that the sign it stands for is judged as that sign."""
        found = _REFERENCE.match(self.text, self.at)
        meant = html.unescape(found[0]) if found else ""
        if found is None or meant == found[0]:
            self.at += 1
            return "&amp;" if re.match(r"[\w#]", self.text[self.at : self.at + 1]) else "&"
        self.at = found.end()
        return "".join(map(self._sign, drop_controls(meant)))

    def _sign(self, sign: str) -> str:
        """Write *sign* as itself, whatever it means in Markdown, HTML or TeX."""
        if sign == "$":
            self.dollars += 1
            return _DOLLAR
        if sign == "\\":
            return _BACKSLASH
        if sign.isspace():
            return "&nbsp;" if sign == "\xa0" else " "
        return _ENTITY.get(sign) or (f"&#{ord(sign)};" if sign.isascii() else sign)

    def _mathematics(self, whole: str, inner: str, fence: str) -> str:
        formula = mend_formula(inner, fence)
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
        if is_formula(inner, self.text[end + len(fence) : end + len(fence) + 1], fence):
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
        return _link_text(label, address, host)

    def _angle(self) -> str:
        found = re.compile(r"<(https?://[^\s<>]+)>", re.IGNORECASE).match(self.text, self.at)
        host = host_of(found[1]) if found else None
        if found is None or host is None:
            self.at += 1
            return "&lt;"
        self.at = found.end()
        return _link_text(found[1], found[1], host)

    def _bare(self) -> str | None:
        """Write an address in the text as a link, so that every renderer ends it at the same place."""
        if self.at and (self.text[self.at - 1].isalnum() or self.text[self.at - 1] in "/@"):
            return None
        found = _ADDRESS.match(self.text, self.at)
        address = found[0].rstrip(".,;:!?*_~") if found else ""
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(".,;:!?*_~")
        if (host := host_of(address)) is not None:
            self.at += len(address)
            return _link_text(address, address, host)
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
    """Find where each bracket that opens is closed."""
    waiting: list[int] = []
    pairs: dict[int, int] = {}
    for found in re.finditer(r"\\.|[\[\]]", text):
        if found[0] == "[":
            waiting.append(found.start())
        elif found[0] == "]" and waiting:
            pairs[waiting.pop()] = found.start()
    return pairs


def _link_text(label: str, address: str, host: str) -> str:
    # Written so that no renderer finds anything in the address but the address; who is asked, as it is shown.
    parts = urlsplit(html.unescape(address))
    rest = parts._replace(scheme="", netloc="").geturl()
    rest = _IN_ADDRESS.sub(lambda sign: "".join(f"%{byte:02X}" for byte in sign[0].encode()), rest)
    target = f"{parts.scheme}://{host}{rest.replace('&', '&amp;')}"
    shown = label if label == address else _strip_marks(label)
    seen = "" if _shows(shown, host) else f" ({literal(host)})"
    return f"[{literal(shown) or literal(host)}]({target}){seen}"


def _strip_marks(label: str) -> str:
    return re.sub(r"[*`]+|(?<!\w)_+|_+(?!\w)|\\(?=[!-/:-@\[-`{-~])", "", label).strip()


def _shows(label: str, host: str) -> bool:
    """Tell whether *label* is an address at this *host*, and so hides nothing."""
    return label.isascii() and (label == host or (host_of(label) == host and "@" not in label))


def _code_span(inner: str) -> str:
    """Write *inner* as code. Backticks only where no renderer could end them early, or read through them."""
    if not inner.strip():
        return "&#96;" + inner + "&#96;"
    if "`" in inner or re.search(r"[<|\\$&]|!\[|\]\s*[(\[:]", inner):
        return f"<code>{_entities(_LITERAL, inner)}</code>"
    return f"`{inner}`"


def is_formula(inner: str, following: str, fence: str) -> bool:
    r"""Tell whether what stands between dollars is mathematics and not money.

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


def literal(text: str) -> str:
    """Write *text* as one line of Markdown or HTML that shows it as it is."""
    made = _entities(_MARKS, " ".join(drop_controls(text).split())).replace("\\", _BACKSLASH)
    dollar = "<span>&#36;</span>" if made.count("$") > 1 else "&#36;"
    return made.replace("$", dollar)


def _entities(marks: re.Pattern[str], text: str) -> str:
    return marks.sub(lambda mark: f"&#{ord(mark[0])};", text)
