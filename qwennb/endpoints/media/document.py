"""Documents on the wire: the text of each page below a line that says which it is; pages without text drawn.

    [report.pdf, page 211]          [notes.md]                [src/app.py, lines 120 to 380]
    Revenue rose …                  Ask Ada about …           def run(): …

The line names the file on every page, and not once above all: a small model that is asked where something stands looks at
the nearest line above it. A `Pdf` has no name in its key, so it is shown none; where a message has several, they are
counted (`[PDF 2, page 3]`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from qwennb.documents import DocumentText, PageText
from qwennb.endpoints.media.limits import MediaLimits
from qwennb.endpoints.media.pdf import pages_of
from qwennb.endpoints.media.picture import PreparedPicture
from qwennb.errors import MediaError
from qwennb.request import Document, Medium, Part, Pdf, Text

NOT_SHOWN = "(This page is a picture without text, and is not shown.)"


@dataclass(frozen=True, slots=True)
class SentPage:
    """One page as it is sent: below the line `heading` its text, or its picture."""

    heading: str
    text: str
    picture: PreparedPicture | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a document is: its text as it is sent, its pages, and how many of them go as pictures."""

    text: str
    pages: int
    pictures: int


def is_read(medium: Medium) -> bool:
    """Tell whether *medium* is a document that goes as text, as far as it has text."""
    return isinstance(medium, Pdf | Document) and medium.as_ in ("auto", "text") and medium.url is None


def write_pages(medium: Pdf | Document, limits: MediaLimits, label: str = "") -> list[SentPage]:
    """The pages of *medium* as they are sent; *label* is what a PDF without a name is called beside others."""
    read = medium.read()
    scanned = [page for page in read.pages if page.is_scanned]
    pictures: dict[int | None, PreparedPicture] = {}
    if scanned and medium.as_ == "auto":
        pictures = _draw(medium, scanned, limits)
    return [
        SentPage(heading, page.text, pictures.get(page.number))
        if not page.is_scanned or pictures
        else SentPage(heading, NOT_SHOWN)
        for heading, page in zip(_headings(medium, read, label), read.pages, strict=True)
    ]


def measure(medium: Pdf | Document) -> Extent:
    """Measure what of *medium* goes as text, and as pictures where the model sees them."""
    read = medium.read()
    lines = zip(_headings(medium, read, ""), read.pages, strict=True)
    text = "\n\n".join(f"{heading}\n{page.text}" for heading, page in lines)
    pictures = sum(page.is_scanned for page in read.pages) if medium.as_ == "auto" else 0
    return Extent(text, len(read.pages), pictures)


def count_letters(media: Sequence[Medium]) -> int:
    """Count the characters of the documents among *media* that go as text."""
    read = [one.read() for one in media if isinstance(one, Pdf | Document) and is_read(one)]
    return sum(len(page.text) for one in read for page in one.pages)


def list_not_shown(media: Sequence[Medium]) -> list[tuple[str, tuple[int | None, ...]]]:
    """List the documents of which pages are left out because they have no text, with these pages."""
    asked = [one for one in media if isinstance(one, Pdf | Document) and one.as_ == "text" and is_read(one)]
    found = [(one.name, tuple(page.number for page in one.read().pages if page.is_scanned)) for one in asked]
    return [(name, pages) for name, pages in found if pages]


def order_parts(parts: Sequence[Part]) -> list[Part]:
    """Put documents before the question that is asked about them.

    What was read once is found again in the server's prefix cache, whatever is asked of it next; and the question is what a
    model has read last. Only one text followed by media is put in another order: where the prompt itself says what stands where, that is
    how it goes.
    """
    if not parts or not isinstance(parts[0], Text) or any(isinstance(part, Text) for part in parts[1:]):
        return list(parts)
    return sorted(parts, key=lambda part: not (isinstance(part, Medium) and is_read(part)))


def label_pdfs(parts: Sequence[Part]) -> dict[int, str]:
    """Number the PDFs without a name, where a message has several: by the place of each among *parts*."""
    nameless = [place for place, part in enumerate(parts) if isinstance(part, Pdf)]
    return {place: f"PDF {number}" for number, place in enumerate(nameless, 1)} if len(nameless) > 1 else {}


def join_texts(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | str:
    """Join neighbouring texts with a blank line between them; where there is nothing else, the text alone.

    How servers join several texts differs, and some models take no list of parts at all.
    """
    made: list[dict[str, Any]] = []
    for is_text, run in groupby(parts, key=lambda part: part["type"] == "text"):
        if is_text:
            made.append({"type": "text", "text": _join([part["text"] for part in run])})
        else:
            made += run
    return made[0]["text"] if len(made) == 1 and made[0]["type"] == "text" else made


def _join(texts: list[str]) -> str:
    """Join *texts* with a blank line between each two; what stands before the first and behind the last stays."""
    if len(texts) == 1:
        return texts[0]
    first, *others, last = texts
    return "\n\n".join([first.rstrip(), *(text.strip() for text in others), last.lstrip()])


def _headings(medium: Pdf | Document, read: DocumentText, label: str) -> list[str]:
    name = medium.name if isinstance(medium, Document) else label
    lines = medium.lines() if isinstance(medium, Document) else None
    where = (
        ""
        if lines is None
        else f"line {lines[0]:,}"
        if lines[0] == lines[1]
        else "lines {:,} to {:,}".format(*lines)
    )
    made = []
    for page in read.pages:
        told = [name, read.heading(page).strip("[]"), where]
        made.append(f"[{', '.join(filter(None, told))}]" if any(told) else "")
    return made


def _draw(
    medium: Pdf | Document, scanned: Sequence[PageText], limits: MediaLimits
) -> dict[int | None, PreparedPicture]:
    numbers = [page.number for page in scanned if page.number is not None]
    which = (
        f"{len(numbers)} pages of {medium.name} have"
        if len(numbers) > 1
        else f"page {numbers[0]} of {medium.name} has"
    )
    if limits.images is None:
        raise MediaError(
            f"{which} no text but a picture, and {limits.endpoint} sees no pictures; choose a model that does, or go on without "
            'with as_="text"'
        )
    if len(numbers) > limits.most_pages:
        raise MediaError(
            f"{which} no text but a picture, and {limits.endpoint} is sent at most {limits.most_pages} as pictures; choose some "
            'with pages=, or go on without them with as_="text"'
        )
    drawn = pages_of(type(medium)(medium, pages=numbers), limits.images, limits.endpoint, limits.most_pages)
    return dict(zip(numbers, drawn, strict=True))
