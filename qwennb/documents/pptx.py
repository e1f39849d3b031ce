"""A presentation by slides: what stands on each, its tables, and the notes of whoever speaks."""

from __future__ import annotations

from qwennb.documents.document import PageText
from qwennb.documents.office import Attributes, OfficeFile
from qwennb.documents.tables import join_blocks, write_table
from qwennb.errors import MediaError

_MAIN = "ppt/presentation.xml"
_REPEATED = ("sldNum", "ftr", "dt", "hdr", "sldImg")  # a slide's number, foot, date: the same on each


def read_pptx(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read the slides that were asked for, all of them without *pages*, in the order in which they are shown."""
    file = OfficeFile(content, name)
    slides = _slides(file)
    if not slides:
        raise MediaError(f"{name} has no slides; give one that has")
    if pages is not None and max(pages) > len(slides):
        raise MediaError(f"{name} has {len(slides)} slides; there is no slide {max(pages)}")
    return tuple(
        PageText(number, "", _read_slide(file, slides[number - 1]))
        for number in pages or range(1, len(slides) + 1)
    )


def _slides(file: OfficeFile) -> list[str]:
    links, slides = file.links(_MAIN), []

    def start(name: str, attributes: Attributes) -> None:
        # The id of the slide and that of its link have the same name without their prefix; the second comes last.
        if name == "sldId" and (link := links.get(attributes.get("id", ""))):
            slides.append(link[1])

    file.walk(_MAIN, start)
    return slides


def _read_slide(file: OfficeFile, part: str) -> str:
    slide = _Shapes()
    file.walk(part, slide.start, slide.end, slide.say)
    lines = [*(f"# {title}" for title in slide.titles), "", *slide.lines]
    for kind, linked in file.links(part).values():
        if kind == "notesSlide" and file.has(linked):
            notes = _Shapes()
            file.walk(linked, notes.start, notes.end, notes.say)
            said = [line for line in (*notes.titles, *notes.lines) if line]
            lines += ["", "Notes: " + "\n".join(said)] if said else []
    return join_blocks(lines)


class _Shapes:
    """The text of a slide's shapes: titles apart, for they may come late in the file and stand above all."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.lines: list[str] = []
        self._place = ""  # what the shape is there for
        self._silent = 0
        self._said: list[str] | None = None
        self._depth = 0
        self._rows: list[list[str]] = []
        self._cell: list[str] | None = None
        self._speaks = False

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "Fallback" or self._silent:  # the same drawing once more, for older programs
            self._silent += 1
        elif name in ("sp", "graphicFrame"):
            self._place = ""
            self.lines.append("")
        elif name == "ph":
            self._place = attributes.get("type", "")
        elif name == "tbl":
            self._rows = []
        elif name == "tr":
            self._rows.append([])
        elif name == "tc":
            self._cell = []
        elif name == "p":
            self._said, self._depth = [], 0
        elif name == "pPr":
            level = attributes.get("lvl", "0")
            self._depth = int(level) if level in "012345678" and level else 0
        elif name == "br" and self._said is not None:
            self._said.append("\n")
        elif name == "t":
            self._speaks = True

    def say(self, text: str) -> None:
        if self._speaks and self._said is not None:
            self._said.append(text)

    def end(self, name: str) -> None:
        if self._silent:
            self._silent -= 1
        elif name == "t":
            self._speaks = False
        elif name == "p" and self._said is not None:
            self._write("".join(self._said).strip())
            self._said = None
        elif name == "tc" and self._cell is not None:
            if self._rows:
                self._rows[-1].append(" ".join(self._cell))
            self._cell = None
        elif name == "tbl":
            self.lines += ["", *write_table(self._rows), ""]

    def _write(self, said: str) -> None:
        if not said or self._place in _REPEATED:
            return
        if self._cell is not None:
            self._cell.append(said)
        elif self._place in ("title", "ctrTitle"):
            self.titles.append(" ".join(said.split()))
        else:
            self.lines.append("  " * self._depth + said)
