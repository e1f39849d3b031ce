"""Bytes read as a document: told by what they are, remembered by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from qwennb.documents.document import DocumentText, PageText
from qwennb.documents.kinds import kind_of_document
from qwennb.documents.pdf import read_pdf
from qwennb.documents.plain import read_plain
from qwennb.errors import MediaError
from qwennb.remembered import Remembered

Pages = tuple[int, ...] | None

_READERS: dict[str, Callable[[bytes, str, Pages], tuple[PageText, ...]]] = {
    "pdf": read_pdf,
    "text": read_plain,
}
_remembered = Remembered[tuple[PageText, ...]](
    64 << 20, lambda pages: sum(200 + 2 * len(page.text) for page in pages)
)


def read_document(content: bytes, name: str, *, pages: tuple[int, ...] | None = None) -> DocumentText:
    """Read what *content* says, all of it or the *pages* that are counted from 1; *name* is what an error calls it.

    A `MediaError` says in one sentence why it can't be read. What was read is remembered as long as there is room.
    """
    if not content:
        raise MediaError(f"{name} is empty; give a file with something in it")
    kind = kind_of_document(content, name)
    if kind is None or kind not in _READERS:
        raise MediaError(f"{name} is no document that can be read here; give a PDF, a text or an office file")
    reader = _READERS[kind]
    key = (hashlib.sha256(content).digest(), kind, pages)
    return DocumentText(kind, name, _remembered.get(key, lambda: reader(content, name, pages)))
