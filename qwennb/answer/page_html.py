"""Our own inert Markdown as HTML, for a front end that would make more of it: marimo's fetches icons and draws diagrams.

What `markup` and `page` have written is read as they meant it. Of tags only theirs pass, and none with an attribute; of
addresses only http and https; all else is text. A formula becomes marimo's element for one.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_OURS = re.compile(
    r"<(/?)(details|summary|blockquote|sub|br|code|samp|span|table|thead|tbody|tr|th|td|b|i|em|strong)( open)?>"
)
_FORMULA = re.compile(r"(\${1,2})([^$\n]+)\1")


def write_html(markdown: str) -> str:
    """Write *markdown*, which is ours, as HTML."""
    return f'<div class="qwennb-answer">{_reader().render(markdown)}</div>'


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.inline.ruler.before("escape", "formula", _read_formula)
    for kind, rule in {
        "html_block": _write_tags, "html_inline": _write_tags, "image": _write_image, "link_open": _write_link,
        "formula": _write_formula,
    }.items():  # fmt: skip
        reader.add_render_rule(kind, rule)
    return reader


def _read_formula(state: StateInline, silent: bool) -> bool:
    found = _FORMULA.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.markup = found[2], found[1]
    state.pos = found.end()
    return True


def _write_tags(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    """Pass our own tags, and have all that stands between them as text."""
    made, seen = [], 0
    content = tokens[at].content
    for found in _OURS.finditer(content):
        made += [_escape(content[seen : found.start()]), f"<{found[1]}{found[2]}{found[3] or ''}>"]
        seen = found.end()
    return "".join([*made, _escape(content[seen:])])


def _write_image(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    return _escape(tokens[at].content)


def _write_link(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    address = str(tokens[at].attrs.get("href", ""))
    if not re.match(r"https?://", address, re.IGNORECASE):
        return "<a>"
    return f'<a href="{html.escape(address)}" target="_blank" rel="noreferrer noopener">'


def _write_formula(_: Any, tokens: Sequence[Token], at: int, *__: Any) -> str:
    left, right = ("||[", "||]") if tokens[at].markup == "$$" else ("||(", "||)")
    return f'<marimo-tex class="arithmatex">{left}{_escape(tokens[at].content)}{right}</marimo-tex>'


def _escape(text: str) -> str:
    return html.escape(html.unescape(text))
