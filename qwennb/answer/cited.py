"""Answers with quotes: each is looked for in what was sent with the question, and its place told, or that it is not there.

A quote is checked by us, and not by the model: anew whenever an answer comes or is recalled, without a network, so that
nothing of it is stored and a pack from a stranger proves nothing. What was sent are the texts of the questions (first the
template's values, by their names), what tools gave, and documents, page by page. In a picture nothing can be looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import orjson

from qwennb.documents import DocumentText, PageText, find_place
from qwennb.errors import QwenError
from qwennb.request import (
    Claim,
    Document,
    Medium,
    Pdf,
    Request,
    Text,
    claims_in,
    parse_cited,
    values_in,
    without_words,
)

if TYPE_CHECKING:
    from qwennb.answer.answer import Answer

# A number in brackets, alone or with what a mark says of its quote. In a claim it is the model's own.
_MARKS = re.compile(r"\[(\d+(?::[^\]]*)?|no quote)\]")
# What stands above the answers of pieces: client/long_documents.py
_COMBINED = re.compile(r"\[The (?:document was|files were) read in \d+ parts\.")
NOT_FOUND = "not found in the source"
NOT_CHECKED = "not checked"
NO_QUOTE = "no quote"


@dataclass(frozen=True, slots=True)
class Quote:
    """The words that a claim or a field of an answer rests on, and where they stand in what was sent.

    Attributes
    ----------
    claim : str
        What is claimed, or the name of the field.
    quote : str
        The words, as the model copied them; "" where it gave none.
    file : str or None
        The document, or the name in the template, that has them; None where they stand in the question itself.
    page, line : int or None
        The page, where there are pages, and the line on it, counted from 1.
    found : bool or None
        False where they stand nowhere in what was sent. None where that can't be told: a picture or a scan may have them.
    place : str
        All that in words: "report.pdf, page 3, line 12", "not found in the source", "not checked".

    Examples
    --------
    >>> (quote,) = qwen.ask("What is cold? {{ review }}", review="The soup is cold.", cite=True).quotes
    >>> quote.claim, quote.quote, quote.file, quote.line, quote.found
    ('The soup.', 'The soup is cold.', 'review', 1, True)
    >>> quote.place
    'review, line 1'
    """

    claim: str
    quote: str
    file: str | None = None
    page: int | None = None
    line: int | None = None
    found: bool | None = None

    @property
    def place(self) -> str:
        """Where the words stand, or that they stand nowhere, in words."""
        if not self.quote:
            return NO_QUOTE
        if not self.found:
            return NOT_CHECKED if self.found is None else NOT_FOUND
        page = "" if self.page is None else f"page {self.page}"
        return ", ".join(filter(None, (self.file or "the question", page, f"line {self.line}")))


class Source(NamedTuple):
    """A text that may be quoted. Its lines are counted from `first`: it may be a piece of a document."""

    document: DocumentText
    first: int = 1

    @classmethod
    def of_text(cls, text: str, name: str) -> Source:
        """Make a source of a *text* without pages; *name* is what it is called, "" for the question's own."""
        return cls(DocumentText("text", name, (PageText(None, "", text),)))


class Sources(NamedTuple):
    """What quotes are looked for in; `whole` where nothing was sent that has no text."""

    texts: Sequence[Source]
    whole: bool

    def check(self, claim: Claim) -> Quote:
        """Look for the quote of *claim*."""
        quote = claim.quote.strip()
        for source in self.texts if quote else ():
            if (place := find_place(source.document, quote)) is not None:
                line = source.first - 1 + place.line
                return Quote(claim.claim, quote, source.document.name or None, place.page, line, True)
        return Quote(claim.claim, quote, found=None if quote and not self.whole else False)


def sources_of(request: Request) -> Sources:
    """Collect what was sent with *request* that may be quoted: not what the model said itself, nor the system text."""
    tools = {call.id: call.name for message in request.messages for call in message.tool_calls}
    asked = [one.stands_for or one for one in request.messages if one.role in ("user", "tool")]
    # What pieces gave is the model's. Where what they are pieces of is not here, as in a pack's line, nothing can be told.
    messages = [message for message in asked if not _COMBINED.search(message.text)]
    named = [Source.of_text(text, name) for message in messages for name, text in message.values]
    documents = [_read_document(medium) for message in messages for medium in message.media]
    texts = [
        Source.of_text(without_words(part.text), tools.get(message.tool_call_id or "", ""))
        for message in messages
        for part in message.parts
        if isinstance(part, Text)
    ]
    is_whole = len(messages) == len(asked) and all(one is not None and _is_text(one) for one in documents)
    return Sources([*named, *(one for one in documents if one is not None), *texts], is_whole)


def tell_found(answer: Answer) -> str:
    """Write *answer*, one of a piece, for the question that combines all: of its quotes those that were found, word for word."""
    if not answer.quotes:
        return answer.text
    return "\n".join(
        f'{one.claim} "{" ".join(one.quote.split())}" ({one.place})' if one.found else one.claim
        for one in answer.quotes
    )


def _read_document(medium: Medium) -> Source | None:
    """Read what *medium* says; None for a picture, and for what is not here: of a pack's media only the hashes are."""
    if not isinstance(medium, Document | Pdf):
        return None
    try:
        lines = medium.lines() if isinstance(medium, Document) else None
        return Source(medium.read(), 1 if lines is None else lines[0])
    except QwenError:
        return None


def _is_text(source: Source) -> bool:
    return not any(page.is_scanned for page in source.document.pages)


def with_quotes(answer: Answer) -> Answer:
    """Check the quotes of *answer*, and put what it says without them into its text.

    Of an answer that is not in that form (a tool is called; a pack's line says what it likes) nothing is changed.
    """
    if not answer.request.is_cited or answer.tool_calls or answer.error is not None:
        return answer
    try:
        text, quotes = read_cited(answer.text, sources_of(answer.request))
    except ValueError:
        return answer
    return replace(answer, text=text, said=answer.text, quotes=quotes)


def read_cited(said: str, sources: Sources) -> tuple[str, tuple[Quote, ...]]:
    """Read what was *said* in a form with quotes: the text without them, and the quotes, looked for in *sources*."""
    value = parse_cited(said)
    # What a small model says twice, with the same quote, is one claim.
    quotes = tuple(sources.check(claim) for claim in dict.fromkeys(claims_in(value)))
    values = values_in(value)
    return _write_claims(quotes) if values is None else orjson.dumps(values).decode(), quotes


def _write_claims(quotes: Sequence[Quote]) -> str:
    said = []
    for claim, its in groupby(_numbered(quotes), lambda pair: pair[1].claim):
        said.append(
            " ".join([_without_marks(claim), *(f"[{_mark(number, quote)}]" for number, quote in its)])
        )
    return " ".join(said)


def _without_marks(claim: str) -> str:
    """Write *claim* in one line and without marks, so that none of it passes for a mark or a quote of ours."""
    return _MARKS.sub(r"(\1)", " ".join(claim.split()))


def _mark(number: int, quote: Quote) -> str:
    return str(number) if quote.found else quote.place if not quote.quote else f"{number}: {quote.place}"


def list_quotes(quotes: Sequence[Quote]) -> list[str]:
    """Write each quote as a line, with its number and its place; one that was not found says so first."""
    return [f"[{number}] {tell_quote(quote)}" for number, quote in _numbered(quotes)]


def tell_quote(quote: Quote) -> str:
    """Write a quote with its place; one that was not found says so first, so that it passes for no proof."""
    words = f"“{' '.join(quote.quote.split())}”"
    if not quote.quote:
        return quote.place
    return f"{words} ({quote.place})" if quote.found else f"{quote.place}: {words}"


def _numbered(quotes: Sequence[Quote]) -> Iterator[tuple[int, Quote]]:
    return enumerate(quotes, 1)
