"""A Word document as Markdown: headings, lists with their numbers, tables, footnotes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from qwennb.documents.document import PageText
from qwennb.documents.office import Attributes, OfficeFile
from qwennb.documents.plain import check_no_pages
from qwennb.documents.tables import join_blocks, write_table

_BODY = "word/document.xml"
# What is deleted in a tracked change; the code of a field; the same drawing once more, for programs of 2007.
_SILENT = ("del", "moveFrom", "instrText", "Fallback")
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_WIDEST = 63  # columns of a table, Word's own limit
_DEEPEST = 8  # of a list's nine levels, and of a heading's


def read_docx(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read a Word document, which has no pages before it is printed."""
    check_no_pages(name, pages)
    file = OfficeFile(content, name)
    styles, lists = _read_styles(file), _Lists.read(file)
    body = _Text(styles, lists)
    file.walk(_BODY, body.start, body.end, body.say)
    blocks = body.blocks()
    for kind in ("footnotes", "endnotes"):
        if not file.has(f"word/{kind}.xml"):
            continue
        notes = _Notes(styles, lists)
        file.walk(f"word/{kind}.xml", notes.start, notes.end, notes.say)
        blocks += [
            f"[^{mark}]: {notes.said[note]}" for note, mark in body.marks.items() if note in notes.said
        ]
    return (PageText(None, "", join_blocks(blocks)),)


@dataclass
class _Style:
    """What a paragraph's style says of it: the level of a heading from 0, and its list."""

    level: int | None = None
    list: str = ""
    depth: int = 0


def _read_styles(file: OfficeFile) -> dict[str, _Style]:
    styles: dict[str, _Style] = {}
    now = _Style()

    def start(name: str, attributes: Attributes) -> None:
        nonlocal now
        value = attributes.get("val", "")
        if name == "style":
            now = styles.setdefault(attributes.get("styleId", ""), _Style())
        elif name == "name" and value.lower() == "title":
            now.level = 0
        elif name == "name" and (heading := re.fullmatch(r"heading ([1-9])", value.lower())):
            now.level = int(heading[1]) - 1
        elif name == "outlineLvl" and now.level is None:
            now.level = _level(value) if value != "9" else None  # 9 is for the body
        elif name == "numId":
            now.list = value
        elif name == "ilvl":
            now.depth = _level(value)

    if file.has("word/styles.xml"):
        file.walk("word/styles.xml", start)
    return styles


def _level(value: str) -> int:
    return min(int(value), _DEEPEST) if value.isdecimal() and len(value) < 4 else 0


@dataclass
class _Lists:
    """How the entries of each list are marked, and how far each has been counted."""

    forms: dict[str, dict[int, tuple[str, str, int]]] = field(
        default_factory=dict
    )  # level: kind, pattern, first
    of: dict[str, str] = field(default_factory=dict)  # a list's form
    counts: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def read(cls, file: OfficeFile) -> _Lists:
        lists = cls()
        form: dict[int, tuple[str, str, int]] = {}
        level, list_ = 0, ""

        def start(name: str, attributes: Attributes) -> None:
            nonlocal form, level, list_
            value = attributes.get("val", "")
            if name == "abstractNum":
                form = lists.forms.setdefault(attributes.get("abstractNumId", ""), {})
            elif name == "lvl":
                level = _level(attributes.get("ilvl", ""))
                form[level] = "decimal", f"%{level + 1}.", 1
            elif name == "num":
                list_, form = attributes.get("numId", ""), {}
            elif name == "abstractNumId":
                lists.of[list_] = value
            elif level in form and name in ("numFmt", "lvlText", "start"):
                kind, pattern, first = form[level]
                form[level] = (
                    value if name == "numFmt" else kind,
                    value if name == "lvlText" else pattern,
                    int(value) if name == "start" and value.isdecimal() and len(value) < 9 else first,
                )

        if file.has("word/numbering.xml"):
            file.walk("word/numbering.xml", start)
        return lists

    def mark(self, list_: str, depth: int) -> str:
        """Write the mark of the list's next entry: `- `, `3. `, `b) `, `2.1 `."""
        name = self.of.get(list_, "")
        form = self.forms.get(name, {})
        kind, pattern, first = form.get(depth, ("bullet", "", 1))
        for deeper in range(depth + 1, _DEEPEST + 1):
            self.counts.pop((name, deeper), None)
        self.counts[name, depth] = self.counts.get((name, depth), first - 1) + 1
        if kind in ("bullet", "none"):
            return "- " if kind == "bullet" else ""

        def number(place: re.Match[str]) -> str:
            level = int(place[1]) - 1
            kind, _, first = form.get(level, ("decimal", "", 1))
            return _number(kind, self.counts.get((name, level), first))

        return re.sub("%([1-9])", number, pattern) + " "


def _number(kind: str, count: int) -> str:
    if kind in ("lowerLetter", "upperLetter"):
        letter = chr(97 + (count - 1) % 26) * min((count - 1) // 26 + 1, 9)
        return letter if kind == "lowerLetter" else letter.upper()
    if kind in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        roman = ""
        for value, sign in _ROMAN:
            roman += sign * (count // value)
            count %= value
        return roman if kind == "lowerRoman" else roman.upper()
    return str(count)


class _Text:
    """The text of one part, built as its elements come by."""

    def __init__(self, styles: dict[str, _Style], lists: _Lists) -> None:
        self._styles, self._lists = styles, lists
        self._silent = 0
        self._speaks = False
        self._paragraphs: list[_Paragraph] = []  # one within another, where a box of text hangs on it
        self._tables: list[list[list[str]]] = []  # one within another
        self._cells: list[list[str]] = [[]]  # of the tables; the first is the document
        self._spans: list[int] = []  # how many columns each of the open cells takes
        self.marks: dict[tuple[str, str], str] = {}  # how a foot- or endnote is marked, by its kind and id

    def blocks(self) -> list[str]:
        """Give what was written, line by line."""
        return self._cells[0]

    def start(self, name: str, attributes: Attributes) -> None:
        if name in _SILENT or self._silent:
            self._silent += 1
            return
        value = attributes.get("val", "")
        now = self._paragraphs[-1] if self._paragraphs else None
        if name == "p":
            self._paragraphs.append(_Paragraph())
        elif name == "tbl":
            self._tables.append([])
        elif name == "tr" and self._tables:
            self._tables[-1].append([])
        elif name == "tc":
            self._cells.append([])
            self._spans.append(1)
        elif name == "gridSpan" and self._spans and value.isdecimal():
            self._spans[-1] = min(int(value[:3]), _WIDEST)
        elif now is None:
            return
        elif name == "t":
            self._speaks = True
        elif name == "pStyle":
            style = self._styles.get(value, _Style())
            now.level, now.list, now.depth = style.level, now.list or style.list, now.depth or style.depth
        elif name == "numId":
            now.list = value if value != "0" else ""
        elif name == "ilvl":
            now.depth = _level(value)
        elif name in ("footnoteReference", "endnoteReference"):
            now.said.append(f"[^{self._mark_note(name.removesuffix('Reference'), attributes.get('id', ''))}]")
        elif (
            sign := _SIGNS.get(name)
        ) and "pos" not in attributes:  # with a position it is a stop of the ruler
            now.said.append(sign)

    def say(self, text: str) -> None:
        if self._speaks and self._paragraphs:
            self._paragraphs[-1].said.append(text)

    def end(self, name: str) -> None:
        if self._silent:
            self._silent -= 1
        elif name == "t":
            self._speaks = False
        elif name == "p" and self._paragraphs:
            self._cells[-1] += self._write(self._paragraphs.pop())
        elif name == "tc" and len(self._cells) > 1 and self._tables:
            said = " ".join(line for line in self._cells.pop() if line)
            if self._tables[-1]:
                self._tables[-1][-1] += [said, *[""] * (self._spans.pop() - 1)]
        elif name == "tbl" and self._tables:
            lines = write_table(self._tables.pop())
            if len(self._cells) > 1:  # within a cell of another table
                self._cells[-1] += [line.strip("| ") for line in lines if set(line) - set("|- ")]
            else:
                self._cells[-1] += ["", *lines, ""]

    def _mark_note(self, kind: str, note: str) -> str:
        """Count the notes as Word does: 1, 2, 3 at the foot of a page, i, ii, iii at the end."""
        if (kind, note) not in self.marks:
            count = sum(1 for other, _ in self.marks if other == kind) + 1
            self.marks[kind, note] = str(count) if kind == "footnote" else _number("lowerRoman", count)
        return self.marks[kind, note]

    def _write(self, paragraph: _Paragraph) -> list[str]:
        said = "".join(paragraph.said).strip()
        if not said:
            return []
        if len(self._cells) > 1:
            return [said]
        if paragraph.level is not None:
            return ["", "#" * min(paragraph.level + 1, 6) + " " + said, ""]
        if paragraph.list:
            mark = self._lists.mark(paragraph.list, paragraph.depth)
            return ["  " * paragraph.depth + mark + said]
        return ["", said, ""]


@dataclass
class _Paragraph:
    """A paragraph so far: what it says, the level of a heading, the list that it is in."""

    said: list[str] = field(default_factory=list)
    level: int | None = None
    list: str = ""
    depth: int = 0


class _Notes(_Text):
    """Footnotes or endnotes: what each says, by its kind and id."""

    def __init__(self, styles: dict[str, _Style], lists: _Lists) -> None:
        super().__init__(styles, lists)
        self._note = ""
        self.said: dict[tuple[str, str], str] = {}

    def start(self, name: str, attributes: Attributes) -> None:
        if name in ("footnote", "endnote"):
            self._note = attributes.get("id", "")
        super().start(name, attributes)

    def end(self, name: str) -> None:
        super().end(name)
        if name in ("footnote", "endnote"):
            self.said[name, self._note] = " ".join(filter(None, self._cells[0]))
            self._cells[0] = []
