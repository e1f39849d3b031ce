"""A PDF's text layer, page by page, read with pdf-oxide.

pypdfium2, which draws pages for us, gives the text of two columns line by line across both and knows no tables. pdf-oxide
reads one column after the other and finds tables. What it gives must not depend on which of the two is installed (the
same question has the same text everywhere), so there is no falling back: without pdf-oxide a sentence says what to type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwennb.documents.document import PageText
from qwennb.errors import MediaError

if TYPE_CHECKING:
    from pdf_oxide import PdfDocument


def read_pdf(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read the pages that were asked for, all of them without *pages*."""
    document = _open(content, name)
    count = len(document)
    if count == 0:
        raise MediaError(f"{name} has no pages; give one that has")
    if pages is not None and max(pages) > count:
        raise MediaError(f"{name} has {count} pages; there is no page {max(pages)}")
    return tuple(_read_page(document, number) for number in pages or range(1, count + 1))


def _open(content: bytes, name: str) -> PdfDocument:
    try:
        import pdf_oxide
    except ImportError:
        raise MediaError(
            f'the text of {name} needs pdf-oxide, which is not installed; type: pip install "qwennb[pdf]"'
        ) from None
    pdf_oxide.disable_logging()
    try:
        return pdf_oxide.PdfDocument.from_bytes(content)
    except (OSError, ValueError, RuntimeError) as error:
        raise MediaError(f"{name} is not a PDF that can be read ({error}); print it to a new one") from None


def _read_page(document: PdfDocument, number: int) -> PageText:
    text = document.extract_text(number - 1).strip("\n")
    return PageText(number, "", text, is_scanned=not text.strip())
