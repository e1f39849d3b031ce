"""A model's text as a tree of nodes that a browser builds element by element: what is not a known node is text.

    read_tree(text) → [node, …]          a node is a text, or [tag, attributes, [node, …]]

markdown-it-py reads the Markdown, with HTML off. Links are http and https, with their host to be seen; images are not
fetched; a formula is MathML of known elements, made of known commands (`answer/formula.py`), else it stands as code.
There is no way from here to an element, an attribute or an address that is not in the lists below; the module that draws
has lists of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from qwennb.answer import markup
from qwennb.answer.formula import BEGIN, mend_formula, set_display
from qwennb.answer.inline import host_of, is_formula
from qwennb.terminal import drop_controls

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

Node: TypeAlias = "str | list[Any]"

LONGEST = 100_000  # characters that are read as Markdown; what follows is counted
DEEPEST = 40  # quotes and lists within each other; what is nested deeper was written to break readers
MOST_OPEN = 100  # brackets that are never closed
LONGEST_FORMULA = 2_000
DEEPEST_FORMULA = 30  # braces within braces: the converter recurses
MOST_NODES = 3_000  # of one formula
_DEEP = re.compile(rf"^(?:[ \t]*(?:>|[-*+]|\d{{1,9}}[.)])){{{DEEPEST},}}", re.MULTILINE)
_INDENTED = re.compile(rf"^[ \t]{{{4 * DEEPEST},}}[^ \t\n]", re.MULTILINE)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\\[\]|]+", re.IGNORECASE)
_TAGS = {
    "paragraph": "p", "em": "em", "strong": "strong", "s": "s", "bullet_list": "ul", "ordered_list": "ol",
    "list_item": "li", "table": "table", "thead": "thead", "tbody": "tbody", "tr": "tr", "th": "th", "td": "td",
    "blockquote": "blockquote",
}  # fmt: skip
_MATH_WORDS = """
math mrow mi mn mo mtext mspace mfrac msqrt mroot mstyle msub msup msubsup munder mover munderover mtable mtr mtd mpadded
mphantom menclose
"""
MATH = frozenset(_MATH_WORDS.split())
_ATTRIBUTE_WORDS = """
display mathvariant displaystyle scriptlevel linethickness stretchy fence form separator accent accentunder largeop
movablelimits minsize maxsize lspace rspace width columnalign columnspacing rowspacing columnlines rowlines notation
"""
MATH_ATTRIBUTES = frozenset(_ATTRIBUTE_WORDS.split())
_MATH_VALUE = re.compile(r"[\w.%+ -]{1,40}", re.ASCII)


def read_tree(text: str) -> list[Node]:
    """Read *text* into nodes, each of them inert."""
    text = drop_controls(text)
    cut = len(text) - LONGEST
    if cut > 0:
        text = text[:LONGEST]
    if _breaks_readers(text):
        nodes = _plain(text)
    else:
        try:
            nodes = _build(_reader().parse(text))
        except RecursionError:
            nodes = _plain(text)
    if cut > 0:
        nodes.append(["p", {"class": "note"}, [f"… {cut:,} more characters are not shown here."]])
    return nodes


class GrowingTree:
    """A text that is still coming: what is finished of it is read once, not with every piece.

    A block that another one follows is finished. At the end, read the whole anew: a later line can still name a link.
    """

    def __init__(self) -> None:
        self.finished: list[Node] = []
        self._rest = ""
        self._length = 0

    def add(self, text: str) -> None:
        """More has come."""
        self._rest += text
        self._length += len(text)

    def read_tail(self) -> list[Node]:
        """Move what is finished to `finished`, and give the rest, without what has only begun."""
        if self._length > LONGEST:
            return [["p", {"class": "note"}, [f"… {self._length:,} characters so far."]]]
        text = drop_controls(self._rest)
        begins = [
            token.map[0]
            for token in ([] if _breaks_readers(text) else _reader().parse(text))
            if token.level == 0 and token.map and token.nesting >= 0
        ]
        if len(begins) > 1:
            lines = text.split("\n")
            self.finished += read_tree("\n".join(lines[: begins[-1]]))
            self._rest = text = "\n".join(lines[begins[-1] :])
        return read_tree(markup.complete_part(text))


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": 4 * DEEPEST})
    reader.enable(["table", "strikethrough"])
    reader.inline.ruler.before("escape", "formula", _read_formula)
    reader.block.ruler.before("fence", "formula", _read_display, {"alt": ["paragraph"]})
    return reader


def _breaks_readers(text: str) -> bool:
    """Tell whether *text* nests deeper than anybody writes, or opens brackets without end: each is read to the end of all."""
    if _DEEP.search(text) or _INDENTED.search(text):
        return True
    opened = 0
    for found in re.finditer(r"[\[\]]", text):
        opened = opened + 1 if found[0] == "[" else max(0, opened - 1)
    return opened > MOST_OPEN


def _plain(text: str) -> list[Node]:
    return [["p", {"class": "plain"}, [text]]] if text.strip() else []


# ---------------------------------------------------------------------- tokens → nodes


def _build(tokens: Sequence[Token]) -> list[Node]:
    stack: list[list[Any]] = [["", {}, []]]
    for token in tokens:
        if token.nesting == 1:
            stack.append(_open(token))
        elif token.nesting == -1:
            node = stack.pop()
            stack[-1][2] += _close(node)
        else:
            stack[-1][2] += _leaf(token, is_linked=any(one[0] == "a" for one in stack))
    return list(stack[0][2])


def _open(token: Token) -> list[Any]:
    name = token.type.removesuffix("_open")
    if name == "link":
        return ["a", {"href": str(token.attrs.get("href", ""))}, []]
    if name == "heading":
        return ["p", {"class": "heading"}, []]
    attributes: dict[str, Any] = {}
    if name == "ordered_list" and isinstance(start := token.attrs.get("start"), int):
        attributes["start"] = start
    if "right" in str(token.attrs.get("style", "")):
        attributes["class"] = "right"
    return [_TAGS.get(name, "span"), attributes, []]


def _close(node: list[Any]) -> list[Node]:
    if node[0] == "table":
        return [["div", {"class": "table"}, [node]]]
    return _link(node[1]["href"], node[2]) if node[0] == "a" else [node]


def _leaf(token: Token, *, is_linked: bool) -> list[Node]:
    kind, content = token.type, token.content
    if kind == "inline":
        return _build(token.children or [])
    if kind in ("fence", "code_block"):
        return [["pre", {"lang": markup.name_language(token.info)}, [content.rstrip("\n")]]]
    if kind == "code_inline":
        return [["code", {}, [content]]]
    if kind == "formula":
        return _formula(content, token.markup, token.info)
    if kind == "image":
        host = host_of(str(token.attrs.get("src", "")))
        return [f"[image: {host}] {content}".rstrip() if host else f"[image] {content}".rstrip()]
    if kind in ("hr", "hardbreak"):
        return [["hr" if kind == "hr" else "br", {}, []]]
    if kind == "softbreak":
        return ["\n"]
    return [content] if is_linked else _with_links(content)


def _link(address: str, label: list[Node]) -> list[Node]:
    host = host_of(address)
    if host is None:
        return label
    parts = urlsplit(html.unescape(address))
    rest = parts._replace(scheme="", netloc="").geturl()
    shown = "".join(one for one in label if isinstance(one, str))
    is_seen = shown.isascii() and (shown == host or (host_of(shown) == host and "@" not in shown))
    return [
        ["a", {"href": f"{parts.scheme}://{host}{rest}"}, label or [host]],
        *([] if is_seen else [f" ({host})"]),
    ]


def _with_links(text: str) -> list[Node]:
    """Make links of the addresses in *text*."""
    nodes: list[Node] = []
    at = 0
    for found in _ADDRESS.finditer(text):
        address = found[0].rstrip(".,;:!?*_~")
        while address.endswith(")") and address.count("(") < address.count(")"):
            address = address[:-1].rstrip(".,;:!?*_~")
        if found.start() >= at and host_of(address):
            nodes += [text[at : found.start()], *_link(address, [address])]
            at = found.start() + len(address)
    return [one for one in (*nodes, text[at:]) if one]


# ---------------------------------------------------------------------- formulas


def _read_formula(state: StateInline, silent: bool) -> bool:
    r"""Read `$…$`, `$$…$$`, `\(…\)`, `\[…\]` and environments within a line."""
    text, at = state.src, state.pos
    if text[at] not in "$\\":
        return False
    found = BEGIN.match(text, at)
    if found is not None:
        opening, closing, fence = found[0], f"\\end{{{found[1]}{found[2]}}}", "$$"
    elif (pair := text[at : at + 2]) in ("\\(", "\\[", "$$"):
        opening, closing, fence = (
            pair,
            {"\\(": "\\)", "\\[": "\\]"}.get(pair, pair),
            "$" if pair == "\\(" else "$$",
        )
    elif text[at] == "$":
        opening, closing, fence = "$", "$", "$"
    else:
        return False
    start = at + len(opening)
    end = text.find(closing, start, start + LONGEST_FORMULA)
    while end > 0 and text[end - 1] == "\\" and closing[0] == "$":
        end = text.find(closing, end + 1, start + LONGEST_FORMULA)
    if end <= start:
        return False
    inner, after = text[start:end], end + len(closing)
    if closing[0] == "$" and not is_formula(inner, text[after : after + 1], fence):
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content = set_display(found[1], inner) if found else inner
        token.markup, token.info = fence, text[at:after]
    state.pos = after
    return True


def _read_display(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    r"""Read `$$ … $$`, `\[ … \]` and an environment that stand on lines of their own."""
    line = state.src[state.bMarks[first] + state.tShift[first] : state.eMarks[first]]
    found = BEGIN.match(line)
    if found is not None:
        opening, closing = found[0], f"\\end{{{found[1]}{found[2]}}}"
    elif line[:2] in ("$$", "\\["):
        opening, closing = line[:2], "$$" if line[0] == "$" else "\\]"
    else:
        return False
    gathered, at = [line[len(opening) :]], first
    while closing not in gathered[-1]:
        at += 1
        if at >= last or state.isEmpty(at):
            return False
        gathered.append(state.src[state.bMarks[at] + state.tShift[at] : state.eMarks[at]])
    gathered[-1], _, rest = gathered[-1].partition(closing)
    if rest.strip(" \t.,;"):
        return False
    if not silent:
        inner = " ".join(piece.strip() for piece in gathered).strip()
        token = state.push("formula", "", 0)
        token.content, token.markup = set_display(found[1], inner) if found else inner, "$$"
        token.info, token.map = f"{opening}{inner}{closing}", [first, at + 1]
        state.line = at + 1
    return True


def _formula(inner: str, fence: str, whole: str) -> list[Node]:
    made = _convert(inner.strip(), fence)
    return [["code", {}, [whole]] if made is None else made]


@lru_cache(1_000)
def _convert(inner: str, fence: str) -> list[Any] | None:
    """Make MathML of *inner*; None for what could be more than mathematics, or can't be converted."""
    from latex2mathml.converter import convert_to_element

    formula = mend_formula(inner, fence)
    if formula is None or len(formula) > LONGEST_FORMULA or _depth(formula) > DEEPEST_FORMULA:
        return None
    try:
        made = convert_to_element(formula, display="block" if fence == "$$" else "inline")
        return _element(made, [0])
    except Exception:  # it raises what it likes for what it does not know
        return None


def _depth(formula: str) -> int:
    deepest = depth = 0
    for sign in re.findall(r"[{}]|\\left|\\right|\\begin|\\end|[_^]", formula):
        depth += -1 if sign in ("}", "\\right", "\\end") else 1 if sign not in ("_", "^") else 0
        deepest = max(deepest, depth)
    return deepest


def _element(element: Element, nodes: list[int], depth: int = 0) -> list[Any]:
    nodes[0] += 1
    if element.tag not in MATH or nodes[0] > MOST_NODES or depth > 3 * DEEPEST_FORMULA:
        raise ValueError(element.tag)
    attributes = {
        name: value
        for name, value in element.attrib.items()
        if name in MATH_ATTRIBUTES and _MATH_VALUE.fullmatch(value)
    }
    inside: list[Node] = [html.unescape(element.text)] if element.text else []
    for child in element:
        inside.append(_element(child, nodes, depth + 1))
        if child.tail and child.tail.strip():
            inside.append(html.unescape(child.tail))
    return [element.tag, attributes, inside]
