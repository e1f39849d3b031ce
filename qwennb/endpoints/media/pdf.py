"""PDFs: checked, cut to the pages that were asked for, or drawn as pictures with pypdfium2.

PDFium can't be used by two threads at once, so one lock guards every use of it; encoding the pictures is outside.
"""

from __future__ import annotations

import contextlib
import io
import math
import threading
from collections.abc import Iterator
from typing import Any

from qwennb.catalog import Images
from qwennb.endpoints.media.picture import PreparedPicture, encode, is_drawn, room_in
from qwennb.errors import MediaError
from qwennb.remembered import Remembered
from qwennb.request import Document, Pdf

_SHARP = 150 / 72  # dots a point: small print can be read, and more would only cost tokens
_pdfium = threading.Lock()
_remembered = Remembered[tuple[PreparedPicture, ...]](64 << 20, lambda made: sum(map(len, made)))  # bytes


def pdf_bytes(pdf: Pdf | Document) -> bytes:
    """The PDF with the pages that were asked for. Without pypdfium2 a whole one is sent unchecked."""
    content = pdf.content()
    try:
        with _open_pdf(pdf, content) as document:
            pages = _choose_pages(pdf, document)
            return content if pdf.pages is None else _cut(document, pages)
    except _NoPdfium:
        if pdf.pages is not None:
            raise
        return content


def pages_of(pdf: Pdf | Document, images: Images, endpoint: str, most: int) -> tuple[PreparedPicture, ...]:
    """The pages that were asked for, at most *most*, drawn within the pixels that *images* grants."""
    content = pdf.content()
    budget = min(pdf.max_pixels or images.max_pixels, images.hard_pixels)

    def make() -> tuple[PreparedPicture, ...]:
        with _open_pdf(pdf, content) as document:
            pages = _choose_pages(pdf, document)
            if len(pages) > most:
                raise MediaError(
                    f"{pdf.name} has {len(pages)} pages; {endpoint} is sent at most {most} as pictures, so choose some: "
                    f"{type(pdf).__name__}(…, pages=range(1, {min(most, 19) + 1}))"
                )
            drawn = (_draw(document, page, budget, f"page {page} of {pdf.name}") for page in pages)
            room = room_in(images)
            return tuple(encode(page, is_drawn(page), images, room, pdf.name, endpoint) for page in drawn)

    return _remembered.get((pdf.digest, pdf.pages, budget, images, most), make)


class _NoPdfium(MediaError):
    """pypdfium2 is not installed."""


@contextlib.contextmanager
def _open_pdf(pdf: Pdf | Document, content: bytes) -> Iterator[Any]:
    try:
        import pypdfium2
    except ImportError:
        raise _NoPdfium(
            f'the pages of {pdf.name} need pypdfium2, which is not installed; type: pip install "qwennb[pdf]"'
        ) from None
    try:
        with _pdfium:
            document = pypdfium2.PdfDocument(content)
        try:
            yield document
        finally:
            with _pdfium:
                document.close()
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise MediaError(f"{pdf.name} is locked with a password; save it without one") from None
        raise MediaError(
            f"{pdf.name} is not a PDF that can be read ({error}); print it to a new one"
        ) from None


def _choose_pages(pdf: Pdf | Document, document: Any) -> tuple[int, ...]:
    with _pdfium:
        count = len(document)
        if count and document.formenv is None and document.get_formtype():
            document.init_forms()  # what was filled in is part of the page
    if count == 0:
        raise MediaError(f"{pdf.name} has no pages; give one that has")
    if pdf.pages is not None and max(pdf.pages) > count:
        raise MediaError(f"{pdf.name} has {count} pages; there is no page {max(pdf.pages)}")
    return pdf.pages or tuple(range(1, count + 1))


def _cut(document: Any, pages: tuple[int, ...]) -> bytes:
    with _pdfium, contextlib.closing(type(document).new()) as cut:
        cut.import_pages(document, [page - 1 for page in pages])
        made = io.BytesIO()
        cut.save(made)
        return made.getvalue()


def _draw(document: Any, number: int, budget: int, name: str) -> Any:
    # What PDFium owns is closed by hand: left to the garbage collector it would be closed outside the lock.
    with _pdfium, contextlib.closing(document[number - 1]) as page:
        width, height = page.get_size()
        if not (width > 0 and height > 0):
            raise MediaError(f"{name} has no size; choose others with Pdf(…, pages=[…])")
        scale = min(_SHARP, math.sqrt(budget / (width * height)))
        while (
            math.ceil(width * scale) * math.ceil(height * scale) > budget and min(width, height) * scale > 1
        ):
            scale *= 0.998  # PDFium rounds both sides up
        with contextlib.closing(page.render(scale=scale)) as bitmap:
            return bitmap.to_pil().convert("RGB")
