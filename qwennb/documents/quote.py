"""Where a quote stands in a document.

Forgiven are whitespace, a hyphen at a line's end, ligatures, curly quotes, soft hyphens and case, because these get lost
between a page, its text and a model; nothing else is, so that a quote that was found is one that the document says. The quote
is written as a pattern that allows for them, and the pattern is looked for in the text as it is: half a megabyte in some
30 ms, without a second copy of the text and a map from one to the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qwennb.documents.document import DocumentText, PageText

LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
_APOSTROPHES, _QUOTES, _HYPHENS = "'‘’‚‛`´", '"“”„‟', "-‐‑"
_HYPHEN = f"[{_HYPHENS}]"
# Between two letters: a word broken at a line's end, whose hyphen is not its own, or a soft hyphen that never showed.
_WITHIN_WORD = f"(?:[{_HYPHENS}\xad][ \t]*\r?\n\\s*|\xad)?"
_BREAK = re.compile(rf"(?<=\w){_HYPHEN}[ \t]*\r?\n\s*(?=\w)")
# Chinese, Japanese and Korean letters and signs: a line may end between any two of them, and no blank was there before.
_WIDE = "\u2e80-\u303f\u3040-\u33ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef"
_TOKEN = re.compile(
    rf"(?P<blank>\s+)|(?P<wide>[{_WIDE}])|(?P<joint>f{{1,2}}[il]|ff|st)|(?P<other>.)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a quote begins: the page's number and title, the line on it counted from 1, and the words as they stand there."""

    page: int | None
    title: str
    line: int
    text: str


def find_place(document: DocumentText, quote: str) -> Place | None:
    """Find the first place where *quote* stands in *document*; None where it stands nowhere.

    A quote may begin on one page of a PDF and end on the next.
    """
    pattern = _pattern(quote)
    if pattern is None:
        return None
    runs = [document.pages] if document.kind == "pdf" else [(page,) for page in document.pages]
    for pages in runs:
        text = "\n".join(page.text for page in pages)
        if found := pattern.search(text):
            return _place(pages, text, found)
    return None


def _place(pages: tuple[PageText, ...], text: str, found: re.Match[str]) -> Place:
    begins = 0
    for page in pages:
        if found.start() < begins + len(page.text):
            break
        begins += len(page.text) + 1
    return Place(page.number, page.title, text.count("\n", begins, found.start()) + 1, found.group())


def _pattern(quote: str) -> re.Pattern[str] | None:
    """Write *quote* as a pattern; None where it says nothing."""
    for ligature, letters in LIGATURES.items():
        quote = quote.replace(ligature, letters)
    quote = quote.replace("\xad", "").strip()
    if not quote:
        return None
    # A model may hand on the hyphen of a line's end, or leave it out, as we do.
    words = f"(?:[{_HYPHENS}\xad]\\s*)?".join(_words(piece) for piece in _BREAK.split(quote))
    begin, end = _edges(quote[0], quote[-1])
    return re.compile(f"{begin}{words}{end}", re.IGNORECASE)


def _edges(first: str, last: str) -> tuple[str, str]:
    """Forbid a quote that begins or ends within a word or a number: `5` is no quote from `1.5`."""
    begin = "" if not first.isalnum() or re.match(f"[{_WIDE}]", first) else r"(?<!\w)"
    end = "" if not last.isalnum() or re.match(f"[{_WIDE}]", last) else r"(?!\w)"
    return begin + (r"(?<!\d[.,])" if first.isdigit() else ""), end + (
        r"(?![.,]\d)" if last.isdigit() else ""
    )


def _words(quote: str) -> str:
    pieces: list[str] = []
    before = ""
    for token in _TOKEN.finditer(quote):
        kind, said = token.lastgroup or "", token.group()
        if kind in ("joint", "other") and before == "letter" and said[0].isalnum():
            pieces.append(_WITHIN_WORD)
        elif kind == "wide" and before == "wide":
            pieces.append(r"\s*")
        pieces.append(_piece(kind, said))
        before = kind if kind in ("blank", "wide") else "letter" if said[-1].isalnum() else ""
    return "".join(pieces)


def _piece(kind: str, said: str) -> str:
    if kind == "blank":
        return r"\s+"
    if kind == "joint":
        spelled = _WITHIN_WORD.join(said)
        ligatures = [sign for sign, letters in LIGATURES.items() if letters == said.lower()]
        if len(said) == 3:
            ligatures += [f"ﬀ{_WITHIN_WORD}{said[2]}", f"f{_WITHIN_WORD}{'ﬁ' if said[2] == 'i' else 'ﬂ'}"]
        return f"(?:{'|'.join([spelled, *ligatures])})"
    for signs in (_APOSTROPHES, _QUOTES):
        if said in signs:
            return f"[{signs}]"
    if said in _HYPHENS:
        return rf"{_HYPHEN}(?:[ \t]*\r?\n\s*)?"
    return re.escape(said)
