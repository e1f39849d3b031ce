"""A PDF's text layer, page by page, read with pdf-oxide in a process of its own (`pdf_child.py`).

pypdfium2, which draws pages for us, gives the text of two columns line by line across both and knows no tables. pdf-oxide
reads one column after the other and finds tables. What a question says must not depend on which of the two is installed,
so there is no falling back: without pdf-oxide a sentence says what to type.

Of pdf-oxide's forms the plain text is taken, line by line as on the page: its Markdown puts the lines of three columns and of
tables without rules into the wrong order, and writes Hebrew backwards. Tables that have rules are set as Markdown tables here,
where the lines of the text say the same words. A word broken at a line's end stays broken, as on the page: pdf-oxide joins all
of them without their hyphen, and makes `wellknown` of a well-known quay.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from qwennb.documents.child import ask_child, is_installed
from qwennb.documents.document import PageText
from qwennb.documents.quote import LIGATURES
from qwennb.documents.tables import write_table
from qwennb.errors import MediaError

MOST_PAGES = 5_000
_LIBRARIES = ("pdf_oxide", "pypdfium2", "pypdfium2_raw")

# Signs that stand for others: ligatures; bullets, as they come from WinAnsi and from the Symbol font. What remains of the
# controls is no text.
_SIGNS = str.maketrans({**LIGATURES, "\x7f": "•", "\uf0b7": "•", "\uf0a7": "▪", "\u00a0": " "})
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_WORD = re.compile(r"\w+")
_TAIL, _FRONT = re.compile(r"(\w+)-\s*$"), re.compile(r"\s*(\w+)")


def read_pdf(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read the pages that were asked for, all of them without *pages*."""
    for library in _LIBRARIES[:2]:
        if not is_installed(library):
            raise MediaError(
                f"the text of {name} needs {library.replace('_', '-')}, which is not installed; "
                'type: pip install "qwennb[pdf]"'
            )
    _check_end(content, name)
    first, *rest = ask_child("pdf_child.py", content, name, _LIBRARIES, wanted=pages, most=MOST_PAGES)
    told = rest[-1] if rest else first
    if "locked" in told:
        raise MediaError(f"{name} is locked with a password; save it without one")
    if "broken" in told:
        raise MediaError(f"{name} is not a PDF that can be read ({told['broken']}); print it to a new one")
    count = first["pages"]
    if count == 0:
        raise MediaError(f"{name} has no pages; give one that has")
    if pages is not None and max(pages) > count:
        raise MediaError(f"{name} has {count} pages; there is no page {max(pages)}")
    if len(pages or range(count)) > MOST_PAGES:
        raise MediaError(
            f"{name} has {count:,} pages; at most {MOST_PAGES:,} are read, so choose some with pages="
        )
    return tuple(_write_page(page) for page in rest[:-1])


def _check_end(content: bytes, name: str) -> None:
    """Refuse the beginning of a file: its missing pages would be read as empty ones."""
    end = content.rfind(b"%%EOF")
    if re.search(rb"\d+\s+\d+\s+obj\b", content[max(end, 0) :]):
        raise MediaError(f"{name} ends in the middle, as after a download that broke off; fetch it again")


def _write_page(page: dict[str, Any]) -> PageText:
    text = page["text"]
    if "spans" in page:
        text = _break_words(text, page["spans"])
    for rows in page.get("tables", ()):
        text = _set_table(text, rows)
    text = "\n\n".join([text.strip("\n"), *(f"[note: {note.strip()}]" for note in page.get("notes", ()))])
    text = _BLANK_LINES.sub("\n\n", _CONTROLS.sub("", text.translate(_SIGNS)))
    return PageText(page["page"], "", text.strip("\n"), page.get("scanned", False))


def _break_words(text: str, spans: list[str]) -> str:
    """Put the hyphen and the line's end back into words that were joined; *spans* are the pieces as they stand on the page."""
    standing = {word for span in spans for word in _WORD.findall(span)}
    tails = {tail[1] for span in spans if (tail := _TAIL.search(span))}
    fronts = {front[1] for span in spans if (front := _FRONT.match(span))}

    def split(word: re.Match[str]) -> str:
        said = word.group()
        if said not in standing:
            for cut in range(1, len(said)):
                if said[:cut] in tails and said[cut:] in fronts:
                    return f"{said[:cut]}-\n{said[cut:]}"
        return said

    return _WORD.sub(split, text)


def _set_table(text: str, rows: list[list[str]]) -> str:
    """Set the lines of *text* that say what *rows* say as a Markdown table; as it is, where no lines do."""
    wanted = Counter(word for row in rows for cell in row for word in cell.split())
    if not wanted or len(rows) < 2 or max(map(len, rows)) < 2:
        return text
    lines = text.split("\n")
    words = [line.split() for line in lines]
    # The run of lines whose words are the table's, no more and no fewer: lines are taken in at its end and let go at its start.
    start, held, missing = 0, Counter[str](), wanted.total()
    for end, said in enumerate(words):
        for word in said:
            missing -= held[word] < wanted[word]
            held[word] += 1
        while start <= end and any(held[word] > wanted[word] for word in said):
            for word in words[start]:
                held[word] -= 1
                missing += held[word] < wanted[word]
            start += 1
        if missing == 0:
            while not words[start]:
                start += 1
            return "\n".join([*lines[:start], "", *write_table(rows), "", *lines[end + 1 :]])
    return text
