"""Documents as values: PDFs, text, code, tables, office files.

    Pdf("a.pdf", pages=[1, 2])   Document("notes.md")   Document(data, name="mail.txt")   Document("a.pdf", as_="pictures")

A `Document` has a name, which the model is shown and which stands in the key; a `Pdf` has none, as in 0.1, where its bytes
and its options were the whole key. The text is no part of the key: it is made when it is needed, by `read`, so that no key
depends on a library that reads.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

from qwennb.documents import DocumentText, read_document
from qwennb.errors import MediaError, show_value
from qwennb.request.media import Medium, options_of, pixel_count, set_field, without_none
from qwennb.request.source import (
    CAPS,
    NOUNS,
    MediaSource,
    document_source,
    file_source,
    read_given,
    recorded_source,
)
from qwennb.terminal import flatten

SentAs = Literal["auto", "text", "pictures", "file"]
LONGEST_NAME = 200  # characters that the model is shown of one; an ordinary path is shorter


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Pdf(Medium):
    """A PDF to ask about, as a whole or some of its pages.

    A page goes as its text, or as a picture where it has none. For a PDF whose name the model is to see there is `Document`.

    Parameters
    ----------
    source : path, bytes, URL or Pdf
        A URL is passed on to the endpoint, and never fetched here.
    pages : iterable of int, optional
        The pages that are sent, counted from 1; all of them without it.
    max_pixels : int, optional
        The most that a page has where pages are sent as pictures.
    as_ : {"auto", "text", "pictures", "file"}, optional
        How it goes: each page as what serves; text alone; all pages as pictures; the file itself, where the endpoint takes it.

    Attributes
    ----------
    kind : str
        "pdf"; or "url", "record".
    data : bytes or None
        The bytes; None for a URL.
    url : str or None
        The URL, where that is all there is.
    digest, name : str
        The sha256 that stands for it in the key, and how an error calls it.
    source : MediaSource
        All of that together.

    Raises
    ------
    MediaError
        If the file is missing, is too large, or is no PDF; if `pages` are no pages.

    Examples
    --------
    >>> report = Pdf("report.pdf", pages=[1])
    >>> report.pages
    (1,)
    >>> answer = qwen.ask("What does it say?", files=[report])
    >>> Pdf("report.pdf", pages=[0])
    Traceback (most recent call last):
        ...
    qwennb.errors.MediaError: pages=[0] is not a list of pages, counted from 1, such as range(1, 20) or [1, 3]
    """

    TYPE: ClassVar[str] = "pdf"
    source: MediaSource
    pages: tuple[int, ...] | None
    max_pixels: int | None
    as_: SentAs

    def __init__(
        self,
        source: object,
        *,
        pages: Iterable[int] | None = None,
        max_pixels: int | None = None,
        as_: SentAs | None = None,
    ) -> None:
        if isinstance(source, Pdf):
            pages, as_ = source.pages if pages is None else pages, as_ or source.as_
            max_pixels, source = max_pixels or source.max_pixels, source.source
        set_field(self, "source", file_source(source, "pdf"))
        set_field(self, "pages", _pages(pages))
        set_field(self, "max_pixels", pixel_count("max_pixels", max_pixels))
        set_field(self, "as_", _sent_as(as_))

    def read(self) -> DocumentText:
        """Read the text of its pages.

        Returns
        -------
        DocumentText
            Its `pages`, each with `number`, `text` and whether it `is_scanned`: a picture without text.

        Raises
        ------
        MediaError
            If it can't be read, or the extra `pdf` is missing.

        Examples
        --------
        >>> len(Pdf("report.pdf").read().pages)
        1
        """
        return read_document(self.content(), self.name, pages=self.pages)

    def _options(self) -> dict[str, Any]:
        return without_none(
            pages=self.pages and list(self.pages),
            max_pixels=self.max_pixels,
            as_=None if self.as_ == "auto" else self.as_,
        )


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Document(Medium):
    """A document to ask about: a PDF, text, Markdown, code, a table, HTML or an office file.

    It is read when it is made, so that what is asked and its key agree however the file changes later. In the key stand its
    content and the name that the model is shown, never its path.

    Parameters
    ----------
    source : path, bytes or Document
        What it is, is told by its bytes.
    pages : iterable of int, optional
        The pages (slides, sheets) that are sent, counted from 1; all of them without it.
    as_ : {"auto", "text", "pictures", "file"}, optional
        How a PDF goes: each page as its text, or as a picture where it has none; text alone; all pages as pictures; the file
        itself, where the endpoint takes it. All else goes as text.
    name : str, optional
        What the model is shown as its name; the file's own without it.
    max_pixels : int, optional
        The most that a page has where pages are sent as pictures.
    span : tuple of int, optional
        The characters of its text that are sent, from the first, counted from 0, to before the second: a piece of a text
        that is too long for one question.

    Attributes
    ----------
    name : str
        What the model is shown as its name, and how an error calls it.
    kind : str
        "pdf", "text", "csv", "docx" …; or "record".
    data : bytes or None
        The bytes.
    url : None
        A document is never a URL.
    digest : str
        The sha256 that stands for it in the key.
    source : MediaSource
        All of that together.

    Raises
    ------
    MediaError
        If the file is missing, empty or too large, or is nothing that can be read.

    Examples
    --------
    >>> report = Document("report.pdf", pages=[1])
    >>> report.name, report.kind
    ('report.pdf', 'pdf')
    >>> answer = qwen.ask("What does it say?", files=[report, Document(b"Paris is large.", name="notes.txt")])
    >>> Document("missing.docx")
    Traceback (most recent call last):
        ...
    qwennb.errors.MediaError: there is no file missing.docx; check the path and the current folder
    """

    TYPE: ClassVar[str] = "document"
    source: MediaSource
    name: str
    pages: tuple[int, ...] | None
    as_: SentAs
    max_pixels: int | None
    span: tuple[int, int] | None

    def __init__(
        self,
        source: object,
        *,
        pages: Iterable[int] | None = None,
        as_: SentAs | None = None,
        name: str | None = None,
        max_pixels: int | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        if isinstance(source, Document | Pdf):
            pages, as_ = source.pages if pages is None else pages, as_ or source.as_
            max_pixels = max_pixels or source.max_pixels
        if isinstance(source, Document):
            span, name = source.span if span is None else span, name or source.name
        if name is not None and not (isinstance(name, str) and name.strip()):
            raise MediaError(f"name={show_value(name)} is no name; give a text that the model is shown")
        read, shown = _read_source(source, name)
        set_field(self, "source", read)
        set_field(self, "name", shown)
        set_field(self, "pages", _pages(pages))
        set_field(self, "as_", _sent_as(as_))
        set_field(self, "max_pixels", pixel_count("max_pixels", max_pixels))
        set_field(self, "span", _span(span))
        if self.as_ in ("pictures", "file") and self.kind not in ("pdf", "record"):
            raise MediaError(f'only a PDF goes as_="{self.as_}", and {self.name} is none; leave as_= out')

    def read(self) -> DocumentText:
        """Read its text: the pages or the span that were asked for.

        Returns
        -------
        DocumentText
            Its `pages`, each with `number`, `title` and `text`; a text without pages is one.

        Raises
        ------
        MediaError
            If it can't be read, or an extra is missing.

        Examples
        --------
        >>> Document(b"Ask Ada.", name="notes.txt").read().text()
        'Ask Ada.'
        """
        read = read_document(self.content(), self.name, pages=self.pages)
        if self.span is None:
            return read
        if len(read.pages) != 1:
            raise MediaError(f"{self.name} has several pages, and span= is of one; choose it with pages=[…]")
        page = read.pages[0]
        return replace(read, pages=(replace(page, text=page.text[slice(*self.span)]),))

    def lines(self) -> tuple[int, int] | None:
        """Tell on which lines its span stands.

        Returns
        -------
        tuple of int or None
            The first and the last line, counted from 1; None where all of it is meant.

        Examples
        --------
        >>> Document(b"one, two, three", name="a.txt", span=(5, 8)).lines()
        (1, 1)
        """
        if self.span is None:
            return None
        page = read_document(self.content(), self.name, pages=self.pages).pages[0]
        first = page.text.count("\n", 0, self.span[0]) + 1
        return first, first + page.text[slice(*self.span)].rstrip("\n").count("\n")

    def to_json(self) -> dict[str, Any]:
        """Write the form that goes into the request's key: what it is made from, its name, and the options that were set."""
        return {"type": self.TYPE, "sha256": self.digest, "name": self.name, **self._options()}

    @classmethod
    def from_json(cls, data: dict[str, Any], content: bytes | None = None) -> Self:
        """Read the value that `to_json` wrote. Without *content* it can be compared and named, not asked with."""
        digest, shown = str(data.get("sha256")), str(data.get("name") or NOUNS["document"])
        if content is None:
            source = recorded_source(cls.TYPE, digest, None)
        else:
            source = document_source(content, shown, f"the file kept for sha256 {digest[:12]}…")
            if source.digest != digest:
                raise MediaError(
                    f"the file kept for {NOUNS[cls.TYPE]} is not the one that was asked about (sha256 {digest})"
                )
        return cls(source, **{**options_of(cls, data), "name": shown})

    def _options(self) -> dict[str, Any]:
        return without_none(
            pages=self.pages and list(self.pages),
            max_pixels=self.max_pixels,
            as_=None if self.as_ == "auto" else self.as_,
            span=self.span and list(self.span),
        )


def _read_source(source: object, name: str | None) -> tuple[MediaSource, str]:
    """Read what the user gave as a document, and find the name that the model is shown."""
    if isinstance(source, Document | Pdf) and source.url is None:
        source = source.source
    if isinstance(source, MediaSource):
        return source, shown_name(name or os.path.basename(source.file) or "document")  # noqa: PTH119
    if isinstance(source, Pdf):
        source = source.url
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        raise MediaError(
            f"{source.partition('?')[0]} is not fetched; download it and give the path, or where the endpoint fetches PDFs "
            "give it as Pdf(url)"
        )
    if (read := read_given(source, CAPS["document"])) is None:
        raise MediaError(f"`{type(source).__name__}` can't be used as a document; give a path or bytes")
    data, called, file = read
    shown = shown_name(name or (os.path.basename(file) if file else "document"))  # noqa: PTH119
    return document_source(data, shown, called, file), shown


def shown_name(name: str) -> str:
    """Write *name* as the model is shown it: in one line, with `/` between folders, and no path of this machine's."""
    if os.path.isabs(name):  # noqa: PTH117
        name = os.path.basename(name)  # noqa: PTH119
    name = " ".join(flatten(name).split()).replace("\\", "/")
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def _sent_as(as_: Any) -> SentAs:
    if as_ is None:
        return "auto"
    if as_ not in get_args(SentAs):
        known = ", ".join(f'"{one}"' for one in get_args(SentAs))
        raise MediaError(f"as_={show_value(as_)} is no way to send a document; use {known}")
    return as_  # type: ignore[no-any-return]


def _pages(pages: Iterable[Any] | None) -> tuple[int, ...] | None:
    if pages is None:
        return None
    try:
        numbers = tuple(operator.index(page) for page in pages)
    except TypeError:
        numbers = ()
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise MediaError(
            f"pages={pages!r} is not a list of pages, counted from 1, such as range(1, 20) or [1, 3]"
        )
    return numbers


def _span(span: Any) -> tuple[int, int] | None:
    if span is None:
        return None
    try:
        start, stop = map(operator.index, span)
    except (TypeError, ValueError):
        start = stop = 0
    if not 0 <= start < stop:
        raise MediaError(f"span={show_value(span)} is no range of characters, such as (0, 20_000)")
    return start, stop
