"""What runs in a process of its own: pdf-oxide, over one PDF from a stranger.

A reader in native code can be made to fill the memory, to work for hours or to crash; here that costs one document and not the
notebook. Run as a file, so that nothing else of qwennb is loaded (some 40 ms, of which pdf-oxide is 25). The one argument holds
the settings as JSON, stdin the PDF. What stdout says is lines of JSON: `{"pages": 500}`, then one for each page that is
wanted, then `{"end": true}`; or `{"locked": true}`, `{"broken": "why"}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import Any

LITTLE = 200  # characters; a page with more is no scan, whatever is stamped on it
NOTES = ("Text", "FreeText", "Highlight", "Underline", "StrikeOut", "Squiggly", "Caret")
TABLE_LINES = range(4, 3_000)  # with fewer lines on the page no table has rules; more are a map or a plot
NEAR = 3.0  # points; rules that are meant to meet often miss each other by less

Rule = tuple[float, float, float]  # where a line stands, and from where to where it goes


def main() -> None:
    """Read the PDF on stdin, and tell."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path[:0] = settings["path"]
    import pdf_oxide  # noqa: F401 - before the memory is bounded: the bound is on what a document makes of it

    set_bounds(settings["seconds"], settings["bytes"])
    content = sys.stdin.buffer.read()
    try:
        for line in read(content, settings["wanted"], settings["most"]):
            report.write(json.dumps(line) + "\n")
        report.flush()
    except MemoryError:
        os._exit(1)
    os._exit(0)  # what was read is let go of with the process, and not object by object


def set_bounds(seconds: int, memory: int) -> None:
    """Have the system end us when we take more than that beside what we have. Windows can't: there our parent's clock is all."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm", encoding="ascii") as status:  # noqa: PTH123 - Linux alone counts what we have
            memory += int(status.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def read(content: bytes, wanted: list[int] | None, most: int) -> Any:
    """Give the lines to tell; pages only where there are at most *most*."""
    import pdf_oxide

    pdf_oxide.disable_logging()
    try:
        document = pdf_oxide.PdfDocument.from_bytes(content)
        count = len(document)
    except (OSError, ValueError, RuntimeError) as error:
        yield tell_error(error)
        return
    yield {"pages": count}
    chosen = range(1, count + 1) if wanted is None else wanted
    if len(chosen) > most or any(number > count for number in chosen):
        return
    drawing = Drawing(content)
    for number in chosen:
        try:
            yield {"page": number, **read_page(document, number - 1, drawing)}
        except (OSError, ValueError, RuntimeError) as error:
            yield tell_error(error, f"page {number}: ")
            return
    yield {"end": True}


def tell_error(error: Exception, where: str = "") -> dict[str, Any]:
    """Write the line that tells *error*; what is locked may open and have its number of pages, and no more."""
    return {"locked": True} if "password" in str(error) else {"broken": f"{where}{error}"}


def read_page(document: Any, index: int, drawing: Drawing) -> dict[str, Any]:
    """Read what one page says: its text, and what the text alone does not show."""
    notes, spans = read_notes(document, index), document.extract_spans(index)
    if turn := find_turn(document, index, spans):
        document, index = drawing.turn(index, turn), 0
        spans = document.extract_spans(index)
    text = document.extract_text(index)
    told: dict[str, Any] = {"text": text}
    looks = json.loads(document.classify_page(index))
    if not text.strip():
        told["scanned"] = drawing.shows_something(index)
    elif len(text.strip()) < LITTLE:
        told["scanned"] = looks["kind"] == "scanned"
    if looks["signals"]["vector_path_count"] in TABLE_LINES:
        told["tables"] = find_tables(document.extract_paths(index), document.extract_words(index))
    if any(span.text.rstrip().endswith("-") for span in spans):
        told["spans"] = [span.text for span in spans]
    if notes:
        told["notes"] = notes
    return told


def read_notes(document: Any, index: int) -> list[str]:
    """Read what people have written on the page, which stands beside its text."""
    return [
        note["contents"]
        for note in document.get_annotations(index)
        if note.get("subtype") in NOTES and note.get("contents")
    ]


def find_turn(document: Any, index: int, spans: Any) -> int:
    """Tell by how much most of the page's words are turned against the paper: a wide table, stored lying."""
    # Words tell their angle, and cost ten times what spans cost. A span's box is as if it were upright, so the lines of
    # turned text lie over each other: only then the words are asked.
    boxes = [span.bbox for span in spans if len(span.text) > 3][:80]
    crossings = sum(
        one[0] < other[0] + other[2] / 2 < one[0] + one[2]
        and one[1] < other[1] + other[3] / 2 < one[1] + one[3]
        for i, one in enumerate(boxes)
        for other in boxes[:i]
    )
    if crossings * 4 < len(boxes) or not boxes:
        return 0
    angles: Counter[int] = Counter()
    for word in document.extract_words(index):
        angles[round(word.rotation_degrees) % 360] += len(word.text)
    angle, letters = angles.most_common(1)[0] if angles else (0, 0)
    return angle if angle in (90, 180, 270) and letters * 2 > angles.total() else 0


def find_tables(paths: Any, words: Any) -> list[list[list[str]]]:
    """Find the tables that have rules: rows of cells of text.

    pdf-oxide's own search finds none as soon as one cell has two lines.
    """
    flat, upright = [], []  # (at, from, to)
    for path in paths:
        left, bottom, width, height = path["bbox"]
        if height < NEAR < width:
            flat.append((bottom, left, left + width))
        elif width < NEAR < height:
            upright.append((left, bottom, bottom + height))
        elif path["stroke_color"] is not None and len(path["operations"]) <= 5:  # a box drawn around a cell
            flat += [(bottom, left, left + width), (bottom + height, left, left + width)]
            upright += [(left, bottom, bottom + height), (left + width, bottom, bottom + height)]
    upright.sort()
    grids = [join_edges(*grid) for grid in group_rules(flat, upright)]
    return [rows for columns, lines in grids if (rows := fill_cells(columns, lines, words))]


def group_rules(flat: list[Rule], upright: list[Rule]) -> list[tuple[list[Rule], list[Rule]]]:
    """Group the rules that cross each other, from the top of the page down; *upright* ones come sorted."""
    groups: list[tuple[list[Rule], list[Rule]]] = []
    places = [rule[0] for rule in upright]
    group_of: dict[int, int] = {}  # an upright rule's group
    for rule in sorted(flat, reverse=True):
        at, start, end = rule
        between = range(bisect_left(places, start - NEAR), bisect_right(places, end + NEAR))
        crossing = [i for i in between if upright[i][1] - NEAR <= at <= upright[i][2] + NEAR]
        if not crossing:
            continue
        met = sorted({group_of[i] for i in crossing if i in group_of})
        home = met[0] if met else len(groups)
        if not met:
            groups.append(([], []))
        for other in met[1:]:  # the rule joins what stood apart so far
            for mine, theirs in zip(groups[home], groups[other], strict=True):
                mine += theirs
                theirs.clear()
            group_of.update({i: home for i, group in group_of.items() if group == other})
        groups[home][0].append(rule)
        groups[home][1].extend(upright[i] for i in crossing if i not in group_of)
        group_of.update(dict.fromkeys(crossing, home))
    return [group for group in groups if group[0] and group[1]]


def join_edges(flat: list[Rule], upright: list[Rule]) -> tuple[list[float], list[float]]:
    """Where the columns end, from the left, and the lines of cells, from below; an outer rule that is missing is put there."""
    columns = [rule[0] for rule in upright] + [min(rule[1] for rule in flat), max(rule[2] for rule in flat)]
    lines = [rule[0] for rule in flat] + [min(rule[1] for rule in upright), max(rule[2] for rule in upright)]
    return merge(columns), merge(lines)


def merge(places: list[float]) -> list[float]:
    """Sort *places*, and take those that are near each other as one."""
    merged: list[float] = []
    for place in sorted(places):
        if not merged or place - merged[-1] > NEAR:
            merged.append(place)
    return merged


def fill_cells(columns: list[float], lines: list[float], words: Any) -> list[list[str]]:
    """Put *words* into their cells; nothing where it is a box around text, or a plot's grid with few words in it."""
    cells: dict[tuple[int, int], list[Any]] = {}
    for word in words:
        left, bottom, width, height = word.bbox
        column, line = bisect_right(columns, left + width / 2), bisect_right(lines, bottom + height / 2)
        if 0 < column < len(columns) and 0 < line < len(lines):
            cells.setdefault((len(lines) - line, column), []).append(word)
    rows = sorted({row for row, _ in cells})
    used = sorted({column for _, column in cells})
    if len(rows) < 2 or len(used) < 2 or len(cells) * 5 < len(rows) * len(used) * 2:
        return []
    return [[read_cell(cells.get((row, column), [])) for column in used] for row in rows]


def read_cell(words: list[Any]) -> str:
    """Join a cell's words, line by line."""
    lines: list[list[Any]] = []
    for word in sorted(words, key=lambda word: -word.bbox[1]):
        if not lines or lines[-1][0].bbox[1] - word.bbox[1] > word.bbox[3] / 2:
            lines.append([])
        lines[-1].append(word)
    return " ".join(word.text for line in lines for word in sorted(line, key=lambda word: word.bbox[0]))


class Drawing:
    """The same PDF opened by PDFium, once it is needed: for what pdf-oxide does not see, or sees the wrong way round."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._whole: Any = None

    def _open(self) -> Any:
        import pypdfium2

        if self._whole is None:
            self._whole = pypdfium2.PdfDocument(self._content)
        return self._whole

    def shows_something(self, index: int) -> bool:
        """Tell whether anything is drawn on a page that gave no text: a scan, letters drawn as curves, text that is damaged."""
        from pypdfium2 import raw

        page = self._open()[index]  # held: with its last name it would be closed
        return bool(raw.FPDFPage_CountObjects(page.raw) > 0)

    def turn(self, index: int, angle: int) -> Any:
        """Open the page *index* by itself with pdf-oxide, its text turned clockwise by *angle*.

        pdf-oxide puts the lines of turned text into the wrong order.
        """
        import pdf_oxide
        import pypdfium2
        from pypdfium2 import raw

        cut = pypdfium2.PdfDocument.new()
        cut.import_pages(self._open(), [index])
        page = cut[0]
        left, bottom, right, top = page.get_mediabox()
        matrix = {
            90: (0, -1, 1, 0, -bottom, right),
            180: (-1, 0, 0, -1, right, top),
            270: (0, 1, -1, 0, top, -left),
        }[angle]
        raw.FPDFPage_TransFormWithClip(page.raw, raw.FS_MATRIX(*matrix), None)
        sides = (right - left, top - bottom) if angle == 180 else (top - bottom, right - left)
        page.set_rotation(0)
        page.set_mediabox(0, 0, *sides)
        page.set_cropbox(0, 0, *sides)
        made = io.BytesIO()
        cut.save(made)
        return pdf_oxide.PdfDocument.from_bytes(made.getvalue())


if __name__ == "__main__":
    main()
