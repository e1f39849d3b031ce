"""The values: a document's text, and one page of it."""

from __future__ import annotations

from dataclasses import dataclass

# What a page is called where the pages of a document stand together, so that an answer can point at one.
_PAGE_WORDS = {"pdf": "page", "pptx": "slide", "xlsx": "sheet"}


@dataclass(frozen=True, slots=True)
class PageText:
    """One page of a PDF, one slide, one sheet; or all of a document that has no pages.

    `number` counts from 1, None where there are no pages; `title` is a sheet's name, or "". A page that `is_scanned` shows
    something and has no text layer: to be read, it must be drawn as a picture.
    """

    number: int | None
    title: str
    text: str
    is_scanned: bool = False


@dataclass(frozen=True, slots=True)
class DocumentText:
    """What a document says. `kind` is "pdf", "text", "csv", "parquet", "html", "docx", "xlsx" or "pptx", `name` what it was called when it was read."""

    kind: str
    name: str
    pages: tuple[PageText, ...]

    def text(self) -> str:
        """Join all pages, each below a line with its number, where it has one: `[page 212]`, `[sheet 2: Costs]`."""
        return "\n\n".join(
            "\n".join(filter(None, (self.heading(page), page.text))) for page in self.pages
        ).strip("\n")

    def heading(self, page: PageText) -> str:
        """Write the line that stands above *page*; "" where the document has no pages."""
        if page.number is None:
            return ""
        title = f": {' '.join(page.title.split())}" if page.title else ""
        return f"[{_PAGE_WORDS[self.kind]} {page.number}{title}]"
