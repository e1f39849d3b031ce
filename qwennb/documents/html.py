"""A web page as Markdown: headings, lists, tables, code; no scripts, no styles, nothing fetched.

Python's own parser takes 4 s for 80 kB of `<!--` that is never closed, so hours for some megabytes, and can't be stopped.
What is needed of a page is little, so its tags are found here in one pass; like a browser, we take what is never closed to go
on to the end.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator

from qwennb.documents.document import PageText
from qwennb.documents.plain import check_no_pages, decode_text
from qwennb.documents.tables import join_blocks, write_table
from qwennb.errors import MediaError

# The end of a tag is found with its quoted values skipped. Possessive, for a failed match tries nothing twice.
_TAG = re.compile(r"""<(/?)([a-zA-Z][^\s/>]*+)((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
_ATTRIBUTE = re.compile(r"""(?:^|\s)(alt|type|checked|hidden|charset)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?(?=\s|/|$)""", re.IGNORECASE)  # fmt: skip
_WHOLE = (
    "script",
    "style",
    "template",
    "svg",
    "noscript",
    "iframe",
    "object",
    "canvas",
    "math-annotation",
)  # with all that is in it
_RAW = (
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
    "noembed",
    "noframes",
    "iframe",
)  # no tags are in these
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "main",
        "menu",
        "nav",
        "optgroup",
        "option",
        "p",
        "pre",
        "section",
        "select",
        "summary",
        "ul",
        "ol",
    ]
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_SECONDS = (
    3  # of the processor's time, a megabyte of tags takes some 0.3; then what was written is still joined
)
_CHECK = 10_000  # tags between two looks at the clock
_DEEPEST = 10  # of a list in a list; what lies deeper stands as deep as this
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE)


def read_html(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read a web page, which is one page without a number."""
    check_no_pages(name, pages)
    writer = _Writer()
    until = time.thread_time() + _SECONDS
    for i, (tag, attributes, said) in enumerate(_parts(_decode(content, name))):
        if i % _CHECK == 0 and time.thread_time() > until:
            raise MediaError(
                f"{name} can't be read within {_SECONDS} s: it holds more tags than a page does; give a part of it"
            )
        if tag:
            writer.take(tag, attributes)
        else:
            writer.say(said)
    return (PageText(None, "", writer.text()),)


def _decode(content: bytes, name: str) -> str:
    """Decode the page as it says of itself, and as UTF-8 where it says nothing."""
    told = _CHARSET.search(content[:1024])
    if told and told[1].lower() in (b"iso-8859-1", b"latin1", b"windows-1252", b"us-ascii"):
        return content.decode("cp1252", "replace")  # what browsers take all of these for
    return decode_text(content, name)


def _parts(page: str) -> Iterator[tuple[str, str, str]]:
    """Give the tags (`p`, `/p`) with their attributes, and what is said between them."""
    at = 0
    while at < len(page):
        opens = page.find("<", at)
        if opens != at:
            yield "", "", _unescape(page[at : opens if opens >= 0 else len(page)])
            if opens < 0:
                return
        at = opens
        if page.startswith("<!--", at):
            ends = page.find("-->", at + 4)
            at = ends + 3 if ends >= 0 else len(page)
        elif page[at + 1 : at + 2] in ("!", "?"):
            ends = page.find(">", at)
            at = ends + 1 if ends >= 0 else len(page)
        elif tag := _TAG.match(page, at):
            name = tag[2].lower()
            yield tag[1] + name, tag[3], ""
            at = tag.end()
            if name in _RAW and not tag[1]:
                closes = re.compile(f"</{name}", re.IGNORECASE).search(page, at)
                ends = closes.start() if closes else len(page)
                yield "", "", _unescape(page[at:ends])
                at = ends
        elif re.compile("</?[a-zA-Z]").match(page, at):
            return  # a tag that never ends
        else:
            yield "", "", "<"
            at += 1


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a number of thousands of digits
        return text


class _Writer:
    """The text, written as tags and words come by."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._silence = ""  # the element whose content is left out, and how often it was opened
        self._silent = 0
        self._lists: list[
            int | None
        ] = []  # the last number of each list that is open, None for one of bullets
        self._preformatted = 0
        self._rows: list[list[str]] | None = None  # of the table that is open
        self._tables = 0
        self._cell: list[str] | None = None

    def text(self) -> str:
        """Give all that was written."""
        self._silent = 0
        if self._tables:  # what was never closed ends here, however deep it goes
            self._tables = 1
            self.take("/table", "")
        self._break()
        return join_blocks(self._lines)

    def say(self, words: str) -> None:
        if self._silent:
            return
        if self._cell is not None:
            self._cell.append(words)
        elif self._preformatted:
            first, *rest = words.split("\n")
            self._line.append(first)
            for line in rest:
                self._lines.append("".join(self._line).rstrip())
                self._line = [line]
        else:
            self._line.append(re.sub(r"\s+", " ", words))

    def take(self, tag: str, attributes: str) -> None:
        """Take in a tag, `p` or `/p`."""
        name, closes = tag.lstrip("/"), tag.startswith("/")
        if self._silent:
            if name == self._silence:
                self._silent += -1 if closes else 1
        elif name in _WHOLE and not closes:
            self._silence, self._silent = name, 0 if attributes.endswith("/") and name not in _RAW else 1
        elif name in ("table", "tr", "td", "th"):
            self._take_table(name, closes)
        elif self._cell is not None:
            self._cell.append(_alt(attributes) if name == "img" else " ")
        elif name in ("ul", "ol", "li"):
            self._take_list(name, closes)
        elif name in _HEADINGS:
            self._break(blank=True)
            self._line = [] if closes else [_HEADINGS[name]]
        elif name in ("pre", "listing", "xmp"):
            self._break(blank=True)
            self._lines.append("```" if not closes or self._preformatted else "")
            self._preformatted = max(self._preformatted + (-1 if closes else 1), 0)
        elif name == "br":
            self._break()
        elif name == "img":
            self._line.append(_alt(attributes))
        elif name == "title" or name in _BLOCKS:
            self._break(blank=True)

    def _take_list(self, name: str, closes: bool) -> None:
        if name == "li" and not closes:
            self._break()
            depth = min(len(self._lists), _DEEPEST)
            mark = "- "
            if self._lists and (count := self._lists[-1]) is not None:
                self._lists[-1], mark = count + 1, f"{count + 1}. "
            self._line = ["  " * max(depth - 1, 0) + mark]
        elif name != "li":
            self._break(blank=len(self._lists) == (1 if closes else 0))
            if closes:
                del self._lists[-1:]
            else:
                self._lists.append(0 if name == "ol" else None)

    def _take_table(self, name: str, closes: bool) -> None:
        """Take in a table's tags; a table within a cell is no table of its own, its words are the cell's."""
        if name == "table":
            self._tables = max(self._tables + (-1 if closes else 1), 0)
            if self._tables == 1 and not closes:
                self._break(blank=True)
                self._rows = []
            elif self._tables == 0 and self._rows is not None:
                self._end_cell()
                self._lines += ["", *write_table([row for row in self._rows if any(row)]), ""]
                self._rows = None
        elif self._rows is None or self._tables > 1:
            self.say(" ")
        elif name == "tr":
            self._end_cell()
            if not closes:
                self._rows.append([])
        else:
            self._end_cell()
            if not closes:
                self._cell = []

    def _end_cell(self) -> None:
        if self._cell is not None and self._rows is not None:
            if not self._rows:
                self._rows.append([])
            self._rows[-1].append("".join(self._cell))
        self._cell = None

    def _break(self, *, blank: bool = False) -> None:
        """End the line that is being written."""
        line = "".join(self._line).rstrip()
        self._line = []
        if line.strip():
            indent = len(line) - len(line.lstrip()) if self._lists or self._preformatted else 0
            self._lines.append(line[:indent] + line.strip())
        if blank and not self._lists:
            self._lines.append("")


def _alt(attributes: str) -> str:
    """Write what a picture is said to show."""
    for name, *values in _ATTRIBUTE.findall(attributes):
        if name.lower() == "alt" and (said := "".join(values).strip()):
            return f" [picture: {_unescape(said)}] "
    return ""
